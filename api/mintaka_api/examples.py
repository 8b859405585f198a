"""Examples for the OpenAPI document; a test checks each against its schema."""

from __future__ import annotations

from typing import Any

_RUN: dict[str, Any] = {
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
}
_TASK: dict[str, Any] = {
    "flow_run": _RUN["uid"],
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
    "upstream": [0, 2],
    "tags": [],
    "history": [["PENDING", "Pending", 0, "", ""], ["RUNNING", "Running", 120, "", ""], ["COMPLETED", "Completed", 1500000, "", ""]],
    "namespace": "etl",
    "sequence": 3,
}
_TRANSITION: dict[str, Any] = {
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
}
_DEPLOYMENT: dict[str, Any] = {
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
    "suspend": False,
    "schedules": [
        {"name": "nightly", "cron": "0 3 * * *", "time_zone": "Europe/Berlin", "suspend": False, "next_time": "2026-11-23T02:00:00.000000Z"}
    ],
    "ready": {"status": "True", "reason": "Valid", "message": ""},
    "active_runs": 0,
    "last_schedule_time": "2026-11-22T02:00:00.000000Z",
    "next_schedule_time": "2026-11-23T02:00:00.000000Z",
    "generation": 2,
    "created": "2026-10-01T08:00:00Z",
    "deleted": None,
}
_LOG: dict[str, Any] = {
    "seq": 0,
    "time": "2026-11-22T03:00:03Z",
    "level": 20,
    "logger": "mintaka.flow",
    "n": None,
    "message": "loading 2026-11-21",
}
_NODE: dict[str, Any] = {key: _TASK[key] for key in ("n", "task", "name", "kind", "state", "state_name", "started", "ended", "parent")}
_NEXT = "WyI1ZjJhMWMwOSIsMTc5MDAwMDAwMDAwMDAwMCwxXQ"

#: An example of each document, by the name of its schema.
EXAMPLES: dict[str, Any] = {
    "FlowRunAnswer": _RUN,
    "FlowRunPage": {"items": [_RUN], "next": _NEXT},
    "TransitionPage": {"items": [_TRANSITION], "next": None},
    "TaskRunPage": {"items": [_TASK], "next": _NEXT},
    "GraphAnswer": {"attempt": 1, "nodes": [_NODE], "edges": [[0, 3], [2, 3]], "truncated": False},
    "LogPage": {"items": [_LOG], "next": None},
    "FlowDeploymentAnswer": _DEPLOYMENT,
    "FlowDeploymentPage": {"items": [_DEPLOYMENT], "next": None},
    "ReportAnswer": {"report": 17},
    "IntentAnswer": {"uid": _RUN["uid"], "namespace": "etl", "name": _RUN["name"], "intent": "cancel"},
    "ProblemAnswer": {
        "type": "https://mintaka.dev/problems/not-found",
        "title": "Not found",
        "status": 404,
        "detail": "what is wrong here and what to do",
    },
    "NewFlowRun": {"parameters": {"day": "2026-11-21"}, "name": None, "scheduled_time": None, "tags": ["manual"]},
    "RunReport": {
        "attempt": 1,
        "report": 17,
        "flow_run": {"name": _RUN["name"], "namespace": "etl", "deployment": "nightly"},
        "tasks": [
            {
                "n": 3,
                "task": "etl.clean",
                "name": None,
                "state": "COMPLETED",
                "state_name": "Completed",
                "reason": "",
                "message": "",
                "seq": 3,
                "created": 1795316403000000,
                "started": 1795316403000120,
                "ended": 1795316404500000,
                "runs": 1,
                "upstream": [0, 2],
                "tags": [],
                "parent": None,
                "kind": "task",
                "history": _TASK["history"],
            }
        ],
        "logs": [{"seq": 0, "time": 1795316403000000, "level": 20, "logger": "mintaka.flow", "n": None, "message": "loading 2026-11-21"}],
        "counts": {"COMPLETED": 10, "RUNNING": 1},
        "final": False,
    },
}
