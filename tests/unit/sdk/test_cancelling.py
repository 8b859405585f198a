"""Cancellation reaches what runs: other threads, event loops, tasks inside of tasks."""

from __future__ import annotations

import asyncio
import threading
from time import monotonic, sleep
from typing import TYPE_CHECKING, Any

import pytest

from mintaka import ThreadPoolTaskRunner, flow, task
from mintaka.engine.cancelling import judging
from mintaka.engine.outcomes import Interrupted
from mintaka.exceptions import CancelledRun, Halted, NotAwaited
from mintaka.states import Crashed
from mintaka.testing import recorded
from mintaka_core.states import CANCELLED, COMPLETED, CRASHED, FAILED

if TYPE_CHECKING:
    from pathlib import Path

SOON = 5.0


class Probe:
    """What a body tells about itself."""

    def __init__(self) -> None:
        self.began = threading.Event()
        self.ended = threading.Event()
        self.error: BaseException | None = None

    def spin(self) -> None:
        self.began.set()
        try:
            while True:
                pass
        except BaseException as error:
            self.error = error
            raise
        finally:
            self.ended.set()

    def nap(self) -> None:
        self.began.set()
        try:
            for _ in range(10_000):
                sleep(0.005)
        finally:
            self.ended.set()

    async def drowse(self) -> None:
        self.began.set()
        try:
            await asyncio.sleep(60)
        finally:
            self.ended.set()


BODIES = {"a loop": "spin", "short blocking calls": "nap", "a coroutine": "drowse"}


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
def test_a_cancelled_future_ends_its_body_and_is_done_at_once(body: str) -> None:
    probe = Probe()
    runs = task(getattr(probe, body), name="runs")

    @flow
    def main() -> Any:
        future = runs.submit()
        assert probe.began.wait(SOON)
        assert future.cancel()
        assert not future.cancel()
        with pytest.raises(CancelledRun, match="cancelled by its flow"):
            future.result()
        assert probe.ended.wait(SOON)
        return future.state.type

    with recorded() as history:
        assert main() == CANCELLED
    assert history.runs[0].history[-1].type == CANCELLED


def test_the_exception_is_an_interruption_that_ordinary_handlers_do_not_swallow() -> None:
    probe = Probe()

    @flow
    def main() -> None:
        future = task(probe.spin).submit()
        assert probe.began.wait(SOON)
        future.cancel()
        assert probe.ended.wait(SOON)

    main()
    assert isinstance(probe.error, Halted)


def test_a_future_cancelled_before_it_began_never_begins() -> None:
    gate, ran = threading.Event(), []

    @task
    def holds() -> None:
        gate.wait(SOON)

    @task
    def counted() -> None:
        ran.append(1)

    @flow(task_runner=ThreadPoolTaskRunner(max_workers=1))
    def main() -> Any:
        first = holds.submit()
        queued, dependent = counted.submit(), counted.submit(wait_for=[first])
        assert queued.cancel()
        assert dependent.cancel()
        gate.set()
        first.wait()
        return [future.state.name for future in (first, queued, dependent)]

    assert main() == ["Completed", "Cancelled", "Cancelled"]
    assert ran == []


def test_what_depends_on_a_cancelled_run_fails_and_names_it() -> None:
    probe = Probe()

    @flow
    def main() -> Any:
        first = task(probe.nap, name="first").submit()
        second = task(lambda value: value, name="second").submit(first)
        assert probe.began.wait(SOON)
        first.cancel()
        return second.wait() or second.state

    state = main(return_state=True)
    assert (state.type, state.reason) == (FAILED, "UpstreamFailed")


def test_a_finished_future_cannot_be_cancelled() -> None:
    @flow
    def main() -> Any:
        future = task(abs).submit(-1)
        future.wait()
        return future.cancel(), future.result()

    assert main() == (False, 1)


def test_cancelling_a_task_ends_the_tasks_it_waits_for() -> None:
    probe = Probe()
    inner = task(probe.spin, name="inner")
    came_back = threading.Event()

    @task
    def outer() -> None:
        try:
            inner.submit().result()
        finally:
            came_back.set()

    @flow(task_runner=ThreadPoolTaskRunner(max_workers=2))
    def main() -> None:
        future = outer.submit()
        assert probe.began.wait(SOON)
        future.cancel()
        assert probe.ended.wait(SOON)
        assert came_back.wait(SOON)

    with recorded() as history:
        main()
    assert {run.history[-1].type for run in history.runs.values()} == {CANCELLED}


