"""Calls of async tasks and flows: coroutines, which do nothing until they are awaited.

A coroutine that is never awaited is work that silently is not done. So each run records the coroutines that its code made by calling
async tasks and flows, until they are over. When its body has returned, those that are part of its value are awaited and replaced
by their results; if any other is left, the run fails, and the message names the call.
"""

from __future__ import annotations

import sys
from collections import deque
from inspect import CO_ASYNC_GENERATOR, CO_COROUTINE
from types import CoroutineType
from typing import TYPE_CHECKING, Any

from mintaka.calling.dual_functions import PendingCall
from mintaka.context import CURRENT
from mintaka.engine.blocking_waits import may_suspend, suspend
from mintaka.engine.loops import loop_is_running, run_coroutine
from mintaka.exceptions import NotAwaited

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from types import CodeType

    from mintaka.calling.bodies import Decorated
    from mintaka.context import RunContext


_ASYNC = CO_COROUTINE | CO_ASYNC_GENERATOR
_COROUTINES = (CoroutineType, PendingCall)


class AsyncCall:
    """A call of `definition`, which is a `kind` ("task" or "flow"), at a line of the user's; `coroutine` is what it gave."""

    __slots__ = ("_calls", "begun", "code", "coroutine", "definition", "kind", "line")

    def __init__(self, definition: Decorated, kind: str, context: RunContext, depth: int) -> None:
        frame = sys._getframe(depth)  # noqa: SLF001 - documented, for such purposes
        self.definition = definition
        self.kind = kind
        self.code: CodeType = frame.f_code
        self.line = frame.f_lineno
        self.begun = False
        self.coroutine: Coroutine[Any, Any, Any] | None = None
        if context.calls is None:
            context.calls = {}
        self._calls = context.calls
        self._calls[self] = None

    def over(self) -> None:
        """The coroutine ran to its end."""
        self._calls.pop(self, None)

    def __str__(self) -> str:
        called = f'{self.kind} {self.definition.name}, called in File "{self.code.co_filename}", line {self.line}, in {self.code.co_name},'
        if self.begun:
            return f"{called} was not over and nobody awaited it: await what runs it, or cancel it"
        name = self.definition.own_name
        if self.code.co_flags & _ASYNC:
            return f"{called} was never awaited, so it did not run: write `await {name}(…)`"
        return f"{called} was never awaited, so it did not run: {self.code.co_name} is not async, so return it, or call it in an async function"


def noted(definition: Decorated, kind: str, depth: int) -> AsyncCall | None:
    """Note that code of a run calls `definition`; None outside of runs. `depth` is that of the frame of the call above the caller's."""
    context = CURRENT.get()
    return None if context is None else AsyncCall(definition, kind, context, depth + 2)


def completed(context: RunContext, value: Any) -> Any:
    """The value of a body that blocks, with results in place of the coroutines in it.

    Raises:
        NotAwaited: a coroutine that its code made is not in it, and is not over.
    """
    if context.calls is None and not context.pending_calls and type(value) is not CoroutineType:
        return value
    coroutines = _coroutines_in(value, context)
    if coroutines:
        if not loop_is_running():
            value = run_coroutine(_awaited(value, coroutines))
        elif may_suspend():
            value = suspend(lambda: _awaited(value, coroutines))
        else:
            message = "a coroutine was returned by code that runs in an event loop, which cannot await it: make it an async function"
            raise NotAwaited(message)
    _check(context)
    return value


async def completed_async(context: RunContext, value: Any) -> Any:
    """The value of a coroutine function's body; see `completed`."""
    if not context.calls and not context.pending_calls and type(value) is not CoroutineType:
        return value
    coroutines = _coroutines_in(value, context)
    if coroutines:
        value = await _awaited(value, coroutines)
    if context.calls:
        import asyncio  # noqa: PLC0415 - start-up time

        await asyncio.sleep(0)  # what was just given to asyncio.create_task begins
        _check(context)
    return value


def close_calls(context: RunContext) -> None:
    """The body did not return: what it left is not worth a word."""
    for call in tuple(context.calls or ()):
        _close(call)


def _check(context: RunContext) -> None:
    left = tuple(context.calls or ())
    if left:
        for call in left:
            _close(call)
        raise NotAwaited("; ".join(map(str, left)))


def _close(call: AsyncCall) -> None:
    call.over()
    if not call.begun and call.coroutine is not None:
        call.coroutine.close()


def _coroutines_in(value: Any, context: RunContext) -> list[Coroutine[Any, Any, Any]]:
    """The coroutines in a value; in collections, only where the run's code has called something async."""
    if type(value) in _COROUTINES:
        return [value]
    if not context.calls and not context.pending_calls:
        return []
    return [part for part in _parts_in(value) if type(part) in _COROUTINES]


def _parts_in(value: Any) -> list[Any]:
    found, seen, left = [], set(), deque([value])
    while left:
        part = left.popleft()
        if id(part) in seen:
            continue
        seen.add(id(part))
        if type(part) is dict:
            left.extend(part.values())
        elif type(part) in (list, tuple, set, frozenset):
            left.extend(part)
        else:
            found.append(part)
    return found


async def _awaited(value: Any, coroutines: list[Coroutine[Any, Any, Any]]) -> Any:
    """`value` with results in place of `coroutines`, all of which run at once."""
    import asyncio  # noqa: PLC0415 - start-up time

    results = await asyncio.gather(*coroutines)
    return _replaced(value, {id(coroutine): result for coroutine, result in zip(coroutines, results, strict=True)})


def _replaced(value: Any, results: dict[int, Any]) -> Any:
    kind = type(value)
    if kind in _COROUTINES:
        return results.get(id(value), value)
    if kind is dict:
        return {key: _replaced(part, results) for key, part in value.items()}
    return kind(_replaced(part, results) for part in value) if kind in (list, tuple, set, frozenset) else value
