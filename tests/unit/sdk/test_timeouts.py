"""Bodies that run too long."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import Future
from time import monotonic, sleep
from typing import TYPE_CHECKING, Any

import pytest

from mintaka import flow, task
from mintaka.exceptions import TimedOut
from mintaka.testing import recorded
from mintaka_core.states import CANCELLED, FAILED

if TYPE_CHECKING:
    from collections.abc import Callable


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