def test_a_task_that_waits_for_its_retry_ends_at_once_when_cancelled() -> None:
    failed = threading.Event()

    @task(retries=1, retry_delay_seconds=60)
    def flaky() -> None:
        failed.set()
        raise ValueError("no")

    @flow
    def main() -> None:
        future = flaky.submit()
        assert failed.wait(SOON)
        while not future.state.is_scheduled():
            sleep(0.001)
        future.cancel()

    began = monotonic()
    with recorded() as history:
        main()
    assert monotonic() - began < SOON
    assert history.states_of("flaky-0")[-2:] == ["AwaitingRetry", "Cancelled"]


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
def test_an_interrupted_flow_ends_what_its_threads_run(body: str) -> None:
    probe = Probe()

    @flow
    def main() -> None:
        task(getattr(probe, body)).submit()
        assert probe.began.wait(SOON)
        raise KeyboardInterrupt

    with recorded() as history, pytest.raises(KeyboardInterrupt):
        main()
    assert probe.ended.wait(SOON)
    assert all(run.is_over for run in history.runs.values())


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
def test_a_flow_that_times_out_ends_what_its_threads_run(body: str) -> None:
    probe = Probe()

    @flow(timeout_seconds=0.2)
    def main() -> None:
        task(getattr(probe, body)).submit().wait()

    assert main(return_state=True).name == "TimedOut"
    assert probe.ended.wait(SOON)


def test_a_timed_task_in_a_thread_ends_when_it_is_cancelled_and_when_its_time_is_over() -> None:
    cancelled, late = Probe(), Probe()

    @flow
    def main() -> Any:
        future = task(cancelled.spin, timeout_seconds=60).submit()
        assert cancelled.began.wait(SOON)
        future.cancel()
        state = task(late.spin, timeout_seconds=0.05).submit(return_state=True)
        assert cancelled.ended.wait(SOON)
        assert late.ended.wait(SOON)
        return future.state.name, state.name

    assert main() == ("Cancelled", "TimedOut")


def test_nothing_stays_instrumented_afterwards() -> None:
    from mintaka.engine import halting  # noqa: PLC0415 - looks inside

    probe = Probe()
    blocked = set(halting._PENDING)  # what other tests left in calls that nothing can interrupt

    @flow
    def main() -> None:
        future = task(probe.spin).submit()
        assert probe.began.wait(SOON)
        future.cancel()
        assert probe.ended.wait(SOON)

    main()
    until = monotonic() + SOON
    while (halting._PENDING - blocked or halting._INSTRUMENTED) and monotonic() < until:
        sleep(0.001)
    assert not halting._PENDING - blocked
    assert not halting._INSTRUMENTED


def test_what_an_async_flow_left_unawaited_has_an_end() -> None:
    @task
    async def sleeps() -> None:
        await asyncio.sleep(60)

    @flow
    async def main() -> int:
        left = asyncio.create_task(sleeps())
        await asyncio.sleep(0.01)
        assert not left.done()
        return 1

    with recorded() as history, pytest.raises(NotAwaited, match="task sleeps, called in"):
        asyncio.run(main())
    entry = history.runs[0].history[-1]
    assert (entry.type, entry.reason) == (CANCELLED, "FlowEnded")


def test_a_thread_that_outlives_its_flow_starts_no_more_tasks() -> None:
    ended, caught = threading.Event(), []

    @task
    def late() -> None: ...

    @flow
    def main() -> None:
        from contextvars import copy_context  # noqa: PLC0415 - only here

        def outlives() -> None:
            ended.wait(SOON)
            try:
                late()
            except Halted as error:
                caught.append(str(error))

        threads.append(threading.Thread(target=copy_context().run, args=(outlives,)))
        threads[0].start()

    threads: list[threading.Thread] = []
    with recorded() as history:
        main()
    ended.set()
    threads[0].join(SOON)
    assert (len(history.runs), len(caught)) == (0, 1)
    assert "the flow run is over" in caught[0]


def test_one_cancelled_of_many_leaves_the_others_alone() -> None:
    @task
    def works(n: int) -> int:
        total = 0
        for value in range(2000):
            total += value
        return n

    @flow(task_runner=ThreadPoolTaskRunner(max_workers=4))
    def main() -> Any:
        futures = works.map(range(200))
        stopped = {n for n in range(0, 200, 3) if futures[n].cancel()}
        return stopped, [future.wait() or future.state.type for future in futures]

    stopped, types = main()
    assert {n for n, kind in enumerate(types) if kind == CANCELLED} == stopped
    assert {kind for n, kind in enumerate(types) if n not in stopped} <= {COMPLETED}


def test_a_wish_to_cancel_that_met_a_killed_process_is_not_of_the_next_attempt(tmp_path: Path) -> None:
    """It was left beside the database, and nobody looked at it."""
    wish = tmp_path / "history.db-cancel-uid"
    wish.touch()
    judge = judging(tmp_path / "history.db", "uid", lambda _: Interrupted.all(Crashed()))
    assert judge(KeyboardInterrupt()).flow.type == CRASHED
    wish.touch()
    assert (judge(KeyboardInterrupt()).flow.type, wish.exists()) == (CANCELLED, False)
