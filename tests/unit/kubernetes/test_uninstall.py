"""What an uninstallation takes finalizers off: objects by their finalizers, whatever other tools did to their labels."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, cast

from mintaka_core.names import MIRROR_FINALIZER, POD_FINALIZER
from mintaka_kubernetes.resources import FLOW_RUNS, PODS
from mintaka_kubernetes.uninstall import Release, Summary, uninstall

if TYPE_CHECKING:
    from memory_cluster import MemoryCluster
    from mintaka_kubernetes.client import Client

FOREIGN = "example.com/billing"


class AdministratorsClient:
    """An administrator's client over an API server in memory: without Deployments."""

    def __init__(self, cluster: MemoryCluster) -> None:
        self._cluster = cluster
        self.list_pages = cluster.list_pages

    async def request(self, method: str, path: str, *, body: Any = None, content_type: str = "", **_: Any) -> dict[str, Any]:
        if method == "GET":
            return {"items": await self._cluster.list(path)}
        assert method == "PATCH"
        return await self._cluster.patch(path, body, content_type)


def put(cluster: MemoryCluster, name: str, *finalizers: str, labels: dict[str, str] | None = None, path: str = "", **metadata: Any) -> None:
    """A pod, or the object at `path`, with those finalizers."""
    found = {"uid": name, "finalizers": [*finalizers], "labels": labels, **metadata}
    cluster.put(path or PODS.path("a", name), {"metadata": found})


def uninstalled(cluster: MemoryCluster) -> Summary:
    """What is reported after an uninstallation."""
    client = cast("Client", AdministratorsClient(cluster))
    return asyncio.run(uninstall(client, Release("home", "mintaka", ("a",)), 30, lambda _line: None))


def finalizers(cluster: MemoryCluster, name: str) -> list[str]:
    """The finalizers of a pod."""
    return cast("list[str]", cluster.objects[PODS.path("a", name)]["metadata"]["finalizers"])


def test_a_pod_loses_its_finalizer_whatever_its_labels_are(cluster: MemoryCluster) -> None:
    """Argo CD, Kyverno and people write labels; a namespace with such a pod must not stay in Terminating."""
    put(cluster, "relabelled", POD_FINALIZER, labels={"app.kubernetes.io/managed-by": "argocd"})
    put(cluster, "bare", FOREIGN, POD_FINALIZER)
    put(cluster, "labelled", POD_FINALIZER, labels={"mintaka.dev/flow-run": "r"})
    put(cluster, "foreign", FOREIGN, labels={"app.kubernetes.io/managed-by": "mintaka"})
    put(cluster, "r", MIRROR_FINALIZER, path=FLOW_RUNS.path("a", "r"))
    summary = uninstalled(cluster)
    assert summary.released_pods == {"relabelled", "bare", "labelled"}
    assert summary.released_runs == {"r"}
    assert finalizers(cluster, "relabelled") == finalizers(cluster, "labelled") == []
    assert finalizers(cluster, "bare") == finalizers(cluster, "foreign") == [FOREIGN]
    assert summary.held_again == 0


def test_pods_of_flows_that_run_are_counted_by_any_sign(cluster: MemoryCluster) -> None:
    """Their label, their owner, or the finalizer that was just taken off."""
    put(cluster, "labelled", labels={"mintaka.dev/flow-run": "r"})
    put(cluster, "owned", ownerReferences=[{"kind": "FlowRun", "name": "r", "uid": "u"}])
    put(cluster, "held", POD_FINALIZER)
    put(cluster, "other", labels={"app.kubernetes.io/managed-by": "mintaka"}, ownerReferences=[{"kind": "Job", "name": "j", "uid": "v"}])
    assert uninstalled(cluster).live_pods == 3
