"""The kube-apiserver as the API uses it: the shared client, by resource."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mintaka_kubernetes import JSON_PATCH, Client

if TYPE_CHECKING:
    from mintaka_kubernetes import Credentials, Decoded, Document, Resource


class Cluster(Client):
    """Objects by resource, namespace and name. Every method raises ApiError, ClusterAway and NoCluster (mintaka_kubernetes)."""

    def __init__(self, kubeconfig: str | None = None, *, credentials: Credentials | None = None) -> None:
        """Credentials are looked up on the first request, and again on each request until some are found."""
        super().__init__(credentials, kubeconfig=kubeconfig, user_agent="mintaka-api")

    async def get(self, resource: Resource, namespace: str, name: str) -> Decoded:
        """Read one object."""
        return await self.read(resource.path(namespace, name), typed=resource.typed)

    async def create(self, resource: Resource, namespace: str, manifest: Document) -> Document:
        """Create an object."""
        return await self.request("POST", resource.path(namespace), body=manifest)

    async def patch(self, resource: Resource, namespace: str, name: str, operations: list[dict[str, Any]]) -> Document:
        """Patch an object with a JSON Patch (RFC 6902), whose `test` operations make it conditional; return the new metadata."""
        path = resource.path(namespace, name)
        return await self.request("PATCH", path, body=operations, content_type=JSON_PATCH, metadata_only=True)

    async def delete(self, resource: Resource, namespace: str, name: str, uid: str) -> Document:
        """Delete the object if it still has this `uid`."""
        options = {"apiVersion": "v1", "kind": "DeleteOptions", "preconditions": {"uid": uid}, "propagationPolicy": "Background"}
        return await self.request("DELETE", resource.path(namespace, name), body=options)
