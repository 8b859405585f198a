"""Requests to one kube-apiserver over aiohttp and orjson; answers are plain JSON objects."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Self

import aiohttp
import orjson

from mintaka_core.errors import MintakaError
from mintaka_kubernetes.credentials import find_credentials

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping

    from mintaka_kubernetes.credentials import Credentials

MERGE_PATCH = "application/merge-patch+json"
JSON_PATCH = "application/json-patch+json"
_METADATA_ONLY = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json"

_TIMEOUT = aiohttp.ClientTimeout(total=30, sock_connect=5)
#: The server sends bookmarks about once a minute: a watch that is silent for longer is dead.
_WATCH_SILENCE_SECONDS = 90
_TEXT_LIMIT = 2000
_ERRORS_FROM = 400


class ApiError(MintakaError):
    """A request came to nothing: HTTP's `code`, Kubernetes' own `reason` and `message`, and the causes it names."""

    def __init__(
        self, code: int, reason: str, message: str, retry_after: float | None = None, causes: tuple[dict[str, Any], ...] = ()
    ) -> None:
        super().__init__(f"{code} {reason}: {message}")
        self.code = code
        self.reason = reason
        self.message = message
        self.retry_after = retry_after
        self.causes = causes

    @property
    def transient(self) -> bool:
        """True where the same request may go through later."""
        return self.code in {0, 408, 429} or self.code >= 500  # noqa: PLR2004 - HTTP


class ClusterAway(ApiError):
    """The kube-apiserver cannot be reached or did not answer in time; `code` is 0."""

    def __init__(self, message: str) -> None:
        super().__init__(0, "Unreachable", message)


class ClusterRefusal(ApiError):
    """The kube-apiserver answered with an error."""


class Client:
    """A pool of connections to one kube-apiserver.

    Credentials are looked for with the first request, and again for as long as there are none. `count` is told of each
    answer: method, path, HTTP status (0: none came).
    """

    def __init__(
        self,
        credentials: Credentials | None = None,
        *,
        kubeconfig: str | None = None,
        user_agent: str = "mintaka",
        count: Callable[[str, str, int], None] | None = None,
    ) -> None:
        self._credentials = credentials
        self._kubeconfig = kubeconfig
        self._user_agent = user_agent
        self._count = count or (lambda _method, _path, _code: None)
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self.close()

    @property
    def credentials(self) -> Credentials:
        """What it identifies with. Raises NoCluster."""
        if self._credentials is None:
            self._credentials = find_credentials(self._kubeconfig)
        return self._credentials

    async def close(self) -> None:
        """Close all connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def request(
        self,
        method: str,
        path: str,
        *,
        body: Any = None,
        content_type: str = "application/json",
        query: Mapping[str, str] | None = None,
        accept: str = "application/json",
    ) -> dict[str, Any]:
        """One request; the answer. Raises ApiError, ClusterAway, NoCluster."""
        data = None if body is None else orjson.dumps(body)
        try:
            async with await self._send(method, path, query, data, {"Content-Type": content_type, "Accept": accept}, _TIMEOUT) as response:
                payload = await response.read()
                self._count(method, path, response.status)
                if response.status >= _ERRORS_FROM:
                    raise _error(response, payload)
                answer: dict[str, Any] = orjson.loads(payload) if payload else {}
                return answer
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            raise self._away(method, path, error) from error

    async def list_page(self, path: str, query: Mapping[str, str], *, metadata_only: bool = False) -> dict[str, Any]:
        """One page of a collection, or of its objects' metadata."""
        return await self.request("GET", path, query=query, accept=_METADATA_ONLY if metadata_only else "application/json")

    async def watch(
        self, path: str, version: str, *, seconds: int, query: Mapping[str, str] | None = None
    ) -> AsyncIterator[dict[str, Any]]:
        """The events `{"type": …, "object": …}` after resource version `version`, bookmarks included, for at most `seconds`.

        Before the first comes `{"type": "OPENED"}`, made here: the server has accepted the watch. Raises as `request` does.
        """
        parameters = {
            "watch": "1",
            "resourceVersion": version,
            "allowWatchBookmarks": "true",
            "timeoutSeconds": str(seconds),
            **(query or {}),
        }
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=5, sock_read=_WATCH_SILENCE_SECONDS)
        try:
            async with await self._send("GET", path, parameters, None, {"Accept": "application/json"}, timeout) as response:
                self._count("WATCH", path, response.status)
                if response.status >= _ERRORS_FROM:
                    raise _error(response, await response.read())
                yield {"type": "OPENED"}
                async for line in _lines(response.content):
                    yield orjson.loads(line)
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            raise self._away("WATCH", path, error) from error  # noqa: EM101 - a method

    async def _send(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None,
        data: bytes | None,
        headers: dict[str, str],
        timeout: aiohttp.ClientTimeout,  # noqa: ASYNC109 - handed on to aiohttp, which cuts the request
    ) -> Any:
        credentials = self.credentials
        if self._session is None:
            self._session = open_session(credentials, user_agent=self._user_agent)
        token = credentials.token
        value = await asyncio.to_thread(token.current) if token.expired else token.value
        if value:
            headers["Authorization"] = f"Bearer {value}"
        options: dict[str, Any] = {"server_hostname": credentials.server_name} if credentials.server_name else {}
        return self._session.request(method, path, params=query, data=data, headers=headers, timeout=timeout, **options)

    def _away(self, method: str, path: str, error: Exception) -> ClusterAway:
        self._count(method, path, 0)
        return ClusterAway(f"the kube-apiserver did not answer {method} {path}: {type(error).__name__}: {error}")


def open_session(credentials: Credentials, **headers: str) -> aiohttp.ClientSession:
    """A session with the server's address and TLS, without a token; for whoever closes it."""
    connector = aiohttp.TCPConnector(limit=64, ssl=credentials.tls or True, keepalive_timeout=60)
    named = {name.replace("_", "-").title(): value for name, value in headers.items()}
    return aiohttp.ClientSession(credentials.server, connector=connector, headers=named, read_bufsize=2**20)


async def _lines(stream: aiohttp.StreamReader) -> AsyncIterator[bytes]:
    """Lines of any length; StreamReader's own readline gives up on long ones."""
    rest = b""
    async for chunk in stream.iter_any():
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            if line:
                yield line


def _error(response: aiohttp.ClientResponse, payload: bytes) -> ClusterRefusal:
    after = response.headers.get("Retry-After", "")
    retry_after = float(after) if after.isdigit() else None
    try:
        status = orjson.loads(payload)
        causes = tuple((status.get("details") or {}).get("causes") or ())
        return ClusterRefusal(response.status, status.get("reason") or "", status.get("message") or "", retry_after, causes)
    except (ValueError, AttributeError):
        return ClusterRefusal(response.status, response.reason or "", payload[:_TEXT_LIMIT].decode(errors="replace"), retry_after)
