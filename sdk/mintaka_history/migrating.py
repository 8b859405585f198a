"""Migrates the database's schema at startup, one process at a time.

An empty database gets the current schema in one step; an older one is migrated by alembic; one that is up to date costs one
query, without even importing alembic. A newer one is not changed: each release's schema works with the code of the release
before it (expand, migrate, contract), so old replicas survive a rolling update; `schema_revisions` says which are too new. A schema
older than the baseline is replaced: a SQLite file is renamed, a PostgreSQL schema refused with the commands that rename it.

On SQLite all of it is one transaction. On PostgreSQL each migration is one, on a connection of its own, while another holds the
advisory lock of the transaction (a lock of the session would not survive PgBouncer): indexes are built outside of transactions. A
migration waits for a lock for two seconds at most, so that the queries that queue behind it are not stopped for longer, and is tried
again by the caller.
"""

from __future__ import annotations

import logging
import sqlite3
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import exc, inspect, text

from mintaka_history import triggers
from mintaka_history.database import DatabaseAway, translated
from mintaka_history.lock_waits import LOCK_NOT_AVAILABLE, lock_holders
from mintaka_history.maintenance import partitions
from mintaka_history.queries.dialects import SqlalchemySession
from mintaka_history.schema_revisions import SchemaNotUsable, Use, use_of
from mintaka_history.sqlite_replacement import replace_superseded
from mintaka_history.sqlite_schema import BASELINE, HEAD, OLDEST
from mintaka_history.tables import PARTITIONED, metadata, schema_compatibility
from mintaka_history.timestamps import now_microseconds

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Connection

    from mintaka_history.database import Database

logger = logging.getLogger("mintaka.history.migrating")

_FOLDER = Path(__file__).parent / "migrations"
_LOCK = 0x6D696E74  # "mint", the key of PostgreSQL's advisory lock
_LOCK_SECONDS = 30.0
#: Numbers of transactions are the server's: in a dump that was restored on another they may be of its future. Readers of the feed start anew.
_FORGET_CHANGES = "DELETE FROM changes WHERE tx >= pg_snapshot_xmax(pg_current_snapshot())::text::bigint"
_STEP_SECONDS = 0.1


def migrate(database: Database) -> None:
    """Migrate the schema to `HEAD`, waiting for other processes that do the same.

    Raises:
        DatabaseAway: the database cannot be reached, or a migration waits for a lock; call again.
        SchemaNotUsable: the schema is of another program, too new, or has to be renamed by hand first; nothing was changed.
    """
    _replace_superseded_file(database)
    with translated(), _locked(database) as connection:
        present = _revision(connection)
        use = use_of(present, _oldest(connection))
        if use is Use.CREATE:
            create(connection)
            if database.is_postgresql:
                partitions.create_ahead(SqlalchemySession(connection), now_microseconds())
            connection.execute(
                text("CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL CONSTRAINT alembic_version_pkc PRIMARY KEY)")
            )
            connection.execute(text("INSERT INTO alembic_version (version_num) VALUES (:head)"), {"head": HEAD})
            logger.info("created the schema, revision %s", HEAD)
        elif use is Use.REPLACE:
            raise SchemaNotUsable(_commands(connection, present))
        elif use is Use.MIGRATE:
            if database.is_postgresql:
                _upgrade_postgresql(database)
            else:
                upgrade(connection, HEAD)
            logger.info("migrated the schema from revision %s to %s", present, HEAD)
        elif use is Use.NEWER:
            logger.warning("the schema is of revision %s, newer than this release's %s", present, HEAD)
        if database.is_postgresql and use is not Use.CREATE:
            connection.exec_driver_sql(_FORGET_CHANGES)
    database.migrated = True


