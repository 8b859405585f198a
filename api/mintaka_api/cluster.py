"""The way to the kube-apiserver: a thin client over HTTP. Nothing else in the API speaks to Kubernetes.

Answers are plain JSON objects. A refusal is a `ClusterRefusal` with the server's own Status; not getting an answer is
`ClusterAway`.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import aiohttp
import orjson

from mintaka_api.credentials import find_credentials
from mintaka_core.errors import MintakaError
from mintaka_core.names import GROUP, VERSION

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from mintaka_api.credentials import Credentials

_TIMEOUT = aiohttp.ClientTimeout(total=30, connect=5)
#: A watch that stays silent for so long is dead: the server sends bookmarks about every minute.
_WATCH_SILENCE_SECONDS = 150
_WATCH_SECONDS = 290
_STATUS_TEXT_LIMIT = 2000

#: The type of the first event of each watch, made here: the server has accepted it.
OPENED = "OPENED"


class ClusterAway(MintakaError):
    """The kube-apiserver cannot be reached or did not answer in time."""


class ClusterRefusal(MintakaError):
    """The kube-apiserver answered with an error: its HTTP status, reason and message, and the causes in its Status."""

    def __init__(self, code: int, reason: str, message: str, causes: tuple[dict[str, Any], ...] = ()) -> None:
        """Keep the parts of the Status."""
        super().__init__(message)
        self.code = code
        self.reason = reason
        self.message = message
        self.causes = causes


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
    """A connection pool to one kube-apiserver."""

    def __init__(self, kubeconfig: str | None = None, *, credentials: Credentials | None = None) -> None:
        """Credentials are looked for when the first request is made, and again for as long as there are none."""
        self._kubeconfig = kubeconfig
        self._credentials = credentials
        self._session: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        """Close all connections."""
        if self._session is not None:
            await self._session.close()

    async def get(self, resource: Resource, namespace: str, name: str) -> dict[str, Any]:
        """One object."""
        return await self._request("GET", resource.path(namespace, name))

    async def list_page(self, resource: Resource, namespace: str | None, query: Mapping[str, str]) -> dict[str, Any]:
        """One page of a collection."""
        return await self._request("GET", resource.path(namespace), query=query)

    async def create(self, resource: Resource, namespace: str, manifest: dict[str, Any]) -> dict[str, Any]:
        """Create an object."""
        return await self._request("POST", resource.path(namespace), body=manifest)

    async def patch(self, resource: Resource, namespace: str, name: str, operations: list[dict[str, Any]]) -> dict[str, Any]:
        """Patch an object by JSON Patch (RFC 6902), whose `test` operations make it conditional."""
        return await self._request("PATCH", resource.path(namespace, name), body=operations, content_type="application/json-patch+json")

    async def delete(self, resource: Resource, namespace: str, name: str, uid: str) -> dict[str, Any]:
        """Delete the object that has this `uid`."""
        options = {"apiVersion": "v1", "kind": "DeleteOptions", "preconditions": {"uid": uid}, "propagationPolicy": "Background"}
        return await self._request("DELETE", resource.path(namespace, name), body=options)

    async def watch(self, resource: Resource, namespace: str | None, query: Mapping[str, str]) -> AsyncIterator[dict[str, Any]]:
        """The events of a watch until the server ends it; each but the first (`OPENED`) is `{"type": …, "object": …}`."""
        session, headers, options = await self._prepared()
        parameters = {"watch": "1", "allowWatchBookmarks": "true", "timeoutSeconds": str(_WATCH_SECONDS), **query}
        timeout = aiohttp.ClientTimeout(total=None, connect=5, sock_read=_WATCH_SILENCE_SECONDS)
        try:
            async with session.get(resource.path(namespace), params=parameters, headers=headers, timeout=timeout, **options) as response:
                await _raise_for_status(response)
                yield {"type": OPENED}
                rest = b""
                async for chunk in response.content.iter_any():
                    *lines, rest = (rest + chunk).split(b"\n")
                    for line in lines:
                        if line:
                            yield orjson.loads(line)
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            message = f"the watch of {resource.plural} broke off: {type(error).__name__}: {error}"
            raise ClusterAway(message) from error

    async def _request(
        self, method: str, path: str, *, query: Mapping[str, str] | None = None, body: Any = None, content_type: str = "application/json"
    ) -> dict[str, Any]:
        session, headers, options = await self._prepared()
        data = None if body is None else orjson.dumps(body)
        if data is not None:
            headers["Content-Type"] = content_type
        try:
            async with session.request(method, path, params=query, data=data, headers=headers, timeout=_TIMEOUT, **options) as response:
                await _raise_for_status(response)
                answer: dict[str, Any] = orjson.loads(await response.read())
                return answer
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            message = f"the kube-apiserver did not answer {method} {path}: {type(error).__name__}: {error}"
            raise ClusterAway(message) from error

    async def _prepared(self) -> tuple[aiohttp.ClientSession, dict[str, str], dict[str, Any]]:
        """The session, the headers and the TLS options of a request to be made now."""
        if self._credentials is None:
            self._credentials = find_credentials(self._kubeconfig)
        credentials = self._credentials
        if self._session is None:
            connector = aiohttp.TCPConnector(limit=64, ssl=credentials.tls or True, keepalive_timeout=60)
            self._session = aiohttp.ClientSession(
                credentials.server, connector=connector, headers={"Accept": "application/json", "User-Agent": "mintaka-api"}
            )
        token = credentials.token
        value = await asyncio.to_thread(token.current) if token.file or token.command else token.value
        headers = {"Authorization": f"Bearer {value}"} if value else {}
        return self._session, headers, {"server_hostname": credentials.server_name} if credentials.server_name else {}


async def _raise_for_status(response: aiohttp.ClientResponse) -> None:
    if response.ok:
        return
    text = await response.read()
    try:
        status = orjson.loads(text)
        causes = tuple((status.get("details") or {}).get("causes") or ())
        raise ClusterRefusal(response.status, status.get("reason") or "", status.get("message") or "", causes)
    except (ValueError, AttributeError):
        raise ClusterRefusal(response.status, response.reason or "", text[:_STATUS_TEXT_LIMIT].decode(errors="replace")) from None
