"""The schema: made once however many replicas start, the same whether made at once or by migrations."""

from __future__ import annotations

import threading
import uuid
from typing import TYPE_CHECKING

from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import MetaData, Uuid, text

from mintaka_history.database import Database
from mintaka_history.migrating import _FOLDER, HEAD, migrate, upgrade
from mintaka_history.tables import metadata

if TYPE_CHECKING:
    import pytest


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


def test_a_newer_schema_is_served_and_said_so(database: Database, caplog: pytest.LogCaptureFixture) -> None:
    """A replica of the release before goes on during a rolling update."""
    with database.writing() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    migrate(database)
    assert "newer than this release's" in caplog.text


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
