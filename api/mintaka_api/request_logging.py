"""Middleware for each request: duration, metrics, a log line, and headers for browsers."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from mintaka_api.metrics import Metrics

logger = logging.getLogger("mintaka.api.requests")

_ERROR = 500
#: Clients may send any word as a method; each would be a label of its own.
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_HEADERS = ((b"x-content-type-options", b"nosniff"), (b"cache-control", b"no-store"))


class RequestLogging:
    """ASGI middleware that observes each request."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        """Wrap `app`."""
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on and record its result."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        status = _ERROR

        async def observed(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message.get("headers", ()), *_HEADERS]
            await send(message)

        try:
            await self._app(scope, receive, observed)
        finally:
            seconds = time.perf_counter() - started
            route = getattr(scope.get("route"), "path", "none")
            method = scope["method"] if scope["method"] in _METHODS else "other"
            self._metrics.requests.labels(method, route, status).inc()
            self._metrics.request_seconds.labels(route).observe(seconds)
            level = logging.WARNING if status >= _ERROR else logging.DEBUG if scope["method"] == "GET" else logging.INFO
            if logger.isEnabledFor(level):
                extra = {"method": scope["method"], "path": scope["path"], "status": status, "milliseconds": round(seconds * 1000, 2)}
                logger.log(level, "%s %s %d", scope["method"], scope["path"], status, extra=extra)
