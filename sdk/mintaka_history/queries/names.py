"""Frequently repeated names as small integers, cached by this process.

Ids are assigned in a transaction of their own before the rows that use them are written: cached ids are therefore always
committed, and two writers cannot deadlock on each other's new names. All caches are cleared every hour, so that unused names
can be deleted (`maintenance.unused_names`); rows are written only with ids that were assigned, not with those that were read.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sqlalchemy import select

from mintaka_history.queries import pages
from mintaka_history.queries.dialects import SqlalchemySession
from mintaka_history.tables import names
from mintaka_history.writing.names import CACHE_SECONDS, assign_ids, find_ids

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from sqlalchemy import Connection

    from mintaka_history.database import Database
    from mintaka_history.enum_codes import NameKind
    from mintaka_history.writing.names import Name

#: The number of cached names at which the cache is cleared; about 20 MiB.
_REMEMBERED = 100_000
_CHUNK = 500


@dataclass(slots=True)
class _Cache:
    """Names of one time of one database; `assigned` are those that rows may be written with. `since` as the clock has it."""

    since: float
    assigned: dict[tuple[int, str], int] = field(default_factory=dict)
    ids: dict[tuple[int, str], int] = field(default_factory=dict)
    values: dict[int, str] = field(default_factory=dict)

    def remember(self, found: dict[tuple[int, str], int]) -> None:
        """Add names that were read."""
        for word, number in found.items():
            self.ids[word] = number
            self.values[number] = word[1]


class Names:
    """The rows of the table `names`, by id and by value."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Create an empty cache; `clock` returns seconds and cannot be set."""
        self._clock = clock
        self._cache = _Cache(clock())

    def forget(self) -> None:
        """Clear the cache; the database may have been replaced. A query that began before adds to the old cache, not to the new one."""
        self._cache = _Cache(self._clock())

    def ids_of(self, database: Database, wanted_names: Iterable[Name]) -> dict[Name, int]:
        """The id of each name; new ones are assigned and committed. Must not be called inside a transaction.

        They are valid in the database's current epoch: `Database.writing(epoch=…)`.
        """
        cache, wanted = self._current(), set(wanted_names)
        ids = cache.assigned
        missing = sorted(word for word in wanted if word not in ids)
        if missing:
            with database.writing() as connection:
                found = assign_ids(SqlalchemySession(connection), missing)
            cache.remember(found)
            cache.assigned.update(found)
            ids = ids | found
        return {word: ids[word] for word in wanted}

    def known(self, connection: Connection, kind: NameKind, value: str) -> int | None:
        """The id of a name, or None if no row can have it."""
        cache = self._current()
        remembered = cache.ids.get((kind, value))
        if remembered is not None:
            return remembered
        found = find_ids(SqlalchemySession(connection), [(kind, value)])
        cache.remember(found)
        return found.get((kind, value))

    def known_of(self, connection: Connection, kind: NameKind, values: Iterable[str]) -> dict[str, int]:
        """The ids of those of several names that rows can have."""
        cache, wanted = self._current(), dict.fromkeys(values)
        cached = {value: number for value in wanted if (number := cache.ids.get((kind, value))) is not None}
        found = find_ids(SqlalchemySession(connection), [(kind, value) for value in wanted if value not in cached])
        return cached | {value: number for (_, value), number in found.items()}

    def values(self, connection: Connection, ids: Iterable[int | None]) -> dict[int, str]:
        """The names of `ids`; None is skipped."""
        cache = self._current()
        wanted = {number for number in ids if number is not None}
        missing = sorted(number for number in wanted if number not in cache.values)
        fetched: dict[int, str] = {}
        for start in range(0, len(missing), _CHUNK):
            rows = connection.execute(
                select(names.c.id, names.c.kind, names.c.value).where(names.c.id.in_(missing[start : start + _CHUNK]))
            )
            for number, kind, value in rows:
                fetched[number] = value
                cache.remember({(kind, value): number})
        return {number: fetched.get(number) or cache.values.get(number, "") for number in wanted}

    def _current(self) -> _Cache:
        """The cache, cleared if it is too old or too large."""
        if self._clock() - self._cache.since >= CACHE_SECONDS or len(self._cache.ids) > _REMEMBERED:
            self.forget()
        return self._cache


def beginning_with(connection: Connection, kind: NameKind, prefix: str, limit: int) -> list[str]:
    """At most `limit` names of a kind that begin with `prefix`, in order."""
    n = names.c
    query = select(n.value).where(n.kind == int(kind), *pages.begins_with(n.value, prefix)).order_by(n.value).limit(limit)
    return list(connection.scalars(query))
