"""Three habits of the operator that the promises rest on (the simulation breaks without them), in the real operator."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from memory_controller import MemoryController
from mintaka_controller.applying import add_finalizer, write_run_status
from mintaka_controller.gathering import gather_run
from mintaka_controller.ports import Conflict
from mintaka_kubernetes.resources import FLOW_RUNS, PODS
from mintaka_operator.cluster import ApiError

if TYPE_CHECKING:
    from memory_cluster import MemoryCluster

RUN = ("sales", "nightly")
PATH = FLOW_RUNS.path(*RUN)
CREATED = "2026-03-04T05:00:00Z"


def flow_run(state: str, **spec: Any) -> dict[str, Any]:
    """A run in its first attempt; in the cluster, without a finalizer."""
    status = {"state": {"type": state, "name": state.capitalize(), "time": CREATED}, "sequence": 3, "attempt": 1, "podName": "nightly-1"}
    metadata = {"name": "nightly", "namespace": "sales", "uid": "9f1c"}
    return {"metadata": metadata, "spec": {"template": {"entrypoint": "a:b"}, **spec}, "status": status}


def pod(**status: Any) -> dict[str, Any]:
    """The pod of the first attempt."""
    owner = {"kind": "FlowRun", "name": "nightly", "uid": "9f1c"}
    labels = {"mintaka.dev/attempt": "1"}
    return {"metadata": {"uid": "p1", "creationTimestamp": CREATED, "labels": labels, "ownerReferences": [owner]}, "status": status}


@pytest.fixture
def world(cluster: MemoryCluster) -> MemoryController:
    """An operator's knowledge of an empty cluster."""
    return MemoryController(cluster)


def test_a_status_bears_the_version_it_was_decided_from(cluster: MemoryCluster, world: MemoryController) -> None:
    """Also when a newer one was heard of before it is written: what that says was not considered."""

    async def story() -> None:
        world.observe_run(dict(cluster.put(PATH, flow_run("RUNNING"))))
        seen = await gather_run(world.context, RUN)
        assert seen
        world.observe_run(dict(cluster.put(PATH, flow_run("RUNNING", cancel=True))))
        version = seen.run.metadata.resource_version
        changed = seen.run.status.model_copy(update={"problem": "decided from the past"})
        with pytest.raises(Conflict):
            await write_run_status(world.context, seen.run, version, changed)

    asyncio.run(story())
    assert "problem" not in cluster.objects[PATH]["status"]


def test_a_status_may_follow_the_finalizer(cluster: MemoryCluster, world: MemoryController) -> None:
    """Our own write in between is no news."""

    async def story() -> None:
        world.observe_run(dict(cluster.put(PATH, flow_run("RUNNING"))))
        seen = await gather_run(world.context, RUN)
        assert seen
        version = await add_finalizer(world.context, seen.run)
        changed = seen.run.status.model_copy(update={"problem": "new"})
        await write_run_status(world.context, seen.run, version, changed)

    asyncio.run(story())
    assert cluster.objects[PATH]["status"]["problem"] == "new"
    assert cluster.objects[PATH]["metadata"]["finalizers"] == ["mintaka.dev/mirror"]


@pytest.mark.parametrize("state", ["SCHEDULED", "PAUSED", "PENDING", "RUNNING", "CANCELLING"])
def test_a_pod_is_asked_for_in_every_state(cluster: MemoryCluster, world: MemoryController, state: str) -> None:
    """A pod no watch has told of may live: another attempt beside it would be two."""

    async def story() -> dict[int, Any]:
        world.observe_run(dict(cluster.put(PATH, flow_run(state))))
        cluster.put(PODS.path("sales", "nightly-1"), pod(phase="Running"))
        seen = await gather_run(world.context, RUN)
        assert seen
        return dict(seen.workloads)

    assert list(asyncio.run(story())) == [1]


ANSWERS = {
    "an answer that never came": ApiError(0, "Unreachable", "connection reset"),
    "a conflict as stale": ApiError(409, "Conflict", "has been modified"),
}


@pytest.mark.parametrize("answer", ANSWERS.values(), ids=list(ANSWERS))
def test_a_run_is_read_anew_after(cluster: MemoryCluster, world: MemoryController, answer: ApiError) -> None:
    """What happened to a write is unknown until the run is read; while it cannot be, nothing is decided."""
    ended = pod(
        phase="Succeeded",
        containerStatuses=[{"name": "flow", "state": {"terminated": {"exitCode": 0, "startedAt": CREATED, "finishedAt": CREATED}}}],
    )

    async def story() -> None:
        world.observe_run(dict(cluster.put(PATH, flow_run("RUNNING"))))
        cluster.put(PODS.path("sales", "nightly-1"), ended)
        cluster.fault = lambda method, _path: answer if method in {"PATCH", "PUT"} else None
        await world.reconcile(*RUN)
        cluster.fault = lambda _method, _path: ApiError(503, "ServiceUnavailable", "starting")
        cluster.requests.clear()
        await world.reconcile(*RUN)
        assert cluster.requests == [("GET", PATH)]
        cluster.fault = lambda _method, _path: None
        cluster.requests.clear()
        await world.reconcile(*RUN)
        assert cluster.requests[0] == ("GET", PATH)
        cluster.requests.clear()
        await world.reconcile(*RUN)
        assert ("GET", PATH) not in cluster.requests

    asyncio.run(story())
    assert cluster.objects[PATH]["status"]["state"]["type"] == "COMPLETED"
