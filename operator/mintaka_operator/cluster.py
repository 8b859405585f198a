"""The only access to the API server: the shared thin client, with requests counted for Prometheus."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

import aiohttp

from mintaka_kubernetes import JSON_PATCH, MERGE_PATCH, ApiError, Client, ClusterAway, Credentials, Unreadable, find_credentials
from mintaka_kubernetes.client import refusal_of
from mintaka_operator import metrics

if TYPE_CHECKING:
    from prometheus_client import Counter

    from mintaka_kubernetes.decoding import Decoded

__all__ = ["JSON_PATCH", "MERGE_PATCH", "ApiError", "Cluster", "Credentials", "Unreadable", "find_credentials"]


#: Objects stored from a page are scattered over the memory of the page: small pages leave less memory behind (ten thousand
#: live runs and their pods: 156 MiB with 500 per page, 122 with 100).
PAGE_SIZE = 100

_METADATA_OF_ONE = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1,application/json"
#: A log comes from a kubelet, through the API server: if nothing arrives for longer, its node does not answer.
_TEXT_TIMEOUT = aiohttp.ClientTimeout(total=60, sock_connect=5, sock_read=10)
_ERRORS_FROM = 400

type Items = list[dict[str, Any]]


class Cluster(Client):
    """The kube-apiserver as the operator uses it, by path. Every method raises ApiError."""

    def __init__(self, credentials: Credentials | None = None, *, user_agent: str = "mintaka-operator") -> None:
        super().__init__(credentials, user_agent=user_agent, count=_count)

    async def create(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """Create one object in the collection at `path`."""
        return await self.request("POST", path, body=body)

    async def patch(self, path: str, body: Any, content_type: str = MERGE_PATCH) -> dict[str, Any]:
        """Patch one object."""
        return await self.request("PATCH", path, body=body, content_type=content_type)

    async def replace(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """Replace one object, or its status, if it still has the resource version in `body`."""
        # We only send known fields, so the server need not search for unknown ones.
        return await self.request("PUT", path, body=body, query={"fieldValidation": "Ignore"})

    async def delete(self, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        """Delete one object; `body` is a DeleteOptions."""
        return await self.request("DELETE", path, body=body)

    async def get(self, path: str) -> dict[str, Any]:
        """Read one object of a kind whose fields the API server knows."""
        return document_of(await self.read(path, typed=True))

    async def list(self, path: str, **query: str) -> Items:
        """Read a collection at once; for small collections of kinds whose fields the API server knows."""
        found: Items = []
        async for page in self.list_pages(path, query, page_size=PAGE_SIZE, typed=True):
            found += map(document_of, page)
        return found

    async def exists(self, path: str) -> None:
        """Raise ApiError with code 404 if there is no such object; its content stays on the server."""
        await self._exchange("GET", path, None, None, {"Accept": _METADATA_OF_ONE})

    async def read_end(self, path: str, limit: int, **query: str) -> tuple[bytes, bool]:
        """The last `limit` bytes of a text, and whether there were more."""
        try:
            async with await self._send("GET", path, query, None, {"Accept": "*/*"}, _TEXT_TIMEOUT) as response:
                self._count("GET", path, response.status)
                if response.status >= _ERRORS_FROM:
                    raise refusal_of(response, await response.read())
                end = b""
                longer = False
                async for chunk in response.content.iter_any():
                    end += chunk
                    if len(end) > 2 * limit:
                        end, longer = end[-limit:], True
                return end[-limit:], longer or len(end) > limit
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            msg = f"the kube-apiserver did not answer GET {path}: {type(error).__name__}: {error}"
            raise ClusterAway(msg) from error


def document_of(decoded: Decoded) -> dict[str, Any]:
    """The readable part of an object."""
    return decoded.document if isinstance(decoded, Unreadable) else decoded


def _count(method: str, path: str, code: int) -> None:
    _counter(method, _resource(path), code).inc()


@cache  # as many entries as there are series
def _counter(method: str, resource: str, code: int) -> Counter:
    return metrics.API_REQUESTS.labels(method.lower(), resource, str(code))


def _resource(path: str) -> str:
    """The resource of a path, for metrics: `flowruns/status` for `/apis/…/namespaces/x/flowruns/y/status`."""
    parts = path.strip("/").split("/")
    parts = parts[2:] if parts[0] == "api" else parts[3:]
    if parts[:1] == ["namespaces"]:
        parts = parts[2:]
    return "/".join(parts[::2])
