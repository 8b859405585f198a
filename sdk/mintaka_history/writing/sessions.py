"""What statements need of a connection: few words, so that SQLAlchemy's and the standard library's both have them.

Statements use `?` for values in both databases; those made for one of them alone speak its driver's language.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence


class Session(Protocol):
    """A transaction under way."""

    @property
    def postgresql(self) -> bool:
        """True on PostgreSQL, False on SQLite."""

    def run(self, statement: str, values: Sequence[Any] = ()) -> list[Any]:
        """Run a statement with `?` for values; its rows, as tuples."""

    def run_native(self, statement: str, values: Sequence[Any]) -> None:
        """Run a statement in the driver's own language."""

    def uid(self, text: str) -> str:
        """A UUID in its usual spelling as this database keeps it."""


class SqliteSession:
    """A transaction on a connection of the standard library."""

    postgresql = False

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def run(self, statement: str, values: Sequence[Any] = ()) -> list[Any]:
        """Run a statement; its rows."""
        return self._connection.execute(statement, values).fetchall()

    def run_native(self, statement: str, values: Sequence[Any]) -> None:
        """Run a statement."""
        self._connection.execute(statement, values)

    def uid(self, text: str) -> str:
        """SQLAlchemy keeps UUIDs in SQLite as 32 digits."""
        return text.replace("-", "")
