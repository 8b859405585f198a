"""The few places where SQLite and PostgreSQL spell the same statement differently."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import ColumnElement, func
from sqlalchemy.dialects import sqlite

if TYPE_CHECKING:
    from sqlalchemy import Connection, Table
    from sqlalchemy.dialects.postgresql import Insert as PostgresInsert
    from sqlalchemy.dialects.sqlite import Insert as SqliteInsert


def is_postgresql(connection: Connection) -> bool:
    """True on PostgreSQL, False on SQLite."""
    return connection.dialect.name == "postgresql"


def insert(connection: Connection, table: Table) -> PostgresInsert | SqliteInsert:
    """An INSERT that knows ON CONFLICT."""
    if is_postgresql(connection):
        from sqlalchemy.dialects import postgresql  # noqa: PLC0415 - start-up time: a SQLite server never needs it

        return postgresql.insert(table)
    return sqlite.insert(table)


def contains_text(connection: Connection, column: ColumnElement[Any], text: str) -> ColumnElement[bool]:
    """Whether `column` contains `text`, letter by letter."""
    position = func.strpos(column, text) if is_postgresql(connection) else func.instr(column, text)
    return position > 0
