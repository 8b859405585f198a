"""In which event loop async tasks run, and what a blocking wait in an event loop does."""

from __future__ import annotations

import asyncio
import threading
from time import monotonic
from typing import TYPE_CHECKING, Any

import pytest

from mintaka import Future, ThreadPoolTaskRunner, as_completed, flow, task, unmapped, wait
from mintaka.exceptions import BlockedEventLoop
from mintaka.testing import recorded
from mintaka_core.states import COMPLETED, TERMINAL

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

pytestmark = pytest.mark.timeout(30)

ALL = [0, 1, 2, 3, 4]


@task
async def locked(n: int, lock: Any) -> int:
    """Contends for something of asyncio's, which wakes its waiters in one loop only."""
    async with lock:
        await asyncio.sleep(0.002)
    return n


@task
async def loop_of_task() -> asyncio.AbstractEventLoop:
    return asyncio.get_running_loop()


@task
def locked_in_a_thread(lock: Any) -> list[int]:
    return [future.result() for future in [locked.submit(n, lock) for n in range(5)]]


@task
async def locked_in_a_task(lock: Any) -> list[int]:
    futures = [locked.submit(n, lock) for n in range(5)]
    await asyncio.sleep(0.001)
    return [future.result() for future in futures]


@flow
def locked_in_a_sync_flow(lock: Any) -> list[int]:
    return locked.map(range(5), unmapped(lock)).result()


@flow
async def locked_in_an_async_flow(lock: Any) -> list[int]:
    return locked.map(range(5), unmapped(lock)).result()


class Methods:
    @task
    async def locked(self, n: int, lock: Any) -> int:
        return await locked(n, lock)


async def awaited(lock: Any) -> list[int]:
    return [await future for future in [locked.submit(n, lock) for n in range(5)]]


async def gathered(lock: Any) -> list[int]:
    return await asyncio.gather(*[locked.submit(n, lock) for n in range(5)])


async def called(lock: Any) -> list[int]:
    return await asyncio.gather(*[locked(n, lock) for n in range(5)])


async def mapped(lock: Any) -> list[int]:
    return await locked.map(range(5), unmapped(lock))


async def results(lock: Any) -> list[int]:
    return [future.result() for future in [locked.submit(n, lock) for n in range(5)]]


async def results_later(lock: Any) -> list[int]:
    futures = [locked.submit(n, lock) for n in range(5)]
    await asyncio.sleep(0.001)
    return [future.result() for future in futures]


async def results_while_held(lock: Any) -> list[int]:
    async with lock:
        futures = [locked.submit(n, lock) for n in range(5)]
        await asyncio.sleep(0.001)
    return [future.result(timeout=5) for future in futures]


async def completed(lock: Any) -> list[int]:
    futures = [locked.submit(n, lock) for n in range(5)]
    await asyncio.sleep(0.001)
    return sorted(future.result() for future in as_completed(futures))


async def waited(lock: Any) -> list[int]:
    done, left = wait([locked.submit(n, lock) for n in range(5)], timeout=5)
    assert not left
    return sorted(future.result() for future in done)


async def states(lock: Any) -> list[int]:
    return [await locked.submit(n, lock, return_state=True).aresult() for n in range(5)]


async def methods(lock: Any) -> list[int]:
    return [future.result() for future in [Methods().locked.submit(n, lock) for n in range(5)]]


async def options(lock: Any) -> list[int]:
    timed = locked.with_options(timeout_seconds=5, retries=1, name="other")
    return [future.result() for future in [timed.submit(n, lock) for n in range(5)]]


WAYS: dict[str, Callable[[Any], Awaitable[list[int]]]] = {
    "await future": awaited,
    "gather(futures)": gathered,
    "gather(calls)": called,
    "await map": mapped,
    "future.result() at once": results,
    "future.result() after they began": results_later,
    "future.result() of tasks that waited for the flow": results_while_held,
    "as_completed": completed,
    "wait(futures, timeout)": waited,
    "return_state=True": states,
    "methods": methods,
    "with_options": options,
    "a sync task that is called": lambda lock: asyncio.sleep(0, locked_in_a_thread(lock)),
    "a sync task in a thread": lambda lock: asyncio.sleep(0, locked_in_a_thread.submit(lock).result()),
    "a submitted async task": lambda lock: locked_in_a_task.submit(lock).result_async(),
    "a sync subflow": lambda lock: asyncio.sleep(0, locked_in_a_sync_flow(lock)),
    "an async subflow": locked_in_an_async_flow,
}


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
@pytest.mark.parametrize(
    "make", [asyncio.Lock, asyncio.Semaphore, lambda: asyncio.Semaphore(2)], ids=["lock", "semaphore", "two at a time"]
)
def test_async_tasks_share_what_is_made_in_their_flow(way: Any, make: Any) -> None:
    @flow
    async def main() -> list[int]:
        return await way(make())

    assert asyncio.run(main()) == ALL


class Session:
    """Works in the event loop that it was made in, like the clients of HTTP libraries."""

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()

    async def get(self, n: int) -> int:
        assert asyncio.get_running_loop() is self.loop
        return await asyncio.sleep(0.001, n)


@task
async def fetch(n: int, session: Session) -> int:
    return await session.get(n)


def test_a_session_of_the_flow_works_in_submitted_tasks() -> None:
    @flow
    async def main() -> Any:
        session = Session()
        futures = fetch.map(range(3), unmapped(session))
        await session.get(0)
        return (
            [future.result() for future in futures],
            await fetch.submit(3, session),
            fetch.submit(fetch.submit(4, session), session).result(),
        )

    assert asyncio.run(main()) == ([0, 1, 2], 3, 4)


