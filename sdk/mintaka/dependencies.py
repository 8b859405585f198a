"""What a call depends on: futures in its arguments and in `wait_for`, and results of other runs known by identity.

Futures are looked for in lists, tuples, sets, dicts and dataclasses, nested as they may be; inside `quote(...)` nothing
is looked at. Where there is none, the arguments pass through untouched, the same objects.
"""

from __future__ import annotations

from dataclasses import fields, is_dataclass, replace
from typing import TYPE_CHECKING, Any

from mintaka.annotations import Annotation, allow_failure, quote
from mintaka.futures import Future, FutureList
from mintaka.lineage import SCALARS
from mintaka.states import State

if TYPE_CHECKING:
    from collections.abc import Iterable

    from mintaka.lineage import Lineage

#: Types that hold nothing to look for; a tuple or frozenset may.
LEAVES = SCALARS - {tuple, frozenset}


class Dependencies:
    """The futures a call waits for and the runs its inputs came from.

    `needed` must complete; `tolerated` may end as they like (`allow_failure`). `upstream` are the runs' numbers.
    `replaced` says that the arguments hold something that has to be put in its place before the call.
    """

    __slots__ = ("lineage", "needed", "replaced", "tolerated", "upstream")

    def __init__(self, lineage: Lineage | None) -> None:
        self.lineage = lineage
        self.needed: dict[Future[Any], None] = {}
        self.tolerated: dict[Future[Any], None] = {}
        self.upstream: dict[int, None] = {}
        self.replaced = False

    def find(self, value: Any, *, tolerant: bool = False) -> None:
        """Note everything in `value` that is a dependency."""
        kind = type(value)
        if kind in LEAVES:
            return
        if kind is Future:
            self._future(value, tolerant=tolerant)
        elif kind is State:
            self.replaced = True
        elif isinstance(value, Annotation):
            self.replaced = True
            if kind is not quote:
                self.find(value.value, tolerant=tolerant or kind is allow_failure)
        else:
            if self.lineage is not None and (origin := self.lineage.origin(value)) is not None:
                self.upstream[origin] = None
            self._find_inside(value, kind, tolerant=tolerant)

    def _future(self, future: Future[Any], *, tolerant: bool) -> None:
        self.replaced = True
        self.upstream[future.run.n] = None
        (self.tolerated if tolerant else self.needed)[future] = None

    def _find_inside(self, value: Any, kind: type, *, tolerant: bool) -> None:
        parts: Iterable[Any]
        if kind is dict:
            parts = value.values()
        elif issubclass(kind, (list, tuple, set, frozenset)):
            parts = value
        elif is_dataclass(value):
            parts = (getattr(value, part.name, None) for part in fields(value))
        else:
            return
        if kind in (list, tuple, set, frozenset, dict) and LEAVES.issuperset(map(type, parts)):
            return
        for part in parts:
            self.find(part, tolerant=tolerant)

    @property
    def futures(self) -> tuple[Future[Any], ...]:
        """Every future to wait for."""
        return (*self.needed, *self.tolerated)


def resolved(value: Any) -> Any:
    """`value` with each future in it replaced by its result (tolerated ones that failed: by their exception)."""
    kind = type(value)
    if kind in LEAVES:
        return value
    if kind is Future:
        return value.outcome.result(raise_on_failure=False)
    if kind is State:
        return value.result(raise_on_failure=False)
    if kind is quote:
        return value.value
    if isinstance(value, Annotation):
        return resolved(value.value)
    return _resolved_inside(value, kind)


def _resolved_inside(value: Any, kind: type) -> Any:
    """The same container where nothing in it changes, else a new one of its kind."""
    if kind is dict:
        parts = {key: resolved(part) for key, part in value.items()}
        return value if all(parts[key] is value[key] for key in parts) else parts
    if kind is FutureList:
        return [resolved(part) for part in value]
    if kind in (list, tuple, set, frozenset) or (issubclass(kind, tuple) and hasattr(kind, "_fields")):
        if LEAVES.issuperset(map(type, value)):
            return value
        items = [resolved(part) for part in value]
        if all(new is old for new, old in zip(items, value, strict=True)):
            return value
        return kind(*items) if hasattr(kind, "_fields") else kind(items)
    if is_dataclass(value) and not isinstance(value, type):
        changed = {
            part.name: new
            for part in fields(value)
            if part.init and (new := resolved(getattr(value, part.name))) is not getattr(value, part.name)
        }
        return replace(value, **changed) if changed else value
    return value
