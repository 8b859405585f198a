"""Requests to one kube-apiserver over aiohttp and orjson; responses are plain JSON objects, decoded one by one (`decoding`)."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Self

import aiohttp
import orjson

from mintaka_core.errors import MintakaError
from mintaka_kubernetes.credentials import find_credentials
from mintaka_kubernetes.decoding import Unreadable, decode, decode_event, decode_page

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping

    from mintaka_kubernetes.credentials import Credentials
    from mintaka_kubernetes.decoding import Decoded, Document, Page
    from mintaka_kubernetes.resources import Resource

MERGE_PATCH = "application/merge-patch+json"
JSON_PATCH = "application/json-patch+json"
_ACCESS_REVIEWS = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
_JSON = "application/json"
_METADATA = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1,application/json"
_METADATA_LIST = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json"

_TIMEOUT = aiohttp.ClientTimeout(total=30, sock_connect=5)
#: The server sends bookmarks about once a minute: a watch that is silent for longer is dead.
_WATCH_SILENCE_SECONDS = 90
#: How long a credential plugin or an identity provider may take.
_REFRESH_SECONDS = 60
#: The longest Retry-After that is honoured, from a server or a proxy: a longer wait would be an outage of ours.
LONGEST_RETRY_AFTER_SECONDS = 120.0
_TEXT_LIMIT = 2000
_ERRORS_FROM = 400
_UNAUTHORIZED = 401
#: A page that turns out larger is requested again with fewer objects: an object may have 1.5 MiB.
_PAGE_LIMIT_BYTES = 8 * 2**20
_SHRINKING = 8

#: The type of the first event of each watch.
OPENED = "OPENED"


class ApiError(MintakaError):
    """A request failed: HTTP's `code`, Kubernetes' own `reason` and `message`, and the causes it names.

    `retry_after` is the wait in seconds that the server requests, at most two minutes; None if it requests none.
    """

    def __init__(
        self, code: int, reason: str, message: str, retry_after: float | None = None, causes: tuple[dict[str, Any], ...] = ()
    ) -> None:
        super().__init__(f"{code} {reason}: {message}")
        self.code = code
        self.reason = reason
        self.message = message
        self.retry_after = None if retry_after is None else min(retry_after, LONGEST_RETRY_AFTER_SECONDS)
        self.causes = causes

    @property
    def transient(self) -> bool:
        """True if the same request may succeed later; also with other credentials (401), which are read again."""
        return self.code in {0, _UNAUTHORIZED, 408, 429} or self.code >= 500  # noqa: PLR2004 - HTTP


class ClusterAway(ApiError):
    """The kube-apiserver cannot be reached or did not answer in time; `code` is 0."""

    def __init__(self, message: str) -> None:
        super().__init__(0, "Unreachable", message)


class MalformedAnswer(ClusterAway):
    """The response of the kube-apiserver is not JSON, or not the expected JSON."""


class ClusterRefusal(ApiError):
    """The kube-apiserver answered with an error."""


class Client:
    """A pool of connections to one kube-apiserver.

    Credentials are looked up on the first request, and again on each request until some are found. If the server does not
    accept them (401), because the token was rotated, they are read again and the request is repeated once. `count` is
    called with each response: method, path, HTTP status (0: there was none).
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
        self._refreshing = asyncio.Lock()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self.close()

    @property
    def credentials(self) -> Credentials:
        """The credentials in use. Raises NoCluster."""
        if self._credentials is None:
            self._credentials = find_credentials(self._kubeconfig)
        return self._credentials

    async def close(self) -> None:
        """Close all connections."""
        if self._session is not None:
            await self._session.close()
            # Aborted connections close their sockets in the next turn of the loop, which may be the last one.
            await asyncio.sleep(0)
            self._session = None

    async def request(
        self,
        method: str,
        path: str,
        *,
        body: Any = None,
        content_type: str = _JSON,
        query: Mapping[str, str] | None = None,
        metadata_only: bool = False,
    ) -> Document:
        """Send one request; return the response, or just the object's metadata. For an `Unreadable` object, its `document`: for writes.

        Raises ApiError, ClusterAway, NoCluster.
        """
        headers = {"Content-Type": content_type, "Accept": _METADATA if metadata_only else _JSON}
        payload = await self._exchange(method, path, query, body, headers)
        if not payload:
            return {}
        answer = _object(path, payload)
        return answer.document if isinstance(answer, Unreadable) else answer

    async def read(self, path: str, *, typed: bool = False) -> Decoded:
        """Read one object; `Unreadable` if it cannot be processed as it is. Raises as `request` does."""
        payload = await self._exchange("GET", path, None, None, {"Accept": _JSON})
        return _object(path, payload or b"", typed=typed)

    async def may_list(self, resource: Resource, namespace: str) -> bool:
        """Whether the caller may list a resource in a namespace, which need not exist. Raises as `request` does.

        Every authenticated user may check this (system:basic-user); if the server does not answer, a list will show.
        """
        attributes = {"namespace": namespace, "group": resource.group, "resource": resource.plural, "verb": "list"}
        review = {"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview", "spec": {"resourceAttributes": attributes}}
        try:
            answer = await self.request("POST", _ACCESS_REVIEWS, body=review)
        except ClusterRefusal as refusal:
            if refusal.transient:
                raise
            return True
        return (answer.get("status") or {}).get("allowed") is not False

    async def list_pages(
        self, path: str, query: Mapping[str, str] | None = None, *, page_size: int, metadata_only: bool = False, typed: bool = False
    ) -> AsyncIterator[Page]:
        """Read a collection page by page, at most `page_size` objects each; fewer if they are large, so that a page takes little memory.

        `metadata_only` requests only the objects' metadata. Raises as `request` does.
        """
        headers = {"Accept": _METADATA_LIST if metadata_only else _JSON}
        parameters = {**(query or {})}
        size = page_size
        while True:
            parameters["limit"] = str(size)
            body = await self._exchange("GET", path, parameters, None, headers, limit=_PAGE_LIMIT_BYTES if size > 1 else None)
            if body is None:
                size = max(size // _SHRINKING, 1)
                continue
            try:
                page = decode_page(body, typed=typed or metadata_only)
            except ValueError as error:
                raise _malformed(path, error) from error
            del body
            yield page
            if not page.next_page:
                return
            parameters["continue"] = page.next_page
            size = min(size * 2, page_size)

    async def watch(
        self, path: str, version: str, *, seconds: int, query: Mapping[str, str] | None = None, typed: bool = False
    ) -> AsyncGenerator[dict[str, Any]]:
        """The events `{"type": …, "object": …}` after resource version `version`, including bookmarks, for at most `seconds`.

        An object is `Unreadable` if it cannot be processed as it is. The first event is always `{"type": "OPENED"}`,
        generated here: the server has accepted the watch. Raises as `request` does.
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
            async with await self._send("GET", path, parameters, None, {"Accept": _JSON}, timeout) as response:
                self._count("WATCH", path, response.status)
                if response.status >= _ERRORS_FROM:
                    raise refusal_of(response, await response.read())
                yield {"type": OPENED}
                async for line in _lines(response.content):
                    yield _event(path, line, typed=typed)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise self._away("WATCH", path, error) from error  # noqa: EM101 - a method

    async def _exchange(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None,
        body: Any,
        headers: dict[str, str],
        *,
        limit: int | None = None,
    ) -> bytes | None:
        """Send one request; return the response body, None if it has more than `limit` bytes."""
        data = None if body is None else _encoded(method, path, body)
        try:
            async with await self._send(method, path, query, data, headers, _TIMEOUT) as response:
                payload = await _read(response.content, limit)
                self._count(method, path, response.status)
                if response.status >= _ERRORS_FROM:
                    raise refusal_of(response, payload or b"")
                return payload
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise self._away(method, path, error) from error

    async def _send(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None,
        data: bytes | None,
        headers: dict[str, str],
        timeout: aiohttp.ClientTimeout,  # noqa: ASYNC109 - passed on to aiohttp, which cuts the request
    ) -> aiohttp.ClientResponse:
        """Send one request, and once more if it is answered 401 and there may be other credentials; the caller closes the response."""
        for last in (False, True):
            credentials = await self._current_credentials()
            used = credentials.headers
            if self._session is None:
                self._session = open_session(credentials, user_agent=self._user_agent)
            response = await self._session.request(method, path, params=query, data=data, headers=headers | used, timeout=timeout)
            if response.status != _UNAUTHORIZED:
                break
            if credentials.headers is used:  # else another request has read them again meanwhile
                credentials.reject()
            if last or not (credentials.stale or credentials.headers is not used):
                break
            self._count(method, path, response.status)
            response.release()
        return response

    async def _current_credentials(self) -> Credentials:
        """The current credentials; finding and refreshing them may take as long as running a program."""
        if self._credentials is not None and not self._credentials.stale:
            return self._credentials
        async with self._refreshing, asyncio.timeout(_REFRESH_SECONDS):
            credentials = self._credentials
            if credentials is None:
                credentials = self._credentials = await asyncio.to_thread(find_credentials, self._kubeconfig)
            if credentials.stale:
                await asyncio.to_thread(credentials.refresh)
        return credentials

    def _away(self, method: str, path: str, error: Exception) -> ClusterAway:
        self._count(method, path, 0)
        return ClusterAway(f"the kube-apiserver did not answer {method} {path}: {type(error).__name__}: {error}")


def open_session(
    credentials: Credentials, *, response_class: type[aiohttp.ClientResponse] = aiohttp.ClientResponse, **headers: str
) -> aiohttp.ClientSession:
    """A session with the server's address and TLS, without a token; the caller closes it."""
    connector = aiohttp.TCPConnector(limit=64, ssl=credentials.tls or True, keepalive_timeout=60)
    # Responses of more than 128 KiB would be compressed, which costs the API server more than it saves within a cluster.
    named = {"Accept-Encoding": "identity"}
    named |= {name.replace("_", "-").title(): value for name, value in headers.items()}
    return aiohttp.ClientSession(
        credentials.server, connector=connector, headers=named, proxy=credentials.proxy, read_bufsize=2**20, response_class=response_class
    )


def _object(path: str, payload: bytes, *, typed: bool = False) -> Decoded:
    try:
        return decode(payload, typed=typed)
    except ValueError as error:
        raise _malformed(path, error) from error


def _event(path: str, line: bytes, *, typed: bool) -> dict[str, Any]:
    try:
        return decode_event(line, typed=typed)
    except ValueError as error:
        raise _malformed(path, error) from error


def _malformed(path: str, error: ValueError) -> MalformedAnswer:
    return MalformedAnswer(f"the answer of the kube-apiserver to {path} cannot be decoded: {error}")


def _encoded(method: str, path: str, body: Any) -> bytes:
    try:
        return orjson.dumps(body)
    except TypeError as error:
        raise ClusterRefusal(400, "BadRequest", f"the body of {method} {path} is not JSON that Kubernetes stores: {error}") from error


async def _read(stream: aiohttp.StreamReader, limit: int | None) -> bytes | None:
    """The rest of the stream; None if that is more than `limit` bytes."""
    chunks = []
    size = 0
    async for chunk in stream.iter_any():
        chunks.append(chunk)
        size += len(chunk)
        if limit is not None and size > limit:
            return None
    return b"".join(chunks)


async def _lines(stream: aiohttp.StreamReader) -> AsyncIterator[bytes]:
    """Lines of any length; StreamReader's own readline fails on long ones."""
    pieces: list[bytes] = []
    async for chunk in stream.iter_any():
        first, *others = chunk.split(b"\n")
        pieces.append(first)
        for other in others:
            if line := b"".join(pieces):
                yield line
            pieces = [other]


def refusal_of(response: aiohttp.ClientResponse, payload: bytes) -> ClusterRefusal:
    """A response that is an error."""
    after = response.headers.get("Retry-After", "")
    retry_after = float(after) if after.isascii() and after.isdigit() else None  # isdigit alone accepts "²"
    try:
        status = orjson.loads(payload)
        causes = tuple((status.get("details") or {}).get("causes") or ())
        return ClusterRefusal(response.status, status.get("reason") or "", status.get("message") or "", retry_after, causes)
    except (ValueError, AttributeError):
        return ClusterRefusal(response.status, response.reason or "", payload[:_TEXT_LIMIT].decode(errors="replace"), retry_after)
