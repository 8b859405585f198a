"""A workload may run as soon as it is created, as processes do: no later event reports that."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from memory_controller import MemoryController
from mintaka_controller.reconciler import Key
from mintaka_core.names import MIRROR_FINALIZER
from mintaka_kubernetes.resources import FLOW_RUNS

if TYPE_CHECKING:
    from memory_cluster import MemoryCluster

_STARTED = {"name": "flow", "ready": True, "state": {"running": {"startedAt": "2026-03-04T05:00:01Z"}}}


@pytest.mark.parametrize(
    ("status", "again"),
    [({}, False), ({"phase": "Running", "containerStatuses": [_STARTED]}, True)],
    ids=["it waits for its node", "it runs"],
)
def test_a_run_is_reconciled_again_if_its_workload_runs_already(cluster: MemoryCluster, status: dict[str, Any], again: bool) -> None:
    """PENDING is written first; then the run is queued again to become RUNNING."""
    create = cluster.create

    async def started(path: str, body: dict[str, Any]) -> dict[str, Any]:
        return await create(path, {**body, "status": status} if body.get("kind") == "Pod" else body)

    cluster.create = started  # type: ignore[method-assign]
    metadata = {"uid": "u", "creationTimestamp": "2026-03-04T05:00:00Z", "finalizers": [MIRROR_FINALIZER]}
    run = cluster.put(FLOW_RUNS.path("n", "a"), {"kind": "FlowRun", "metadata": metadata, "spec": {"template": {"entrypoint": "a:b"}}})
    world = MemoryController(cluster)

    async def story() -> list[str]:
        world.observe_run(run)
        await world.reconcile("n", "a")
        assert _states(cluster) == ["Scheduled", "Pending"]
        if len(world.controller.queue):
            await world.reconciler.reconcile(Key("run", "n", "a"))
        return _states(cluster)

    assert asyncio.run(story()) == ["Scheduled", "Pending", *(["Running"] if again else [])]


def _states(cluster: MemoryCluster) -> list[str]:
    return [transition["name"] for transition in cluster.objects[FLOW_RUNS.path("n", "a")]["status"]["transitions"]]
