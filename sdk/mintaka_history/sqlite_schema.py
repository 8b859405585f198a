"""The SQLite schema as text, so that creating a file needs no SQLAlchemy; `python -m mintaka_history.sqlite_schema` generates it.

It is generated from the tables and committed; a test checks that both are equal.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

#: The newest revision in `migrations/versions`.
HEAD = "0011"
#: The revision from which migrations start.
BASELINE = "0010"
#: The oldest revision whose code can use the schema of `HEAD`; the migration that raises it calls `schema_changes.require`.
OLDEST = "0010"
#: The statements that turn an empty SQLite file into one of revision `HEAD`.
PATH = Path(__file__).with_name("schema.sql")


def generated() -> str:
    """The statements as SQLAlchemy writes them, in order, each ended by a semicolon at the end of a line."""
    from sqlalchemy.dialects import sqlite  # noqa: PLC0415 - start-up time: only for generating
    from sqlalchemy.schema import CreateIndex, CreateTable  # noqa: PLC0415

    from mintaka_history.tables import metadata  # noqa: PLC0415
    from mintaka_history.triggers import SQLITE  # noqa: PLC0415

    dialect = sqlite.dialect()
    texts: list[str] = []
    for table in metadata.sorted_tables:
        texts.append(str(CreateTable(table).compile(dialect=dialect)))
        texts += sorted(str(CreateIndex(index).compile(dialect=dialect)) for index in table.indexes)
    texts += SQLITE
    texts.append(f"INSERT INTO schema_compatibility (oldest) VALUES ('{OLDEST}')")  # noqa: S608 - our own number
    texts.append("CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL CONSTRAINT alembic_version_pkc PRIMARY KEY)")
    texts.append(f"INSERT INTO alembic_version (version_num) VALUES ('{HEAD}')")  # noqa: S608 - our own number
    return "".join("\n".join(line.rstrip() for line in statement.strip().splitlines()) + ";\n" for statement in texts)


def statements() -> Iterator[str]:
    """The statements of `PATH`, one by one; those of a trigger contain others."""
    statement = ""
    for line in PATH.read_text(encoding="utf-8").splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""


if __name__ == "__main__":
    PATH.write_text(generated(), encoding="utf-8")
