"""SIGINT and SIGTERM for a flow in an event loop.

What is raised by a handler there may end in nowhere, so the flow's task is cancelled: by us on SIGTERM, by asyncio.run on SIGINT. That
takes a loop that goes on. One whose thread is blocked, or busy, is interrupted wherever it is, as a flow that blocks would be. A
flow that swallows its cancellation on SIGTERM, and goes on, is cancelled again.
"""

from __future__ import annotations

import asyncio
import signal
import threading
from time import monotonic
from typing import TYPE_CHECKING, Any

from mintaka.engine.bookkeeping import in_bookkeeping
from mintaka.engine.child_processes import CHILD_PROCESSES
from mintaka.engine.forks import of_this_process
from mintaka.engine.stopping import STOP
from mintaka.engine.unwinding import (
    SWALLOWED_SECONDS,
    TERMINATED,
    Signals,
    cleans_up,
    frames_of_coroutine,
    frames_of_thread,
    raise_signal,
    watch,
)
from mintaka.executing.jobs import Job

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from types import FrameType

    from mintaka.engine.runs import Ledger

#: How long an event loop may take to come to what it is asked, before its thread is interrupted.
_LOOP_SECONDS = 0.2


async def tasks_over(ledger: Ledger) -> None:
    """The flow was interrupted: wait until its jobs in this event loop, which are cancelled, have cleaned up."""
    loop = asyncio.get_running_loop()
    jobs = [job for job in ledger.jobs.values() if isinstance(job, Job) and job.runs_in_loop is loop]
    left = {job.loop_task for job in jobs if job.loop_task is not None}
    while left:
        _, left = await asyncio.wait(left, timeout=SWALLOWED_SECONDS)
        for task in left:
            if not cleans_up(task.get_coro()):
                task.cancel()


class LoopHandler:
    """Handles signals for the flow that is the current task of the running loop; `usual` is what handles SIGINT otherwise."""

    def __init__(self, signals: Signals) -> None:
        self.usual: Callable[..., Any] | None = None
        self._signals = signals
        self._loop, self._task = asyncio.get_running_loop(), asyncio.current_task()
        self._main = threading.main_thread().ident or 0
        self._number = signal.SIGTERM
        #: When it was asked last to come to something, None once it did; that its thread is to be interrupted.
        self._asked: float | None = None
        self._force = False

    @of_this_process
    def handle(self, number: int, frame: FrameType | None) -> None:
        """Handle a signal, or a further one that the watch has sent."""
        if self._force:
            if not in_bookkeeping(frame):
                self._force = False
                raise_signal(self._number)
            return
        if not self._signals.came:
            self._signals.came = True
            self._number = signal.Signals(number)
            CHILD_PROCESSES.interrupt_flows()
            self._asked = monotonic()
            watch(self._frames, self._again, lambda: self._signals.over, insist=number == signal.SIGTERM)
        if number == signal.SIGTERM:
            STOP.request()
            self._ask(self._cancel)
        else:
            self._ask(self._come)
            if self.usual is not None:
                self.usual(number, frame)

    def _ask(self, work: Callable[[], None]) -> None:
        try:
            self._loop.call_soon_threadsafe(work)
        except RuntimeError:  # it is closed
            self._come()

    def _come(self) -> None:
        self._asked = None

    def _cancel(self) -> None:
        self._asked = None
        if self._task is not None:
            self._task.cancel(TERMINATED)

    def _frames(self) -> Iterable[FrameType]:
        """Where the flow is: in the thread of its loop while that is busy, else where its task is suspended."""
        if self._asked is not None and monotonic() - self._asked >= _LOOP_SECONDS:
            self._asked = None
            self._interrupt()
        if self._task is None or asyncio.current_task(self._loop) is not None:
            return frames_of_thread(self._main)
        return (*frames_of_coroutine(self._task.get_coro()), *frames_of_thread(self._main))

    def _again(self) -> None:
        """The flow is held up, or has swallowed its cancellation."""
        if self._number == signal.SIGTERM:
            self._asked = monotonic()
            self._ask(self._cancel)
        else:
            self._interrupt()

    def _interrupt(self) -> None:
        """Have the handler called in the main thread, to raise there; it may be in the middle of our bookkeeping at first."""
        self._force = True
        signal.pthread_kill(self._main, self._number)
