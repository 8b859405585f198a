"""An API server on loopback that serves bytes as a test wrote them: collections page by page, watches line by line."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from aiohttp import web

from mintaka_core.names import GROUP, VERSION
from mintaka_kubernetes import Credentials
from poison import page

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable


def _resources(group_version: str, **kinds: str) -> dict[str, object]:
    """The discovery document of some kinds by their plural."""
    verbs = ["list", "watch", "patch", "get", "create"]
    resources = [
        {"name": plural, "singularName": kind.lower(), "namespaced": plural not in _OF_THE_CLUSTER, "kind": kind, "verbs": verbs}
        for plural, kind in kinds.items()
    ]
    return {"kind": "APIResourceList", "groupVersion": group_version, "resources": resources}


def _group(name: str, version: str) -> dict[str, object]:
    group_version = {"groupVersion": f"{name}/{version}", "version": version}
    return {"name": name, "versions": [group_version], "preferredVersion": group_version}


_OF_THE_CLUSTER = frozenset({"namespaces", "customresourcedefinitions"})
#: What kopf asks for before it watches anything.
_DISCOVERY = {
    "/api": {"kind": "APIVersions", "versions": ["v1"]},
    "/api/v1": _resources("v1", namespaces="Namespace", events="Event"),
    "/apis": {"kind": "APIGroupList", "groups": [_group(GROUP, VERSION), _group("apiextensions.k8s.io", "v1")]},
    "/apis/apiextensions.k8s.io/v1": _resources("apiextensions.k8s.io/v1", customresourcedefinitions="CustomResourceDefinition"),
    f"/apis/{GROUP}/{VERSION}": _resources(f"{GROUP}/{VERSION}", flowdeployments="FlowDeployment"),
}


class LoopbackApiServer:
    """Serves `items` by collection path in pages of at most `limit`, and `lines` to each watch of it, which then stays open.

    `answer` may answer a request before that: it returns a response, or None.
    """

    def __init__(self) -> None:
        self.items: dict[str, list[bytes]] = {}
        self.lines: dict[str, list[bytes]] = {}
        self.answer: Callable[[web.Request], web.StreamResponse | None] = lambda _request: None
        self.requests: list[str] = []
        self.url = ""
        self._over = asyncio.Event()

    @property
    def credentials(self) -> Credentials:
        """The way to it."""
        return Credentials(self.url)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[LoopbackApiServer]:
        """Serve until the end of the block."""
        app = web.Application(client_max_size=16 * 2**20)
        app.router.add_route("*", "/{path:.*}", self._serve)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        try:
            yield self
        finally:
            self._over.set()
            await runner.cleanup()

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        watch = "watch" in request.query
        self.requests.append(f"{'WATCH' if watch else request.method} {request.path_qs}")
        if (answer := self.answer(request)) is not None:
            return answer
        if watch:
            return await self._watch(request)
        if request.path in _DISCOVERY:
            return web.json_response(_DISCOVERY[request.path])
        if request.path in self.items:
            return self._page(request)
        return web.json_response({"kind": "Status", "code": 404, "reason": "NotFound", "message": f"no {request.path}"}, status=404)

    def _page(self, request: web.Request) -> web.Response:
        items = self.items[request.path]
        start, limit = int(request.query.get("continue", "0")), int(request.query.get("limit", "500"))
        last = start + limit >= len(items)
        body = page(*items[start : start + limit], next_page="" if last else str(start + limit))
        return web.Response(body=body, content_type="application/json")

    async def _watch(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(request)
        for line in self.lines.get(request.path, []):
            await response.write(line)
        await self._over.wait()
        return response


def status(code: int, **headers: str) -> web.Response:
    """A refusal."""
    body = json.dumps({"kind": "Status", "code": code, "reason": "Reason", "message": "said the server"})
    return web.Response(status=code, body=body, content_type="application/json", headers=headers)
