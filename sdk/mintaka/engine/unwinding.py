"""After an interruption was raised in a flow: what keeps it from ending, other than its own clean-up.

Two things do. A pool of the standard library's that is left waits for its threads, which nothing can interrupt; so does an event loop
that is closed. And code that swallowed the interruption, and went on as if nothing had happened. Code in an `except` or `finally` block, or in
the exit of a `with` block, cleans up, and takes its time: Python's table of exception handlers says for each instruction whether it is in one.
"""

from __future__ import annotations

import _thread
import signal
import sys
from functools import lru_cache
from opcode import opmap
from time import monotonic, sleep
from typing import TYPE_CHECKING, Any, NoReturn

from mintaka.engine.blocking_waits import coroutine_in
from mintaka.exceptions import Terminated

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from types import CodeType, FrameType

#: What an interruption by SIGTERM says.
TERMINATED = "the process was asked to end (SIGTERM)"
_LOOK_SECONDS = 0.05
#: How long the standard library may wait for threads, and how long code may go on outside of any clean-up.
_POOL_SECONDS = 0.2
SWALLOWED_SECONDS = 0.4

#: What a handler of a `try` or `with`, of an `await`, an `async for`, and of all of a coroutine's or generator's body begins with.
_WHOLE = opmap["CALL_INTRINSIC_1"]
_OUTWARD = frozenset({_WHOLE, *(opmap[name] for name in ("PUSH_EXC_INFO", "CLEANUP_THROW", "END_ASYNC_FOR"))})
#: More than there can be on a frame's stack.
_DEPTH = 1 << 30

#: Exits of `with` blocks that wait for threads or processes, by module and name: nothing is imported for them.
_WAITS_FOR_THREADS = frozenset({("concurrent.futures._base", "Executor.__exit__"), ("asyncio.runners", "Runner.__exit__")})


class Signals:
    """What came of the signals that a flow run handles: `came` says that there was one, `over` that the flow run is."""

    __slots__ = ("came", "over")

    def __init__(self) -> None:
        self.came = False
        self.over = False


def raise_signal(number: int) -> NoReturn:
    """Raise what interrupts a flow on a signal."""
    if number == signal.SIGTERM:
        raise Terminated(TERMINATED)
    raise KeyboardInterrupt


def watch(frames: Callable[[], Iterable[FrameType]], again: Callable[[], object], over: Callable[[], bool], *, insist: bool) -> None:
    """Until `over()`, call `again()` when what is at `frames()` waits for threads or, if `insist`, has swallowed the interruption.

    Starts a bare thread, because that of `threading` cannot be started in a signal handler: it takes locks.
    """
    _thread.start_new_thread(_work, (frames, again, over, insist))


def _work(frames: Callable[[], Iterable[FrameType]], again: Callable[[], object], over: Callable[[], bool], insist: bool) -> None:
    waiting = going_on = 0.0
    while not over():
        sleep(_LOOK_SECONDS)
        found = tuple(frames())
        now = monotonic()
        waiting = (waiting or now) if any(map(_waits_for_threads, found)) else 0.0
        going_on = (going_on or now) if insist and found and not any(map(handles_exception, found)) else 0.0
        if (waiting and now - waiting >= _POOL_SECONDS) or (going_on and now - going_on >= SWALLOWED_SECONDS):
            waiting = going_on = 0.0
            if not over():
                again()


def frames_of_thread(thread: int) -> Iterator[FrameType]:
    """The frames of a thread, innermost first."""
    frame = sys._current_frames().get(thread)  # noqa: SLF001 - documented, for such purposes
    while frame is not None:
        yield frame
        frame = frame.f_back


def frames_of_coroutine(awaited: Any) -> Iterator[FrameType]:
    """The frames of a suspended coroutine and of what it awaits, outermost first."""
    while awaited is not None:
        frame = getattr(awaited, "cr_frame", None) or getattr(awaited, "gi_frame", None)
        if frame is None:
            return
        yield frame
        awaited = coroutine_in(awaited) or getattr(awaited, "cr_await", None) or getattr(awaited, "gi_yieldfrom", None)


def _waits_for_threads(frame: FrameType) -> bool:
    """True for the exit of a pool that an exception left; one that code leaves by itself is part of its clean-up."""
    if (frame.f_globals.get("__name__", ""), frame.f_code.co_qualname) not in _WAITS_FOR_THREADS:
        return False
    return frame.f_locals.get("exc_val") is not None


def cleans_up(coroutine: Any) -> bool:
    """True if a suspended coroutine, or what it awaits, handles an exception."""
    return any(map(handles_exception, frames_of_coroutine(coroutine)))


def handles_exception(frame: FrameType) -> bool:
    """True if a frame is in an `except` or `finally` block that an exception led to, or in such an exit of a `with` block.

    Each instruction that may raise in one leads to code that restores what was being handled; in the body of a `try` or `with` it leads
    to the handler, and an `await` to code that goes on to what surrounds it.
    """
    code, offset, depth = frame.f_code, frame.f_lasti, _DEPTH
    while True:
        entry = next((each for each in _entries(code) if each[0] <= offset < each[1]), None)
        if entry is None:
            return False
        offset = entry[2]
        if entry[3] > depth:  # a handler is itself covered by what restores, which is deeper on the stack: what is around follows that
            continue
        depth = entry[3]
        if code.co_code[offset] not in _OUTWARD:
            return True
        if code.co_code[offset] == _WHOLE:
            return False


@lru_cache(maxsize=1024)
def _entries(code: CodeType) -> tuple[tuple[int, int, int, int], ...]:
    """Instructions from an offset to another, where an exception in them leads to, and how much is on the stack then (CPython,
    InternalDocs/exception_handling.md).
    """
    values = _numbers(code.co_exceptiontable)
    entries = zip(values, values, values, values, strict=False)  # each a start, a length, a target and a depth
    return tuple((2 * start, 2 * (start + length), 2 * target, depth >> 1) for start, length, target, depth in entries)


def _numbers(table: bytes) -> Iterator[int]:
    """The numbers in an exception table: six bits a byte, the seventh bit set where another byte follows."""
    number = 0
    for byte in table:
        number = (number << 6) | (byte & 63)
        if not byte & 64:
            yield number
            number = 0
