"""A proxy between the operator and the API server that swallows chosen watch events."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import aiohttp
import orjson
import yaml
from aiohttp import web

from mintaka_kubernetes import find_credentials
from mintaka_kubernetes.client import open_session
from operator_bench.operators import free_port
from operator_bench.subjects import pod_ended

if TYPE_CHECKING:
    from collections.abc import Callable

_NO_LIMIT = aiohttp.ClientTimeout(total=None)
_PASSED_ON = {"Content-Type", "Accept", "User-Agent"}


class LossyProxy:
    """Speaks plain HTTP on the loopback; use as an async context manager. `kubeconfig` is for the operator behind it."""

    def __init__(self) -> None:
        self._credentials = find_credentials(None)
        self._port = free_port()
        self._folder = tempfile.TemporaryDirectory(prefix="mintaka-bench-")
        self._loses: Callable[[dict[str, Any]], bool] = lambda _event: False
        self.lost = 0
        self.kubeconfig = str(Path(self._folder.name) / "kubeconfig")

    async def __aenter__(self) -> Self:
        self._write_kubeconfig()
        self._session = open_session(self._credentials, user_agent="mintaka-benchmark")
        app = web.Application(client_max_size=2**24)
        app.router.add_route("*", "/{path:.*}", self._pass_on)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self._port).start()
        return self

    def _write_kubeconfig(self) -> None:
        address = f"http://127.0.0.1:{self._port}"
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "bench",
            "clusters": [{"name": "bench", "cluster": {"server": address}}],
            "users": [{"name": "bench", "user": {}}],
            "contexts": [{"name": "bench", "context": {"cluster": "bench", "user": "bench"}}],
        }
        Path(self.kubeconfig).write_text(yaml.safe_dump(config), encoding="utf-8")

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()
        await self._session.close()
        self._folder.cleanup()

    def lose_runs(self, names: set[str]) -> None:
        """Swallow every event of these flow runs until they have a status."""
        self._lose(lambda event: event["object"]["kind"] == "FlowRun" and _name(event) in names and not event["object"].get("status"))

    def lose_ends(self, names: set[str]) -> None:
        """Swallow the end of these runs' pods."""
        self._lose(lambda event: event["object"]["kind"] == "Pod" and _owner(event) in names and pod_ended(event["object"]))

    def lose_deletions(self, names: set[str]) -> None:
        """Swallow the deletion of these runs' pods."""
        self._lose(
            lambda event: (
                event["object"]["kind"] == "Pod"
                and _owner(event) in names
                and (event["type"] == "DELETED" or "deletionTimestamp" in event["object"]["metadata"])
            )
        )

    def _lose(self, loses: Callable[[dict[str, Any]], bool]) -> None:
        self.lost = 0
        self._loses = loses

    async def _pass_on(self, request: web.Request) -> web.StreamResponse:
        headers = {name: value for name, value in request.headers.items() if name in _PASSED_ON}
        headers |= self._credentials.headers
        async with self._session.request(
            request.method, request.raw_path, data=await request.read(), headers=headers, timeout=_NO_LIMIT
        ) as answer:
            if request.query.get("watch") not in {"1", "true"} or answer.status != 200:
                body = await answer.read()
                return web.Response(body=body, status=answer.status, headers={"Content-Type": answer.headers.get("Content-Type", "")})
            response = web.StreamResponse(headers={"Content-Type": "application/json"})
            await response.prepare(request)
            rest = b""
            async for chunk in answer.content.iter_any():
                *lines, rest = (rest + chunk).split(b"\n")
                for line in lines:
                    if line and self._loses(orjson.loads(line)):
                        self.lost += 1
                    elif line:
                        await response.write(line + b"\n")
            return response


def _name(event: dict[str, Any]) -> str:
    return str(event["object"]["metadata"].get("name", ""))


def _owner(event: dict[str, Any]) -> str:
    owners = event["object"]["metadata"].get("ownerReferences") or [{}]
    return str(owners[0].get("name", ""))
