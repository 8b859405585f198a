"""A pytest plugin for an earlier commit's tests (`previous_code`): each database gets the schema of the code that comes after it.

MINTAKA_NEXT_SCHEMA names a JSON file with that schema's revision and the statements that create it in each kind of database. The
earlier code's own start follows, which finds a newer schema and has to decide that it can use it.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import inspect, text

from mintaka_history import sqlite_schema

if TYPE_CHECKING:
    from collections.abc import Iterator

_NEXT: dict[str, Any] = json.loads(Path(os.environ["MINTAKA_NEXT_SCHEMA"]).read_text(encoding="utf-8"))
_VERSION = (
    "CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL CONSTRAINT alembic_version_pkc PRIMARY KEY)",
    f"INSERT INTO alembic_version (version_num) VALUES ('{_NEXT['revision']}')",  # noqa: S608 - our own number
)
_LOCK = 7
#: What such tests are about is the schema itself, or a cluster.
_LEFT_OUT = ("test_migrations", "test_old_databases", "test_schema_changes", "test_previous_code", "test_poolers", "test_backups")
_CLUSTER = {"kubeconfig", "namespace"}


def _statements() -> Iterator[str]:
    yield from (*_NEXT["sqlite"], *_VERSION)


sqlite_schema.statements = _statements  # before embedded_sqlite imports it

from mintaka_history import migrating  # noqa: E402

_own = migrating.migrate


def _migrate(database: Any) -> None:
    with database.write_engine.begin() as connection:
        if database.is_postgresql:
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
        if not inspect(connection).has_table("alembic_version"):
            for statement in (*_NEXT["postgresql" if database.is_postgresql else "sqlite"], *_VERSION):
                connection.exec_driver_sql(statement, execution_options={"no_parameters": True})
    _own(database)


migrating.migrate = _migrate


def pytest_collection_modifyitems(items: list[Any]) -> None:
    """Leave out tests that need a cluster, or are about other schemas."""
    items[:] = [item for item in items if not _CLUSTER & {*item.fixturenames} and item.path.stem not in _LEFT_OUT]