def test_a_queue_joins_a_flow_and_its_tasks() -> None:
    @task
    async def produce(queue: asyncio.Queue[int]) -> None:
        for n in range(5):
            await queue.put(n)

    @flow
    async def main() -> list[int]:
        queue: asyncio.Queue[int] = asyncio.Queue(1)
        producer = produce.submit(queue)
        items = [await queue.get() for _ in range(4)]
        last = asyncio.create_task(queue.get())
        producer.wait()
        return [*items, await last]

    assert asyncio.run(main()) == ALL


def test_a_blocking_wait_lets_the_rest_of_the_loop_go_on() -> None:
    ticks: list[int] = []

    @task
    def slow() -> None:
        threading.Event().wait(0.1)

    @flow
    async def main() -> int:
        async def tick() -> None:
            while True:
                ticks.append(1)
                await asyncio.sleep(0.005)

        ticking = asyncio.create_task(tick())
        slow.submit().result()
        ticking.cancel()
        return len(ticks)

    assert asyncio.run(main()) > 3


def test_a_deadline_ends_a_flow_in_a_blocking_wait() -> None:
    @task
    def slow() -> None:
        threading.Event().wait(2)

    @flow(timeout_seconds=0.1)
    async def main() -> None:
        slow.submit().result()

    began = monotonic()
    assert asyncio.run(main(return_state=True)).name == "TimedOut"
    assert monotonic() - began < 1


def test_a_runner_bounds_the_tasks_that_run_in_the_loop_and_in_threads_together() -> None:
    running, most = 0, 0

    def count(by: int) -> None:
        nonlocal running, most
        running += by
        most = max(most, running)

    @task
    async def in_loop() -> None:
        count(1)
        await asyncio.sleep(0.005)
        count(-1)

    @task
    def in_thread() -> None:
        count(1)
        threading.Event().wait(0.005)
        count(-1)

    @flow(task_runner=ThreadPoolTaskRunner(max_workers=2))
    async def main() -> None:
        wait([each.submit() for _ in range(5) for each in (in_loop, in_thread)])

    asyncio.run(main())
    assert most == 2


def test_nested_tasks_do_not_need_more_slots_than_there_are() -> None:
    @task
    async def deep(n: int, how: str) -> int:
        if n == 0:
            return 0
        future = deep.submit(n - 1, how)
        return 1 + (future.result() if how == "result" else await future)

    @flow(task_runner=ThreadPoolTaskRunner(max_workers=1))
    async def main() -> list[int]:
        return [deep.submit(5, how).result() for how in ("result", "await")]

    assert asyncio.run(main()) == [5, 5]


def test_tasks_of_a_sync_flow_that_share_a_lock_do_not_hang() -> None:
    """Each has an event loop in its thread, so only two can contend for one lock: asyncio refuses the third."""

    @flow
    def main() -> list[int]:
        lock = asyncio.Lock()
        return [future.result(timeout=5) for future in [locked.submit(n, lock) for n in range(2)]]

    assert main() == [0, 1]


async def in_a_task_of_asyncio(wait_for: Callable[[Future[int]], int], pause: float) -> Any:
    """Code that nothing of ours surrounds, so that it cannot be suspended."""

    async def plain() -> Any:
        future = locked.submit(7, asyncio.Lock())
        if pause:
            await asyncio.sleep(pause)
        try:
            return wait_for(future)
        except BlockedEventLoop as error:
            await future
            return str(error)

    return await asyncio.create_task(plain())


def test_code_that_cannot_be_suspended_is_told_to_await_what_has_begun() -> None:
    @flow
    async def main() -> Any:
        return await in_a_task_of_asyncio(lambda future: future.result(), 0.001)

    assert asyncio.run(main()) == (
        "task run locked-0 runs in the event loop that this code would block until it is over, so neither would go on: write `await future`"
    )


@pytest.mark.parametrize(
    "wait_for",
    [
        lambda future: future.result(),
        lambda future: next(as_completed([future])).result(),
        lambda future: [wait([future]), future.result()][1],
    ],
    ids=["result", "as_completed", "wait"],
)
def test_code_that_cannot_be_suspended_waits_for_what_has_not_begun(wait_for: Any) -> None:
    @flow
    async def main() -> Any:
        return await in_a_task_of_asyncio(wait_for, 0)

    assert asyncio.run(main()) == 7


def test_tasks_that_would_begin_in_a_blocked_loop_share_another_one() -> None:
    @flow
    async def main() -> list[int]:
        async def plain() -> list[int]:
            return locked_in_a_thread.submit(asyncio.Lock()).result()

        return await asyncio.create_task(plain())

    assert asyncio.run(main()) == ALL


def test_cancelling_a_flow_reaches_tasks_in_its_loop() -> None:
    @task
    async def forever() -> None:
        await asyncio.Event().wait()

    @flow
    async def main(how: str) -> None:
        futures = [forever.submit() for _ in range(3)]
        await asyncio.sleep(0.001)
        if how == "await":
            await futures[0]
        futures[0].result()

    async def cancelled(how: str) -> None:
        running = asyncio.create_task(main(how))
        await asyncio.sleep(0.05)
        running.cancel()
        await running

    for how in ("await", "result"):
        with recorded() as runs, pytest.raises(asyncio.CancelledError):
            asyncio.run(cancelled(how))
        assert {run.history[-1].type for run in runs.runs.values()} <= TERMINAL - {COMPLETED}
