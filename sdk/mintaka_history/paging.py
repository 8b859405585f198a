"""Keyset pagination of ordered lists: a page is the items after a key, however far into the list that is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple


@dataclass(frozen=True, slots=True)
class Page:
    """The requested part of an ordered list: at most `limit` items after the key `after` (None: from the start).

    `backwards` means those before the key instead (None: the last ones). The items are in the list's order all the same.
    """

    limit: int
    descending: bool
    after: tuple[Any, ...] | None = None
    backwards: bool = False

    @property
    def walks_down(self) -> bool:
        """True if the index is read from its end."""
        return self.descending != self.backwards


class Ends(NamedTuple):
    """The keys of the first and last item of a part; None if nothing precedes or follows it."""

    first: tuple[Any, ...] | None = None
    last: tuple[Any, ...] | None = None


@dataclass(frozen=True, slots=True)
class Part[T]:
    """Some items in order; `last` is the key of the last one if more may follow, `first` that of the first one if some may precede it.

    `partial` means that the search for items stopped early: it continues from the key in its direction.
    """

    items: list[T]
    last: tuple[Any, ...] | None
    first: tuple[Any, ...] | None = None
    partial: bool = False
