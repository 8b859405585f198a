"""Waits that block, such as `future.result()`, in code that runs in an event loop.

A wait that blocked the loop's thread would keep everything in that loop from going on, also what it waits for. So the body of an
async flow, and of a task submitted to its loop, runs in a greenlet: a blocking wait switches to the greenlet that the loop runs
in, which awaits there like any other code, and switches back. The loop is not entered a second time, and goes on meanwhile.

Code in the loop that is not part of such a body, such as a coroutine of the user's in an `asyncio.Task` of its own, cannot be
suspended so; nor can code with a deadline by signal, which would be raised in the code that runs meanwhile.
"""

from __future__ import annotations

import threading
from functools import cache
from typing import TYPE_CHECKING, Any

from mintaka.engine.system_calls import DEADLINES

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Generator


class Suspendable[T]:
    """Await it to run `coroutine` so that blocking waits in it suspend it."""

    __slots__ = ("_coroutine",)

    def __init__(self, coroutine: Coroutine[Any, Any, T]) -> None:
        self._coroutine = coroutine

    def __await__(self) -> Generator[Any, Any, T]:
        library = _greenlets()
        if library is None or _inside(library.getcurrent()):
            return (yield from self._coroutine.__await__())
        value: T = yield from _steps(library, self._coroutine)
        return value


class _Wait:
    """What a body that is to wait hands to the greenlet of its loop."""

    __slots__ = ("awaitable",)

    def __init__(self, awaitable: Coroutine[Any, Any, Any]) -> None:
        self.awaitable = awaitable


def may_suspend() -> bool:
    """True in code that `suspend` can suspend."""
    library = _greenlets()
    if library is None or not _inside(library.getcurrent()):
        return False
    return not (DEADLINES and threading.current_thread() is threading.main_thread())


def suspend(wait: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
    """Await what `wait` gives without blocking this thread's event loop; only where `may_suspend()`.

    Raises:
        BaseException: what it raises, or `CancelledError` if the body is cancelled meanwhile.
    """
    from greenlet import getcurrent  # noqa: PLC0415 - start-up time: only async flows need it

    return getcurrent().parent.switch(_Wait(wait()))


def _steps(library: Any, coroutine: Coroutine[Any, Any, Any]) -> Generator[Any, Any, Any]:
    """Drive `coroutine` in a greenlet: pass on what it yields, and await what it waits for."""
    child = library.greenlet(_drive)
    child.mintaka = True
    child.gr_context = library.getcurrent().gr_context  # or context variables would not be those of its asyncio task
    resume: Callable[[Any], Any] = child.switch
    sent: Any = coroutine
    while True:
        child.parent = library.getcurrent()
        try:
            out = resume(sent)
        except StopIteration as end:  # of the coroutine
            return end.value
        try:
            sent = (yield from out.awaitable.__await__()) if type(out) is _Wait else (yield out)
        except BaseException as error:  # noqa: BLE001 - it is raised in the body
            resume, sent = child.throw, error
        else:
            resume = child.switch


def coroutine_in(generator: Any) -> Any:
    """The coroutine that a suspended part of this module drives, if it is one: in a greenlet, so `gi_yieldfrom` does not lead there."""
    frame = getattr(generator, "gi_frame", None)
    return frame.f_locals.get("coroutine") if frame is not None and frame.f_code is _steps.__code__ else None


def _drive(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """Run in the greenlet: each switch to the parent is one step of the coroutine. Ends with the coroutine's StopIteration."""
    from greenlet import getcurrent  # noqa: PLC0415 - start-up time

    this = getcurrent()
    move: Callable[[Any], Any] = coroutine.send
    sent: Any = None
    while True:
        out = move(sent)
        try:
            sent = this.parent.switch(out)
        except BaseException as error:  # noqa: BLE001 - it is raised in the coroutine
            move, sent = coroutine.throw, error
        else:
            move = coroutine.send


def _inside(current: Any) -> bool:
    return getattr(current, "mintaka", False)


@cache
def _greenlets() -> Any:
    """The library, or None where there is none for this platform: then blocking waits in an event loop are refused."""
    try:
        import greenlet  # noqa: PLC0415 - start-up time: only async flows need it
    except ImportError:
        return None
    return greenlet
