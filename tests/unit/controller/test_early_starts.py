"""A workload may run, or be held back by a gate, as soon as it is created: no later event reports that."""

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
    ("status", "template", "again"),
    [
        ({}, {}, []),
        ({"phase": "Running", "containerStatuses": [_STARTED]}, {}, ["Running "]),
        ({}, {"podTemplate": {"spec": {"schedulingGates": [{"name": "example.com/queue"}]}}}, ["Pending SchedulingGated"]),
    ],
    ids=["it waits for its node", "it runs", "it is held by a scheduling gate"],
)
def test_a_run_is_reconciled_again_if_its_workload_shows_more_than_pending(
    cluster: MemoryCluster, status: dict[str, Any], template: dict[str, Any], again: list[str]
) -> None:
    """PENDING is written first; then the run is queued again to become RUNNING, or to report what it waits for."""
    create = cluster.create

    async def started(path: str, body: dict[str, Any]) -> dict[str, Any]:
        return await create(path, {**body, "status": status} if body.get("kind") == "Pod" else body)

    cluster.create = started  # type: ignore[method-assign]
    metadata = {"uid": "u", "creationTimestamp": "2026-03-04T05:00:00Z", "finalizers": [MIRROR_FINALIZER]}
    run = cluster.put(
        FLOW_RUNS.path("n", "a"), {"kind": "FlowRun", "metadata": metadata, "spec": {"template": {"entrypoint": "a:b", **template}}}
    )
    world = MemoryController(cluster)

    async def story() -> list[str]:
        world.observe_run(run)
        await world.reconcile("n", "a")
        assert _states(cluster) == ["Scheduled ", "Pending "]
        if len(world.controller.queue):
            await world.reconciler.reconcile(Key("run", "n", "a"))
        return _states(cluster)

    assert asyncio.run(story()) == ["Scheduled ", "Pending ", *again]


def _states(cluster: MemoryCluster) -> list[str]:
    return [
        f"{transition['name']} {transition.get('reason', '')}"
        for transition in cluster.objects[FLOW_RUNS.path("n", "a")]["status"]["transitions"]
    ]
