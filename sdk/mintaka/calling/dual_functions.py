"""Functions that sync code calls and async code awaits: `Variable.get("a")` and `await Variable.get("a")`, as in Prefect.

Each has a twin with `a` in front of its name, a coroutine function. In async code the plain call is one of the twin: it does
nothing until it is awaited, and then does not block the event loop. A call that is never awaited fails its run, with the line it is
in; used as if it were the value, it says what to write. `_sync=True` and `_sync=False` choose one form anywhere.

Code is async if it can await: an event loop runs in this thread, and a coroutine is nearer in the stack than the engine. So the
hooks, key functions and conditions of an async flow, which are plain functions that the engine calls, get the value, as do sync
tasks and flows that it calls. Helper functions that a coroutine calls are async code, like it.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Coroutine
from functools import wraps
from typing import TYPE_CHECKING, Any, Literal, Protocol, overload

from mintaka.engine.loops import loop_is_running, scheduled_coroutines
from mintaka.exceptions import NotAwaited

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from types import FrameType

    from mintaka.context import RunContext

#: Flags of the code of coroutines, coroutines made of generators, and async generators (`inspect.CO_…`).
_ASYNC = 0x80 | 0x100 | 0x200


class DualFunction[**P, R](Protocol):
    """What type checkers know of such a function: the plain call gives the value, because they do not know where it is."""

    @overload
    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R: ...
    @overload
    def __call__(self, *args: Any, _sync: Literal[False], **kwargs: Any) -> Coroutine[Any, Any, R]: ...
    @overload
    def __call__(self, *args: Any, _sync: Literal[True] | None, **kwargs: Any) -> R: ...
    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call it, or make a coroutine of it."""


def dual[**P, R](twin: Any) -> Callable[[Callable[P, R]], DualFunction[P, R]]:
    """Decorator: the function is called in sync code; in async code its `twin`, a coroutine function or a classmethod of one, is."""
    coroutine_function = twin.__func__ if isinstance(twin, classmethod) else twin

    def decorated(fn: Callable[P, R]) -> Any:
        @wraps(fn)
        def called(*args: Any, _sync: bool | None = None, **kwargs: Any) -> Any:
            if _sync or (_sync is None and not (loop_is_running() and _can_await(sys._getframe(1)))):  # noqa: SLF001 - the documented way
                return fn(*args, **kwargs)
            return PendingCall(coroutine_function(*args, **kwargs), fn.__qualname__, sys._getframe(1))  # noqa: SLF001

        return called

    return decorated


def _can_await(frame: FrameType | None) -> bool:
    """Whether the code in `frame`, of a thread with a running loop, is called by a coroutine; True for callbacks of the loop."""
    while frame is not None:
        if frame.f_globals.get("__name__", "").startswith("mintaka."):
            return False
        if frame.f_code.co_flags & _ASYNC:
            return True
        frame = frame.f_back
    return True


class PendingCall(Coroutine[Any, Any, Any]):
    """The call of a dual function in async code: a coroutine that tells if it is not awaited."""

    __slots__ = ("_coroutine", "_name", "_pending", "_place", "_settled")

    def __init__(self, coroutine: Coroutine[Any, Any, Any], name: str, frame: FrameType) -> None:
        from mintaka.context import CURRENT  # noqa: PLC0415 - would be a cycle

        self._coroutine = coroutine
        self._name = name
        self._place = f"line {frame.f_lineno} of {frame.f_code.co_filename}"
        #: True once it is awaited, or was reported as not awaited.
        self._settled = False
        self._pending: set[PendingCall] | None = None
        context = CURRENT.get()
        if context is not None:
            if context.pending_calls is None:
                context.pending_calls = set()
            self._pending = context.pending_calls
            self._pending.add(self)

    def __await__(self) -> Generator[Any, Any, Any]:
        self.settle()
        return self._coroutine.__await__()

    def send(self, value: Any) -> Any:
        """As for any coroutine."""
        self.settle()
        return self._coroutine.send(value)

    def throw(self, *error: Any) -> Any:
        """As for any coroutine."""
        self.settle()
        return self._coroutine.throw(*error)

    def close(self) -> None:
        """As for any coroutine."""
        self.settle()
        self._coroutine.close()

    def settle(self) -> None:
        """It need not be reported any more."""
        self._settled = True
        if self._pending is not None:
            self._pending.discard(self)

    @property
    def complaint(self) -> str:
        """That it was not awaited, and what to write; without its arguments, which may be secret."""
        return f"{self._name}(…) in {self._place} was not awaited, so it did nothing: write `await {self._name}(…)`, or pass _sync=True"

    def __getattr__(self, name: str) -> Any:
        message = f"{self._name}(…) has to be awaited in async code before .{name} is asked of its result: {self.complaint}"
        raise AttributeError(message)

    def _refuse(self, *_: Any) -> Any:
        raise TypeError(self.complaint)

    __bool__ = __len__ = __iter__ = __getitem__ = __contains__ = __int__ = __float__ = __str__ = __reduce__ = _refuse

    def __repr__(self) -> str:
        return f"<call of {self._name} that was not awaited>" if not self._settled else f"<call of {self._name}>"

    def __del__(self) -> None:
        if not self._settled:
            self.close()
            warnings.warn(self.complaint, RuntimeWarning, stacklevel=1)


def check_awaited(context: RunContext) -> None:
    """Look whether the code of a run awaited its calls of dual functions, or has them awaited by a task of its event loop.

    Raises:
        NotAwaited: it did not.
    """
    if complaints := _forgotten(context):
        raise NotAwaited(complaints)


def note_forgotten(context: RunContext, error: BaseException) -> None:
    """Say in the notes of an exception which calls were not awaited before it: they may be why."""
    if complaints := _forgotten(context):
        error.add_note(complaints)


def _forgotten(context: RunContext) -> str:
    scheduled = scheduled_coroutines()
    forgotten = [call for call in context.pending_calls or () if call not in scheduled]
    for call in forgotten:
        call.close()
    return "; ".join(sorted(call.complaint for call in forgotten))
