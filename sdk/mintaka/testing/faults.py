"""Faults on purpose: this task crashes twice, that one is slow, a third fails once.

    with faults() as faulty:
        faulty.crash(load, times=2)
        faulty.fail(save, OSError("disk full"))
        faulty.delay(fetch, seconds=0.2)
        faulty.time_out(report)
        my_flow()

A fault is put on the task object, before its body, and taken off at the end of the block. It goes through the engine as the
real thing does: budgets, hooks, states and history are those of a real crash. Bodies that run in other processes carry a
copy of their faults, so counts are kept in each process on its own.
"""

from __future__ import annotations

import threading
from contextlib import contextmanager
from time import sleep
from typing import TYPE_CHECKING, Any

from mintaka.exceptions import WorkerDied

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from mintaka.tasks import Task

#: The deadline of a task that is to time out, and how long its body then takes.
_SHORT_SECONDS, _LONG_SECONDS = 0.01, 60.0


class Faults:
    """What goes wrong, in the order it was asked for; each fault is used up before the next one comes."""

    def __init__(self) -> None:
        self._undo: list[Callable[[], None]] = []

    def crash(self, task: Task[..., Any, Any], *, times: int = 1) -> None:
        """The next `times` tries of `task` crash, as if the process that ran them had died."""

        def died() -> None:
            message = "a crash on purpose, of a test"
            raise WorkerDied(message)

        self._before(task, died, times)

    def fail(self, task: Task[..., Any, Any], error: Exception, *, times: int = 1) -> None:
        """The next `times` tries of `task` raise `error`."""

        def failed() -> None:
            raise error

        self._before(task, failed, times)

    def delay(self, task: Task[..., Any, Any], *, seconds: float, times: int | None = None) -> None:
        """The next `times` tries of `task` (None: all) begin `seconds` late."""
        self._before(task, lambda: sleep(seconds), times)

    def time_out(self, task: Task[..., Any, Any]) -> None:
        """Every try of `task` is TimedOut, after a hundredth of a second instead of its own deadline."""
        _check_task(task)
        seconds, task.timeout_seconds = task.timeout_seconds, _SHORT_SECONDS

        def restore() -> None:
            task.timeout_seconds = seconds

        self._undo.append(restore)
        self._before(task, lambda: sleep(_LONG_SECONDS), None)

    def _before(self, task: Task[..., Any, Any], fault: Callable[[], object], times: int | None) -> None:
        _check_task(task)
        if times is not None and times < 1:
            message = f"a fault happens at least once, not {times} times"
            raise ValueError(message)
        body = task.body
        task.body = _faulty_async(body, _Count(fault, times)) if task.is_async else _faulty(body, _Count(fault, times))

        def restore() -> None:
            task.body = body

        self._undo.append(restore)

    def undo(self) -> None:
        """Everything as it was."""
        while self._undo:
            self._undo.pop()()


def _check_task(task: object) -> None:
    if not hasattr(task, "submit"):
        message = f"a fault is put on a task, a function under @task, not on {task!r}"
        raise TypeError(message)


class _Count:
    """A fault that is used up after so many times (None: never)."""

    def __init__(self, fault: Callable[[], object], times: int | None) -> None:
        self._fault = fault
        self._left = times
        self._lock = threading.Lock()

    def __call__(self) -> None:
        with self._lock:
            if self._left == 0:
                return
            if self._left is not None:
                self._left -= 1
        self._fault()

    def __getstate__(self) -> dict[str, Any]:
        return {"_fault": self._fault, "_left": self._left}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(state["_fault"], state["_left"])  # type: ignore[misc]


def _faulty(body: Callable[..., Any], count: _Count) -> Callable[..., Any]:
    def faulty(*args: Any, **kwargs: Any) -> Any:
        count()
        return body(*args, **kwargs)

    return faulty


def _faulty_async(body: Callable[..., Any], count: _Count) -> Callable[..., Any]:
    async def faulty(*args: Any, **kwargs: Any) -> Any:
        import asyncio  # noqa: PLC0415 - start-up time

        await asyncio.to_thread(count)
        return await body(*args, **kwargs)

    return faulty


@contextmanager
def faults() -> Iterator[Faults]:
    """Faults that end with the block."""
    injected = Faults()
    try:
        yield injected
    finally:
        injected.undo()
