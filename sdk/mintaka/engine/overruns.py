"""Bodies that go on when their time is over: code that blocks its event loop or cannot be interrupted, or that goes on after it was.

Such a run is TimedOut when its code comes back. That may be much later, so a warning with the line at which the code hangs is logged
at the deadline.
"""

from __future__ import annotations

import linecache
import logging
import os
import sys
import threading
from contextvars import copy_context
from time import monotonic, sleep
from typing import TYPE_CHECKING, Any

from mintaka.engine.bookkeeping import uninterrupted
from mintaka.engine.halting import is_users
from mintaka.logging import run_logger

if TYPE_CHECKING:
    from types import FrameType

    from mintaka.engine.invocations import Invocation

#: How much later than its deadline a body may end without a word: it is interrupted then, and unwinds.
_UNWINDING_SECONDS = 0.1

#: How often it is checked whether the time of a body is over.
_LOOK_SECONDS = 0.1


class _Watch:
    """One thread for all bodies that have a deadline, which ends when there is none left."""

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """Begin anew: a fork has no such thread."""
        self._lock = threading.Lock()
        self._running: dict[Overrun, None] = {}
        self._watched = False

    @uninterrupted
    def begin(self, overrun: Overrun) -> None:
        """Report on it if it is not over some time after its deadline."""
        with self._lock:
            self._running[overrun] = None
            if not self._watched:
                self._watched = True
                threading.Thread(target=self._work, name="mintaka-deadlines", daemon=True).start()

    @uninterrupted
    def end(self, overrun: Overrun) -> None:
        """It is over."""
        with self._lock:
            self._running.pop(overrun, None)

    def _work(self) -> None:
        while True:
            sleep(_LOOK_SECONDS)
            with self._lock:
                now = monotonic()
                late = [overrun for overrun in self._running if now >= overrun.deadline + _UNWINDING_SECONDS]
                for overrun in late:
                    self._running.pop(overrun)
                if not (late or self._running):
                    self._watched = False
                    return
            for overrun in late:
                overrun.report()


_WATCH = _Watch()
os.register_at_fork(after_in_child=_WATCH.forget)


class Overrun:
    """A body of `invocation` that may take `seconds` from now on, in this thread; `coroutine` is what runs if it is async."""

    __slots__ = ("_context", "_coroutine", "_invocation", "_thread", "deadline", "seconds")

    def __init__(self, invocation: Invocation, seconds: float, coroutine: Any = None) -> None:
        self.seconds = seconds
        self.deadline = monotonic() + seconds
        self._invocation = invocation
        self._coroutine = coroutine
        self._thread = threading.get_ident()
        self._context = copy_context()
        _WATCH.begin(self)

    @property
    def is_late(self) -> bool:
        """True once its time is over."""
        return monotonic() >= self.deadline

    def end(self) -> None:
        """The body is over."""
        _WATCH.end(self)

    def report(self) -> None:
        """Log that it goes on."""
        try:
            self._context.run(report, self._invocation, self.seconds, self._place())
        except Exception:
            logging.getLogger("mintaka").exception("that %s overran its deadline could not be logged", self._invocation.run.name)

    def _place(self) -> str:
        """The line of the user's code that is being run, or at which the coroutine waits."""
        if self._coroutine is None or _is_running(self._coroutine):
            return place_in_thread(self._thread)
        return _place_of([frame for frame in _awaiting(self._coroutine) if frame is not None])


def report(invocation: Invocation, seconds: float, place: str) -> None:
    """Log that a body goes on beyond its deadline, and where."""
    run_logger(invocation.context).warning(
        "%s is not over after timeout_seconds=%g, and its code cannot be interrupted where it is%s", invocation.run.name, seconds, place
    )


def place_in_thread(thread: int) -> str:
    """The innermost line of the user's code in a thread, after a colon; "" where there is none."""
    frames = []
    frame = sys._current_frames().get(thread)  # noqa: SLF001 - documented, for such purposes
    while frame is not None:
        frames.append(frame)
        frame = frame.f_back
    return _place_of(frames[::-1])


def _place_of(frames: list[FrameType]) -> str:
    """The last line of the user's code in `frames`, outermost first."""
    for frame in reversed(frames):
        code = frame.f_code
        if is_users(code):
            line = linecache.getline(code.co_filename, frame.f_lineno).strip()
            return f': File "{code.co_filename}", line {frame.f_lineno}, in {code.co_name}{f": {line}" if line else ""}'
    return ""


def _chain(coroutine: Any) -> list[Any]:
    """A coroutine and what it awaits, as far as those are coroutines themselves."""
    chain: list[Any] = []
    while coroutine is not None and hasattr(coroutine, "cr_frame"):
        chain.append(coroutine)
        coroutine = coroutine.cr_await
    return chain


def _is_running(coroutine: Any) -> bool:
    return any(each.cr_running for each in _chain(coroutine))


def _awaiting(coroutine: Any) -> list[FrameType | None]:
    return [each.cr_frame for each in _chain(coroutine)]
