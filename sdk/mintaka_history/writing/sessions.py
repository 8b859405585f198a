"""The operations that statements need of a connection: few, so that SQLAlchemy's and the standard library's both provide them.

Statements use `?` for values in both databases; those for one database alone use its driver's parameter style.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence


class Session(Protocol):
    """An open transaction."""

    @property
    def postgresql(self) -> bool:
        """True on PostgreSQL, False on SQLite."""

    def run(self, statement: str, values: Sequence[Any] = ()) -> list[Any]:
        """Run a statement with `?` for values; return its rows as tuples."""

    def run_native(self, statement: str, values: Sequence[Any]) -> None:
        """Run a statement in the driver's own parameter style."""

    def uid(self, text: str) -> str:
        """The form in which this database stores a UUID given in its usual spelling."""


class SqliteSession:
    """A transaction on a connection of the standard library."""

    postgresql = False

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def run(self, statement: str, values: Sequence[Any] = ()) -> list[Any]:
        """Run a statement; return its rows."""
        return self._connection.execute(statement, values).fetchall()

    def run_native(self, statement: str, values: Sequence[Any]) -> None:
        """Run a statement."""
        self._connection.execute(statement, values)

    def uid(self, text: str) -> str:
        """SQLAlchemy stores UUIDs in SQLite as 32 digits."""
        return text.replace("-", "")
