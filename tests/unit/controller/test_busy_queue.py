"""While many keys wait, PENDING is not written alone; whatever happens then, it is written."""

from __future__ import annotations

import asyncio
import contextlib
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from memory_cluster import MemoryCluster
from memory_controller import MemoryController
from mintaka_controller.context import ControllerSettings
from mintaka_controller.reconciler import Key
from mintaka_core.names import MIRROR_FINALIZER
from mintaka_kubernetes.resources import FLOW_RUNS, PODS

if TYPE_CHECKING:
    from jumping import Clock

RUN = FLOW_RUNS.path("n", "a")
POD = PODS.path("n", "a-1")
CREATED = "2026-03-04T05:00:00Z"
BUSY = ControllerSettings(busy_queue=-1)


@pytest.fixture
def cluster() -> MemoryCluster:
    """With a run that no controller has seen yet."""
    cluster = MemoryCluster()
    metadata = {"uid": "u", "creationTimestamp": CREATED, "finalizers": [MIRROR_FINALIZER]}
    cluster.put(RUN, {"kind": "FlowRun", "metadata": metadata, "spec": {"template": {"entrypoint": "a:b"}}})
    return cluster


def names(cluster: MemoryCluster) -> list[str]:
    """The transitions in the resource."""
    return [transition["name"] for transition in cluster.objects[RUN].get("status", {}).get("transitions", [])]


def writes(cluster: MemoryCluster) -> list[tuple[str, str]]:
    """The requests that write."""
    return [request for request in cluster.requests if request[0] != "GET"]


def see(world: MemoryController, cluster: MemoryCluster, **status: Any) -> None:
    """Let the watches report both objects, the pod with this status."""
    cluster.put(POD, {**cluster.objects[POD], "status": status})
    world.observe_pod(cluster.objects[POD])
    world.observe_run(cluster.objects[RUN])


def test_a_quiet_controller_writes_it_at_once(cluster: MemoryCluster) -> None:
    world = MemoryController(cluster)
    world.observe_run(cluster.objects[RUN])
    asyncio.run(world.reconcile("n", "a"))
    assert names(cluster) == ["Scheduled", "Pending"]


def test_a_busy_one_writes_it_with_what_follows(cluster: MemoryCluster) -> None:
    """One write less; the history is the same."""
    world = MemoryController(cluster, settings=BUSY)
    world.observe_run(cluster.objects[RUN])
    asyncio.run(world.reconcile("n", "a"))
    assert POD in cluster.objects
    assert names(cluster) == []
    started = {"name": "flow", "state": {"running": {"startedAt": CREATED}}, "ready": True, "restartCount": 0, "image": "", "imageID": ""}
    see(world, cluster, phase="Running", containerStatuses=[started])
    asyncio.run(world.reconcile("n", "a"))
    assert names(cluster) == ["Scheduled", "Pending", "Running"]
    assert [method for method, _ in writes(cluster) if method != "POST"] == ["PUT"]


def test_its_time_is_that_of_the_creation_and_not_of_the_write(cluster: MemoryCluster) -> None:
    """A timeout is measured from it: a run whose start was missed must not get the seconds that PENDING waited."""
    world = MemoryController(cluster, settings=BUSY)
    world.observe_run(cluster.objects[RUN])
    before = datetime.now(UTC)
    asyncio.run(world.reconcile("n", "a"))
    created = datetime.now(UTC)
    time.sleep(0.05)
    started = {"name": "flow", "state": {"running": {"startedAt": CREATED}}, "ready": True, "restartCount": 0, "image": "", "imageID": ""}
    see(world, cluster, phase="Running", containerStatuses=[started])
    asyncio.run(world.reconcile("n", "a"))
    times = {record["name"]: datetime.fromisoformat(record["time"]) for record in cluster.objects[RUN]["status"]["transitions"]}
    assert before <= times["Scheduled"] <= times["Pending"] <= created


def test_another_controller_continues_from_the_pod(cluster: MemoryCluster) -> None:
    """The first one ended before it wrote: no second pod, the same history."""
    first = MemoryController(cluster, settings=BUSY)
    first.observe_run(cluster.objects[RUN])
    asyncio.run(first.reconcile("n", "a"))
    second = MemoryController(cluster)
    see(second, cluster, phase="Pending")
    asyncio.run(second.reconcile("n", "a"))
    assert names(cluster) == ["Scheduled", "Pending"]
    assert [path for method, path in writes(cluster) if method == "POST"] == [POD.rpartition("/")[0]]


def test_it_is_written_after_fifteen_seconds_if_nothing_follows(cluster: MemoryCluster, clock: Clock) -> None:
    world = MemoryController(cluster, settings=BUSY)
    world.observe_run(cluster.objects[RUN])

    async def story() -> None:
        controller = world.controller
        controller.queue.add(Key("run", "n", "a"))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(15.5):
                await controller.queue.run(1, world.reconciler.reconcile)

    clock.run(story())
    assert names(cluster) == ["Scheduled", "Pending"]


def test_it_waits_through_events_that_say_nothing_new(cluster: MemoryCluster) -> None:
    """The pod was bound to a node: still one write for all."""
    world = MemoryController(cluster, settings=BUSY)
    world.observe_run(cluster.objects[RUN])
    asyncio.run(world.reconcile("n", "a"))
    see(world, cluster, phase="Pending", conditions=[{"type": "PodScheduled", "status": "True", "lastTransitionTime": CREATED}])
    asyncio.run(world.reconcile("n", "a"))
    assert names(cluster) == []


def test_a_wish_to_cancel_does_not_wait(cluster: MemoryCluster) -> None:
    world = MemoryController(cluster, settings=BUSY)
    world.observe_run(cluster.objects[RUN])
    asyncio.run(world.reconcile("n", "a"))
    cluster.put(RUN, {**cluster.objects[RUN], "spec": {"template": {"entrypoint": "a:b"}, "cancel": True}})
    see(world, cluster, phase="Pending")
    asyncio.run(world.reconcile("n", "a"))
    assert names(cluster)[:2] == ["Scheduled", "Pending"]
    assert any(method == "DELETE" for method, _ in cluster.requests)


def test_a_run_that_says_why_it_waits_stops_saying_so_at_once(cluster: MemoryCluster) -> None:
    """Its pod exists, so its reason for waiting is out of date."""
    state = {"type": "SCHEDULED", "name": "Scheduled", "time": CREATED, "reason": "QuotaExceeded", "message": "no room"}
    cluster.put(RUN, {**cluster.objects[RUN], "status": {"state": state, "sequence": 1, "attempt": 0}})
    world = MemoryController(cluster, settings=BUSY)
    world.observe_run(cluster.objects[RUN])
    asyncio.run(world.reconcile("n", "a"))
    assert names(cluster) == ["Pending"]
