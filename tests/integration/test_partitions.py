"""Partitions of PostgreSQL: made ahead, filled from the default one, dropped as a whole when every run in them is due."""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import text

from mintaka_core.states import RUNNING
from mintaka_history.database import Database, DatabaseAway
from mintaka_history.maintenance import jobs, partitions, retention
from mintaka_history.maintenance.policy import policy_of
from mintaka_history.maintenance.statements import AnotherProcess, number_at, week_of
from mintaka_history.migrating import migrate
from mintaka_history.queries.dialects import SqlalchemySession
from mintaka_history.timestamps import to_microseconds
from old_runs import NOW, ago, counts, names_left, retire, store

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from postgres_server import PostgresServer

POLICY = policy_of("30", '{"deployments": [{"match": "audit/*", "days": 0}, {"match": "etl/hourly", "days": 2}]}')
DEPLOYED, CALLED = 1, 2


@pytest.fixture
def database(postgres: PostgresServer) -> Iterator[Database]:
    """An empty database of PostgreSQL."""
    name = f"partitions_{time.monotonic_ns()}"
    opened = Database(postgres.create_database(name))
    migrate(opened)
    yield opened
    opened.dispose()
    postgres.drop_database(name)


def present(database: Database, table: str = "task_runs") -> list[partitions.Partition]:
    with database.reading() as connection:
        return partitions.partitions(SqlalchemySession(connection), table)


def make(database: Database, now: int = NOW) -> int:
    """Make what is missing; the number of rows that were moved."""
    return sum(filled.moved for filled in jobs.make_partitions(database, now))


def in_default(database: Database) -> int:
    return sum(jobs.rows_in_default(database).values())


def week(number: int) -> datetime:
    """The beginning of the week that is so many weeks from this one."""
    return week_of(NOW) + timedelta(weeks=number)


def days_since_end_of(weeks_ago: int) -> float:
    """How many days ago a week was over."""
    return (NOW - to_microseconds(week(1 - weeks_ago))) / 86_400_000_000


def test_a_new_database_has_this_week_and_four_more(database: Database) -> None:
    """Named after the week, of every partitioned table; doing it again makes nothing."""
    for table in ("task_runs", "task_run_tags", "logs"):
        found = present(database, table)
        assert [each.low for each in found] == [number_at(to_microseconds(week(n))) for n in range(5)]
        assert [each.high for each in found] == [number_at(to_microseconds(week(n + 1))) for n in range(5)]
        year, number, _ = week(0).isocalendar()
        assert found[0].name == f"{table}_{year}w{number:02}"
    assert list(jobs.make_partitions(database, NOW)) == []


def test_the_next_weeks_are_made_as_time_goes_on(database: Database) -> None:
    """Also at the turn of a year, whose first days belong to a week of the last one."""
    silvester = to_microseconds(datetime(2027, 1, 2, 12, tzinfo=UTC))
    make(database, silvester)
    names = [each.name for each in present(database)]
    assert "task_runs_2026w53" in names
    assert names[-1] == "task_runs_2027w04"
    assert all(first.high == second.low for first, second in zip(present(database), present(database)[1:], strict=False))


def test_rows_of_the_default_partition_are_moved_when_their_week_is_made(database: Database) -> None:
    """And are the same rows as before, in every table."""
    for weeks_ago in (3, 5, 60):
        store(database, f"run-{weeks_ago}", weeks_ago * 7)
    store(database, "today", 0)
    before = counts(database)
    assert in_default(database) == 3 * (2 + 2 + 2)
    assert make(database) == 3 * 6
    assert in_default(database) == 0
    assert counts(database) == before
    assert len(present(database)) == 5 + 3
    assert make(database) == 0


