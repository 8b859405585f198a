"""Which run a value came from: edges between tasks that hand over plain results instead of futures.

A value is known by its identity, and only where that is honest: a mutable object that a task returned is that task's
result, and so are the objects in a list, tuple, set or dict that it returned. A number or text in such a collection is known
where it cannot well be another one: Python shares small integers and words, and the literals of a module, so those leave no
trace, and neither does a number or text that a task returned by itself.

Identity needs the object alive. Where it can be referenced weakly it is; a list, dict or set cannot be, and is held
until nobody else holds it any more, which is looked at every few results, so that hardly more stays in memory than
without us. What is in a collection is looked at once, when the first value comes whose origin is not known.
"""

from __future__ import annotations

import sys
import weakref
from contextlib import suppress
from itertools import islice
from types import BuiltinFunctionType, FunctionType, MethodType, ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

#: Nothing to be learned from the identity of these, and nothing to be found inside.
SCALARS: frozenset[type] = frozenset({
    int, float, complex, bool, str, bytes, type(None), type(Ellipsis), type(NotImplemented), range, tuple, frozenset,
    type, FunctionType, BuiltinFunctionType, MethodType, ModuleType,
})  # fmt: skip

#: What is known only as a part of a collection.
_CONSTANTS = frozenset({int, float, complex, str, bytes})
_COLLECTIONS = frozenset({list, dict, set})
_SHARED_INTEGERS = range(-5, 257)
#: Of a collection with more elements, so many are known.
_PARTS_LIMIT = 10_000

_SLACK = 8
#: The references that we ourselves hold while counting: the table's, the loop's, the count's argument.
_OUR_REFERENCES = 3


class Lineage:
    """The results of a flow run by identity."""

    __slots__ = ("_held", "_literals", "_parts", "_sweep_at", "_unseen", "_weak", "constants")

    def __init__(self) -> None:
        self._weak: dict[int, tuple[weakref.ref[Any], int]] = {}
        self._held: dict[int, tuple[Any, int]] = {}
        self._sweep_at = _SLACK
        #: What is in collections, by identity, with the collection that keeps it alive; collections not looked into yet.
        self._parts: dict[int, tuple[Any, int, int]] = {}
        self._unseen: list[int] = []
        self._literals: set[int] = set()
        #: True where some collection may hold numbers or texts whose origin is worth asking for.
        self.constants = False

    def disregard(self, fn: Callable[..., Any]) -> None:
        """The literals in `fn`, a flow's function, come from nowhere else."""
        code = getattr(fn, "__code__", None)
        if code is not None:
            self._literals.update(map(id, code.co_consts))

    def remember(self, value: Any, n: int) -> None:
        """`value` is the result of run `n`."""
        kind = type(value)
        if kind is tuple:
            for part in value[:_PARTS_LIMIT]:
                self.remember(part, n)
            return
        if kind in SCALARS:
            return
        key = id(value)
        if kind in _COLLECTIONS:
            self._hold(value, key, n)
            return
        try:
            self._weak[key] = (weakref.ref(value, self._forgetting(key)), n)
        except TypeError:
            self._hold(value, key, n)

    def _hold(self, value: Any, key: int, n: int) -> None:
        self._held[key] = (value, n)
        if len(self._held) >= self._sweep_at:
            self._sweep()
        if value and type(value) in _COLLECTIONS:
            self._unseen.append(key)
            first = next(iter(value.values() if type(value) is dict else value))
            self.constants = self.constants or type(first) in _CONSTANTS

    def origin(self, value: Any) -> int | None:
        """The run that `value` is the result of, or None where that is not known."""
        key = id(value)
        if held := self._held.get(key):
            return held[1] if held[0] is value else None
        if weak := self._weak.get(key):
            return weak[1] if weak[0]() is value else None
        return self._origin_as_part(value, key)

    def origin_of_constant(self, value: Any) -> int | None:
        """The run in whose collection this number or text was; None where it is none, or may be another one."""
        return self._origin_as_part(value, id(value)) if type(value) in _CONSTANTS else None

    def _origin_as_part(self, value: Any, key: int) -> int | None:
        while self._unseen:
            with suppress(IndexError):  # another thread took the last one
                self._look_into(self._unseen.pop())
        part = self._parts.get(key)
        return part[1] if part is not None and part[0] is value and part[2] in self._held else None

    def _look_into(self, container: int) -> None:
        """Note what is in a collection that is still there."""
        if (held := self._held.get(container)) is None:
            return
        collection, n = held
        parts = collection.values() if type(collection) is dict else collection
        for part in tuple(islice(parts, _PARTS_LIMIT)):
            kind = type(part)
            if kind not in SCALARS or (kind in _CONSTANTS and self._is_its_own(part)):
                self._parts[id(part)] = part, n, container

    def _is_its_own(self, value: Any) -> bool:
        """True where this number or text is hardly the same object as an equal one from elsewhere."""
        if id(value) in self._literals:
            return False
        if type(value) is int:
            return value not in _SHARED_INTEGERS
        if type(value) is str:
            return len(value) > 1 and not value.isidentifier()
        return type(value) is not bytes or len(value) > 1

    def _forgetting(self, key: int) -> Callable[[object], object]:
        weak = self._weak
        return lambda _: weak.pop(key, None)

    def _sweep(self) -> None:
        """Let go of what nobody else holds; by what is left, the next sweep is due so that sweeping stays cheap."""
        gone = False
        for key in tuple(self._held):
            entry = self._held.get(key)
            if entry is not None:
                value = entry[0]
                del entry
                if sys.getrefcount(value) <= _OUR_REFERENCES:
                    self._held.pop(key, None)
                    gone = True
                del value
        if gone and self._parts:
            self._parts = {key: part for key, part in tuple(self._parts.items()) if part[2] in self._held}
        self._unseen = [key for key in tuple(self._unseen) if key in self._held]
        self._sweep_at = len(self._held) * 5 // 4 + _SLACK
