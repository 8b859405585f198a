"""The schema: made once however many replicas start, the same whether made at once or by migrations."""

from __future__ import annotations

import re
import threading
import uuid
import warnings
from typing import TYPE_CHECKING

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import text
from sqlalchemy.exc import SAWarning

from api_testing import API, ORDINARY, report, running, seen_run, task
from mintaka_api.queries import mirrored
from mintaka_api.row_mapping import Inherited, names_of_run, run_rows
from mintaka_api.settings import Settings
from mintaka_api.snapshots import snapshot_of
from mintaka_history.database import Database
from mintaka_history.migrating import _FOLDER, HEAD, migrate, upgrade
from mintaka_history.queries.names import Names
from mintaka_history.tables import PARTITIONED, metadata

if TYPE_CHECKING:
    from sqlalchemy import Connection


def _is_ours(_: object, name: str | None, kind: str, reflected: bool, *__: object) -> bool:
    """Partitions are tables to alembic, which know nothing of their parents; it does not compare indexes of expressions (`texts_of` does)."""
    if kind == "index" and name == "ix_flow_runs_span":
        return False
    return not (
        kind == "table"
        and reflected
        and any((name or "").startswith(f"{table.name}_") for table in PARTITIONED)
        and name not in metadata.tables
    )


def differences(database: Database) -> list[object]:
    """What alembic would have to change to get from the database to our tables."""
    with database.write_engine.connect() as connection:
        options = {"compare_type": True, "compare_server_default": database.is_postgresql, "include_object": _is_ours}
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Skipped unsupported reflection of expression-based index", SAWarning)
            warnings.filterwarnings("ignore", "autogenerate skipping metadata-specified expression-based index")
            found = compare_metadata(MigrationContext.configure(connection, opts=options), metadata)
        connection.rollback()
        return found


_POSTGRESQL_TEXTS = (
    "SELECT pg_get_functiondef(oid) FROM pg_proc WHERE pronamespace = 'public'::regnamespace",
    "SELECT pg_get_triggerdef(oid) FROM pg_trigger WHERE NOT tgisinternal",
    "SELECT indexdef FROM pg_indexes WHERE schemaname = 'public'",
    "SELECT c.relname || ' ' || pg_get_partkeydef(p.partrelid) FROM pg_partitioned_table p JOIN pg_class c ON c.oid = p.partrelid",
    "SELECT relname || ' ' || pg_get_expr(relpartbound, oid) FROM pg_class WHERE relispartition",
    "SELECT 'oldest ' || oldest FROM schema_compatibility",
)
_SQLITE_TEXTS = (
    "SELECT sql FROM sqlite_master WHERE type IN ('trigger', 'index') AND sql IS NOT NULL",
    "SELECT 'oldest ' || oldest FROM schema_compatibility",
)


def texts_of(database: Database) -> list[str]:
    """Triggers, indexes and partitions, which alembic does not compare (or not with all that belongs to them).

    Without the partitions of weeks: which there are depends on the time at which a schema is made.
    """
    with database.write_engine.begin() as connection:
        queries = _POSTGRESQL_TEXTS if database.is_postgresql else _SQLITE_TEXTS
        found = [found for query in queries for found in connection.scalars(text(query)) if found is not None]
    return sorted(each for each in found if not re.search(r"_\d{4}w\d\d", each))


def test_replicas_that_start_at_once_make_one_schema(database_url: str) -> None:
    """None fails, whoever is first."""
    replicas = [Database(database_url) for _ in range(4)]
    failures: list[Exception] = []
    barrier = threading.Barrier(len(replicas))

    def start(replica: Database) -> None:
        barrier.wait()
        try:
            migrate(replica)
        except Exception as error:  # noqa: BLE001 - whatever it is, the test shows it
            failures.append(error)

    threads = [threading.Thread(target=start, args=(replica,)) for replica in replicas]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert differences(replicas[0]) == []
    with replicas[0].writing() as connection:
        assert connection.scalars(text("SELECT version_num FROM alembic_version")).all() == [HEAD]
    for replica in replicas:
        replica.dispose()


