"""kopf itself, as the operator runs it, against an API server on loopback that serves objects no decoder reads."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Any

import kopf
import orjson
import pytest

from loopback_api_server import LoopbackApiServer
from mintaka_core.names import GROUP
from mintaka_kubernetes import FLOW_DEPLOYMENTS, Unreadable
from mintaka_kubernetes.client import open_session
from mintaka_operator.cluster import document_of
from mintaka_operator.handlers import KopfThread, build_settings
from mintaka_operator.kopf_decoding import GuardedResponse, Packed, packed_of, unpack
from poison import event, flow_deployment_json, poisons

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

pytestmark = pytest.mark.anyio
PATH = FLOW_DEPLOYMENTS.path(None)
POISONS = {f"poison-{number}": (parameters, reason) for number, (parameters, reason) in enumerate(poisons().values())}
RAW = [flow_deployment_json(name, parameters) for name, (parameters, _) in POISONS.items()]


@pytest.fixture
async def server() -> AsyncIterator[LoopbackApiServer]:
    """Half of the poisons are listed, all are watched; each between ordinary deployments."""
    async with LoopbackApiServer().running() as running:
        running.items[PATH] = [flow_deployment_json("first", "{}"), *RAW[::2], flow_deployment_json("second", "{}")]
        running.lines[PATH] = [event("ADDED", raw) for raw in (*RAW, flow_deployment_json("third", "{}"))]
        yield running


async def eventually(names: set[str], seen: set[str]) -> None:
    """Wait until all are seen."""
    async with asyncio.timeout(60):
        while not names <= seen:  # noqa: ASYNC110 - another thread fills it
            await asyncio.sleep(0.02)


async def test_the_operators_kopf_hears_of_every_other_deployment(server: LoopbackApiServer) -> None:
    """Those listed with poisons and those watched after them, and of each poison; kopf did not end once."""
    seen: set[str] = set()

    def observe(_type: str | None, packed: Packed) -> None:
        seen.add(document_of(unpack(packed))["metadata"]["name"])

    thread = KopfThread(server.credentials, lambda: (None,), observe)
    thread.start()
    try:
        await eventually({"first", "second", "third", *POISONS}, seen)
    finally:
        await asyncio.to_thread(thread.stop)
    assert len([request for request in server.requests if request.startswith(f"WATCH {PATH}")]) == 1


async def test_kopf_takes_off_no_finalizer(server: LoopbackApiServer) -> None:
    """Users may write the one that it is configured with; it has no right to patch, and would hold one of its workers for minutes."""
    held = [orjson.loads(flow_deployment_json(name, "{}")) for name in ("listed", "watched")]
    for document in held:
        document["metadata"]["finalizers"] = ["example.com/billing", build_settings().persistence.finalizer]
    listed, watched = map(orjson.dumps, held)
    server.items[PATH] = [listed]
    server.lines[PATH] = [event("ADDED", watched), event("MODIFIED", watched), event("ADDED", flow_deployment_json("last", "{}"))]
    seen: dict[str, Any] = {}

    def observe(_type: str | None, packed: Packed) -> None:
        found = document_of(unpack(packed))
        seen[found["metadata"]["name"]] = found["metadata"].get("finalizers")

    thread = KopfThread(server.credentials, lambda: (None,), observe)
    thread.start()
    try:
        await eventually({"listed", "watched", "last"}, seen.keys())  # type: ignore[arg-type]
    finally:
        await asyncio.to_thread(thread.stop)
    assert not [request for request in server.requests if request.startswith("PATCH")]


async def test_a_handler_learns_what_is_wrong_with_an_object(server: LoopbackApiServer) -> None:
    """Name, metadata and reason of every poison."""
    reasons: dict[str, str] = {}
    registry = kopf.OperatorRegistry()

    @kopf.on.login(registry=registry)
    async def login(**_: Any) -> kopf.AiohttpSession:
        return kopf.AiohttpSession(server=server.url, aiohttp_session=open_session(server.credentials, response_class=GuardedResponse))

    @kopf.on.event(GROUP, "v1alpha1", "flowdeployments", registry=registry)
    async def on_event(event: Any, **_: Any) -> None:
        found = unpack(packed_of(event["object"]))
        if isinstance(found, Unreadable):
            reasons[found.document["metadata"]["name"]] = found.reason

    stop = threading.Event()
    running = asyncio.create_task(
        kopf.operator(registry=registry, settings=build_settings(), standalone=True, clusterwide=True, stop_flag=stop, identity="test")  # type: ignore[arg-type]
    )
    await eventually(set(POISONS), reasons.keys())  # type: ignore[arg-type]
    stop.set()
    await asyncio.wait_for(running, 30)
    assert reasons == {name: reason for name, (_, reason) in POISONS.items()}
