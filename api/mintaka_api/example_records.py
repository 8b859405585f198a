"""Flow runs, task runs, events, limits and the like, of which the examples of the OpenAPI document are made."""

from __future__ import annotations

from typing import Any

from mintaka_core.names import API_VERSION

RUN: dict[str, Any] = {
    "uid": "0f5c1f2e-8a38-4f5e-9d0e-3f0f6d0f9a01",
    "namespace": "etl",
    "name": "nightly-202611220300-5f2a1c",
    "deployment": "nightly",
    "state": {
        "type": "CRASHED",
        "name": "Crashed",
        "reason": "OOMKilled",
        "message": "container flow passed its memory limit",
        "time": "2026-11-22T03:04:05.678901Z",
    },
    "sequence": 4,
    "attempt": 1,
    "failures": 0,
    "crashes": 0,
    "created": "2026-11-22T03:00:00Z",
    "scheduled": "2026-11-22T03:00:00Z",
    "started": "2026-11-22T03:00:02.120000Z",
    "ended": "2026-11-22T03:04:05.678901Z",
    "tags": ["nightly"],
    "parameters": {"day": "2026-11-21"},
    "pod": "nightly-202611220300-5f2a1c-1",
    "history_complete": True,
    "deleted": None,
    "task_counts": {"COMPLETED": 10, "RUNNING": 1},
    "flow": None,
    "kind": "deployed",
    "parent": None,
    "root": None,
    "parent_n": None,
    "cluster": "3d2f7e0a-1f5b-4c43-9a6e-6f0c4b8a7d21",
    "revision": "nightly-6f9c4d7b58",
    "next_time": None,
    "history_reason": "",
    "conditions": [
        {
            "type": "Crashed",
            "status": "True",
            "reason": "OOMKilled",
            "message": "container flow passed its memory limit",
            "time": "2026-02-28T02:00:09.000000Z",
        }
    ],
}
ATTEMPT: dict[str, Any] = {
    "attempt": 1,
    "state": "CRASHED",
    "reason": "OOMKilled",
    "diagnosis": "container flow passed its memory limit",
    "exit_code": 137,
    "pod": RUN["pod"],
    "pod_uid": "b1f4f0a2-5a53-4d7c-8a0e-2f7a3c1b9d44",
    "node": "node-7",
    "revision": "nightly-6f9c4d7b58",
    "created": "2026-11-22T03:00:00Z",
    "started": "2026-11-22T03:00:02.120000Z",
    "ended": "2026-11-22T03:04:05.678901Z",
    "log_tail": "",
}
PAUSE: dict[str, Any] = {
    "namespace": "etl",
    "key": "approval",
    "attempt": 1,
    "suspended": True,
    "open": True,
    "created": "2026-11-22T03:00:03Z",
    "deadline": None,
    "schema": {"type": "object", "properties": {"approved": {"type": "boolean"}}, "required": ["approved"]},
    "answered": None,
    "answer": None,
    "refusal": "",
}
TASK: dict[str, Any] = {
    "id": "4572cc72-ba14-5ddc-84fc-0b99d78fb6f7",
    "flow_run": RUN["uid"],
    "attempt": 1,
    "n": 3,
    "task": "etl.clean",
    "name": "clean-3",
    "kind": "task",
    "state": "COMPLETED",
    "state_name": "Completed",
    "reason": "",
    "message": "",
    "created": "2026-11-22T03:00:03Z",
    "started": "2026-11-22T03:00:03.000120Z",
    "ended": "2026-11-22T03:00:04.500000Z",
    "runs": 1,
    "parent": None,
    "inputs": {"orders": [0], "customers": [2]},
    "upstream": [0, 2],
    "tags": [],
    "history": [
        ["PENDING", "Pending", 0, "PENDING", []],
        ["RUNNING", "Running", 120, "RUNNING", []],
        ["COMPLETED", "Completed", 1500000, "COMPLETED", []],
    ],
    "namespace": "etl",
    "sequence": 3,
}
TRANSITION: dict[str, Any] = {
    "sequence": 4,
    "from": "RUNNING",
    "to": "CRASHED",
    "name": "Crashed",
    "proposed": "CRASHED",
    "rule": "",
    "verdict": "Accept",
    "reason": "OOMKilled",
    "message": "container flow passed its memory limit",
    "attempt": 1,
    "time": "2026-11-22T03:04:05.678901Z",
    "trail": [],
    "facts": {"exit_code": 137},
    "until": None,
}
DEPLOYMENT: dict[str, Any] = {
    "uid": "7d0c5a4e-6b1f-4a57-8f3b-2c9f0f6f1b02",
    "namespace": "etl",
    "name": "nightly",
    "entrypoint": "etl:nightly",
    "image": "registry.example.com/etl:1.4",
    "version": "1.4",
    "description": "Loads yesterday's orders.",
    "tags": ["nightly"],
    "parameters": {"day": None},
    "parameter_schema": None,
    "result_storage": "s3://results/etl",
    "suspend": False,
    "schedules": [
        {
            "name": "nightly",
            "cron": "0 3 * * *",
            "time_zone": "Europe/Berlin",
            "suspend": False,
            "next_time": "2026-11-23T02:00:00.000000Z",
            "next_times": ["2026-11-23T03:00:00+01:00", "2026-11-24T03:00:00+01:00"],
        }
    ],
    "ready": {"status": "True", "reason": "Valid", "message": ""},
    "active_runs": 0,
    "last_schedule_time": "2026-11-22T02:00:00.000000Z",
    "next_schedule_time": "2026-11-23T02:00:00.000000Z",
    "generation": 2,
    "created": "2026-10-01T08:00:00Z",
    "deleted": None,
    "revision": "nightly-6f9c4d7b58",
    "last_runs": [{"uid": RUN["uid"], "name": RUN["name"], "state": "CRASHED", "created": "2026-11-22T03:00:00Z", "seconds": 243.558901}],
}
VERSION: dict[str, Any] = {
    "revision": "nightly-6f9c4d7b58",
    "generation": 2,
    "created": "2026-11-01T08:00:00Z",
    "spec": {"entrypoint": "etl:nightly", "image": "registry.example.com/etl:1.4"},
}
EVENT: dict[str, Any] = {
    "id": "1f0d2b64-93f1-4a3b-8f4e-7d5c1e9b6a33",
    "time": "2026-11-22T03:04:00Z",
    "name": "orders.loaded",
    "namespace": "etl",
    "resource": "table/orders",
    "flow_run": RUN["uid"],
    "payload": {"rows": 812},
}
ARTIFACT: dict[str, Any] = {
    "id": "5b1d3c1e-2f0e-4c0e-8d0a-6f6d0c9b7a10",
    "flow_run": RUN["uid"],
    "attempt": 1,
    "n": 3,
    "kind": "markdown",
    "key": "yield",
    "description": "of the day",
    "data": "# Yield",
    "version": 1,
    "created": "2026-11-22T03:00:04Z",
    "updated": "2026-11-22T03:00:04Z",
}
LOG: dict[str, Any] = {
    "seq": 0,
    "time": "2026-11-22T03:00:03Z",
    "level": 20,
    "logger": "mintaka.flow",
    "n": None,
    "message": "loading 2026-11-21",
}
VARIABLE: dict[str, Any] = {
    "namespace": "etl",
    "name": "regions",
    "value": ["north", "south"],
    "tags": ["sales"],
    "created": "2026-11-22T03:00:03Z",
    "updated": "2026-11-22T03:00:03Z",
}
LEASE = "5b1d3c1e2f0e4c0e8d0a6f6d0c9b7a10"
LIMIT: dict[str, Any] = {
    "namespace": "etl",
    "name": "warehouse",
    "slots": 2,
    "decay_per_second": 0.0,
    "held": 1.0,
    "waiting": 0,
    "leases": [
        {
            "id": LEASE,
            "slots": 1,
            "who": "flow run nightly-202611220300-5f2a1c, attempt 1",
            "asked": "2026-11-22T03:00:03Z",
            "granted": "2026-11-22T03:00:03Z",
            "expires": "2026-11-22T03:01:03Z",
        }
    ],
    "created": "2026-11-01T00:00:00Z",
    "updated": "2026-11-01T00:00:00Z",
}
NODE: dict[str, Any] = {key: TASK[key] for key in ("n", "task", "name", "kind", "state", "state_name", "started", "ended", "parent")}
NEXT = "WyI1ZjJhMWMwOSIsMTc5MDAwMDAwMDAwMDAwMCwxXQ"

MANIFEST: dict[str, Any] = {
    "apiVersion": API_VERSION,
    "kind": "FlowDeployment",
    "metadata": {"name": "nightly", "namespace": "local"},
    "spec": {"entrypoint": "/home/ann/etl.py:main", "schedules": [{"name": "main", "cron": "0 3 * * *"}]},
}
DOCUMENT: dict[str, Any] = {
    **MANIFEST,
    "metadata": {
        **MANIFEST["metadata"],
        "uid": "5d0c7b0a-6d0f-4a53-8d3b-0d7b8a1c2e11",
        "resourceVersion": "17",
        "generation": 1,
        "creationTimestamp": "2026-11-01T00:00:00Z",
    },
}

RULE: dict[str, Any] = {
    "apiVersion": API_VERSION,
    "kind": "OrchestrationRule",
    "metadata": {"name": "freeze", "namespace": "etl"},
    "spec": {
        "to": ["PENDING"],
        "when": "now.getDayOfWeek('Europe/Berlin') == 0",
        "then": {"wait": {"seconds": 3600}},
        "message": "no starts on Sundays",
    },
}
