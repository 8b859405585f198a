"""Ending code that runs in another thread: a cancelled task, or one whose time is over.

CPython can raise an exception in another thread, but nobody knows where: it may hit a lock of ours between two
instructions, and everything hangs. So the thread raises it in itself, in the user's code and nowhere else: the functions
of the user's that are on its stack are instrumented (PEP 669), and the next instruction of one of them raises. Nothing else
gets slower, and a blocking call ends when it comes back, not before.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
from opcode import opmap
from pathlib import Path
from types import FunctionType
from typing import TYPE_CHECKING, Any

from mintaka.engine.bookkeeping import in_bookkeeping, uninterrupted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import CodeType, FrameType

_OURS = str(Path(__file__).parents[1])
_STANDARD = (str(Path(os.__file__).parent), "<frozen")
_PACKAGES = ("site-packages", "dist-packages")


class Scope:
    """Code that may be told to end, and ends with the scope `around` it. Entered and left by the thread that runs it.

    `fn` is the function it calls: instrumented even where it has not been entered yet.
    """

    __slots__ = ("around", "error", "fn", "handled", "thread")

    def __init__(self, fn: Callable[..., Any], around: Scope | None = None) -> None:
        self.fn = fn
        self.around = around
        self.thread = 0
        #: The exception that its thread was dealing with when it entered, if any.
        self.handled: BaseException | None = None
        #: What it is to raise; None where it may go on.
        self.error: BaseException | None = None

    def enter(self) -> Scope | None:
        """This thread's code is in the scope from now on; returns the scope it was in before, for `leave`."""
        outer = _LOCAL.scope
        self.handled = sys.exception()
        self.thread = threading.get_ident()
        _LOCAL.scope = self
        return outer

    def leave(self, outer: Scope | None) -> None:
        """The code is over; nothing is raised in this thread any more on behalf of this scope."""
        _LOCAL.scope = outer
        self.thread = 0
        if self in _PENDING:
            _forget(self)

    def halt(self, error: BaseException) -> None:
        """Have its code raise `error` as soon as it is in a line of the user's. Safe from any thread."""
        self.error = error
        for scope in (self, *_inside(self)):
            if scope.thread:
                _watch(scope)


class _Local(threading.local):
    scope: Scope | None = None


_LOCAL = _Local()
_LOCK = threading.Lock()
#: Scopes that are to raise and have not, and the functions that are instrumented for them.
_PENDING: set[Scope] = set()
_INSTRUMENTED: set[CodeType] = set()
#: Scopes inside of others, in threads of their own.
_NESTED: set[Scope] = set()


class RunInThread(Scope):
    """What works on a run that was called in a thread of the user's, such as asyncio's: code that may be requested to end."""

    __slots__ = ()

    def stop(self, error: BaseException) -> None:
        """Tell it to end with `error`; safe from any thread."""
        self.halt(error)


def in_foreign_thread() -> bool:
    """True in a thread that could not be requested to end: neither the main one, nor in a scope."""
    return _LOCAL.scope is None and threading.get_ident() != _MAIN_THREAD


#: See `threading.main_thread`, which may be another one after a fork; the number stays.
_MAIN_THREAD = threading.main_thread().ident


class NestedScope(Scope):
    """A scope that ends with the scope its maker is in: in a thread of its own, or a part of that one's code."""

    __slots__ = ()

    def __init__(self, fn: Callable[..., Any]) -> None:
        super().__init__(fn, _LOCAL.scope)

    def enter(self) -> Scope | None:
        """See `Scope.enter`."""
        _NESTED.add(self)
        outer = super().enter()
        if _error_of(self) is not None:  # what is around was told to end before this began
            _watch(self)
        return outer

    def leave(self, outer: Scope | None) -> None:
        """See `Scope.leave`."""
        _NESTED.discard(self)
        super().leave(outer)


