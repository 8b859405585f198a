"""Blocking waits for futures, in threads with and without an event loop."""

from __future__ import annotations

from contextlib import contextmanager, suppress
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any

from mintaka.engine.blocking_waits import may_suspend, suspend
from mintaka.engine.loops import loop_is_running
from mintaka.exceptions import BlockedEventLoop
from mintaka.executing.pool import blocked_loop, slot_handed_over

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from mintaka.futures import Future


class DoneQueue[R]:
    """Futures in the order in which they are done."""

    def __init__(self) -> None:
        self._queue: SimpleQueue[Future[R]] = SimpleQueue()
        self._wake: Callable[[], object] | None = None

    def put(self, future: Future[R]) -> None:
        """`future` is done."""
        self._queue.put(future)
        wake = self._wake
        if wake is not None:
            with suppress(RuntimeError):  # the loop was closed in the meantime
                wake()

    def get(self, awaited: Iterable[Future[R]], timeout: float | None) -> Future[R]:
        """The next of the `awaited` futures, which is waited for at most `timeout` seconds (None: for ever).

        Raises:
            Empty: none is done in time.
        """
        if not loop_is_running():
            with slot_handed_over():
                return self._queue.get(timeout=timeout)
        with suppress(Empty):
            return self._queue.get_nowait()
        if may_suspend():
            future: Future[R] = suspend(lambda: self._get_async(timeout))
            return future
        with blocking_loop([each for each in awaited if not each.done]), slot_handed_over():
            return self._queue.get(timeout=timeout)

    async def _get_async(self, timeout: float | None) -> Future[R]:  # noqa: ASYNC109 - like `get`
        import asyncio  # noqa: PLC0415 - start-up time

        loop, some = asyncio.get_running_loop(), asyncio.Event()
        self._wake = lambda: loop.call_soon_threadsafe(some.set)
        try:
            if self._queue.empty():  # else it came before it could wake anyone
                with slot_handed_over(), suppress(TimeoutError):
                    await (some.wait() if timeout is None else asyncio.wait_for(some.wait(), timeout))
        finally:
            self._wake = None
        return self._queue.get_nowait()


@contextmanager
def blocking_loop(futures: Iterable[Future[Any]]) -> Iterator[None]:
    """While the block waits for `futures` in the thread of an event loop, which goes no further meanwhile.

    Raises:
        BlockedEventLoop: one of them, or what it depends on, has begun in that loop, so the wait would never end.
    """
    import asyncio  # noqa: PLC0415 - start-up time

    loop = asyncio.get_running_loop()
    with blocked_loop(loop):
        waiting, seen = list(futures), set()
        while waiting:
            future = waiting.pop()
            job = future.job
            if future.done or job is None or future in seen:
                continue
            seen.add(future)
            if job.runs_in_loop is loop:
                message = (
                    f"task run {future.name} runs in the event loop that this code would block until it is over, so neither would "
                    "go on: write `await future`"
                )
                raise BlockedEventLoop(message)
            if job.call is not None and (dependencies := job.call[0].dependencies) is not None:
                waiting.extend(dependencies.futures)
        yield
