"""Flow runs and deployments as the controller's resources: preconditions, tombstones, what an unreadable one becomes."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any, cast

import pytest

from mintaka_controller.ports import Conflict, Exists, Missing, Rejected
from mintaka_core.names import MIRROR_FINALIZER
from mintaka_core.resources import FlowRun
from mintaka_kubernetes.resources import CONFIG_MAPS, FLOW_RUNS
from mintaka_operator.cluster import ApiError, Cluster, Unreadable
from mintaka_operator.kubernetes_resources import KubernetesResources, snapshot_of

if TYPE_CHECKING:
    from memory_cluster import MemoryCluster

KEY = ("sales", "nightly")
PATH = FLOW_RUNS.path(*KEY)


def flow_run(**metadata: Any) -> dict[str, Any]:
    """A run in the cluster."""
    return {
        "kind": "FlowRun",
        "metadata": {"name": "nightly", "namespace": "sales", "uid": "9f1c", **metadata},
        "spec": {"template": {"entrypoint": "a:b"}},
    }


def model_of(document: dict[str, Any]) -> FlowRun:
    """The same, read."""
    return FlowRun.model_validate(document)


@pytest.fixture
def resources(cluster: MemoryCluster) -> KubernetesResources:
    """The port over an API server in memory."""
    return KubernetesResources(cast("Cluster", cluster), "mintaka-system")


def test_a_status_is_written_only_over_the_version_it_was_decided_from(cluster: MemoryCluster, resources: KubernetesResources) -> None:
    """What came since was not considered."""
    seen = model_of(cluster.put(PATH, flow_run()))
    cluster.put(PATH, flow_run())
    with pytest.raises(Conflict):
        asyncio.run(resources.write_run_status(seen, seen.metadata.resource_version, seen.status))


def test_finalizers_are_written_only_over_the_version_they_were_decided_from(
    cluster: MemoryCluster, resources: KubernetesResources
) -> None:
    """The answer to a JSON Patch whose test fails is 422."""
    seen = model_of(cluster.put(PATH, flow_run()))
    cluster.put(PATH, flow_run())
    with pytest.raises(Conflict):
        asyncio.run(resources.write_finalizers(seen, seen.metadata.resource_version, (MIRROR_FINALIZER,)))


def test_a_run_without_finalizers_gets_its_first_one(cluster: MemoryCluster, resources: KubernetesResources) -> None:
    """There is no list yet that one could be appended to."""
    seen = model_of(cluster.put(PATH, flow_run()))
    written = asyncio.run(resources.write_finalizers(seen, seen.metadata.resource_version, (MIRROR_FINALIZER,)))
    assert written
    assert written.document["metadata"]["finalizers"] == [MIRROR_FINALIZER]


def test_a_deleted_run_that_loses_its_last_finalizer_is_gone(cluster: MemoryCluster, resources: KubernetesResources) -> None:
    """The answer still shows it; no event but its deletion follows."""
    held = flow_run(finalizers=[MIRROR_FINALIZER], deletionTimestamp="2026-03-04T06:00:00Z")
    seen = model_of(cluster.put(PATH, held))
    assert asyncio.run(resources.write_finalizers(seen, seen.metadata.resource_version, ())) is None
    assert PATH not in cluster.objects


def test_a_tombstone_lies_in_the_namespace_of_the_release(cluster: MemoryCluster, resources: KubernetesResources) -> None:
    """That of the run may be terminating, where nothing can be created; whose it is, its label says."""
    asyncio.run(resources.write_tombstone(KEY, "9f1c", flow_run()))
    (path,) = cluster.objects
    assert path == CONFIG_MAPS.path("mintaka-system", "mintaka-tombstone-9f1c")
    tombstone = cluster.objects[path]
    assert json.loads(tombstone["data"]["flowrun"])["metadata"]["uid"] == "9f1c"
    assert tombstone["metadata"]["labels"]["mintaka.dev/namespace"] == "sales"
    with pytest.raises(Exists):
        asyncio.run(resources.write_tombstone(KEY, "9f1c", flow_run()))


def test_a_tombstone_that_fits_into_no_config_map_is_rejected(resources: KubernetesResources, cluster: MemoryCluster) -> None:
    """Without asking: the run must not wait for it."""
    with pytest.raises(Rejected, match="bytes"):
        asyncio.run(resources.write_tombstone(KEY, "9f1c", {"text": "x" * 1_100_000}))
    assert cluster.requests == []


@pytest.mark.parametrize(
    ("code", "reason", "raised"),
    [
        (404, "NotFound", Missing),
        (409, "Conflict", Conflict),
        (409, "AlreadyExists", Exists),
        (403, "Forbidden", Rejected),
        (413, "TooLarge", Rejected),
    ],
)
def test_refusals_are_told_apart(
    cluster: MemoryCluster, resources: KubernetesResources, code: int, reason: str, raised: type[Exception]
) -> None:
    """By what the controller does about them."""
    cluster.fault = lambda _method, _path: ApiError(code, reason, "no")
    with pytest.raises(raised):
        asyncio.run(resources.delete_run(KEY, "9f1c", 7))


def test_an_unreadable_run_says_what_is_wrong_with_it() -> None:
    """The rest of it is there."""
    found = Unreadable({"metadata": {"name": "deep"}, "spec": {"deployment": "d"}}, "TooDeep", "flatten it")
    snapshot = snapshot_of(found)
    assert snapshot.problem
    assert (snapshot.problem.reason, snapshot.document["spec"]) == ("TooDeep", {"deployment": "d"})
