"""The arguments of a submitted call as they are at that moment, whatever its caller does with them before the call begins.

Lists, dicts, sets, deques, bytearrays, dataclasses and pydantic models are copied, nested as they may be and also where they
contain themselves; their elements, if they are anything else, are the same objects. What is in `quote(...)`, and any
other object, is passed as it is: whether it can be copied, and what that would mean, only its class knows.

Copies are made first, with the elements of the original, so that each can stand in any other; then elements that are
containers are replaced by their copies. Nothing here is recursive: arguments may be nested deeper than Python's stack.
"""

from __future__ import annotations

from collections import deque
from copy import copy
from dataclasses import fields, is_dataclass
from typing import TYPE_CHECKING, Any

from mintaka.annotations import Annotation
from mintaka.calling.dependencies import LEAVES, Dependencies

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from mintaka.calling.dependencies import Place

_PLAIN = frozenset({list, dict, set})
_IMMUTABLE = (tuple, frozenset, Annotation)


class Snapshot:
    """What calls were given: one call, or those of one `.map()`, for which what they share is looked through and copied once."""

    def __init__(self) -> None:
        #: Copies, by the identity of their originals, which `_shared` and the call itself hold.
        self._copies: dict[int, Any] = {}
        self._shared: dict[tuple[Place, int], tuple[Any, Dependencies]] = {}

    def of(self, args: tuple[Any, ...], kwargs: dict[str, Any], found: Dependencies) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """The arguments as they are now; what they depend on is noted in `found`."""
        given: list[tuple[Place, Any]] = [*enumerate(args), *kwargs.items()]
        for place, value in given:
            if type(value) in LEAVES:
                found.find_argument(place, value)
                continue
            if (place, id(value)) not in self._shared:
                own = Dependencies(found.lineage)
                own.find_argument(place, value)
                self._copy_all(own)
                self._shared[place, id(value)] = value, own
            found.take_over(self._shared[place, id(value)][1])
        return tuple(self._put(value) for value in args), {name: self._put(value) for name, value in kwargs.items()}

    def _copy_all(self, found: Dependencies) -> None:
        copies = self._copies
        for value in found.flat:
            copies[id(value)] = _copy(value)
        for value in found.nested:
            copies[id(value)] = _copy(value)
        immutable = [value for value in reversed(found.nested) if isinstance(value, _IMMUTABLE)]  # parts before what they are in
        while sum(self._rebuilds(value) for value in immutable):  # again only where one is in several others
            pass
        for value in found.nested:
            if not isinstance(value, _IMMUTABLE):
                _replace_parts(copies[id(value)], self._put)
        for value, origin in found.origins:
            if found.lineage is not None and (copied := self._put(value)) is not value:
                found.lineage.remember(copied, origin)

    def _rebuilds(self, value: Any) -> bool:
        """Make an immutable container anew with the copies of its parts; False where that changes nothing."""
        parts = [self._put(part) for part in _parts(value)]
        if all(new is old for new, old in zip(parts, _parts(self._put(value)), strict=True)):
            return False
        kind = type(value)
        whole = kind(*parts) if isinstance(value, Annotation) or hasattr(kind, "_fields") else kind(parts)
        self._copies[id(value)] = whole
        return True

    def _put(self, value: Any) -> Any:
        """What stands for `value` in the snapshot."""
        return self._copies.get(id(value), value)


def _copy(value: Any) -> Any:
    """A copy with the same elements; the object itself where there is nothing to change, or its class refuses."""
    kind = type(value)
    if kind in _PLAIN:
        return value.copy()
    if isinstance(value, _IMMUTABLE):
        return value
    try:
        return copy(value)
    except Exception:  # noqa: BLE001 - a class of the user's, which is then passed as any other object
        return value


def _parts(value: Any) -> list[Any]:
    """What is in an immutable container."""
    return [value.value] if isinstance(value, Annotation) else list(value)


def _replace_parts(copied: Any, put: Callable[[Any], Any]) -> None:
    """Put copies in the place of the originals in a container that is a copy itself."""
    if isinstance(copied, (list, deque)):
        for index, part in enumerate(copied):
            copied[index] = put(part)
    elif isinstance(copied, dict):
        for key, part in copied.items():
            copied[key] = put(part)
    elif not isinstance(copied, set):  # what is in a set has a hash, so it is none of what is copied
        for name in _names(copied):
            part = getattr(copied, name, None)
            if (new := put(part)) is not part:
                object.__setattr__(copied, name, new)  # also where the class is frozen


def _names(value: Any) -> Iterable[str]:
    return [part.name for part in fields(value)] if is_dataclass(value) else list(vars(value))
