"""The SQLite schema as text, so that creating a file needs no SQLAlchemy; `python -m mintaka_history.sqlite_schema` generates it.

It is generated from the tables and committed; a test checks that both are equal.
"""

from __future__ import annotations

from pathlib import Path

#: The newest revision in `migrations/versions`.
HEAD = "0009"
#: The statements that turn an empty SQLite file into one of revision `HEAD`.
PATH = Path(__file__).with_name("schema.sql")


def generated() -> str:
    """The statements as SQLAlchemy writes them, in order, each ended by a semicolon at the end of a line."""
    from sqlalchemy.dialects import sqlite  # noqa: PLC0415 - start-up time: only for generating
    from sqlalchemy.schema import CreateIndex, CreateTable  # noqa: PLC0415

    from mintaka_history.tables import metadata  # noqa: PLC0415

    dialect = sqlite.dialect()
    statements: list[str] = []
    for table in metadata.sorted_tables:
        statements.append(str(CreateTable(table).compile(dialect=dialect)))
        statements += sorted(str(CreateIndex(index).compile(dialect=dialect)) for index in table.indexes)
    statements.append("CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL CONSTRAINT alembic_version_pkc PRIMARY KEY)")
    statements.append(f"INSERT INTO alembic_version (version_num) VALUES ('{HEAD}')")  # noqa: S608 - our own number
    return "".join("\n".join(line.rstrip() for line in statement.strip().splitlines()) + ";\n" for statement in statements)


if __name__ == "__main__":
    PATH.write_text(generated(), encoding="utf-8")
