"""Event loops of the task runner's threads: one per thread, made when its first coroutine comes.

Tasks of a sync flow that share something of asyncio's, such as a lock, wake each other from other threads, which no loop notices
while it waits for its own events. So each looks a few times a second whether there is something to do.

asyncio is imported here and only when it is needed: it takes longer than all of the SDK.
"""

from __future__ import annotations

import sys
import threading
from contextlib import suppress
from contextvars import copy_context
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Coroutine


class _Local(threading.local):
    runner: asyncio.Runner | None = None


_LOCAL = _Local()
#: How long a loop in a thread may not notice what another thread did to something of its own.
_LOOK_SECONDS = 0.05


def loop_is_running() -> bool:
    """True where this thread is inside an event loop; does not import asyncio to find out."""
    return running_loop() is not None


def running_loop() -> asyncio.AbstractEventLoop | None:
    """The event loop that this thread is inside; does not import asyncio to find out."""
    # Where another thread imports asyncio at this moment the module is there, but the function may not be, and no loop runs.
    running = getattr(sys.modules.get("asyncio"), "_get_running_loop", None)  # the documented get_running_loop raises instead
    loop: asyncio.AbstractEventLoop | None = None if running is None else running()
    return loop


def is_cancellation(error: BaseException) -> bool:
    """True for asyncio's CancelledError; does not import asyncio to find out."""
    kind = getattr(sys.modules.get("asyncio"), "CancelledError", None)
    return kind is not None and isinstance(error, kind)


def scheduled_coroutines() -> list[Any]:
    """The coroutines of the tasks of the loop that runs in this thread; none if there is no loop."""
    if not loop_is_running():
        return []
    import asyncio  # noqa: PLC0415 - start-up time

    return [task.get_coro() for task in asyncio.all_tasks()]


class RunInLoop:
    """What works on a run that is awaited: the asyncio task which makes it."""

    __slots__ = ("_loop", "_task")

    def __init__(self) -> None:
        import asyncio  # noqa: PLC0415 - an event loop runs

        self._loop = asyncio.get_running_loop()
        self._task = asyncio.current_task()

    def stop(self, error: BaseException) -> None:
        """Cancel it, unless it is being cancelled; safe from any thread."""
        if self._task is not None:
            with suppress(RuntimeError):  # the loop is closed: the task is over
                self._loop.call_soon_threadsafe(_cancel_once, self._task, str(error))


def _cancel_once(task: asyncio.Task[Any], message: str) -> None:
    """A second cancellation would hit what the task does because of the first one."""
    if not task.cancelling():
        task.cancel(message)


def run_coroutine[T](coroutine: Coroutine[Any, Any, T]) -> T:
    """Run `coroutine` to its end in this thread's own loop."""
    import asyncio  # noqa: PLC0415 - start-up time

    if _LOCAL.runner is None:
        _LOCAL.runner = asyncio.Runner()
    # The runner's own context would be that of its first coroutine.
    return _LOCAL.runner.run(_attentive(coroutine), context=copy_context())


async def _attentive[T](coroutine: Coroutine[Any, Any, T]) -> T:
    import asyncio  # noqa: PLC0415 - start-up time

    loop = asyncio.get_running_loop()

    timers: list[asyncio.TimerHandle] = []

    def look() -> None:
        timers[:] = [loop.call_later(_LOOK_SECONDS, look)]

    look()
    try:
        return await coroutine
    finally:
        timers[0].cancel()


class LoopThread:
    """An event loop in a daemon thread of its own."""

    def __init__(self) -> None:
        import asyncio  # noqa: PLC0415 - start-up time

        self.loop = asyncio.new_event_loop()
        self._over = asyncio.Event()
        threading.Thread(target=self._run, name="mintaka-loop", daemon=True).start()

    def _run(self) -> None:
        import asyncio  # noqa: PLC0415 - start-up time

        with asyncio.Runner(loop_factory=lambda: self.loop) as runner:
            runner.run(self._over.wait())

    def close(self) -> None:
        """End the loop and what still runs in it; does not wait for that."""
        self.loop.call_soon_threadsafe(self._over.set)


def close_thread_loop() -> None:
    """Close this thread's loop, if it has one."""
    runner, _LOCAL.runner = _LOCAL.runner, None
    if runner is not None:
        runner.close()
