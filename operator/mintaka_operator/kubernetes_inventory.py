"""What exists in a Kubernetes cluster, metadata only: the controller's port `Inventory`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mintaka_controller.ports import Listed
from mintaka_controller.run_cache import name_of, version_of
from mintaka_core.names import LABEL_FLOW_RUN, POD_FINALIZER
from mintaka_kubernetes.resources import FLOW_DEPLOYMENTS, FLOW_RUNS, PODS
from mintaka_operator.cluster import document_of
from mintaka_operator.kubernetes_workloads import belongs_to_run
from mintaka_operator.port_errors import port_errors

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from mintaka_controller.ports import Document
    from mintaka_kubernetes.resources import Resource
    from mintaka_operator.cluster import Cluster

#: The metadata of one object takes less than 1 KiB.
METADATA_PAGE_SIZE = 500
#: The label selector of the pods of flow runs: a label of our own domain, which earlier releases wrote too. Argo CD, Kyverno and others
#: overwrite common labels such as app.kubernetes.io/managed-by.
OUR_PODS = LABEL_FLOW_RUN
_OTHER_PODS = f"!{LABEL_FLOW_RUN}"

_COLLECTIONS: dict[str, tuple[Resource, dict[str, str]]] = {
    "run": (FLOW_RUNS, {}),
    "deployment": (FLOW_DEPLOYMENTS, {}),
    "workload": (PODS, {"labelSelector": OUR_PODS}),
}


class KubernetesInventory:
    """Lists the served namespaces: `served` returns them, (None,) for the whole cluster."""

    def __init__(self, cluster: Cluster, served: Callable[[], tuple[str | None, ...]]) -> None:
        self._cluster = cluster
        self._served = served

    async def list_versions(self, kind: str) -> AsyncIterator[list[Listed]]:
        """Every object of a kind with its version, page by page."""
        resource, query = _COLLECTIONS[kind]
        async for page in self._pages(resource, query):
            yield [_listed(item) for item in page if resource is not PODS or belongs_to_run(item["metadata"])]

    async def list_strays(self) -> AsyncIterator[list[Listed]]:
        """Pods that our finalizer holds although they do not have our label; it takes listing all other pods."""
        async for page in self._pages(PODS, {"labelSelector": _OTHER_PODS}):
            yield [_listed(item) for item in page if POD_FINALIZER in (item["metadata"].get("finalizers") or ())]

    async def _pages(self, resource: Resource, query: dict[str, str]) -> AsyncIterator[list[Document]]:
        for namespace in self._served():
            with port_errors():
                # A namespace that was just deleted has no Role any more, and must not prevent the others from being compared.
                if namespace is not None and not await self._cluster.may_list(resource, namespace):
                    continue
                async for page in self._cluster.list_pages(
                    resource.path(namespace), query, page_size=METADATA_PAGE_SIZE, metadata_only=True
                ):
                    # The API server stores no object without a name, but a page may have what cannot be decoded.
                    yield [item for item in map(document_of, page) if (item.get("metadata") or {}).get("name")]


def _listed(item: Document) -> Listed:
    return Listed(name_of(item), version_of(item))