def create(connection: Connection) -> None:
    """Create the current schema in an empty database."""
    metadata.create_all(connection)
    if connection.dialect.name == "postgresql":
        for table in PARTITIONED:  # where rows go for which no partition was made in time
            connection.exec_driver_sql(f"CREATE TABLE {table.name}_default PARTITION OF {table.name} DEFAULT")
    for statement in triggers.POSTGRESQL if connection.dialect.name == "postgresql" else triggers.SQLITE:
        connection.exec_driver_sql(statement)
    connection.execute(schema_compatibility.insert().values(oldest=OLDEST))


def upgrade(connection: Connection, revision: str) -> None:
    """Run alembic's migrations up to `revision`: in the transaction of `connection`, or in one for each migration if it has none."""
    from alembic import command  # noqa: PLC0415 - start-up time: rarely needed
    from alembic.config import Config  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", str(_FOLDER))
    config.attributes["connection"] = connection
    command.upgrade(config, revision)


def _upgrade_postgresql(database: Database) -> None:
    with database.migration_connection() as connection:
        try:
            upgrade(connection, HEAD)
        except exc.OperationalError as error:
            if getattr(error.orig, "sqlstate", "") != LOCK_NOT_AVAILABLE:
                raise
            connection.rollback()
            message = (
                f"a migration waits for a lock and is tried again: {error.statement}; {lock_holders(connection, error.statement or '')}"
            )
            raise DatabaseAway(message) from error


def _replace_superseded_file(database: Database) -> None:
    name = database.url.database
    if database.is_postgresql or not name or name == ":memory:" or name.startswith("file:"):
        return
    try:
        replace_superseded(Path(name))
    except (sqlite3.Error, OSError) as error:
        message = f"database: {name}: {error}"
        raise DatabaseAway(message) from error


@contextmanager
def _locked(database: Database) -> Iterator[Connection]:
    """A transaction that excludes other migrations: SQLite's uses BEGIN IMMEDIATE, PostgreSQL's holds an advisory lock.

    The lock is polled: a statement that waits for it would hold a snapshot, for which the building of an index waits in turn.
    """
    with database.write_engine.begin() as connection:
        if database.is_postgresql:
            connection.execute(text("SET LOCAL statement_timeout = 0"))
            connection.execute(text("SET LOCAL idle_in_transaction_session_timeout = 0"))
            until = time.monotonic() + _LOCK_SECONDS
            while not connection.scalar(text("SELECT pg_try_advisory_xact_lock(:key)"), {"key": _LOCK}):
                if time.monotonic() > until:
                    message = "another process migrates the schema"
                    raise DatabaseAway(message)
                time.sleep(_STEP_SECONDS)
        yield connection


def _revision(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    revision: str | None = connection.scalar(text("SELECT version_num FROM alembic_version"))
    return revision


def _oldest(connection: Connection) -> str | None:
    if not inspect(connection).has_table(schema_compatibility.name):
        return None
    oldest: str | None = connection.scalar(text("SELECT oldest FROM schema_compatibility"))
    return oldest


def _commands(connection: Connection, revision: str | None) -> str:
    """What to do with a PostgreSQL schema that is older than the baseline: two commands, and nothing of it is lost."""
    name, user, database = connection.execute(text("SELECT current_schema(), current_user, current_database()")).one()
    taken = set(connection.scalars(text("SELECT nspname FROM pg_namespace")))
    former = new = f"{name}_before_{BASELINE}"
    number = 1
    while new in taken:
        number += 1
        new = f"{former}_{number}"
    quoted = connection.dialect.identifier_preparer.quote_identifier
    return (
        f"the schema {name!r} of database {database!r} is of a release before the first one (revision {revision}), which is not migrated, and "
        "was left as it is. Rename it and create an empty one, as its owner or a superuser, then this continues by itself:\n"
        f"  psql {database} -c 'ALTER SCHEMA {quoted(name)} RENAME TO {quoted(new)}'\n"
        f"  psql {database} -c 'CREATE SCHEMA {quoted(name)} AUTHORIZATION {quoted(user)}'"
    )
