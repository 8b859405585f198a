"""The few statements for which SQLite and PostgreSQL differ."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import ColumnElement, func
from sqlalchemy.dialects import sqlite

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection, Table
    from sqlalchemy.dialects.postgresql import Insert as PostgresInsert
    from sqlalchemy.dialects.sqlite import Insert as SqliteInsert


def is_postgresql(connection: Connection) -> bool:
    """True on PostgreSQL, False on SQLite."""
    return connection.dialect.name == "postgresql"


def insert(connection: Connection, table: Table) -> PostgresInsert | SqliteInsert:
    """An INSERT that supports ON CONFLICT."""
    if is_postgresql(connection):
        from sqlalchemy.dialects import postgresql  # noqa: PLC0415 - start-up time: a SQLite server never needs it

        return postgresql.insert(table)
    return sqlite.insert(table)


def contains_text(connection: Connection, column: ColumnElement[Any], text: str) -> ColumnElement[bool]:
    """Whether `column` contains `text`, case-sensitively."""
    position = func.strpos(column, text) if is_postgresql(connection) else func.instr(column, text)
    return position > 0


class SqlalchemySession:
    """SQLAlchemy's transaction as a session for `mintaka_history.writing`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.postgresql = is_postgresql(connection)

    def run(self, statement: str, values: Sequence[Any] = ()) -> list[Any]:
        """Run a statement with `?` for values; return its rows."""
        result = self._connection.exec_driver_sql(statement.replace("?", "%s") if self.postgresql else statement, tuple(values))
        return [tuple(row) for row in result] if result.returns_rows else []

    def run_native(self, statement: str, values: Sequence[Any]) -> None:
        """Run a statement in the driver's own parameter style."""
        self._connection.exec_driver_sql(statement, tuple(values))

    def uid(self, text: str) -> str:
        """PostgreSQL has a type for UUIDs; SQLAlchemy stores them in SQLite as 32 digits."""
        return text if self.postgresql else text.replace("-", "")
