"""Event loops of the task runner's threads: one per thread, made when its first coroutine comes.

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


def loop_is_running() -> bool:
    """True where this thread is inside an event loop; does not import asyncio to find out."""
    # Where another thread imports asyncio at this moment the module is there, but the function may not be, and no loop runs.
    running = getattr(sys.modules.get("asyncio"), "_get_running_loop", None)  # the documented get_running_loop raises instead
    return running is not None and running() is not None


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
    return _LOCAL.runner.run(coroutine, context=copy_context())  # else that of the first one, which a runner keeps


def close_thread_loop() -> None:
    """Close this thread's loop, if it has one."""
    runner, _LOCAL.runner = _LOCAL.runner, None
    if runner is not None:
        runner.close()