def take_error() -> BaseException | None:
    """The exception that this thread's code was requested to raise and has not raised yet, for a caller that raises it; None if it may continue.

    For functions of ours that the user's code calls: the request alone takes effect only when they have returned. As with the request
    itself, code that cleans up is left alone.
    """
    if not _PENDING:
        return None
    scope = _LOCAL.scope
    if scope is None or scope not in _PENDING or sys.exception() is not scope.handled:
        return None
    error = _error_of(scope)
    if error is not None:
        _forget(scope)
    return error


def _inside(scope: Scope) -> list[Scope]:
    return [nested for nested in tuple(_NESTED) if any(around is scope for around in _chain(nested.around))]


def _chain(scope: Scope | None) -> Iterator[Scope]:
    """A scope, and what is around it."""
    while scope is not None:
        yield scope
        scope = scope.around


def _error_of(scope: Scope) -> BaseException | None:
    """What a scope, or what is around it, was told to raise."""
    return next((each.error for each in _chain(scope) if each.error is not None), None)


@uninterrupted
def _watch(scope: Scope) -> None:
    """Instrument what `scope`'s thread runs."""
    tool = _tool()
    if tool is None:
        return
    with _LOCK:
        _PENDING.add(scope)
        for code in _codes(scope) - _INSTRUMENTED:
            _INSTRUMENTED.add(code)
            sys.monitoring.set_local_events(tool, code, sys.monitoring.events.INSTRUCTION)
    if not scope.thread:  # left meanwhile
        _forget(scope)


@uninterrupted
def _forget(scope: Scope) -> None:
    """`scope` has raised, or is left."""
    with _LOCK:
        _PENDING.discard(scope)
        if not _PENDING and _TOOL is not None:
            for code in _INSTRUMENTED:
                sys.monitoring.set_local_events(_TOOL, code, 0)
            _INSTRUMENTED.clear()


def _codes(scope: Scope) -> set[CodeType]:
    """The functions of the user's that `scope`'s thread is in, or will come to."""
    function = getattr(scope.fn, "__func__", scope.fn)
    codes = {function.__code__} if isinstance(function, FunctionType) else set()
    frame = sys._current_frames().get(scope.thread)  # noqa: SLF001 - documented, for such purposes
    while frame is not None:
        codes.add(frame.f_code)
        frame = frame.f_back
    return {code for code in codes if is_users(code)}


def is_users(code: CodeType) -> bool:
    """True for code that is neither ours nor the standard library's."""
    name = code.co_filename
    return not name.startswith(_OURS) and (not name.startswith(_STANDARD) or any(part in name for part in _PACKAGES))


_TOOL: int | None = None


def _tool() -> int | None:
    """Our place among the tools that instrument code; None where others have taken all."""
    global _TOOL  # noqa: PLW0603 - the interpreter's registry is global as well
    with _LOCK:
        if _TOOL is None:
            for tool in (4, 3):
                if sys.monitoring.get_tool(tool) is None:
                    sys.monitoring.use_tool_id(tool, "mintaka")
                    # By instruction: with events of lines and jumps, CPython 3.13 passes over `finally` blocks.
                    sys.monitoring.register_callback(tool, sys.monitoring.events.INSTRUCTION, _raise_here)
                    _TOOL = tool
                    break
            else:
                logging.getLogger("mintaka").warning(
                    "two other tools instrument this process: running tasks cannot be stopped from outside"
                )
    return _TOOL


def _raise_here(code: CodeType, offset: int) -> None:
    """Called in every thread that runs an instrumented function: raise where this thread is to end.

    Not in the middle of cleaning up: a `finally` or `except` block is left alone.
    """
    scope = _LOCAL.scope
    if scope is None:
        return
    if scope not in _PENDING:
        return
    error = _error_of(scope)
    if error is None or sys.exception() is not scope.handled or code.co_code[offset] == _HANDLER:
        return
    frame: FrameType | None = sys._getframe(1)  # noqa: SLF001 - documented, for such purposes
    if not in_bookkeeping(frame):
        _forget(scope)
        raise error


#: The instruction that `except` and `finally` blocks begin with.
_HANDLER = opmap["PUSH_EXC_INFO"]
