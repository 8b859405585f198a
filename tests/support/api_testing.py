"""What the API's tests share: the app in this process, flow runs with a made-up status, reports, and patience."""

from __future__ import annotations

import asyncio
import time
import uuid
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import httpx

from mintaka_api.app import create_app
from mintaka_api.kubernetes_services import create_cluster_app
from mintaka_core.names import API_VERSION, MIRROR_FINALIZER
from mintaka_core.wire_versions import WIRE_VERSION
from mintaka_kubernetes import FLOW_RUNS, Unreadable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from mintaka_api.cluster import Cluster
    from mintaka_api.settings import Settings
    from mintaka_kubernetes import Resource

API = "/api/v1"
START = datetime(2026, 1, 1, tzinfo=UTC)
#: The states of an ordinary run.
ORDINARY = ("SCHEDULED", "PENDING", "RUNNING", "COMPLETED")


@asynccontextmanager
async def running(settings: Settings) -> AsyncIterator[httpx.AsyncClient]:
    """The API in this process, without a socket."""
    app = create_cluster_app(settings) if settings.mirror else create_app(settings)
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with app.router.lifespan_context(app), httpx.AsyncClient(transport=transport, base_url="http://api") as client:
        client.app = app  # type: ignore[attr-defined]
        yield client


async def eventually[T](look: Callable[[], Awaitable[T]], good: Callable[[T], bool], seconds: float = 30) -> T:
    """What `look` sees once it is `good`; an AssertionError with what it saw last."""
    deadline = time.monotonic() + seconds
    while not good(seen := await look()):
        assert time.monotonic() < deadline, f"still {seen!r} after {seconds} s"
        await asyncio.sleep(0.05)
    return seen


def instant(sequence: int) -> str:
    """The time of transition `sequence` of a made-up run."""
    return (START + timedelta(seconds=sequence)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def status(states: tuple[str, ...], *, first: int = 1, kept: int = 32, **members: Any) -> dict[str, Any]:
    """The status of a run that went through `states`, the first of which has sequence `first`; the last `kept` are in it."""
    transitions = [
        {
            "sequence": first + position,
            **({"from": states[position - 1]} if position else {}),
            "to": state,
            "name": state.capitalize(),
            "proposed": state,
            "rule": "",
            "verdict": "Accept",
            "reason": "",
            "message": "",
            "attempt": 1,
            "time": instant(first + position),
        }
        for position, state in enumerate(states)
    ]
    last = first + len(states) - 1
    state = {"type": states[-1], "name": states[-1].capitalize(), "reason": "", "message": "", "time": instant(last)}
    return {"state": state, "sequence": last, "attempt": 1, "transitions": transitions[-kept:], **members}


def flow_run(name: str, namespace: str, **metadata: Any) -> dict[str, Any]:
    """A FlowRun held by the mirror's finalizer."""
    spec = metadata.pop("spec", {"template": {"entrypoint": "etl:main"}})
    return {
        "apiVersion": API_VERSION,
        "kind": "FlowRun",
        "metadata": {"name": name, "namespace": namespace, "finalizers": [MIRROR_FINALIZER], **metadata},
        "spec": spec,
    }


def seen_run(name: str, states: tuple[str, ...] = (), *, version: int = 1, **metadata: Any) -> dict[str, Any]:
    """A FlowRun as a watch shows it, for tests without a cluster."""
    uid = metadata.pop("uid", None) or str(uuid.uuid5(uuid.NAMESPACE_URL, name))
    document = flow_run(name, metadata.pop("namespace", "ns"), **metadata)
    document["metadata"] |= {"uid": uid, "resourceVersion": str(version), "creationTimestamp": "2026-01-01T00:00:00Z"}
    return document | ({"status": status(states)} if states else {})


class Namespace:
    """A namespace of the test cluster."""

    def __init__(self, cluster: Cluster, name: str) -> None:
        self.cluster = cluster
        self.name = name

    async def create(self, name: str, **metadata: Any) -> dict[str, Any]:
        """Create a flow run."""
        return await self.cluster.create(FLOW_RUNS, self.name, flow_run(name, self.name, **metadata))

    async def set_status(self, name: str, wanted: dict[str, Any]) -> dict[str, Any]:
        """Write a flow run's status, as the operator would."""
        path = FLOW_RUNS.path(self.name, name) + "/status"
        return await self.cluster.request("PATCH", path, body={"status": wanted}, content_type="application/merge-patch+json")

    async def delete(self, name: str) -> None:
        """Delete a flow run."""
        await self.cluster.request("DELETE", FLOW_RUNS.path(self.name, name))

    async def drop_finalizers(self, name: str) -> None:
        """Let go of a flow run as somebody in a hurry would."""
        path = FLOW_RUNS.path(self.name, name)
        await self.cluster.request("PATCH", path, body={"metadata": {"finalizers": None}}, content_type="application/merge-patch+json")

    async def names(self) -> set[str]:
        """The flow runs that are there."""
        return {document["metadata"]["name"] for document in await self.documents(FLOW_RUNS)}

    async def documents(self, resource: Resource, selector: str = "") -> list[dict[str, Any]]:
        """The objects of a kind that are there, as far as they can be read."""
        query = {"labelSelector": selector} if selector else {}
        return [
            found.document if isinstance(found, Unreadable) else found
            async for page in self.cluster.list_pages(resource.path(self.name), query, page_size=100)
            for found in page
        ]


def task(n: int, *, seq: int = 3, state: str = "COMPLETED", **members: Any) -> dict[str, Any]:
    """A task run as a pod reports it."""
    created = 1_790_000_000_000_000 + n * 1000
    return {
        "n": n,
        "task": "etl.clean",
        "state": state,
        "seq": seq,
        "created": created,
        "started": created + 10,
        "ended": created + 100 if state == "COMPLETED" else None,
        "runs": 1,
        "inputs": {"rows": [n - 1]} if n else {},
        "history": [
            ["PENDING", "Pending", 0, "PENDING", []],
            ["RUNNING", "Running", 10, "RUNNING", []],
            [state, state.capitalize(), 100, state, []],
        ],
        **members,
    }


def report(
    number: int = 1, tasks: list[dict[str, Any]] | None = None, *, attempt: int = 1, namespace: str = "ns", **members: Any
) -> dict[str, Any]:
    """A report of a pod."""
    return {
        "version": WIRE_VERSION,
        "attempt": attempt,
        "report": number,
        "flow_run": {"name": "run", "namespace": namespace, "deployment": "nightly"},
        "tasks": tasks or [],
        "logs": [],
        "counts": {"COMPLETED": len(tasks or [])},
        "final": False,
        **members,
    }
