"""Migrates the database's schema at startup, one process at a time.

An empty database gets the current schema in one step; an older one is migrated by alembic; one that is up to date costs one
query, without even importing alembic. A newer one is not changed: each release's schema works with the code of the release
before it (expand, migrate, contract), so old replicas survive a rolling update.
"""

from __future__ import annotations

import logging
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import inspect, text

from mintaka_history import triggers
from mintaka_history.database import translated
from mintaka_history.maintenance import partitions
from mintaka_history.queries.dialects import SqlalchemySession
from mintaka_history.sqlite_schema import HEAD
from mintaka_history.tables import PARTITIONED, metadata, schema_compatibility
from mintaka_history.timestamps import now_microseconds

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Connection

    from mintaka_history.database import Database

logger = logging.getLogger("mintaka.history.migrating")

_FOLDER = Path(__file__).parent / "migrations"
_LOCK = 0x6D696E74  # "mint", the key of PostgreSQL's advisory lock


def migrate(database: Database) -> None:
    """Migrate the schema to `HEAD`, waiting for other processes that do the same; raises DatabaseAway."""
    with translated(), _locked(database) as connection:
        present = _revision(connection)
        if present is None:
            create(connection)
            connection.execute(
                text("CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL CONSTRAINT alembic_version_pkc PRIMARY KEY)")
            )
            connection.execute(text("INSERT INTO alembic_version (version_num) VALUES (:head)"), {"head": HEAD})
            logger.info("created the schema, revision %s", HEAD)
        elif present < HEAD:
            upgrade(connection, HEAD)
            logger.info("migrated the schema from revision %s to %s", present, HEAD)
        elif present > HEAD:
            logger.warning("the schema is of revision %s, newer than this release's %s", present, HEAD)
    database.migrated = True


def create(connection: Connection) -> None:
    """Create the current schema in an empty database."""
    metadata.create_all(connection)
    if connection.dialect.name == "postgresql":
        for table in PARTITIONED:  # where rows go for which no partition was made in time
            connection.exec_driver_sql(f"CREATE TABLE {table.name}_default PARTITION OF {table.name} DEFAULT")
        partitions.create_ahead(SqlalchemySession(connection), now_microseconds())
    for statement in triggers.POSTGRESQL if connection.dialect.name == "postgresql" else triggers.SQLITE:
        connection.exec_driver_sql(statement)
    connection.execute(schema_compatibility.insert().values(oldest=HEAD))


def upgrade(connection: Connection, revision: str) -> None:
    """Run alembic's migrations up to `revision` on an open connection."""
    from alembic import command  # noqa: PLC0415 - start-up time: rarely needed
    from alembic.config import Config  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", str(_FOLDER))
    config.attributes["connection"] = connection
    command.upgrade(config, revision)


@contextmanager
def _locked(database: Database) -> Iterator[Connection]:
    """A transaction that excludes other migrations: SQLite's uses BEGIN IMMEDIATE, PostgreSQL's holds an advisory lock."""
    with database.write_engine.begin() as connection:
        if database.is_postgresql:
            connection.execute(text("SET LOCAL statement_timeout = 0"))
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
        yield connection


def _revision(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    revision: str | None = connection.scalar(text("SELECT version_num FROM alembic_version"))
    return revision
