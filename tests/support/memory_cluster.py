"""An API server in memory, for what the operator asks of one."""

from __future__ import annotations

import asyncio
import copy
from typing import TYPE_CHECKING, Any

from mintaka_operator.cluster import JSON_PATCH, MERGE_PATCH, ApiError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

DELETED_TIME = "2026-03-04T06:00:00Z"


class MemoryCluster:
    """The part of an API server that the operator's modules use: objects by path, versions that grow, finalizers, faults on demand.

    `fault` is asked before each request, with method and path: it may return an exception to raise, or seconds to hang.
    """

    def __init__(self) -> None:
        self.objects: dict[str, dict[str, Any]] = {}
        self.texts: dict[str, bytes] = {}
        self.requests: list[tuple[str, str]] = []
        self.fault: Callable[[str, str], Exception | float | None] = lambda _method, _path: None
        self._version = 100

    def put(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """Store an object as another client would, under a new version."""
        self._version += 1
        namespace, name = path.split("/namespaces/")[1].split("/", maxsplit=1)[0], path.rsplit("/", 1)[1]
        metadata = {**body.get("metadata", {}), "namespace": namespace, "name": name, "resourceVersion": str(self._version)}
        self.objects[path] = {**body, "metadata": metadata}
        return copy.deepcopy(self.objects[path])

    async def _arrive(self, method: str, path: str) -> None:
        self.requests.append((method, path))
        fault = self.fault(method, path)
        if isinstance(fault, Exception):
            raise fault
        if fault is not None:
            await asyncio.sleep(fault)

    def _found(self, path: str) -> dict[str, Any]:
        if path not in self.objects:
            raise ApiError(404, "NotFound", f"{path} not found")
        return self.objects[path]

    async def request(self, method: str, path: str, *, body: Any = None, **_: Any) -> dict[str, Any]:
        """As the shared client has it."""
        match method:
            case "GET":
                return await self.get(path)
            case "POST":
                return await self.create(path, body)
        assert method == "PUT"
        return await self.replace(path, body)

    async def read(self, path: str, **_: Any) -> dict[str, Any]:
        """Read one object."""
        await self._arrive("GET", path)
        return copy.deepcopy(self._found(path))

    async def get(self, path: str) -> dict[str, Any]:
        """Read one object."""
        return await self.read(path)

    async def exists(self, path: str) -> None:
        """Whether there is one."""
        await self.read(path)

    async def read_end(self, path: str, limit: int, **_: str) -> tuple[bytes, bool]:
        """The end of a text."""
        await self._arrive("GET", path)
        if path not in self.texts:
            raise ApiError(404, "NotFound", f"{path} not found")
        return self.texts[path][-limit:], len(self.texts[path]) > limit

    async def create(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """Create one object."""
        await self._arrive("POST", path)
        path = f"{path}/{body['metadata']['name']}"
        if path in self.objects:
            raise ApiError(409, "AlreadyExists", f"{path} already exists")
        metadata = {"uid": f"uid-{self._version}", "creationTimestamp": "2026-03-04T05:00:00Z", **body["metadata"]}
        return self.put(path, {**body, "metadata": metadata})

    async def replace(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """Replace one object, or its status, of the version that the body names."""
        await self._arrive("PUT", path)
        if path.endswith("/status"):
            path = path.removesuffix("/status")
            found = self.objects.get(path, {})
            body = {**found, **body, "metadata": {**found.get("metadata", {}), **body["metadata"]}}
        if body["metadata"].get("resourceVersion") != self._found(path)["metadata"]["resourceVersion"]:
            raise ApiError(409, "Conflict", f"{path} has been modified")
        return self.put(path, body)

    async def patch(self, path: str, body: Any, content_type: str = MERGE_PATCH) -> dict[str, Any]:
        """Patch one object: JSON Patch with `test`, `add`, `replace` and `remove`, or a merge patch with the version it is for."""
        await self._arrive("PATCH", path)
        path = path.removesuffix("/status")
        found = self._found(path)
        if content_type == JSON_PATCH:
            return self._settle(path, _patched(found, body))
        if body["metadata"]["resourceVersion"] != found["metadata"]["resourceVersion"]:
            raise ApiError(409, "Conflict", f"{path} has been modified")
        return self._settle(path, _merged(found, body))

    def _settle(self, path: str, changed: dict[str, Any]) -> dict[str, Any]:
        """Store what was changed; a deleted object that nothing holds goes."""
        stored = self.put(path, changed)
        if stored["metadata"].get("deletionTimestamp") and not stored["metadata"].get("finalizers"):
            del self.objects[path]
        return stored

    async def delete(self, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        """Delete one object, or mark it while finalizers hold it."""
        await self._arrive("DELETE", path)
        found, wanted = self._found(path), (body or {}).get("preconditions") or {}
        for field in ("uid", "resourceVersion"):
            if field in wanted and found["metadata"].get(field) != wanted[field]:
                raise ApiError(409, "Conflict", f"{path}: the precondition on {field} failed")
        if not found["metadata"].get("finalizers"):
            del self.objects[path]
            return {"kind": "Status", "status": "Success"}
        deleted = {"deletionTimestamp": DELETED_TIME, "deletionGracePeriodSeconds": (body or {}).get("gracePeriodSeconds", 30)}
        return self.put(path, {**found, "metadata": {**found["metadata"], **deleted}})

    async def list(self, path: str, **_: Any) -> list[dict[str, Any]]:
        """All objects of a collection, of one namespace or of all."""
        await self._arrive("LIST", path)
        base, plural = path.rsplit("/", 1)
        scope = base if "/namespaces/" in base else f"{base}/namespaces/"
        return [copy.deepcopy(body) for key, body in self.objects.items() if key.startswith(scope) and key.split("/")[-2] == plural]

    async def may_list(self, _resource: Any, _namespace: str) -> bool:
        """There are no roles here."""
        return True

    async def list_pages(self, path: str, query: dict[str, str] | None = None, **_: Any) -> AsyncIterator[list[dict[str, Any]]]:
        """The same, as a single page, of the objects that a label selector of one term selects."""
        selector = (query or {}).get("labelSelector", "")
        yield [body for body in await self.list(path) if _selects(selector, body["metadata"].get("labels") or {})]


def _selects(selector: str, labels: dict[str, str]) -> bool:
    """Whether `key`, `!key` or `key=value` selects an object with these labels; "" selects all."""
    key, equals, value = selector.removeprefix("!").partition("=")
    found = labels.get(key) == value if equals else key in labels
    return not selector or found != selector.startswith("!")


def _patched(found: dict[str, Any], operations: list[dict[str, Any]]) -> dict[str, Any]:
    """RFC 6902, as far as it is used."""
    changed = copy.deepcopy(found)
    for operation in operations:
        *way, last = operation["path"].strip("/").split("/")
        place: Any = changed
        for step in way:
            place = place.setdefault(step, {}) if isinstance(place, dict) else place[int(step)]
        at: Any = int(last) if isinstance(place, list) else last
        present = at < len(place) if isinstance(place, list) else at in place
        if operation["op"] == "test" and not (present and place[at] == operation["value"]):
            raise ApiError(422, "Invalid", f"the test of {operation['path']} failed")
        if operation["op"] in {"add", "replace"}:
            place[at] = operation["value"]
        elif operation["op"] == "remove":
            del place[at]
    return changed


def _merged(found: Any, patch: Any) -> Any:
    """RFC 7396."""
    if not isinstance(patch, dict):
        return patch
    kept = found if isinstance(found, dict) else {}
    merged = {key: _merged(kept.get(key), value) for key, value in patch.items() if value is not None}
    return {**{key: value for key, value in kept.items() if key not in patch}, **merged}
