"""Which run a value came from: edges between tasks that hand over plain results instead of futures.

A value is known by its identity, and only where that is honest: a mutable object that a task returned is that task's
result; a number, a string or a tuple of constants may be the same object in many places, so those leave no trace.
Identity needs the object alive. Where it can be referenced weakly it is; a list, dict or set cannot be, and is held
until nobody else holds it any more, which is looked at every few results, so that hardly more stays in memory than
without us.
"""

from __future__ import annotations

import sys
import weakref
from types import BuiltinFunctionType, FunctionType, MethodType, ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

#: Nothing to be learned from the identity of these, and nothing to be found inside.
SCALARS: frozenset[type] = frozenset({
    int, float, complex, bool, str, bytes, type(None), type(Ellipsis), type(NotImplemented), range, tuple, frozenset,
    type, FunctionType, BuiltinFunctionType, MethodType, ModuleType,
})  # fmt: skip

_SLACK = 8
#: The references that we ourselves hold while counting: the table's, the loop's, the count's argument.
_OUR_REFERENCES = 3


class Lineage:
    """The results of a flow run by identity."""

    __slots__ = ("_held", "_sweep_at", "_weak")

    def __init__(self) -> None:
        self._weak: dict[int, tuple[weakref.ref[Any], int]] = {}
        self._held: dict[int, tuple[Any, int]] = {}
        self._sweep_at = _SLACK

    def remember(self, value: Any, n: int) -> None:
        """`value` is the result of run `n`."""
        if type(value) in SCALARS:
            return
        key = id(value)
        try:
            reference = weakref.ref(value, self._forgetting(key))
        except TypeError:
            self._held[key] = (value, n)
            if len(self._held) >= self._sweep_at:
                self._sweep()
        else:
            self._weak[key] = (reference, n)

    def origin(self, value: Any) -> int | None:
        """The run that `value` is the result of, or None where that is not known."""
        key = id(value)
        if held := self._held.get(key):
            return held[1] if held[0] is value else None
        if weak := self._weak.get(key):
            return weak[1] if weak[0]() is value else None
        return None

    def _forgetting(self, key: int) -> Callable[[object], object]:
        weak = self._weak
        return lambda _: weak.pop(key, None)

    def _sweep(self) -> None:
        """Let go of what nobody else holds; by what is left, the next sweep is due so that sweeping stays cheap."""
        for key in tuple(self._held):
            entry = self._held.get(key)
            if entry is not None:
                value = entry[0]
                del entry
                if sys.getrefcount(value) <= _OUR_REFERENCES:
                    self._held.pop(key, None)
                del value
        self._sweep_at = len(self._held) * 5 // 4 + _SLACK
