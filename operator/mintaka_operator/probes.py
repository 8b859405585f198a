"""The operator's HTTP endpoints: liveness, readiness, metrics."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

if TYPE_CHECKING:
    from collections.abc import Callable

#: Parts by name; "" means healthy, anything else says what is wrong.
type Health = "Callable[[], dict[str, str]]"


async def serve(host: str, port: int, health: Health, ready: Health, collect: Callable[[], None]) -> web.AppRunner:
    """Serve /healthz, /readyz and /metrics until the returned runner is cleaned up.

    `host` empty: every IPv4 and IPv6 address, a socket for each family. "::" would be IPv6 only, and "0.0.0.0" IPv4 only.
    """

    async def answer(parts: dict[str, str]) -> web.Response:
        ill = {part: complaint for part, complaint in parts.items() if complaint}
        return web.json_response({"status": "ill" if ill else "ok", "parts": parts}, status=503 if ill else 200)

    async def healthz(_: web.Request) -> web.Response:
        return await answer(health())

    async def readyz(_: web.Request) -> web.Response:
        return await answer(ready())

    async def metrics(_: web.Request) -> web.Response:
        collect()
        return web.Response(body=generate_latest(), headers={"Content-Type": CONTENT_TYPE_LATEST})

    app = web.Application()
    app.add_routes([web.get("/healthz", healthz), web.get("/readyz", readyz), web.get("/metrics", metrics)])
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, host, port).start()
    return runner
