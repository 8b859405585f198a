"""What a call depends on: futures in its arguments and in `wait_for`, and results of other runs known by identity.

Futures are looked for in lists, tuples, sets, dicts, dataclasses and pydantic models, nested as they may be; inside `quote(...)` nothing
is looked at. Where there is none, the arguments of a call pass through untouched, the same objects; what is submitted gets a
snapshot of them (`mintaka.calling.snapshots`).
"""

from __future__ import annotations

from collections import deque
from copy import copy
from dataclasses import fields, is_dataclass, replace
from typing import TYPE_CHECKING, Any

from mintaka.annotations import Annotation, allow_failure, opaque, quote
from mintaka.calling.lineage import SCALARS
from mintaka.futures import Future, FutureList
from mintaka.states import State

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from mintaka.calling.lineage import Lineage

#: Types that hold nothing to look for; a tuple or frozenset may.
LEAVES = SCALARS - {tuple, frozenset}
#: Types with parts or bytes in them, which are not found by their fields.
CONTAINERS = (dict, list, tuple, set, frozenset, deque, bytearray)
#: The place of what is waited for and not passed: no parameter may be called so.
WAIT_FOR = "wait_for"

#: Where something stands in a call: at this position, or under this keyword.
type Place = int | str
#: At which place the result of which run (its number) came in.
type Edge = tuple[Place, int]


