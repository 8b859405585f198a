"""An upper bound of what evaluating an expression costs, from its syntax tree and the sizes of the values.

The runtime bounds the iterations of an expression, but not the size of what it builds: `[s].map(a, a + a).map(b, b + b)` doubles a
text at every step. As in the API server (cel-go, `checker/cost.go`), sizes are therefore bounded before anything is evaluated: a
call costs the size of what it reads and produces; what is in a macro costs that for each item.

The unit is a byte of text, or a member of a list or map, or a number.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

#: The runtime ends an evaluation after this many iterations of all its macros together.
ITERATIONS_LIMIT: Final = 10_000
#: The maximum nesting of macros; the time to compute the bound doubles with each level.
NESTING_LIMIT: Final = 6

#: Functions with results that are as large as their arguments together; those of functions that are not named here are small.
_AS_LARGE: Final = frozenset(
    {
        *("_+_", "_?_:_", "dyn", "bytes", "string", "optional.of", "optional.ofNonZeroValue", "or", "orValue", "value"),
        *("lowerAscii", "upperAscii", "trim", "substring", "charAt"),
    }
)
#: Functions that only find a part of their first argument.
_PARTS: Final = frozenset({"_[_]", "_[?_]", "_?._"})
#: A precision such as `%.1000f` produces at most this many bytes for one of the format's.
_FORMAT_FACTOR: Final = 1000
_SMALL: Final = 1


class Cost(NamedTuple):
    """The maximum size of a part's value, and the maximum cost of evaluating it."""

    size: int
    cost: int


class Expensive(Exception):
    """An expression whose cost cannot be bounded in a reasonable time."""


@dataclass(frozen=True, slots=True)
class Constant:
    """A number, text or other constant."""

    size: int

    def bound(self, sizes: Mapping[str, int], depth: int) -> Cost:
        """See `Cost`."""
        del sizes, depth
        return Cost(self.size, _SMALL)


@dataclass(frozen=True, slots=True)
class Name:
    """A variable."""

    name: str

    def bound(self, sizes: Mapping[str, int], depth: int) -> Cost:
        """See `Cost`. A name that is not a variable is a type."""
        del depth
        return Cost(sizes.get(self.name, _SMALL), _SMALL)


@dataclass(frozen=True, slots=True)
class Members:
    """A list or map that is written out."""

    members: tuple[Part, ...]

    def bound(self, sizes: Mapping[str, int], depth: int) -> Cost:
        """See `Cost`."""
        costs = [member.bound(sizes, depth) for member in self.members]
        return Cost(_SMALL + sum(each.size for each in costs), _SMALL + sum(each.cost for each in costs))


@dataclass(frozen=True, slots=True)
class Call:
    """A function or operator, or the selection of a field."""

    function: str
    arguments: tuple[Part, ...]

    def bound(self, sizes: Mapping[str, int], depth: int) -> Cost:
        """See `Cost`."""
        costs = [argument.bound(sizes, depth) for argument in self.arguments]
        given, spent = [each.size for each in costs], sum(each.cost for each in costs)
        if self.function in _PARTS:
            return Cost(given[0], spent + _SMALL)
        size, work = _SMALL, sum(given)
        match self.function:
            case name if name in _AS_LARGE:
                size = work
            case "split":
                size = 2 * given[0]
            case "replace":
                size = (given[0] + 1) * (given[2] + 1)
            case "join":
                size = given[0] * (sum(given[1:]) + 1)
            case "format":
                size = given[0] * _FORMAT_FACTOR + given[1]
            case "matches":
                work = given[0] * (given[1] + 1)
        return Cost(size, spent + work + size)


@dataclass(frozen=True, slots=True)
class Macro:
    """all, exists, exists_one, map, filter: a loop over a list or map that folds its items into a result."""

    item_names: tuple[str, ...]
    result_name: str
    items: Part
    start: Part
    step: Part
    result: Part

    def bound(self, sizes: Mapping[str, int], depth: int) -> Cost:
        """See `Cost`.

        Items share the size of their list. As no cost grows slower than the sizes that it depends on, that of all items is at
        most that of one which is as large as the list, and that of empty ones for the rest.
        """
        if depth == NESTING_LIMIT:
            raise Expensive
        items, start = self.items.bound(sizes, depth), self.start.bound(sizes, depth)
        count = min(items.size, ITERATIONS_LIMIT)
        around = {**sizes, self.result_name: 0}
        small = self.step.bound(around | dict.fromkeys(self.item_names, _SMALL), depth + 1)
        large = self.step.bound(around | dict.fromkeys(self.item_names, items.size), depth + 1)
        folded = start.size + count * small.size + large.size
        result = self.result.bound({**sizes, self.result_name: folded}, depth)
        return Cost(result.size, items.cost + start.cost + count * small.cost + large.cost + result.cost)


type Part = Constant | Name | Members | Call | Macro


def names_in(part: Part) -> frozenset[str]:
    """The names in an expression, those of its macros' items left out as far as they are used within them."""
    match part:
        case Name(name):
            return frozenset({name})
        case Members(parts) | Call(_, parts):
            return frozenset().union(*map(names_in, parts))
        case Macro():
            within = frozenset().union(*map(names_in, (part.step, part.result)))
            return names_in(part.items) | names_in(part.start) | (within - {*part.item_names, part.result_name})
    return frozenset()


def size_of(value: Any) -> int:
    """The size of a JSON value."""
    total, waiting = 0, [value]
    while waiting:
        current = waiting.pop()
        total += 1
        if isinstance(current, str | bytes):
            total += len(current)
        elif isinstance(current, dict):
            waiting += [*current, *current.values()]
        elif isinstance(current, list | tuple):
            waiting += current
    return total
