"""The schema: made once however many replicas start, the same whether made at once or by migrations."""

from __future__ import annotations

import threading
import uuid

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import MetaData, Uuid, text

from api_testing import API, ORDINARY, report, running, seen_run, task
from mintaka_api.queries import mirrored
from mintaka_api.row_mapping import Inherited, names_of_run, run_rows
from mintaka_api.settings import Settings
from mintaka_api.snapshots import snapshot_of
from mintaka_history.database import Database
from mintaka_history.migrating import _FOLDER, HEAD, migrate, upgrade
from mintaka_history.queries.names import Names
from mintaka_history.tables import metadata


def differences(database: Database) -> list[object]:
    """What alembic would have to change to get from the database to our tables."""
    with database.write_engine.connect() as connection:
        found = compare_metadata(MigrationContext.configure(connection, opts={"compare_type": True}), metadata)
        connection.rollback()
        return found


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
    """`alembic upgrade head` from nothing leaves no difference, and its head is ours."""
    database = Database(database_url)
    with database.write_engine.begin() as connection:
        upgrade(connection, HEAD)
    assert differences(database) == []
    assert ScriptDirectory(str(_FOLDER)).get_current_head() == HEAD
    database.dispose()


def test_an_up_to_date_schema_is_left_alone(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second start neither creates nor migrates."""
    monkeypatch.setattr("mintaka_history.migrating.metadata", None)
    monkeypatch.setattr("mintaka_history.migrating.upgrade", None)
    migrate(database)


def expand(database: Database) -> None:
    """What the next release may do to the schema while this one still runs: columns, one of them required, in every table, and a table."""
    with database.writing() as connection:
        for name in metadata.tables:
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
                assert mirrored.write_runs(connection, [run_rows(snapshot, ids, Inherited())]).transitions == 1
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


def test_rows_of_the_first_release_survive_all_migrations(database_url: str) -> None:
    """One in every table, with something in every column."""
    database = Database(database_url)
    values = {int: 1, str: "1", bool: True, float: 1.0, bytes: b"1"}
    with database.write_engine.begin() as connection:
        upgrade(connection, "0002")
        before = MetaData()
        before.reflect(connection)
        filled = [table for table in before.sorted_tables if table.name != "alembic_version"]
        for table in filled:
            connection.execute(
                table.insert().values(
                    {
                        c.name: uuid.UUID(int=1) if isinstance(c.type, Uuid) else values[c.type.python_type]
                        for c in table.columns
                        if not c.identity
                    }
                )
            )
        rows = [connection.execute(table.select()).one() for table in filled]
        upgrade(connection, HEAD)
        assert [connection.execute(table.select()).one() for table in filled] == rows
    assert len(filled) > 5
    assert differences(database) == []
    database.dispose()
