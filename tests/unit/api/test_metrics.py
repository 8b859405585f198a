"""Metrics with labels from a bounded set, whatever clients send."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from mintaka_api.metrics import Metrics
from mintaka_api.request_logging import RequestLogging

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

pytestmark = pytest.mark.anyio


async def not_found(_scope: Scope, _receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 404, "headers": []})
    await send({"type": "http.response.body", "body": b""})


async def test_made_up_methods_and_paths_share_their_labels() -> None:
    """A thousand of them are one series."""
    metrics = Metrics()
    observer = RequestLogging(not_found, metrics)

    async def ignore(_message: Any) -> None:
        pass

    for n in range(1000):
        await observer({"type": "http", "method": f"M{n}", "path": f"/{n}", "headers": []}, ignore, ignore)  # type: ignore[arg-type]
    await observer({"type": "http", "method": "GET", "path": "/x", "headers": []}, ignore, ignore)  # type: ignore[arg-type]
    assert metrics.registry.get_sample_value("mintaka_api_requests_total", {"method": "other", "route": "none", "status": "404"}) == 1000
    assert metrics.registry.get_sample_value("mintaka_api_requests_total", {"method": "GET", "route": "none", "status": "404"}) == 1
    assert len([line for line in metrics.exposition().splitlines() if line.startswith(b"mintaka_api_requests_total")]) == 2
