"""An API server in memory, for what the operator asks of one."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from mintaka_kubernetes import ApiError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from mintaka_core.errors import MintakaError


class MemoryCluster:
    """The part of an API server that the operator's modules use: objects by path, versions that grow, faults on demand.

    `fault` is asked before each request, with method and path: it may return an ApiError to raise, or seconds to hang.
    """

    def __init__(self) -> None:
        self.objects: dict[str, dict[str, Any]] = {}
        self.requests: list[tuple[str, str]] = []
        self.fault: Callable[[str, str], MintakaError | float | None] = lambda _method, _path: None
        self._version = 100

    def put(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """Store an object as somebody else would, under a new version."""
        self._version += 1
        namespace, name = path.split("/namespaces/")[1].split("/", maxsplit=1)[0], path.rsplit("/", 1)[1]
        metadata = {**body.get("metadata", {}), "namespace": namespace, "name": name, "resourceVersion": str(self._version)}
        self.objects[path] = {**body, "metadata": metadata}
        return self.objects[path]

    async def _arrive(self, method: str, path: str) -> None:
        self.requests.append((method, path))
        fault = self.fault(method, path)
        if isinstance(fault, Exception):
            raise fault
        if fault is not None:
            await asyncio.sleep(fault)

    async def request(self, method: str, path: str, *, body: Any = None, **_: Any) -> dict[str, Any]:
        """As the shared client has it."""
        match method:
            case "GET":
                return await self.get(path)
            case "POST":
                return await self.create(path, body)
        assert method == "PUT"
        return await self.replace(path, body)

    async def get(self, path: str, **_: str) -> dict[str, Any]:
        """Read one object."""
        await self._arrive("GET", path)
        if path not in self.objects:
            raise ApiError(404, "NotFound", f"{path} not found")
        return self.objects[path]

    async def create(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """Create one object."""
        await self._arrive("POST", path)
        path = f"{path}/{body['metadata']['name']}"
        if path in self.objects:
            raise ApiError(409, "AlreadyExists", f"{path} already exists")
        return self.put(path, body)

    async def replace(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """Replace one object, or its status, of the version that the body names."""
        await self._arrive("PUT", path)
        if path.endswith("/status"):
            path = path.removesuffix("/status")
            body = {
                **self.objects.get(path, {}),
                **body,
                "metadata": {**self.objects.get(path, {}).get("metadata", {}), **body["metadata"]},
            }
        if path not in self.objects:
            raise ApiError(404, "NotFound", f"{path} not found")
        if body["metadata"].get("resourceVersion") != self.objects[path]["metadata"]["resourceVersion"]:
            raise ApiError(409, "Conflict", f"{path} has been modified")
        return self.put(path, body)

    async def patch(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """Merge a patch into one object, or its status, of the version that the patch names."""
        await self._arrive("PATCH", path)
        path = path.removesuffix("/status")
        if path not in self.objects:
            raise ApiError(404, "NotFound", f"{path} not found")
        found = self.objects[path]
        if body["metadata"]["resourceVersion"] != found["metadata"]["resourceVersion"]:
            raise ApiError(409, "Conflict", f"{path} has been modified")
        return self.put(path, _merged(found, body))

    async def list(self, path: str, **_: Any) -> tuple[list[dict[str, Any]], str]:
        """All objects of a collection, of one namespace or of all."""
        await self._arrive("LIST", path)
        base, plural = path.rsplit("/", 1)
        scope = base if "/namespaces/" in base else f"{base}/namespaces/"
        found = [body for key, body in self.objects.items() if key.startswith(scope) and key.split("/")[-2] == plural]
        return found, str(self._version)

    async def pages(self, path: str, **_: Any) -> AsyncIterator[tuple[list[dict[str, Any]], str]]:
        """The same, as a single page."""
        yield await self.list(path)


def _merged(found: Any, patch: Any) -> Any:
    """RFC 7396."""
    if not isinstance(patch, dict):
        return patch
    kept = found if isinstance(found, dict) else {}
    merged = {key: _merged(kept.get(key), value) for key, value in patch.items() if value is not None}
    return {**{key: value for key, value in kept.items() if key not in patch}, **merged}