class Dependencies:
    """The futures a call waits for and the runs its inputs came from.

    `needed` must complete; `tolerated` may end as they like (`allow_failure`). `edges` are the places of arguments (a position, a
    keyword, or `wait_for`) with the numbers of the runs that came in there. `replaced` says that the arguments hold something that has to be put in its place before the call.
    """

    __slots__ = ("_place", "edges", "flat", "lineage", "needed", "nested", "origins", "replaced", "tolerated")

    def __init__(self, lineage: Lineage | None) -> None:
        self.lineage = lineage
        self.needed: dict[Future[Any], None] = {}
        self.tolerated: dict[Future[Any], None] = {}
        self.edges: dict[Edge, None] = {}
        self.replaced = False
        #: Containers that hold nothing but leaves, and others; those that are known to be of a run, with its number.
        self.flat: list[Any] = []
        self.nested: list[Any] = []
        self.origins: list[tuple[Any, int]] = []
        self._place: Place = WAIT_FOR

    def find_arguments(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Note everything in the arguments of a call that is a dependency."""
        for self._place, value in enumerate(args):
            self.find(value)
        for self._place, value in kwargs.items():
            self.find(value)

    def find_argument(self, place: Place, value: Any) -> None:
        """Note everything in one argument of a call that is a dependency."""
        self._place = place
        self.find(value)

    def take_over(self, other: Dependencies) -> None:
        """Note what another one has found."""
        for mine, others in ((self.needed, other.needed), (self.tolerated, other.tolerated)):
            mine.update(others)
        self.edges.update(other.edges)
        self.replaced = self.replaced or other.replaced

    def find_waits(self, wait_for: Any) -> None:
        """Note what a call waits for without getting its result."""
        self._place = WAIT_FOR
        self.find(wait_for)

    def find(self, value: Any, *, tolerant: bool = False) -> None:
        """Note everything in `value` that is a dependency; how deep it is nested, and whether in a circle, does not matter."""
        parts = self._found(value, tolerant=tolerant)
        if parts is None:
            return
        seen, levels = {id(value): value}, [iter(parts)]
        while levels:
            for part in levels[-1]:
                if type(part) not in LEAVES and id(part) in seen:
                    continue
                parts = self._found(part, tolerant=tolerant)
                if parts is not None:
                    seen[id(part)] = part
                    levels.append(iter(parts))
                    break
            else:
                levels.pop()

    def _found(self, value: Any, *, tolerant: bool) -> Iterable[Any] | None:
        """Note what `value` itself is; the parts in which to look on, None where it has none."""
        kind = type(value)
        if kind in LEAVES:
            if self.lineage is not None and self.lineage.constants and (origin := self.lineage.origin_of_constant(value)) is not None:
                self.edges[self._place, origin] = None
            return None
        if kind is Future:
            self._future(value, tolerant=tolerant)
        elif kind is State:
            self.replaced = True
        elif isinstance(value, Annotation):
            self._annotated(value, kind, tolerant=tolerant)
        else:
            return self._container(value, kind)
        return None

    def _annotated(self, value: Annotation, kind: type, *, tolerant: bool) -> None:
        self.replaced = True
        if kind is quote:
            return
        self.nested.append(value)
        if kind is not opaque or isinstance(value.value, (Future, State)):
            self.find(value.value, tolerant=tolerant or kind is allow_failure)

    def _container(self, value: Any, kind: type) -> Iterable[Any] | None:
        if self.lineage is not None and (origin := self.lineage.origin(value)) is not None:
            self.edges[self._place, origin] = None
            self.origins.append((value, origin))
        parts = parts_of(value, kind)
        if parts is not None:
            self.nested.append(value)
        elif issubclass(kind, CONTAINERS):
            self.flat.append(value)
        return parts

    def _future(self, future: Future[Any], *, tolerant: bool) -> None:
        self.replaced = True
        self.edges[self._place, future.run.n] = None
        (self.tolerated if tolerant else self.needed)[future] = None

    @property
    def futures(self) -> tuple[Future[Any], ...]:
        """Every future to wait for."""
        return (*self.needed, *self.tolerated)


def parts_of(value: Any, kind: type) -> Iterable[Any] | None:
    """What is in a container that may hold dependencies; None where it cannot, or `value` is no container."""
    parts: Iterable[Any]
    if issubclass(kind, dict):
        parts = value.values()
    elif issubclass(kind, (list, tuple, set, frozenset)):
        parts = value
    elif is_dataclass(value) and kind is not type:
        return (getattr(value, part.name, None) for part in fields(value))
    elif hasattr(kind, "__pydantic_fields__"):
        parts = vars(value).values()
    else:
        return None
    return None if kind in (list, tuple, set, frozenset, dict) and LEAVES.issuperset(map(type, parts)) else parts


def _as_argument(passed: Future[Any] | State[Any]) -> Any:
    """What a body gets for it: the result, or the exception of one that failed and was tolerated."""
    outcome = passed.outcome if isinstance(passed, Future) else passed
    return outcome.result(raise_on_failure=False)


def resolved(value: Any, put: Callable[[Any], Any] = _as_argument, known: dict[int, Any] | None = None) -> Any:
    """`value` with `put(it)` in the place of each future and state in it; new containers only where something changes.

    `known` has what became of each container that was met, by its identity: one that stands in itself stays there as it was.
    """
    kind = type(value)
    if kind in LEAVES:
        return value
    if kind is Future or kind is State:
        return put(value)
    if kind is quote or (kind is opaque and not isinstance(value.value, (Future, State))):
        return value.value
    if isinstance(value, Annotation):
        return resolved(value.value, put, known)
    known = {} if known is None else known
    if id(value) not in known:
        known[id(value)] = value
        known[id(value)] = _resolved_inside(value, kind, put, known)
    return known[id(value)]


def _resolved_inside(value: Any, kind: type, put: Callable[[Any], Any], known: dict[int, Any]) -> Any:
    """The same container where nothing in it changes, else a new one of its kind."""
    if issubclass(kind, dict):
        changed = {key: new for key, part in value.items() if (new := resolved(part, put, known)) is not part}
        return _updated(value, changed) if changed else value
    if kind is FutureList:
        return [resolved(part, put, known) for part in value]
    if issubclass(kind, (list, tuple, set, frozenset)):
        if LEAVES.issuperset(map(type, value)):
            return value
        items = [resolved(part, put, known) for part in value]
        if all(new is old for new, old in zip(items, value, strict=True)):
            return value
        return _refilled(value, kind, items)
    if is_dataclass(value) and kind is not type:
        given = {part.name: getattr(value, part.name, None) for part in fields(value) if part.init}
        changed = {name: new for name, part in given.items() if (new := resolved(part, put, known)) is not part}
        return replace(value, **changed) if changed else value  # type: ignore[type-var]
    if hasattr(kind, "__pydantic_fields__"):
        changed = {name: new for name, part in vars(value).items() if (new := resolved(part, put, known)) is not part}
        return value.model_copy(update=changed) if changed else value
    return value


def _refilled(value: Any, kind: Any, items: list[Any]) -> Any:
    """A container like `value` with `items` in it; a list or set of the user's own keeps what else it holds."""
    if hasattr(kind, "_fields"):
        return kind(*items)
    if kind in (list, tuple, set, frozenset) or not issubclass(kind, (list, set)):
        return kind(items)
    new = copy(value)
    new.clear()
    (new.extend if issubclass(kind, list) else new.update)(items)
    return new


def _updated(value: dict[Any, Any], changed: dict[Any, Any]) -> dict[Any, Any]:
    new = copy(value)  # keeps the class, be it a defaultdict
    new.update(changed)
    return new
