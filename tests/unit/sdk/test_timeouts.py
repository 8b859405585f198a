"""Bodies that run too long."""

# ruff: noqa: ASYNC251 - async code that blocks is what this is about

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import Future
from contextlib import suppress
from time import monotonic, sleep, time
from typing import TYPE_CHECKING, Any

import pytest

from mintaka import flow, task
from mintaka.exceptions import TimedOut
from mintaka.testing import recorded
from mintaka_core.states import CANCELLED, FAILED

if TYPE_CHECKING:
    from collections.abc import Callable

    from mintaka import State


@task(timeout_seconds=0.05)
def sleeps() -> None:
    sleep(5)


@task(timeout_seconds=0.05)
def spins() -> None:
    while True:
        pass


@task(timeout_seconds=0.05)
async def sleeps_async() -> None:
    await asyncio.sleep(5)


@task(timeout_seconds=5)
def quick() -> int:
    return 1


@pytest.mark.parametrize("late", [sleeps, spins], ids=["a blocking call", "a loop"])
def test_a_call_in_the_main_thread_is_interrupted(late: Any) -> None:
    began = monotonic()
    state = late(return_state=True)
    assert (state.type, state.name, state.reason) == (FAILED, "TimedOut", "TimedOut")
    assert monotonic() - began < 2
    with pytest.raises(TimedOut, match=r"timeout_seconds=0\.05"):
        state.result()


def test_a_submitted_task_is_timed_out_when_its_time_is_over_not_when_its_call_comes_back() -> None:
    @flow
    def main() -> Any:
        began = monotonic()
        states = [sleeps.submit(return_state=True), spins.submit(return_state=True), sleeps_async.submit(return_state=True)]
        return [state.name for state in states], monotonic() - began

    names, seconds = main()
    assert names == ["TimedOut"] * 3
    assert seconds < 3


def test_an_async_task_is_cancelled() -> None:
    @flow
    async def main() -> Any:
        return (await sleeps_async(return_state=True)).name

    assert asyncio.run(main()) == "TimedOut"


def test_what_is_done_in_time_is_not_disturbed() -> None:
    @flow
    def main() -> Any:
        return quick() + quick.submit().result()

    assert main() == 2


def fails_late() -> None:
    raise TimeoutError("socket")


async def fails_late_async() -> None:
    await asyncio.wait_for(asyncio.sleep(1), 0.001)


def waits_for_others() -> None:
    Future[int]().result(timeout=0.001)


def times_out_below() -> None:
    task(busy, timeout_seconds=0.01)()


def busy() -> None:
    while True:
        pass


OWN: dict[str, tuple[Callable[[], Any], str, str]] = {
    "raised by the code": (fails_late, "TimeoutError", "socket"),
    "of asyncio": (fails_late_async, "TimeoutError", ""),
    "of a future": (waits_for_others, "TimeoutError", ""),
    "of a task inside": (times_out_below, "TimedOut", "it ran longer than timeout_seconds=0.01"),
}


@pytest.mark.parametrize("decorate", [task, flow])
@pytest.mark.parametrize("kind", OWN)
def test_a_timeout_of_the_users_own_is_timed_out_too_and_says_which_one_it_was(kind: str, decorate: Any) -> None:
    """As in Prefect; it is tried again like any other failure."""
    fn, reason, message = OWN[kind]
    given = decorate(fn, timeout_seconds=5, retries=1)(return_state=True)
    state = asyncio.run(given) if fn is fails_late_async else given
    assert (state.type, state.name, state.reason, state.message) == (FAILED, "TimedOut", reason, message)


def test_each_try_has_its_own_time() -> None:
    tries: list[int] = []

    @task(timeout_seconds=0.05, retries=2)
    def late() -> int:
        tries.append(1)
        if len(tries) < 3:
            sleep(5)
        return len(tries)

    assert late() == 3


def test_a_flow_that_times_out_ends_what_runs_inside() -> None:
    @task
    def slow() -> None:
        sleep(5)

    @flow(timeout_seconds=0.1)
    def main() -> None:
        slow.submit()
        try:
            slow()
        except Exception:  # noqa: BLE001 - must not swallow the deadline
            sleep(5)

    began = monotonic()
    with recorded() as history:
        state = main(return_state=True)
    assert (state.name, monotonic() - began < 3) == ("TimedOut", True)
    assert {run.history[-1].type for run in history.runs.values()} == {CANCELLED}


def test_the_inner_of_two_timeouts_leaves_the_outer_one_armed() -> None:
    @flow(timeout_seconds=0.3)
    def main() -> str:
        name = sleeps(return_state=True).name
        assert name == "TimedOut"
        sleep(5)
        return name

    began = monotonic()
    assert main(return_state=True).name == "TimedOut"
    assert monotonic() - began < 3


def test_an_earlier_outer_timeout_is_not_taken_for_the_inner_one() -> None:
    inner_names: list[str] = []

    @flow(timeout_seconds=0.1)
    def main() -> None:
        inner_names.append(sleeps.with_options(timeout_seconds=3)(return_state=True).name)

    assert main(return_state=True).name == "TimedOut"
    assert inner_names == []


