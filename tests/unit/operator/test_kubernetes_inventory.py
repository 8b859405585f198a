"""What exists in the cluster, namespace by namespace."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import pytest

from mintaka_kubernetes.client import ClusterRefusal
from mintaka_operator.kubernetes_inventory import KubernetesInventory

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from mintaka_operator.cluster import Cluster


class Namespaced:
    """A cluster with rights in some namespaces, and one run in each."""

    def __init__(self, *allowed: str) -> None:
        self.allowed = allowed

    async def may_list(self, _resource: Any, namespace: str) -> bool:
        return namespace in self.allowed

    async def list_pages(self, path: str, *_: Any, **__: Any) -> AsyncIterator[list[dict[str, Any]]]:
        namespace = path.split("/namespaces/")[1].split("/", maxsplit=1)[0] if "/namespaces/" in path else "everywhere"
        if namespace not in self.allowed:
            raise ClusterRefusal(403, "Forbidden", f"flowruns is forbidden in {namespace}")
        yield [{"metadata": {"namespace": namespace, "name": "run", "resourceVersion": "7"}}]


async def _listed(cluster: Namespaced, *served: str | None) -> list[tuple[str, str]]:
    inventory = KubernetesInventory(cast("Cluster", cluster), lambda: served)
    return [listed.key async for page in inventory.list_versions("run") for listed in page]


@pytest.mark.anyio
async def test_a_namespace_that_has_just_gone_does_not_hide_the_others() -> None:
    """Its Role went with it; nothing is asked in it, so nothing is refused."""
    assert await _listed(Namespaced("a", "b"), "a", "gone", "b") == [("a", "run"), ("b", "run")]


@pytest.mark.anyio
async def test_the_whole_cluster_is_listed_without_asking() -> None:
    """A ClusterRole does not depend on a namespace."""
    assert await _listed(Namespaced("everywhere"), None) == [("everywhere", "run")]
