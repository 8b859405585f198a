"""Frequently repeated names as small integers, cached by this process.

Ids are assigned in a transaction of their own before the rows that use them are written: cached ids are therefore always
committed, and two writers cannot deadlock on each other's new names.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import select

from mintaka_history.queries.dialects import SqlalchemySession
from mintaka_history.tables import names
from mintaka_history.writing.names import assign_ids, find_ids

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sqlalchemy import Connection

    from mintaka_history.database import Database
    from mintaka_history.enum_codes import NameKind
    from mintaka_history.writing.names import Name

#: The number of cached names at which the cache is cleared; about 20 MiB.
_REMEMBERED = 100_000
_CHUNK = 500


class Names:
    """The rows of the table `names`, by id and by value."""

    def __init__(self) -> None:
        """Create an empty cache."""
        self._ids: dict[tuple[int, str], int] = {}
        self._values: dict[int, str] = {}

    def forget(self) -> None:
        """Clear the cache; the database may have been replaced."""
        self._ids = {}
        self._values = {}

    def ids_of(self, database: Database, wanted_names: Iterable[Name]) -> dict[Name, int]:
        """The id of each name; new ones are assigned and committed. Must not be called inside a transaction.

        They are valid in the database's current epoch: `Database.writing(epoch=…)`.
        """
        wanted = set(wanted_names)
        cache = self._ids, self._values
        ids = self._ids
        missing = sorted(word for word in wanted if word not in ids)
        if missing:
            with database.writing() as connection:
                found = assign_ids(SqlalchemySession(connection), missing)
            self._remember(cache, found)
            ids = ids | found
        return {word: ids[word] for word in wanted}

    def known(self, connection: Connection, kind: NameKind, value: str) -> int | None:
        """The id of a name, or None if no row can have it."""
        cache = self._ids, self._values
        remembered = self._ids.get((kind, value))
        if remembered is not None:
            return remembered
        found = find_ids(SqlalchemySession(connection), [(kind, value)])
        self._remember(cache, found)
        return found.get((kind, value))

    def values(self, connection: Connection, ids: Iterable[int | None]) -> dict[int, str]:
        """The names of `ids`; None is skipped."""
        wanted = {number for number in ids if number is not None}
        cache = self._ids, self._values
        remembered = self._values
        missing = sorted(number for number in wanted if number not in remembered)
        fetched: dict[int, str] = {}
        for start in range(0, len(missing), _CHUNK):
            rows = connection.execute(
                select(names.c.id, names.c.kind, names.c.value).where(names.c.id.in_(missing[start : start + _CHUNK]))
            )
            for number, kind, value in rows:
                fetched[number] = value
                self._remember(cache, {(kind, value): number})
        return {number: fetched.get(number) or remembered.get(number, "") for number in wanted}

    def _remember(self, cache: tuple[dict[tuple[int, str], int], dict[int, str]], found: dict[tuple[int, str], int]) -> None:
        """Add `found` to `cache`, which is no longer this object's if the database was replaced since the query began."""
        if len(self._ids) > _REMEMBERED:
            self.forget()
        ids, values = cache
        for word, number in found.items():
            ids[word] = number
            values[number] = word[1]
