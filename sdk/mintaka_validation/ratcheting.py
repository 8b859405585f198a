"""The values before an update. A value that did not change may stay although it is no longer valid (CRD ratcheting).

So a schema can become stricter without making objects that were valid before impossible to change.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Self

if TYPE_CHECKING:
    from mintaka_validation.schema import Node

_NONE: Final = object()


class Before:
    """The old value of a place. Places that cannot be matched with an old one, as in lists without keys, have none.

    `value` is None if there is none. What is below a place without an old value has none either.
    """

    __slots__ = ("_counterparts", "_matched", "value")

    def __init__(self, old: Any, counterparts: tuple[Any, Any] | None = None) -> None:
        """`counterparts` are the old and new value of the nearest place around this one that could be matched."""
        self._matched = old is not _NONE
        self.value = old if self._matched else None
        self._counterparts = counterparts

    @classmethod
    def nothing(cls) -> Self:
        """For a document that is new."""
        return cls(_NONE)

    def unchanged(self, value: Any) -> bool:
        """Whether `value`, the new one, is the old one; for a place without an old value, whether all around it is unchanged."""
        if self._matched:
            return same(self.value, value)
        return self._counterparts is not None and same(*self._counterparts)

    @property
    def is_matched(self) -> bool:
        """Whether there is an old value; it may be null."""
        return self._matched

    def key(self, name: str, around: dict[str, Any]) -> Before:
        """The old value of a member of this place, whose new value is `around`."""
        if not self._matched:
            return self
        old = self.value.get(name, _NONE) if isinstance(self.value, dict) else _NONE
        return Before(old, (self.value, around))

    def item(self, node: Node, index: int, around: list[Any]) -> Before:
        """The old value of an item of this place: the one with the same keys, in lists whose items have keys."""
        if not self._matched:
            return self
        return Before(_item(self.value, node.map_keys, around[index]), (self.value, around))


def _item(old: Any, keys: tuple[str, ...], new: Any) -> Any:
    if not keys or not isinstance(old, list) or not isinstance(new, dict):
        return _NONE
    wanted = [new.get(key) for key in keys]
    return next((item for item in old if isinstance(item, dict) and [item.get(key) for key in keys] == wanted), _NONE)


def same(one: Any, other: Any) -> bool:
    """Whether two JSON values are equal; for Python, True is 1 as well."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(value, other[key]) for key, value in one.items())
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other) and isinstance(one, bool) == isinstance(other, bool)