def test_a_week_with_many_rows_gets_several_partitions(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where new runs are written comes first; a single run is not divided."""
    monkeypatch.setattr(partitions, "_ROWS_AT_ONCE", 5)
    for number in range(4):
        store(database, f"run-{number}", 30, tasks=2, lines=0)
    store(database, "large", 30.01, tasks=12, lines=0)
    before = counts(database)
    filled = [each for each in jobs.make_partitions(database, NOW) if each.name.startswith("task_runs_")]
    assert filled[0].moved == 0
    assert sum(each.moved for each in filled) == before["task_runs"] == 20
    assert max(each.moved for each in filled) == 12
    assert in_default(database) == 0
    assert counts(database) == before
    assert make(database) == 0


@pytest.mark.parametrize(
    ("kind", "days"), [("a clock that is years behind", 365 * 8), ("a clock that is a year ahead", -400)], ids=lambda v: str(v)[:20]
)
def test_runs_under_a_wrong_clock_get_no_partitions(database: Database, kind: str, days: float) -> None:
    """Anyone could have thousands made; they stay in the default partition."""
    del kind
    store(database, "run", days, lasted=0)
    assert make(database) == 0
    assert len(present(database)) == 5
    assert in_default(database) == 6


def test_a_clock_that_was_set_back_makes_what_is_missing_there(database: Database) -> None:
    """Nothing is dropped, and nothing overlaps."""
    make(database, ago(10 * 7))
    low = [each.low for each in present(database)]
    assert len(low) == len(set(low)) == 10
    make(database, NOW)
    assert [each.low for each in present(database)] == low


WEEK_AGO = 8


@pytest.mark.parametrize(
    ("kind", "others", "goes"),
    [
        ("all of it is due", {}, True),
        ("one run is unfinished", {"state": RUNNING}, False),
        ("one run is still in the cluster", {"kind": DEPLOYED, "cluster": 1, "deleted": None}, False),
        ("one run has no limit", {"namespace": "audit"}, False),
        ("one run ended lately", {"ended": 3}, False),
        ("one run was called by one of another week that is unfinished", {"parent": {"ended": 80, "state": RUNNING}}, False),
        ("one run was called by one of another week without limit", {"parent": {"ended": 80, "namespace": "audit"}}, False),
        ("one run was called by one of another week that is due", {"parent": {"ended": 80}}, True),
        ("one run called one of another week that is unfinished", {"child": {"ended": 0, "state": RUNNING}}, False),
        ("one run called one of another week that ended lately", {"child": {"ended": 3}}, False),
        ("one run called one of another week that is due", {"child": {"ended": 35}}, True),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_partition_goes_when_every_run_in_it_is_due(database: Database, kind: str, others: dict[str, Any], goes: bool) -> None:
    """The dry run reports the same, and the runs that are due go from a partition that stays."""
    del kind
    middle = days_since_end_of(WEEK_AGO) + 3
    for number in range(3):
        store(database, f"run-{number}", middle)
    parent = store(database, "parent", **others["parent"]) if "parent" in others else None
    columns = {"parent": parent, "kind": CALLED} if parent else {}
    columns |= {name: value for name, value in others.items() if name not in {"parent", "child"}}
    ended = columns.pop("ended", middle)
    other = store(database, "other", ended, **{"lasted": middle - ended if ended < middle else 0.04, **columns})
    if "child" in others:
        store(database, "child", **{"kind": CALLED, **others["child"]}, parent=other)
    make(database)
    name = next(each.name for each in present(database) if each.low == number_at(to_microseconds(week(-WEEK_AGO))))
    planned = [each.name for each in retention.plan(database, POLICY, NOW).partitions]
    dropped = [progress.partition.name for progress in retention.steps(database, POLICY, NOW) if progress.partition]
    assert planned == dropped
    assert (name in dropped) is goes
    assert (name in {each.name for each in present(database)}) is not goes
    left = names_left(database)
    assert [each for each in left if each.startswith("run-")] == []
    assert ("other" in left) is not goes
    assert counts(database)["task_runs"] == 2 * len(left)
    assert counts(database)["logs"] == 2 * len(left)


def test_runs_with_the_longest_limit_wait_for_their_week_and_those_with_a_shorter_one_do_not(database: Database) -> None:
    """So that the week goes as a whole, not row by row; but a day after its limit nothing waits any more."""
    start = days_since_end_of(5) + 7
    hourly, nightly = start - 0.5, start - 0.6
    now = ago(days_since_end_of(5)) + 29 * 86_400_000_000
    store(database, "hourly", hourly, deployment="hourly")
    store(database, "nightly", nightly)
    store(database, "held", nightly, namespace="audit")
    make(database)
    assert retire(database, POLICY, now)["flow_runs"] == 1
    assert names_left(database) == ["held", "nightly"]
    day = 86_400_000_000
    assert retire(database, POLICY, now + day + day // 2).total() == 0
    assert retire(database, POLICY, now + 2 * day + day // 2)["flow_runs"] == 1
    assert names_left(database) == ["held"]


def test_a_process_that_ends_after_a_partition_was_dropped(database: Database) -> None:
    """The next pass deletes what is left of its runs at once, also within the week's last day."""
    end = days_since_end_of(WEEK_AGO)
    now = ago(end) + 30 * 86_400_000_000 + 3_600_000_000
    store(database, "run", end + 3)
    make(database)
    work = retention.steps(database, POLICY, now)
    while (progress := next(work)).partition is not None and progress.partition.table != "logs":
        pass
    work.close()
    assert names_left(database) == ["run"]
    assert retention.plan(database, POLICY, now).flow_runs == 1
    retire(database, POLICY, now)
    assert set(counts(database).values()) == {0}


def test_a_reader_in_the_way_makes_a_step_give_up_soon(database: Database) -> None:
    """Others wait behind it for half a second at most; the step did nothing, and the next pass does it."""
    store(database, "run", 7 * WEEK_AGO)
    with database.reading() as reader:
        reader.execute(text("SELECT count(*) FROM task_runs"))
        began = time.monotonic()
        with pytest.raises(DatabaseAway, match="lock timeout"):
            make(database)
        assert time.monotonic() - began < 2
    assert make(database) > 0
    with database.reading() as reader:
        reader.execute(text("SELECT count(*) FROM task_runs"))
        with pytest.raises(DatabaseAway, match="lock timeout"):
            retire(database, POLICY)
    assert retire(database, POLICY)["flow_runs"] == 1


def test_one_process_at_a_time_maintains_a_database(database: Database) -> None:
    """By a lock of the transaction, which works through a pooler; the other skips the pass."""
    store(database, "run", 7 * WEEK_AGO)
    with jobs.step(database):
        with pytest.raises(AnotherProcess):
            make(database)
        with pytest.raises(AnotherProcess):
            retire(database, POLICY)
        with pytest.raises(AnotherProcess):
            list(jobs.add_up_counts(database))
    assert make(database) > 0


def test_reports_are_stored_while_partitions_are_made_and_dropped(database: Database) -> None:
    """None fails, none loses a row."""
    for weeks_ago in range(6, 12):
        store(database, f"old-{weeks_ago}", 7 * weeks_ago, tasks=500, lines=100)
    failures: list[BaseException] = []
    stored: list[str] = []
    done = threading.Event()

    def write() -> None:
        try:
            while not done.is_set() or len(stored) < 5:
                stored.append(store(database, f"new-{len(stored)}", 2 * len(stored) % 20, tasks=20, lines=5))
        except BaseException as error:  # noqa: BLE001 - to be seen by the test
            failures.append(error)

    writer = threading.Thread(target=write, daemon=True)
    writer.start()
    try:
        for _ in range(3):
            for work in (make, lambda database: retire(database, POLICY)):
                _repeat(work, database)
    finally:
        done.set()
        writer.join()
    assert failures == []
    assert len(names_left(database)) == len(stored)
    assert counts(database)["task_runs"] == len(stored) * 20
    assert counts(database)["logs"] == len(stored) * 5


def test_a_row_whose_partition_is_attached_while_it_waits_is_sent_again(database: Database) -> None:
    """PostgreSQL has chosen the default partition for it, and refuses it there: that is temporary, and not an error of the report."""
    failures: list[BaseException] = []

    def write() -> None:
        try:
            with database.writing() as connection:
                values = {"run": number_at(ago(60)), "at": ago(60)}
                connection.execute(
                    text("INSERT INTO logs (flow_run, attempt, seq, at, level, message) VALUES (:run, 1, 1, :at, 20, '')"), values
                )
        except DatabaseAway as away:
            failures.append(away)

    with database.writing() as connection:
        session = SqlalchemySession(connection)
        low, high = (number_at(to_microseconds(week_of(ago(60)) + timedelta(weeks=weeks))) for weeks in (0, 1))
        connection.execute(text("LOCK TABLE logs_default IN ACCESS EXCLUSIVE MODE"))
        writer = threading.Thread(target=write, daemon=True)
        writer.start()
        time.sleep(0.3)
        partitions.fill(session, partitions.Gap("logs", low, high))
    writer.join(10)
    assert ["try again" in str(failure) for failure in failures] == [True]
    write()
    assert len(failures) == 1


def _repeat(work: Callable[[Database], object], database: Database) -> None:
    """As maintenance does when a table was in use."""
    for _ in range(20):
        try:
            work(database)
        except DatabaseAway:
            time.sleep(0.05)
        else:
            return
