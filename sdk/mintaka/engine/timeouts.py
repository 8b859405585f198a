"""Ending a sync body that runs too long.

In the main thread a timer signal interrupts it wherever it is, also in a blocking call. Elsewhere nothing can interrupt
a blocking call, so the body gets a thread of its own: at the deadline that thread is told to end (`mintaka.engine.halting`) and
left alone, and the run is TimedOut at once, not when the call comes back.

A coroutine is cancelled at its deadline, as soon as its event loop comes to that. A body that goes on all the same, because it blocks or
swallows the interruption, is TimedOut when it comes back, whatever it returns or raises then (`mintaka.engine.overruns`).
"""

from __future__ import annotations

import signal
import threading
from contextlib import contextmanager
from contextvars import copy_context
from time import monotonic
from typing import TYPE_CHECKING, Any

from mintaka.engine.bookkeeping import in_bookkeeping
from mintaka.engine.child_processes import CHILD_PROCESSES
from mintaka.engine.forks import FORKS, end_child
from mintaka.engine.halting import NestedScope
from mintaka.engine.overruns import Overrun, place_in_thread, report
from mintaka.engine.system_calls import DEADLINES, Deadline
from mintaka.exceptions import Expired

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator
    from types import FrameType

    from mintaka.engine.invocations import Invocation
    from mintaka.engine.process_table import Process
    from mintaka.exceptions import TimedOut

_AGAIN_SECONDS = 0.001


def call_with_timeout(invocation: Invocation, late: TimedOut, fn: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """`fn(*args, **kwargs)`, which is code of the invocation's run, for at most `late.seconds`; what it started ends with it.

    Raises:
        TimedOut: `late`, if it was not done in time.
    """
    if threading.current_thread() is threading.main_thread() and hasattr(signal, "setitimer"):
        with _bounded(invocation, late), _alarm(invocation, late):
            return fn(*args, **kwargs)
    return _call_in_thread(invocation, late, fn, args, kwargs)


@contextmanager
def _bounded(invocation: Invocation, late: TimedOut, body: Any = None) -> Iterator[None]:
    """Raise `late` after the block if its time is over then, in place of what it returned or raised."""
    overrun = Overrun(invocation, late.seconds, body)
    try:
        yield
    except (StopIteration, StopAsyncIteration):
        raise
    except Exception as error:
        if error is late or not overrun.is_late:
            raise
        raise _ended_late(invocation, late) from error
    else:
        if overrun.is_late:
            raise _ended_late(invocation, late)
    finally:
        overrun.end()


async def await_with_timeout(invocation: Invocation, late: TimedOut, body: Awaitable[Any]) -> Any:
    """Await `body`, which is code of the invocation's run, for at most `late.seconds`; what it started ends with it.

    Raises:
        TimedOut: `late`, if it was not done in time.
    """
    import asyncio  # noqa: PLC0415 - start-up time

    clock = asyncio.timeout(late.seconds)
    with _bounded(invocation, late, body):
        try:
            async with clock:
                return await body
        except TimeoutError:
            if clock.expired():
                raise _ended_late(invocation, late) from None
            raise


def _ended_late(invocation: Invocation, late: TimedOut) -> TimedOut:
    CHILD_PROCESSES.end_later(invocation.ledger, [invocation.run.n])
    return late


@contextmanager
def _alarm(invocation: Invocation, late: TimedOut) -> Iterator[None]:
    """Raise in the main thread after its seconds; an alarm around this one keeps its own, earlier or later, deadline."""
    mine = Expired()
    caught: set[Process] = set()
    over = False
    seconds = late.seconds
    began = monotonic()
    deadline = Deadline(began + seconds, invocation.ledger, invocation.run.n)
    DEADLINES.append(deadline)

    def ring(_signal: int, frame: FrameType | None) -> None:
        if in_bookkeeping(frame):
            signal.setitimer(signal.ITIMER_REAL, _AGAIN_SECONDS)
        else:
            caught.update(CHILD_PROCESSES.interrupt(invocation.ledger, invocation.run.n, lambda: over))
            raise mine

    outer_handler = signal.getsignal(signal.SIGALRM)
    outer_left, _ = signal.setitimer(signal.ITIMER_REAL, 0)
    if outer_left and outer_left <= seconds:
        signal.setitimer(signal.ITIMER_REAL, outer_left)
    else:
        signal.signal(signal.SIGALRM, ring)
        signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    except Expired as error:
        over = True
        if error is not mine:
            raise
        CHILD_PROCESSES.end_later(invocation.ledger, [invocation.run.n], caught)
        raise late from None
    finally:
        DEADLINES.remove(deadline)
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, outer_handler)
        if outer_left:
            signal.setitimer(signal.ITIMER_REAL, max(outer_left - (monotonic() - began), _AGAIN_SECONDS))


def _call_in_thread(invocation: Invocation, late: TimedOut, fn: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    ended: list[tuple[Any, BaseException | None]] = []
    over = threading.Event()
    scope = NestedScope(fn)

    forks = FORKS.depth

    def body() -> None:
        outer = scope.enter()
        try:
            value, error = fn(*args, **kwargs), None
        except BaseException as raised:  # noqa: BLE001 - raised again in the thread that waits
            value, error = None, raised
        if forks != FORKS.depth:
            end_child(error)
        try:
            ended.append((value, error))
        finally:
            scope.leave(outer)
            over.set()

    thread = threading.Thread(target=copy_context().run, args=(body,), name="mintaka-timed", daemon=True)
    thread.start()
    if not over.wait(late.seconds):
        scope.halt(Expired())
        report(invocation, late.seconds, place_in_thread(thread.ident or 0))
        CHILD_PROCESSES.end_later(invocation.ledger, [invocation.run.n])
        raise late
    value, error = ended[0]
    if error is not None:
        raise error
    return value