def test_an_async_flow_times_out() -> None:
    @flow(timeout_seconds=0.05)
    async def main() -> None:
        await asyncio.sleep(5)

    assert asyncio.run(main(return_state=True)).name == "TimedOut"


def test_a_flow_in_a_thread_times_out() -> None:
    @flow(timeout_seconds=0.05)
    def main() -> None:
        sleep(5)

    names: list[str] = []
    thread = threading.Thread(target=lambda: names.append(main(return_state=True).name))
    thread.start()
    thread.join(5)
    assert names == ["TimedOut"]


@task(timeout_seconds=0.1)
async def blocks() -> int:
    sleep(0.4)
    return 1


@task(timeout_seconds=0.1)
async def blocks_and_raises() -> int:
    sleep(0.4)
    raise ValueError("late")


@task(timeout_seconds=0.1)
async def blocks_further_down() -> int:
    async def inner() -> int:
        sleep(0.4)
        return 1

    return await inner()


@task(timeout_seconds=0.1)
async def swallows() -> int:
    with suppress(asyncio.CancelledError):
        await asyncio.sleep(5)
    await asyncio.sleep(0.3)
    return 1


@task(timeout_seconds=0.1)
async def computes() -> int:
    until = monotonic() + 0.4
    while monotonic() < until:
        pass
    return 1


@task(timeout_seconds=0.1)
def blocks_in_a_thread() -> int:
    sleep(0.4)
    return 1


@task(timeout_seconds=0.1)
def swallows_in_the_main_thread() -> int:
    try:
        sleep(5)
    except BaseException:  # noqa: BLE001 - the worst that code can do
        sleep(0.3)
    return 1


@task(timeout_seconds=0.1)
def retries_in_the_main_thread() -> int:
    try:
        sleep(5)
    except BaseException as error:
        sleep(0.3)
        raise ValueError("instead") from error
    return 1


async def called(late: Any) -> State[Any]:
    return await late(return_state=True)


async def submitted(late: Any) -> State[Any]:
    return late.submit(return_state=True)


async def called_sync(late: Any) -> State[Any]:
    return late(return_state=True)


IGNORED = {
    "an async task that blocks": (blocks, called, "sleep(0.4)"),
    "one that blocks and raises": (blocks_and_raises, called, "sleep(0.4)"),
    "one that blocks further down": (blocks_further_down, called, "sleep(0.4)"),
    "one that swallows its cancellation": (swallows, called, "await asyncio.sleep(0.3)"),
    "one that computes": (computes, called, ""),
    "a submitted one that blocks": (blocks, submitted, "sleep(0.4)"),
    "a submitted one that swallows its cancellation": (swallows, submitted, "await asyncio.sleep(0.3)"),
    "a task in a thread": (blocks_in_a_thread, submitted, "sleep(0.4)"),
    "a task in the main thread that swallows its interruption": (swallows_in_the_main_thread, called_sync, "sleep(0.3)"),
    "one that raises something else instead": (retries_in_the_main_thread, called_sync, "sleep(0.3)"),
}


@pytest.mark.parametrize("in_loop", [True, False], ids=["in an async flow", "in a sync flow"])
@pytest.mark.parametrize(("late", "how", "line"), IGNORED.values(), ids=IGNORED)
def test_a_deadline_that_code_ignored_is_timed_out_and_logged_with_its_line_at_the_deadline(
    late: Any, how: Any, line: str, in_loop: bool, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> Any:
        return await how(late)

    def main_sync() -> Any:
        return late.submit(return_state=True) if how is submitted else asyncio.run(how(late))

    began = time()
    state = asyncio.run(flow(main)(return_state=True)) if in_loop else flow(main_sync)(return_state=True)
    assert (state.type, state.name, state.reason) == (FAILED, "TimedOut", "TimedOut")
    (record,) = [record for record in caplog.records if "is not over" in record.message]
    warning = record.message
    assert warning.startswith(f"{late.name}-0 is not over after timeout_seconds=0.1, ")
    assert f'File "{__file__}", line ' in warning
    assert warning.endswith(line)
    assert record.created - began < 0.39


def test_a_flow_that_ignores_its_deadline_is_timed_out(caplog: pytest.LogCaptureFixture) -> None:
    @flow(timeout_seconds=0.1)
    async def main() -> int:
        sleep(0.4)
        return 1

    state = asyncio.run(main(return_state=True))
    assert (state.name, "in main: sleep(0.4)" in caplog.text) == ("TimedOut", True)


def test_what_is_interrupted_at_its_deadline_is_not_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    @flow
    async def main() -> None:
        await sleeps_async(return_state=True)
        await sleeps_async.submit(return_state=True).aresult(raise_on_failure=False)
        sleeps(return_state=True)
        await asyncio.sleep(0.3)

    asyncio.run(main())
    assert "is not over" not in caplog.text
