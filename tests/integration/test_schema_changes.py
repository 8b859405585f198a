"""What migrations do on a PostgreSQL server that is in use: locks they wait for, and indexes that stop no one."""

from __future__ import annotations

import shutil
import threading
import time
import uuid
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
from alembic.migration import MigrationContext
from alembic.operations import Operations
from sqlalchemy import text

from mintaka_history import migrating, schema_changes
from mintaka_history.database import Database, DatabaseAway
from mintaka_history.migrating import HEAD, migrate
from old_databases import psql
from pgbouncer import PgBouncer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from postgres_server import PostgresServer


@pytest.fixture(params=["direct", "behind PgBouncer"])
def database(request: pytest.FixtureRequest, postgres: PostgresServer) -> Iterator[Database]:
    """A PostgreSQL database with the current schema, in which partitions were made."""
    name = f"changes_{uuid.uuid4().hex[:12]}"
    url = postgres.create_database(name)
    bouncer = PgBouncer(postgres.port) if request.param != "direct" else None
    if bouncer:
        bouncer.start()
    opened = Database(bouncer.url(name), pooler="transaction") if bouncer else Database(url)
    migrate(opened)
    psql(url, "CREATE TABLE logs_1 PARTITION OF logs FOR VALUES FROM (0) TO (1000)")
    yield opened
    opened.dispose()
    if bouncer:
        bouncer.remove()
    postgres.drop_database(name)


@contextmanager
def operations(database: Database) -> Iterator[None]:
    """What `op` is in a migration."""
    with database.migration_connection() as connection:
        context = MigrationContext.configure(connection, opts={"transaction_per_migration": True, "transactional_ddl": True})
        with Operations.context(context), context.begin_transaction(_per_migration=True):
            yield


def valid_indexes(database: Database, name: str) -> dict[str, bool]:
    with database.writing() as connection:
        query = text("SELECT indexrelid::regclass::text, indisvalid FROM pg_index WHERE indexrelid::regclass::text LIKE :name ORDER BY 1")
        return {str(index): bool(valid) for index, valid in connection.execute(query, {"name": f"%{name}"})}


def test_an_index_is_built_while_others_write(database: Database) -> None:
    """A transaction that has written and is still open neither fails nor waits; the index is built when it ends."""
    with database.writing() as writer:
        writer.execute(text("INSERT INTO variables (ns, name, created, updated, value, tags) VALUES ('ns', 'v', 1, 1, '1', '[]')"))
        building = threading.Thread(target=_build, args=(database, "ix_new", "variables", "updated, name"))
        building.start()
        time.sleep(2.5)  # longer than a migration may wait for a lock
        assert building.is_alive()
        with database.writing() as other:
            other.execute(text("INSERT INTO variables (ns, name, created, updated, value, tags) VALUES ('ns', 'w', 1, 1, '1', '[]')"))
    building.join(30)
    assert valid_indexes(database, "ix_new") == {"ix_new": True}


def _build(database: Database, name: str, table: str, columns: str, where: str = "") -> None:
    with operations(database):
        schema_changes.create_index(name, table, columns, where=where)


def test_an_index_of_a_partitioned_table_is_built_for_each_partition_and_attached(database: Database) -> None:
    """New partitions get one by themselves, and a repetition changes nothing."""
    for _ in range(2):
        _build(database, "ix_new", "logs", "flow_run, at", "level >= 40")
    with database.writing() as connection:
        connection.execute(text("CREATE TABLE logs_2 PARTITION OF logs FOR VALUES FROM (1000) TO (2000)"))
    with database.writing() as connection:
        partitions = list(connection.scalars(text("SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'logs'::regclass")))
        attached = connection.scalar(text("SELECT count(*) FROM pg_inherits WHERE inhparent = 'ix_new'::regclass"))
    assert {"logs_1", "logs_2", "logs_default"} < set(partitions)
    assert attached == len(partitions)
    built = valid_indexes(database, "ix_new")
    assert set(built) == {"ix_new", *(f"{name}_ix_new" for name in partitions if name != "logs_2")}
    assert set(built.values()) == {True}


@pytest.mark.parametrize("table", ["variables", "logs"])
def test_what_an_interrupted_build_left_is_built_again(database: Database, table: str) -> None:
    """PostgreSQL leaves an index that is not valid behind, which queries do not use."""
    left = "ix_new" if table == "variables" else "logs_1_ix_new"
    if table == "variables":
        _build(database, "ix_new", table, "updated" if table == "variables" else "at")
    else:
        with database.writing() as connection:
            connection.execute(text("CREATE INDEX ix_new ON ONLY logs (at)"))
            connection.execute(text("CREATE INDEX logs_1_ix_new ON logs_1 (at)"))
    with database.writing() as connection:
        connection.execute(text("UPDATE pg_index SET indisvalid = false WHERE indexrelid = to_regclass(:left)"), {"left": left})
    _build(database, "ix_new", table, "updated" if table == "variables" else "at")
    assert set(valid_indexes(database, "ix_new").values()) == {True}


NEXT = f"{int(HEAD) + 1:04}"
MIGRATION = f"""
from alembic import op
revision = "{NEXT}"
down_revision = "{HEAD}"
def upgrade():
    op.execute("ALTER TABLE flow_runs ADD COLUMN of_the_next TEXT")
"""


@pytest.fixture
def next_release(database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Database:
    """The database, and code with another migration."""
    folder = tmp_path / "migrations"
    shutil.copytree(migrating._FOLDER, folder, ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "versions" / f"{NEXT}_next.py").write_text(MIGRATION, encoding="utf-8")
    monkeypatch.setattr(migrating, "_FOLDER", folder)
    monkeypatch.setattr(migrating, "HEAD", NEXT)
    monkeypatch.setattr("mintaka_history.schema_revisions.HEAD", NEXT)
    return database


def test_a_migration_that_waits_for_a_lock_says_for_which_and_lets_readers_through(next_release: Database) -> None:
    """It gives up after two seconds, with the statement, the table and the holder of its lock, and succeeds when it is tried again."""
    reading: list[float] = []

    def read() -> None:
        time.sleep(0.5)  # the migration waits in the queue before
        began = time.monotonic()
        with next_release.writing() as connection:
            connection.execute(text("SELECT count(*) FROM flow_runs"))
        reading.append(time.monotonic() - began)

    reader = threading.Thread(target=read)
    with next_release.writing() as holder:
        holder.execute(text("SELECT count(*) FROM flow_runs"))
        reader.start()
        began = time.monotonic()
        with pytest.raises(DatabaseAway) as refusal:
            migrate(next_release)
        assert 1.5 < time.monotonic() - began < 8
    reader.join(30)
    assert "a migration waits for a lock and is tried again: ALTER TABLE flow_runs ADD COLUMN" in str(refusal.value)
    assert "flow_runs is locked by process" in str(refusal.value)
    assert reading[0] < 4
    migrate(next_release)
    with next_release.writing() as connection:
        assert connection.scalar(text("SELECT version_num FROM alembic_version")) == NEXT
        connection.execute(text("SELECT of_the_next FROM flow_runs"))


def test_replicas_that_migrate_at_once_wait_for_one_another(next_release: Database) -> None:
    """Each migration is run once."""
    failures: list[Exception] = []

    def start() -> None:
        try:
            migrate(next_release)
        except Exception as error:  # noqa: BLE001 - the test shows any error
            failures.append(error)

    threads = [threading.Thread(target=start) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
