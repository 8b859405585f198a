"""Frequently repeated names as small integers, cached by this process.

Ids are assigned in a transaction of their own before the rows that use them are written: cached ids are therefore always
committed, and two writers cannot deadlock on each other's new names. All caches are cleared every hour, so that unused names
can be deleted (`maintenance.unused_names`); rows are written only with ids that were assigned, not with those that were read.
"""

from __future__ import annotations

import time
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


class Names:
    """The rows of the table `names`, by id and by value."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Create an empty cache; `clock` returns seconds and cannot be set."""
        self._clock = clock
        self.forget()

    def forget(self) -> None:
        """Clear the cache; the database may have been replaced."""
        self._since = self._clock()
        self._assigned: dict[tuple[int, str], int] = {}
        self._ids: dict[tuple[int, str], int] = {}
        self._values: dict[int, str] = {}

    def ids_of(self, database: Database, wanted_names: Iterable[Name]) -> dict[Name, int]:
        """The id of each name; new ones are assigned and committed. Must not be called inside a transaction."""
        self._expire()
        wanted = set(wanted_names)
        ids = self._assigned
        missing = sorted(word for word in wanted if word not in ids)
        if missing:
            asked = self._clock()
            with database.writing() as connection:
                found = assign_ids(SqlalchemySession(connection), missing)
            self._remember(found)
            if self._since <= asked:
                self._assigned.update(found)
            ids = ids | found
        return {word: ids[word] for word in wanted}

    def known(self, connection: Connection, kind: NameKind, value: str) -> int | None:
        """The id of a name, or None if no row can have it."""
        self._expire()
        remembered = self._ids.get((kind, value))
        if remembered is not None:
            return remembered
        found = find_ids(SqlalchemySession(connection), [(kind, value)])
        self._remember(found)
        return found.get((kind, value))

    def known_of(self, connection: Connection, kind: NameKind, values: Iterable[str]) -> dict[str, int]:
        """The ids of those of several names that rows can have."""
        wanted = dict.fromkeys(values)
        cached = {value: number for value in wanted if (number := self._ids.get((kind, value))) is not None}
        found = find_ids(SqlalchemySession(connection), [(kind, value) for value in wanted if value not in cached])
        return cached | {value: number for (_, value), number in found.items()}

    def values(self, connection: Connection, ids: Iterable[int | None]) -> dict[int, str]:
        """The names of `ids`; None is skipped."""
        self._expire()
        wanted = {number for number in ids if number is not None}
        remembered = self._values
        missing = sorted(number for number in wanted if number not in remembered)
        fetched: dict[int, str] = {}
        for start in range(0, len(missing), _CHUNK):
            rows = connection.execute(
                select(names.c.id, names.c.kind, names.c.value).where(names.c.id.in_(missing[start : start + _CHUNK]))
            )
            for number, kind, value in rows:
                fetched[number] = value
                self._remember({(kind, value): number})
        return {number: fetched.get(number) or remembered.get(number, "") for number in wanted}

    def _expire(self) -> None:
        if self._clock() - self._since >= CACHE_SECONDS:
            self.forget()

    def _remember(self, found: dict[tuple[int, str], int]) -> None:
        if len(self._ids) > _REMEMBERED:
            self.forget()
        for word, number in found.items():
            self._ids[word] = number
            self._values[number] = word[1]


def beginning_with(connection: Connection, kind: NameKind, prefix: str, limit: int) -> list[str]:
    """At most `limit` names of a kind that begin with `prefix`, in order."""
    n = names.c
    query = select(n.value).where(n.kind == int(kind), *pages.begins_with(n.value, prefix)).order_by(n.value).limit(limit)
    return list(connection.scalars(query))
