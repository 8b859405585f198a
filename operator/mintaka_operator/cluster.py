"""The only way to the API server: a thin client over aiohttp and orjson.

Typed clients cost four to ten times the CPU per request (measured); what the operator needs is a dozen requests on plain
JSON. Credentials come from the pod's service account, or from the kubeconfig through the official client, which knows
its plugins.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import aiohttp
import orjson

from mintaka_core.errors import MintakaError
from mintaka_operator import metrics

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

_SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
_SERVICE_HOST = "https://kubernetes.default.svc"
#: Bound tokens are rotated at 80 % of an hour; reading the file is cheap.
_TOKEN_SECONDS = 60.0

MERGE_PATCH = "application/merge-patch+json"
JSON_PATCH = "application/json-patch+json"
METADATA_ONLY = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json"


class ApiError(MintakaError):
    """The API server refused a request: `code` is HTTP's (0: it could not be reached), `reason` Kubernetes' own word."""

    def __init__(self, code: int, reason: str, message: str, retry_after: float | None = None) -> None:
        super().__init__(f"{code} {reason}: {message}")
        self.code = code
        self.reason = reason
        self.message = message
        self.retry_after = retry_after

    @property
    def transient(self) -> bool:
        """True where the same request may go through later."""
        return self.code in {0, 408, 429} or self.code >= 500  # noqa: PLR2004 - HTTP


@dataclass(slots=True)
class Credentials:
    """Where the API server is and how to show who we are."""

    server: str
    ca_file: str | None = None
    insecure: bool = False
    cert_file: str | None = None
    key_file: str | None = None
    token: str = ""
    token_file: Path | None = None
    token_time: float = 0.0

    def tls(self) -> ssl.SSLContext | bool:
        """What a connection is secured with."""
        if not self.server.startswith("https"):
            return True
        context = ssl.create_default_context(cafile=self.ca_file)
        if self.insecure:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        if self.cert_file:
            context.load_cert_chain(self.cert_file, self.key_file)
        return context

    def authorization(self) -> dict[str, str]:
        """The header of the next request; a token file is read again once a minute."""
        if self.token_file is not None and time.monotonic() - self.token_time > _TOKEN_SECONDS:
            self.token = self.token_file.read_text(encoding="utf-8").strip()
            self.token_time = time.monotonic()
        return {"Authorization": f"Bearer {self.token}"} if self.token else {}


def find_credentials() -> Credentials:
    """The pod's service account where there is one, else the kubeconfig's current context."""
    if (_SERVICE_ACCOUNT / "token").exists():
        ca, token = str(_SERVICE_ACCOUNT / "ca.crt"), _SERVICE_ACCOUNT / "token"
        return Credentials(_SERVICE_HOST, ca, token_file=token, token_time=-_TOKEN_SECONDS * 2)
    return _from_kubeconfig()


def _from_kubeconfig() -> Credentials:
    # Imported here: it costs a second of start-up that a pod never needs.
    from kubernetes import client, config  # noqa: PLC0415

    configuration = client.Configuration()
    config.load_kube_config(client_configuration=configuration)  # type: ignore[no-untyped-call]
    # The key's name differs between releases of the client: "authorization", then "BearerToken".
    bearer = next(iter(configuration.api_key.values()), "")
    return Credentials(
        configuration.host.rstrip("/"),
        configuration.ssl_ca_cert,
        insecure=not configuration.verify_ssl,
        cert_file=configuration.cert_file,
        key_file=configuration.key_file,
        token=bearer.removeprefix("Bearer ").strip(),
    )


class Cluster:
    """Requests to one API server; use as an async context manager."""

    def __init__(self, credentials: Credentials, *, user_agent: str = "mintaka-operator") -> None:
        self.credentials = credentials
        self._user_agent = user_agent
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        connector = aiohttp.TCPConnector(limit=64, ssl=self.credentials.tls(), keepalive_timeout=60)
        self._session = aiohttp.ClientSession(
            connector=connector,
            timeout=aiohttp.ClientTimeout(total=30, sock_connect=5),
            headers={"User-Agent": self._user_agent},
            read_bufsize=2**20,
        )
        return self

    async def __aexit__(self, *exception: object) -> None:
        if self._session:
            await self._session.close()

    async def request(
        self,
        method: str,
        path: str,
        *,
        body: Any = None,
        content_type: str = "application/json",
        query: dict[str, str] | None = None,
        accept: str = "application/json",
    ) -> dict[str, Any]:
        """One request; the answer as a dict. Raises ApiError."""
        verb = "apply" if content_type == JSON_PATCH else method.lower()
        try:
            async with self._send(
                method, path, query, None if body is None else orjson.dumps(body), {"Content-Type": content_type, "Accept": accept}
            ) as response:
                payload = await response.read()
                metrics.API_REQUESTS.labels(verb, _resource(path), str(response.status)).inc()
                if response.status >= 400:  # noqa: PLR2004 - HTTP
                    raise _error(response.status, payload, response.headers.get("Retry-After"))
                return dict(orjson.loads(payload)) if payload else {}
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            metrics.API_REQUESTS.labels(verb, _resource(path), "0").inc()
            raise ApiError(0, "Unreachable", f"{method} {path}: {error or type(error).__name__}") from error

    def _send(
        self,
        method: str,
        path: str,
        query: dict[str, str] | None,
        data: bytes | None,
        headers: dict[str, str],
        timeout: aiohttp.ClientTimeout | None = None,
    ) -> Any:
        if self._session is None:
            message = "the cluster is used outside of its context"
            raise RuntimeError(message)
        extra: dict[str, Any] = {} if timeout is None else {"timeout": timeout}
        return self._session.request(
            method,
            self.credentials.server + path,
            params=query,
            data=data,
            headers={**headers, **self.credentials.authorization()},
            **extra,
        )

    async def get(self, path: str, **query: str) -> dict[str, Any]:
        """Read one object."""
        return await self.request("GET", path, query=query)

    async def create(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """Create one object in the collection at `path`."""
        return await self.request("POST", path, body=body)

    async def patch(self, path: str, body: Any, content_type: str = MERGE_PATCH) -> dict[str, Any]:
        """Change one object."""
        return await self.request("PATCH", path, body=body, content_type=content_type)

    async def delete(self, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        """Delete one object; `body` is a DeleteOptions."""
        return await self.request("DELETE", path, body=body)

    async def list(self, path: str, *, metadata_only: bool = False, **query: str) -> tuple[list[dict[str, Any]], str]:
        """Every object of a collection (or just its metadata), page by page, and the resource version the list is of."""
        accept = METADATA_ONLY if metadata_only else "application/json"
        items: list[dict[str, Any]] = []
        query = {"limit": "500", **query}
        while True:
            page = await self.request("GET", path, query=query, accept=accept)
            items += page.get("items") or []
            metadata = page.get("metadata") or {}
            if not metadata.get("continue"):
                return items, metadata.get("resourceVersion", "")
            query["continue"] = metadata["continue"]

    async def watch(self, path: str, version: str, *, seconds: int, **query: str) -> AsyncIterator[dict[str, Any]]:
        """Events from resource version `version` on, bookmarks included, for at most `seconds`. Raises ApiError."""
        query |= {"watch": "1", "resourceVersion": version, "allowWatchBookmarks": "true", "timeoutSeconds": str(seconds)}
        # Bookmarks come about once a minute: a stream silent for longer is dead.
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=5, sock_read=90)
        try:
            async with self._send("GET", path, query, None, {"Accept": "application/json"}, timeout) as response:
                metrics.API_REQUESTS.labels("watch", _resource(path), str(response.status)).inc()
                if response.status >= 400:  # noqa: PLR2004 - HTTP
                    raise _error(response.status, await response.read(), response.headers.get("Retry-After"))
                async for line in _lines(response.content):
                    yield orjson.loads(line)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise ApiError(0, "Unreachable", f"watch {path}: {error or type(error).__name__}") from error


async def _lines(stream: aiohttp.StreamReader) -> AsyncIterator[bytes]:
    """Lines of any length; StreamReader's own readline gives up on long ones."""
    rest = b""
    async for chunk in stream.iter_any():
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            if line:
                yield line


def _error(code: int, payload: bytes, retry_after: str | None) -> ApiError:
    status: dict[str, Any] = {}
    with contextlib.suppress(orjson.JSONDecodeError):
        status = orjson.loads(payload)
    after = float(retry_after) if retry_after and retry_after.isdigit() else None
    return ApiError(code, status.get("reason") or "", status.get("message") or payload.decode(errors="replace")[:500], after)


def _resource(path: str) -> str:
    """The resource a path is of, for metrics: `flowruns/status` of `/apis/…/namespaces/x/flowruns/y/status`."""
    parts = path.strip("/").split("/")
    parts = parts[2:] if parts[0] == "api" else parts[3:]
    if parts[:1] == ["namespaces"]:
        parts = parts[2:]
    return "/".join(parts[::2])


async def sleep_after(error: ApiError, attempt: int) -> None:
    """Wait before trying again after `error`: what the server asks for, or exponentially up to 10 s."""
    await asyncio.sleep(error.retry_after or min(0.2 * 2**attempt, 10.0))
