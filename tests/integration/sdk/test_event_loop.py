"""An async flow leaves its event loop to others while its history is written."""

from __future__ import annotations

import asyncio
import socket
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest

from mintaka import flow, pause_flow_run, suspend_flow_run, task
from mintaka.exceptions import FlowPauseTimeout, Suspension
from mintaka.waiting import mailboxes

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path


@task
async def add(n: int) -> int:
    return n + 1


@flow
async def ordinary() -> None:
    assert await asyncio.gather(*(add(n) for n in range(3))) == [1, 2, 3]


@flow
async def items() -> AsyncIterator[int]:
    for n in range(3):
        yield await add(n)


async def consumed() -> None:
    assert [item async for item in items()] == [1, 2, 3]


@flow
async def fails() -> None:
    await add(1)
    raise ValueError("no")


async def failing() -> None:
    with pytest.raises(ValueError, match="no"):
        await fails()


WAYS: dict[str, Callable[[], Awaitable[Any]]] = {"a coroutine": ordinary, "a generator": consumed, "one that fails": failing}


@flow
async def waits() -> None:
    await pause_flow_run(int, timeout=0.3, poll_interval=0.01)


@flow(persist_result=True)
async def suspends() -> None:
    await suspend_flow_run()


async def ticked(work: Awaitable[Any]) -> float:
    """The longest that an event loop did not go on while it did `work`, in seconds."""
    longest = 0.0

    async def ticks() -> None:
        nonlocal longest
        while True:
            before = time.monotonic()
            await asyncio.sleep(0.01)
            longest = max(longest, time.monotonic() - before)

    ticking = asyncio.create_task(ticks())
    with suppress(FlowPauseTimeout, Suspension):
        await work
    await asyncio.sleep(0.02)
    ticking.cancel()
    return longest


@pytest.mark.parametrize("way", [waits, suspends], ids=["a pause", "a suspension"])
def test_others_go_on_while_a_flow_that_waits_asks_an_api_that_hangs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: Callable[[], Awaitable[Any]]
) -> None:
    """It takes connections, and never says a word."""
    monkeypatch.setattr(mailboxes, "_TIMEOUT_SECONDS", 1.5)
    monkeypatch.setenv("MINTAKA_HISTORY_GRACE_SECONDS", "0.1")
    monkeypatch.setenv("MINTAKA_HISTORY", "on")
    monkeypatch.setenv("MINTAKA_HOME", str(tmp_path))
    with socket.create_server(("127.0.0.1", 0)) as hangs:
        monkeypatch.setenv("MINTAKA_API_URL", f"http://127.0.0.1:{hangs.getsockname()[1]}")
        began = time.monotonic()
        longest = asyncio.run(ticked(way()))
    assert time.monotonic() - began > 1.5
    assert longest < 1.2


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_others_go_on_while_the_api_takes_its_time(
    api: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: Callable[[], Awaitable[Any]]
) -> None:
    monkeypatch.setenv("MINTAKA_HISTORY", "on")
    monkeypatch.setenv("MINTAKA_HOME", str(tmp_path))
    monkeypatch.setenv("MINTAKA_API_URL", api.url)
    api.fault_forever = 0.5
    began = time.monotonic()
    longest = asyncio.run(ticked(way()))
    assert time.monotonic() - began > 0.5
    assert longest < 0.4
    assert api.final


def test_a_flow_that_is_cancelled_at_its_end_still_has_its_history(api: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MINTAKA_HISTORY", "on")
    monkeypatch.setenv("MINTAKA_HOME", str(tmp_path))
    monkeypatch.setenv("MINTAKA_API_URL", api.url)
    api.faults = [0.3]

    async def main() -> None:
        running = asyncio.ensure_future(ordinary())
        while not api.reports and not running.done():
            await asyncio.sleep(0.01)
            if not api.faults:  # the report is on its way
                running.cancel()
                break
        with pytest.raises(asyncio.CancelledError):
            await running

    asyncio.run(main())
    deadline = time.monotonic() + 10
    while not api.final and time.monotonic() < deadline:
        time.sleep(0.01)
    api.assert_complete(3)
