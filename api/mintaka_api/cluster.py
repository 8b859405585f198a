"""The way to the kube-apiserver for the API: the few kinds of objects it reads and writes. Nothing else here speaks to Kubernetes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mintaka_core.names import GROUP, VERSION
from mintaka_kubernetes import JSON_PATCH, Client

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from mintaka_kubernetes import Credentials

_WATCH_SECONDS = 290

#: The type of the first event of each watch: the server has accepted it.
OPENED = "OPENED"


@dataclass(frozen=True, slots=True)
class Resource:
    """A kind of object by its REST path: `/apis/GROUP/VERSION` and the plural."""

    prefix: str
    plural: str

    def path(self, namespace: str | None, name: str | None = None) -> str:
        """The path of a collection (of all namespaces where None) or of one object."""
        scope = f"/namespaces/{namespace}" if namespace is not None else ""
        return f"{self.prefix}{scope}/{self.plural}" + (f"/{name}" if name is not None else "")


FLOW_RUNS = Resource(f"/apis/{GROUP}/{VERSION}", "flowruns")
FLOW_DEPLOYMENTS = Resource(f"/apis/{GROUP}/{VERSION}", "flowdeployments")
CONFIG_MAPS = Resource("/api/v1", "configmaps")


class Cluster:
    """The kube-apiserver as the API uses it. Every method raises ApiError, ClusterAway and NoCluster (mintaka_kubernetes)."""

    def __init__(self, kubeconfig: str | None = None, *, credentials: Credentials | None = None) -> None:
        """Credentials are looked for when the first request is made, and again for as long as there are none."""
        self._client = Client(credentials, kubeconfig=kubeconfig, user_agent="mintaka-api")

    async def close(self) -> None:
        """Close all connections."""
        await self._client.close()

    async def get(self, resource: Resource, namespace: str, name: str) -> dict[str, Any]:
        """One object."""
        return await self._client.request("GET", resource.path(namespace, name))

    async def list_page(self, resource: Resource, namespace: str | None, query: Mapping[str, str]) -> dict[str, Any]:
        """One page of a collection."""
        return await self._client.list_page(resource.path(namespace), query)

    async def create(self, resource: Resource, namespace: str, manifest: dict[str, Any]) -> dict[str, Any]:
        """Create an object."""
        return await self._client.request("POST", resource.path(namespace), body=manifest)

    async def patch(self, resource: Resource, namespace: str, name: str, operations: list[dict[str, Any]]) -> dict[str, Any]:
        """Patch an object by JSON Patch (RFC 6902), whose `test` operations make it conditional."""
        return await self._client.request("PATCH", resource.path(namespace, name), body=operations, content_type=JSON_PATCH)

    async def delete(self, resource: Resource, namespace: str, name: str, uid: str) -> dict[str, Any]:
        """Delete the object that has this `uid`."""
        options = {"apiVersion": "v1", "kind": "DeleteOptions", "preconditions": {"uid": uid}, "propagationPolicy": "Background"}
        return await self._client.request("DELETE", resource.path(namespace, name), body=options)

    def watch(self, resource: Resource, namespace: str | None, query: Mapping[str, str]) -> AsyncIterator[dict[str, Any]]:
        """The events of a watch until the server ends it; each but the first (`OPENED`) is `{"type": …, "object": …}`."""
        others = {name: value for name, value in query.items() if name != "resourceVersion"}
        return self._client.watch(resource.path(namespace), query.get("resourceVersion", "0"), seconds=_WATCH_SECONDS, query=others)
