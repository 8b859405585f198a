"""Maintenance in the API: the feed of changes, the counts of flow runs, and the background task."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import text

from api_testing import eventually, running
from mintaka_api.maintenance import Maintenance
from mintaka_api.metrics import Metrics
from mintaka_api.settings import Settings
from mintaka_core.states import COMPLETED, FAILED
from mintaka_history.embedded_sqlite import EmbeddedDatabase
from mintaka_history.enum_codes import STATE_CODES
from mintaka_history.maintenance import feed, jobs
from mintaka_history.maintenance.policy import policy_of
from mintaka_history.queries.dialects import SqlalchemySession
from old_runs import NOW, ago, change, names_left, store

if TYPE_CHECKING:
    from pathlib import Path

    from mintaka_history.database import Database

DAY = 86_400_000_000


def add_changes(database: Database, times: list[int]) -> None:
    with database.writing() as connection:
        session = SqlalchemySession(connection)
        session.run("DELETE FROM changes")
        for number, at in enumerate(times, 1):
            uid = session.uid("0190f5fe-0000-7000-8000-000000000001")
            session.run("INSERT INTO changes (seq, tx, at, object, ns, kind) VALUES (?, 0, ?, ?, 1, 1)", (number, at, uid))


def seqs(database: Database) -> list[int]:
    with database.reading() as connection:
        return list(connection.execute(text("SELECT seq FROM changes ORDER BY seq")).scalars())


@pytest.mark.parametrize(
    ("kind", "days_ago", "left"),
    [
        ("nothing", [], []),
        ("only recent ones", [0.9, 0.5, 0], [1, 2, 3]),
        ("older than a day", [3, 2, 1.1, 0.9, 0], [4, 5]),
        ("all old: the newest stays, so that its number is not assigned again", [3, 2, 2], [3]),
        ("one alone", [30], [1]),
        ("an old one after a recent one waits for it", [3, 0.5, 3, 0], [2, 3, 4]),
        ("the clock was set back by a year: those ahead of it are old", [-365, -365, 0], [3]),
        ("the clock was set back by an hour", [-0.04, -0.04, 0], [1, 2, 3]),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_left_of_the_feed(database: Database, kind: str, days_ago: list[float], left: list[int]) -> None:
    del kind
    add_changes(database, [ago(days) for days in days_ago])
    list(jobs.trim_feed(database, NOW))
    assert seqs(database) == left


def test_the_feed_is_bounded_however_recent_it_is(database: Database) -> None:
    """And long ones are trimmed in several transactions."""
    add_changes(database, [ago(0)] * 30)
    with database.writing() as connection:
        while feed.trim(SqlalchemySession(connection), NOW, at_once=4, rows_limit=10):
            pass
    assert seqs(database) == list(range(21, 31))


def test_a_script_trims_the_feed_of_its_file(tmp_path: Path) -> None:
    """No server does it; a part each time that the file is opened."""
    path = tmp_path / "history.db"
    EmbeddedDatabase(path).close()
    from mintaka_history.database import Database as Opened  # noqa: PLC0415 - the fixture's type has the name

    database = Opened(f"sqlite:///{path}")
    database.migrated = True
    add_changes(database, [ago(3)] * 2500)
    EmbeddedDatabase(path).close()
    assert seqs(database) == list(range(2001, 2501))
    EmbeddedDatabase(path).close()
    assert seqs(database) == [2500]
    database.dispose()


def summed(database: Database) -> dict[tuple[int, int], int]:
    """The number of runs by hour and state, however many rows that are."""
    with database.reading() as connection:
        query = "SELECT hour, state, sum(n) FROM flow_run_counts WHERE hour >= 0 AND ns = -1 GROUP BY hour, state HAVING sum(n) <> 0"
        return {(hour, state): int(n) for hour, state, n in connection.execute(text(query))}


def rows_of_counts(database: Database) -> list[Any]:
    with database.reading() as connection:
        return list(connection.execute(text("SELECT part, n FROM flow_run_counts WHERE hour >= 0 AND ns = -1")))


def true_counts(database: Database) -> dict[tuple[int, int], int]:
    with database.reading() as connection:
        query = "SELECT created / 3600000000, state, count(*) FROM flow_runs GROUP BY 1, 2"
        return {(hour, state): n for hour, state, n in connection.execute(text(query))}


def test_the_counts_of_transactions_become_one(database: Database) -> None:
    """The sums are the same before and after; a count of zero has no row."""
    for number in range(6):
        store(database, f"run-{number}", 2, state=FAILED if number % 2 else COMPLETED)
    change(database, store(database, "moved", 2), state=STATE_CODES[FAILED])
    before = summed(database)
    assert before == true_counts(database)
    list(jobs.add_up_counts(database))
    list(jobs.tidy(database, NOW))
    assert summed(database) == before
    assert all(part == 0 and n > 0 for part, n in rows_of_counts(database))
    assert len(rows_of_counts(database)) == len(before)


def test_counts_stay_right_while_runs_are_written(database: Database) -> None:
    """A reader sees the same sums at any time; what a transaction in progress has added is added up later."""
    done = threading.Event()
    failures: list[BaseException] = []

    def write() -> None:
        try:
            number = 0
            while not done.is_set():
                number += 1
                store(database, f"run-{number}", 2)
        except BaseException as error:  # noqa: BLE001 - to be seen by the test
            failures.append(error)

    writers = [threading.Thread(target=write, daemon=True) for _ in range(2)]
    for writer in writers:
        writer.start()
    for _ in range(20):
        list(jobs.add_up_counts(database))
        with database.reading() as connection:
            if database.is_postgresql:
                connection.execute(text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ"))
            counted = connection.execute(text("SELECT COALESCE(sum(n), 0) FROM flow_run_counts WHERE hour >= 0 AND ns = -1")).scalar_one()
            assert counted == connection.execute(text("SELECT count(*) FROM flow_runs")).scalar_one()
    done.set()
    for writer in writers:
        writer.join()
    list(jobs.add_up_counts(database))
    assert failures == []
    assert summed(database) == true_counts(database)


@pytest.mark.anyio
async def test_the_api_maintains_its_database(database_url: str) -> None:
    """With a part in /readyz, and metrics."""
    settings = Settings(database_url=database_url, mirror=False, retention=policy_of("30", ""))
    async with running(settings) as api:
        database: Database = api.app.state.services.database  # type: ignore[attr-defined]
        store(database, "old", 60)
        store(database, "new", 1)
        maintenance = Maintenance(database, settings.retention, api.app.state.services.metrics)  # type: ignore[attr-defined]

        async def left() -> list[str]:
            await maintenance.run_once()
            return names_left(database)

        assert await eventually(left, lambda names: names == ["new"]) == ["new"]
        ready = await api.get("/readyz")
        assert (ready.status_code, "maintenance" in ready.json()["parts"]) == (200, True)
        metrics = (await api.get("/metrics")).text
        assert 'mintaka_retention_deleted_rows_total{table="flow_runs"} 1.0' in metrics
        assert 'mintaka_maintenance_last_success_timestamp_seconds{job="retention"}' in metrics


@pytest.mark.anyio
async def test_rows_in_the_default_partition_are_an_alarm_until_the_next_pass(postgres: Any) -> None:
    """Their partition was not created in time: maintenance did not run, or a clock is wrong."""
    url = postgres.create_database("alarm")
    try:
        async with running(Settings(database_url=url, mirror=False)) as api:
            database: Database = api.app.state.services.database  # type: ignore[attr-defined]
            metrics: Metrics = api.app.state.services.metrics  # type: ignore[attr-defined]
            await eventually(lambda: api.get("/metrics"), lambda got: 'last_success_timestamp_seconds{job="tidying"}' in got.text)
            store(database, "old", 60)
            maintenance = Maintenance(database, policy_of("", ""), metrics)
            await maintenance.run_once()
            assert "rows were written before their partition was made" in maintenance.problem()
            assert 'mintaka_default_partition_rows{table="task_runs"} 2.0' in (await api.get("/metrics")).text
            await maintenance.run_once()
            assert maintenance.problem() == ""
    finally:
        postgres.drop_database("alarm")


@pytest.mark.anyio
async def test_a_clock_that_was_set_deletes_nothing_in_that_pass(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """A clock that is suddenly years ahead makes every run old."""
    store(database, "run", 1)
    maintenance = Maintenance(database, policy_of("30", ""), Metrics())
    await maintenance.run_once()
    monkeypatch.setattr("mintaka_api.maintenance.now_microseconds", lambda: NOW + 1000 * DAY)
    await maintenance.run_once()
    assert names_left(database) == ["run"]
    await maintenance.run_once()
    assert names_left(database) == []


@pytest.mark.anyio
async def test_a_job_that_fails_says_so_and_keeps_no_other_from_its_work(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is tried again in the next pass."""
    store(database, "run", 60)

    def fail(*_: object) -> Any:
        message = "out of order"
        raise RuntimeError(message)

    monkeypatch.setattr(jobs, "trim_feed", fail)
    maintenance = Maintenance(database, policy_of("30", ""), Metrics())
    await maintenance.run_once()
    assert maintenance.problem().startswith("feed: RuntimeError: out of order")
    assert names_left(database) == []
    monkeypatch.undo()
    await maintenance.run_once()
    await maintenance.run_once()
    assert maintenance.problem() == ""
