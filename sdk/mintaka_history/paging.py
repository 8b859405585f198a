"""Keyset pagination of ordered lists: a page is the items after a key, however far into the list that is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Page:
    """The requested part of an ordered list: at most `limit` items after the key `after` (None: from the start)."""

    limit: int
    descending: bool
    after: tuple[Any, ...] | None = None


@dataclass(frozen=True, slots=True)
class Part[T]:
    """Some items in order, and the key of the last one if more may follow (None: that was all)."""

    items: list[T]
    last: tuple[Any, ...] | None
