"""A finished run costs a controller that starts no request: it is reconciled once its time to live is over, or something about it changes."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from memory_cluster import MemoryCluster
from memory_controller import MemoryController
from mintaka_controller.ports import Snapshot
from mintaka_controller.reconciler import Key
from mintaka_kubernetes.resources import FLOW_RUNS, PODS

if TYPE_CHECKING:
    from collections.abc import Callable

NOW = datetime.now(UTC)


def finished(end_time: datetime = NOW, *, deployment: str = "", **metadata: Any) -> dict[str, Any]:
    """A run that ended then, whose content is not cached any more."""
    state = {"type": "COMPLETED", "name": "Completed", "time": NOW.isoformat()}
    spec: dict[str, Any] = {"deployment": deployment} if deployment else {"template": {"entrypoint": "a:b"}}
    status = {"state": state, "sequence": 4, "attempt": 1, "endTime": end_time.isoformat()}
    return {"kind": "FlowRun", "metadata": {"uid": "u", **metadata}, "spec": spec, "status": status}


def controller_with(run: dict[str, Any]) -> tuple[MemoryController, MemoryCluster]:
    """A controller that has listed everything, and the cluster."""
    cluster = MemoryCluster()
    world = MemoryController(cluster)
    metadata = {"namespace": "n", "name": "d", "uid": "d", "resourceVersion": "1"}
    world.context.deployments.put(
        Snapshot({"metadata": metadata, "spec": {"entrypoint": "a:b", "history": {"ttlSecondsAfterFinished": 3600}}})
    )
    cluster.put(FLOW_RUNS.path("n", "r"), run)
    world.observe_run(cluster.objects[FLOW_RUNS.path("n", "r")])
    for number in range(600):  # only the latest are cached with their content
        world.observe_run({**finished(), "metadata": {"namespace": "n", "name": f"other-{number}", "uid": "o", "resourceVersion": "9"}})
    cluster.requests.clear()
    return world, cluster


@pytest.mark.parametrize(("deployment", "hours"), [("", 7 * 24), ("d", 1)], ids=["of no deployment", "of a deployment with a time to live"])
def test_it_is_not_read_but_reconciled_when_its_time_is_over(deployment: str, hours: int) -> None:
    world, cluster = controller_with(finished(deployment=deployment))
    due = asyncio.run(world.reconciler._run(Key("run", "n", "r")))
    assert cluster.requests == []
    assert due == datetime.fromisoformat(NOW.isoformat()) + timedelta(hours=hours)


def has_a_pod(world: MemoryController, cluster: MemoryCluster) -> None:
    """Its pod was listed, too."""
    labels = {"mintaka.dev/flow-run": "r", "mintaka.dev/attempt": "1"}
    owner = {"apiVersion": "mintaka.dev/v1alpha1", "kind": "FlowRun", "name": "r", "uid": "u", "controller": True}
    metadata = {"uid": "p", "labels": labels, "ownerReferences": [owner], "creationTimestamp": "2026-03-04T05:00:00Z"}
    cluster.put(PODS.path("n", "r-1"), {"metadata": metadata, "spec": {"containers": [{"name": "flow"}]}, "status": {"phase": "Running"}})
    world.observe_pod(cluster.objects[PODS.path("n", "r-1")])


def is_unchanged(_world: MemoryController, _cluster: MemoryCluster) -> None:
    """Nothing else is there."""


@pytest.mark.parametrize(
    ("run", "prepare"),
    [
        (finished(NOW - timedelta(days=8)), is_unchanged),
        (finished(deletionTimestamp=NOW.isoformat(), finalizers=["mintaka.dev/mirror"]), is_unchanged),
        (finished() | {"spec": {"template": {"entrypoint": "a:b"}, "reruns": 1}}, is_unchanged),
        (finished(), has_a_pod),
    ],
    ids=["its time is over", "it was deleted", "it is to run again", "a pod of it is there"],
)
def test_one_that_needs_something_is_reconciled(run: dict[str, Any], prepare: Callable[[MemoryController, MemoryCluster], None]) -> None:
    world, cluster = controller_with(run)
    prepare(world, cluster)
    asyncio.run(world.reconcile("n", "r"))
    assert cluster.requests
