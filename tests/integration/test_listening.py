"""Both servers listen on both address families when their host is empty."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import httpx
import pytest

from mintaka_operator.probes import serve
from real_api import RealApi

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

HOSTS = ("127.0.0.1", "[::1]")


@pytest.fixture
def api(tmp_path: Path) -> Iterator[RealApi]:
    """The API as the chart starts it."""
    started = RealApi(f"sqlite:///{tmp_path / 'mintaka.db'}", MINTAKA_LISTEN_HOST="")
    started.start()
    yield started
    started.kill()


@pytest.mark.parametrize("host", HOSTS)
def test_the_api_answers_over(host: str, api: RealApi) -> None:
    """Its own probe, over IPv4 and over IPv6."""
    assert httpx.get(f"http://{host}:{api.port}/healthz").status_code == 200


@pytest.mark.anyio
async def test_the_operator_answers_over_both() -> None:
    """Probes and metrics."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    runner = await serve("", port, dict, dict, lambda: None)
    async with httpx.AsyncClient() as client:
        assert [(await client.get(f"http://{host}:{port}/healthz")).status_code for host in HOSTS] == [200, 200]
    await runner.cleanup()