def test_the_migrations_lead_to_the_same_schema_as_the_tables(database_url: str) -> None:
    """The frozen baseline and the migrations after it leave no difference to what is made at once, triggers and partitions included."""
    database = Database(database_url)
    if database.is_postgresql:
        with database.migration_connection() as connection:
            upgrade(connection, HEAD)
    else:
        with database.write_engine.begin() as connection:
            upgrade(connection, HEAD)
    assert differences(database) == []
    assert ScriptDirectory(str(_FOLDER)).get_current_head() == HEAD
    migrated = texts_of(database)
    with database.write_engine.begin() as connection:
        drop_all(connection)
    migrate(database)
    assert texts_of(database) == migrated
    assert any("flow_run_inserted" in found for found in migrated)
    database.dispose()


def drop_all(connection: Connection) -> None:
    """Make the database empty."""
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql("DROP SCHEMA public CASCADE")
        connection.exec_driver_sql("CREATE SCHEMA public")
        return
    for name in connection.scalars(text("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite%'")).all():
        connection.exec_driver_sql(f"DROP TABLE {name}")


def test_an_up_to_date_schema_is_left_alone(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second start neither creates nor migrates."""
    monkeypatch.setattr("mintaka_history.migrating.metadata", None)
    monkeypatch.setattr("mintaka_history.migrating.upgrade", None)
    migrate(database)


def expand(database: Database) -> None:
    """What the next release may do to the schema while this one still runs: columns, one of them required, in every table, and a table."""
    with database.writing() as connection:
        for name in metadata.tables:  # the partitions of a table follow it
            connection.execute(text(f"ALTER TABLE {name} ADD COLUMN of_the_next_release TEXT"))
            connection.execute(text(f"ALTER TABLE {name} ADD COLUMN required_by_it INTEGER NOT NULL DEFAULT 7"))
        connection.execute(text("CREATE TABLE of_the_next_release (id INTEGER PRIMARY KEY)"))
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))


@pytest.mark.anyio
async def test_this_release_serves_the_schema_of_the_next_one(database_url: str, caplog: pytest.LogCaptureFixture) -> None:
    """During a rolling update a replica of the release before mirrors, takes in and answers as ever, and says so in its log."""
    database = Database(database_url)
    migrate(database)
    expand(database)
    names, uid = Names(), str(uuid.uuid4())
    run_url = f"{API}/flow-runs/{uid}"
    artifact = {"id": str(uuid.uuid4()), "kind": "markdown", "seq": 1, "created": 1, "updated": 1, "data": "text"}
    line = {"seq": 1, "time": 1, "message": "line"}
    async with running(Settings(database_url=database_url, mirror=False)) as client:
        assert "newer than this release's" in caplog.text
        for last in range(1, 5):
            snapshot = snapshot_of(
                seen_run("run", ORDINARY[:last], version=last, uid=uid, spec={"deployment": "d", "tags": ["t"]}), 0.0
            ).parsed()
            ids = names.ids_of(database, names_of_run(snapshot, Inherited()))
            with database.writing() as connection:
                assert mirrored.write_runs(connection, [run_rows(snapshot, ids, Inherited(), 1)]).transitions == 1
        for number in (1, 2):
            sent = report(number, [task(number, tags=["t"])], logs=[{**line, "seq": number}], artifacts=[artifact])
            assert (await client.post(f"{run_url}/reports", json=sent)).status_code == 200
        assert (await client.put(f"{run_url}/pauses/p", json={"attempt": 1})).status_code == 200
        assert (await client.put(f"{API}/namespaces/ns/variables/v", json={"value": 1})).status_code == 200
        assert (await client.put(f"{API}/namespaces/ns/concurrency-limits/l", json={"slots": 1})).status_code == 200
        lease = {"id": uuid.uuid4().hex, "names": ["l"], "flow_run": uid}
        assert (await client.post(f"{API}/namespaces/ns/concurrency-leases", json=lease)).json()["granted"] is True
        run = (await client.get(run_url)).json()
        assert (run["state"]["type"], run["sequence"], run["deployment"], run["tags"]) == ("COMPLETED", 4, "d", ["t"])
        counted = {"transitions": 4, "task-runs": 2, "logs": 2, "artifacts": 1, "pauses": 0}
        for what, count in counted.items():
            assert len((await client.get(f"{run_url}/{what}")).json()["items"]) == count, what
        for path in ("flow-runs", "task-runs", "variables", "concurrency-limits"):
            assert (await client.get(f"{API}/{path}")).json()["items"], path
    database.dispose()
