"""Ctrl-C and SIGTERM at any point of a flow: every run has an end, and nothing is left locked."""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
import threading
from time import monotonic, sleep
from typing import TYPE_CHECKING, Any, Self

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mintaka import ThreadPoolTaskRunner, flow, task
from mintaka.engine.stopping import STOP
from mintaka.exceptions import Terminated
from mintaka.testing import MemoryRecorder, recorded
from mintaka_core.states import COMPLETED, CRASHED, TERMINAL

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType


@task
def add(a: int, b: int = 1) -> int:
    return a + b


@task(retries=2, retry_delay_seconds=0.001)
def flaky(tries: list[int]) -> int:
    tries.append(1)
    if len(tries) < 3:
        raise ValueError("once more")
    return len(tries)


@task(timeout_seconds=5)
def timed(a: int) -> int:
    return add(a)


@task
def counts(n: int) -> Iterator[int]:
    yield from range(n)


@task
def nested(n: int) -> int:
    return sum(add.map(range(n)).result())


@flow
def inner(n: int) -> int:
    return add.submit(n).result()


def everything() -> int:
    futures = add.map(range(3))
    total = add(add(1), 2) + inner(2) + timed(1) + flaky([])
    total += sum(counts(2))
    for future in futures:
        total += future.result()
    return total + nested.submit(2).result() + add.submit(add.submit(1)).result()


@flow(task_runner=ThreadPoolTaskRunner(max_workers=2))
def lets_through() -> int:
    return everything()


@flow(task_runner=ThreadPoolTaskRunner(max_workers=2))
def goes_on() -> int:
    try:
        return everything()
    except (KeyboardInterrupt, Terminated):
        return -1


@flow(task_runner=ThreadPoolTaskRunner(max_workers=2))
async def waits() -> int:
    await asyncio.sleep(0)
    future = add.submit(1)
    return add(1) + await future + sum(await asyncio.gather(asyncio.sleep(0, 1), asyncio.sleep(0, 2)))


class Interrupted:
    """Sends this process `number` when the main thread is at its `point`-th line while a flow handles that signal."""

    def __init__(self, number: signal.Signals, point: int) -> None:
        self.number = number
        self.left = point
        self.sent = False
        self.unhandled = signal.getsignal(number)

    def __enter__(self) -> Self:
        sys.settrace(self.trace)
        return self

    def __exit__(self, *_: object) -> None:
        sys.settrace(None)

    def trace(self, frame: FrameType, event: str, _argument: Any) -> Callable[..., Any]:
        del frame
        if event == "line" and not self.sent and signal.getsignal(self.number) is not self.unhandled:
            self.left -= 1
            if self.left < 0:
                self.sent = True
                signal.raise_signal(self.number)
        return self.trace


def run(body: Any) -> BaseException | None:
    try:
        if body.is_async:
            asyncio.run(body())
        else:
            body()
    except BaseException as error:  # noqa: BLE001 - what the test is about
        return error
    return None


def workers() -> set[threading.Thread]:
    """The threads that run tasks."""
    return {thread for thread in threading.enumerate() if thread.name.removeprefix("mintaka-").isdigit()}


def check(history: MemoryRecorder, before: set[threading.Thread]) -> None:
    """Every run has an end, and only one, and the lock of logging is free."""
    for handler in logging.getLogger().handlers:
        assert handler.lock is None or _is_free(handler.lock)
    until = monotonic() + 10
    while workers() - before and monotonic() < until:
        sleep(0.001)
    for run in history.runs.values():
        assert [entry.type in TERMINAL for entry in run.history] == [False] * (len(run.history) - 1) + [True], run.history


def _is_free(lock: Any) -> bool:
    """True where another thread can take `lock`."""
    taken: list[bool] = []
    thread = threading.Thread(target=lambda: taken.append(lock.acquire(timeout=2) and not lock.release()))
    thread.start()
    thread.join()
    return taken[0]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # a signal may hit in a callback of the collector
@pytest.mark.parametrize("body", [lets_through, goes_on, waits], ids=["let through", "caught", "in an event loop"])
@settings(max_examples=60)
@given(point=st.integers(0, 4000), number=st.sampled_from([signal.SIGINT, signal.SIGTERM]))
def test_every_run_has_an_end_wherever_a_signal_hits(body: Any, *, point: int, number: signal.Signals) -> None:
    STOP.clear()
    if body.is_async and number == signal.SIGINT:
        point %= 1000  # asyncio's own handler: it cancels, too
    before = workers()
    with recorded() as history, Interrupted(number, point) as interrupted:
        error = run(body)
    check(history, before)
    if interrupted.sent and body is lets_through:
        assert isinstance(error, (KeyboardInterrupt, Terminated)) or error is None
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    STOP.clear()
    assert lets_through() == 25


def test_a_flow_in_a_script_that_gets_a_sigterm_crashes_terminated() -> None:
    called: list[str] = []

    @flow(on_crashed=[lambda _flow, _run, state: called.append(f"{state.type} {state.reason}")])
    def main() -> None:
        signal.raise_signal(signal.SIGTERM)
        sleep(10)

    with pytest.raises(Terminated):
        main()
    assert called == ["CRASHED Terminated"]


def test_an_async_flow_in_a_script_that_gets_a_sigterm_crashes_terminated() -> None:
    called: list[str] = []

    @flow(on_crashed=[lambda _flow, _run, state: called.append(f"{state.type} {state.reason}")])
    async def main() -> None:
        signal.raise_signal(signal.SIGTERM)
        await asyncio.sleep(10)

    with pytest.raises(Terminated):
        asyncio.run(main())
    assert called == ["CRASHED Terminated"]


def test_handlers_of_the_users_own_are_left_in_place() -> None:
    got: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, _: got.append(number))
    try:

        @flow
        def main() -> int:
            signal.raise_signal(signal.SIGTERM)
            return add(1)

        assert main() == 2
    finally:
        signal.signal(signal.SIGTERM, before)
    assert got == [signal.SIGTERM]


def test_a_flow_outside_of_the_main_thread_touches_no_handlers() -> None:
    seen: list[Any] = []

    @flow
    def main() -> None:
        seen.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=main)
    thread.start()
    thread.join(5)
    assert seen == [signal.SIG_DFL]


def test_a_ctrl_c_that_the_flow_catches_leaves_its_torn_tasks_an_end() -> None:
    @flow
    def main() -> int:
        try:
            task(lambda: signal.raise_signal(signal.SIGINT), name="hit")()
        except KeyboardInterrupt:
            return add(1)
        return 0

    with recorded() as history:
        assert main() == 2
    assert {run.history[-1].type for run in history.runs.values()} <= {CRASHED, COMPLETED}
