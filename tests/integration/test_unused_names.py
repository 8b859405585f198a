"""Names that no row refers to are deleted, and no writer ever writes an id that was."""

from __future__ import annotations

import random
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import text

from mintaka_history.database import Database
from mintaka_history.enum_codes import NameKind
from mintaka_history.maintenance import jobs
from mintaka_history.maintenance.policy import policy_of
from mintaka_history.maintenance.unused_names import UnusedNames
from mintaka_history.migrating import migrate
from mintaka_history.queries.dialects import SqlalchemySession
from mintaka_history.queries.names import Names
from mintaka_history.writing.names import assign_ids
from old_runs import NOW, ago, retire, store

if TYPE_CHECKING:
    from collections.abc import Iterator

    from postgres_server import PostgresServer

HOUR = 3600.0
TAG = (NameKind.TAG, "red")


class Clock:
    """A clock that cannot be set, but for tests."""

    def __init__(self) -> None:
        self.seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


def present(database: Database) -> set[tuple[int, str]]:
    with database.reading() as connection:
        return {(kind, value) for kind, value in connection.execute(text("SELECT kind, value FROM names"))}


def age(database: Database, used: int) -> None:
    """Set when all names were used."""
    with database.writing() as connection:
        connection.execute(text("UPDATE names SET used = :used"), {"used": used})


def collect(database: Database, collector: UnusedNames, now: int = NOW) -> int:
    return sum(jobs.collect_names(database, collector, now))


def assign(database: Database, *names: tuple[NameKind, str]) -> dict[tuple[int, str], int]:
    with database.writing() as connection:
        return assign_ids(SqlalchemySession(connection), names)


def add_newest(database: Database) -> None:
    """The newest name always stays."""
    assign(database, (NameKind.TASK, "the newest"))


def test_the_names_of_runs_that_are_gone_go_two_hours_after_they_were_found(database: Database, clock: Clock) -> None:
    """Of every kind; those that a row refers to stay, and so does the newest."""
    store(database, "old", 40, namespace="gone", deployment="gone")
    store(database, "new", 1)
    kept = {
        *((NameKind.NAMESPACE, "etl"), (NameKind.DEPLOYMENT, "nightly"), (NameKind.TASK, "etl.clean"), (NameKind.FLOW, "flow of new")),
        *((NameKind.TAG, "run"), (NameKind.TAG, "run new"), (NameKind.TAG, "task"), (NameKind.TAG, "task new"), (NameKind.LOGGER, "etl")),
    }
    gone = {
        *((NameKind.NAMESPACE, "gone"), (NameKind.DEPLOYMENT, "gone"), (NameKind.FLOW, "flow of old")),
        *((NameKind.TAG, "run old"), (NameKind.TAG, "task old")),
    }
    assert present(database) == kept | gone
    retire(database, policy_of("30", ""))
    list(jobs.add_up_counts(database))
    list(jobs.tidy(database, NOW))
    add_newest(database)
    age(database, ago(2))
    collector = UnusedNames(clock)
    assert collect(database, collector) == 0
    clock.seconds += 1.9 * HOUR
    assert collect(database, collector) == 0
    clock.seconds += 0.2 * HOUR
    assert collect(database, collector) == len(gone)
    assert present(database) == kept | {(NameKind.TASK, "the newest")}
    assert collect(database, collector) == 0


def test_a_logger_goes_when_every_run_older_than_its_last_use_is_gone(database: Database, clock: Clock) -> None:
    """Lines have no index by logger."""
    store(database, "run", 5)
    assign(database, (NameKind.LOGGER, "unused"))
    add_newest(database)
    age(database, ago(4))
    collector = UnusedNames(clock)
    for _ in range(3):
        collect(database, collector)
        clock.seconds += 3 * HOUR
    assert {(NameKind.LOGGER, "unused"), (NameKind.LOGGER, "etl")} <= present(database)
    retire(database, policy_of("1", ""), NOW + 20 * 86_400_000_000)
    store(database, "later", 1)
    with database.writing() as connection:
        connection.execute(text("UPDATE names SET used = :used WHERE value = 'unused'"), {"used": -ago(4)})
    for _ in range(3):
        collect(database, collector)
        clock.seconds += 3 * HOUR
    assert (NameKind.LOGGER, "unused") not in present(database)
    assert (NameKind.LOGGER, "etl") in present(database)


@pytest.mark.parametrize("used", [24, 1, 0, -1000], ids=["yesterday", "an hour ago", "now", "in the future, by a wrong clock"])
def test_a_name_that_was_used_within_a_day_stays(database: Database, clock: Clock, used: float) -> None:
    assign(database, TAG)
    add_newest(database)
    age(database, NOW - round(used * 3_600_000_000))
    collector = UnusedNames(clock)
    for _ in range(3):
        collect(database, collector)
        clock.seconds += 3 * HOUR
    assert TAG in present(database)


def test_a_writer_that_asks_for_a_condemned_name_keeps_it(database: Database, clock: Clock) -> None:
    """Even if no row refers to it when the time is over."""
    before = assign(database, TAG)
    add_newest(database)
    age(database, ago(2))
    collector = UnusedNames(clock)
    collect(database, collector)
    assert assign(database, TAG) == before
    clock.seconds += 3 * HOUR
    assert collect(database, collector) == 0
    assert TAG in present(database)


def test_a_process_that_starts_anew_waits_two_hours_again(database: Database, clock: Clock) -> None:
    """What was condemned before is not forgotten, but since when is."""
    assign(database, TAG)
    add_newest(database)
    age(database, ago(2))
    collect(database, UnusedNames(clock))
    clock.seconds += 3 * HOUR
    collector = UnusedNames(clock)
    assert collect(database, collector) == 0
    clock.seconds += 2.1 * HOUR
    assert collect(database, collector) == 1
    assert TAG not in present(database)


def test_caches_forget_within_an_hour(database: Database, clock: Clock) -> None:
    """A writer then requests the id again, which records its use, or gets a new one."""
    names = Names(clock)
    first = names.ids_of(database, [TAG])
    add_newest(database)
    age(database, ago(2))
    collector = UnusedNames(clock)
    collect(database, collector)
    clock.seconds += 0.9 * HOUR
    assert names.ids_of(database, [TAG]) == first
    clock.seconds += 0.2 * HOUR
    assert names.ids_of(database, [TAG]) == first
    clock.seconds += 3 * HOUR
    assert collect(database, collector) == 0
    age(database, ago(2))
    collect(database, collector)
    clock.seconds += 3 * HOUR
    assert collect(database, collector) == 1
    second = names.ids_of(database, [TAG])
    assert second.keys() == first.keys()
    assert second != first


def test_an_id_that_was_only_read_is_not_written(database: Database, clock: Clock) -> None:
    """A reader's question must not let a writer of the same process skip its own."""
    assign(database, TAG)
    add_newest(database)
    age(database, ago(2))
    collector, names = UnusedNames(clock), Names(clock)
    collect(database, collector)
    clock.seconds += 1.9 * HOUR
    with database.reading() as connection:
        assert names.known(connection, *TAG) is not None
    clock.seconds += 0.2 * HOUR
    assert collect(database, collector) == 1
    number = names.ids_of(database, [TAG])[TAG]
    with database.reading() as connection:
        assert connection.execute(text("SELECT value FROM names WHERE id = :id"), {"id": number}).scalar() == "red"


def test_the_newest_name_stays_because_its_id_would_be_assigned_again(database: Database, clock: Clock) -> None:
    """SQLite assigns the highest id plus one."""
    assign(database, (NameKind.TAG, "first"), (NameKind.TAG, "second"))
    age(database, ago(2))
    collector = UnusedNames(clock)
    for _ in range(2):
        collect(database, collector)
        clock.seconds += 3 * HOUR
    assert present(database) == {(NameKind.TAG, "second")}


def test_two_writers_never_see_an_id_without_its_name(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two assign ids and use them a little later, while a third deletes what it may, after half a second instead of two hours."""
    monkeypatch.setattr("mintaka_history.maintenance.unused_names._CONDEMNED_SECONDS", 0.5)
    failures: list[str] = []
    used, done, deleted = [0], threading.Event(), 0

    def write(seed: int) -> None:
        draw = random.Random(seed)
        while not done.is_set():
            began = time.monotonic()
            word = (NameKind.TAG, f"tag {draw.randrange(60)}")
            number = assign(database, word)[word]
            time.sleep(draw.random() / 20)
            with database.writing() as connection:
                rows = SqlalchemySession(connection).run("SELECT value FROM names WHERE id = ?", (number,))
            if time.monotonic() - began < 0.4:  # a slower writer would be one that takes two hours
                used[0] += 1
                failures.extend([f"{word} has id {number}, which is {rows}"] if rows != [(word[1],)] else [])

    writers = [threading.Thread(target=write, args=(seed,), daemon=True) for seed in (1, 2)]
    for thread in writers:
        thread.start()
    try:
        collector, until = UnusedNames(), time.monotonic() + 5
        while time.monotonic() < until:
            with database.writing() as connection:
                connection.execute(text("UPDATE names SET used = :old WHERE used > 0"), {"old": ago(2)})
            deleted += collect(database, collector)
    finally:
        done.set()
        for thread in writers:
            thread.join()
    assert failures == []
    assert used[0] > 20
    assert deleted > 0


def test_a_writer_that_asks_while_the_name_is_deleted_gets_a_new_id(postgres: PostgresServer) -> None:
    """It waits for the transaction that deletes, and then finds that the name it had read is gone."""
    with _postgresql(postgres) as database:
        before = assign(database, TAG)
        age(database, -ago(2))
        found: list[dict[tuple[int, str], int]] = []
        writer = threading.Thread(target=lambda: found.append(assign(database, TAG)), daemon=True)
        with database.writing() as connection:
            connection.execute(text("DELETE FROM names WHERE value = 'red'"))
            writer.start()
            time.sleep(0.3)
            assert found == []
        writer.join(10)
        assert found[0].keys() == before.keys()
        assert found[0] != before
        with database.reading() as connection:
            assert connection.execute(text("SELECT id FROM names WHERE value = 'red'")).scalars().all() == list(found[0].values())


def test_a_name_that_a_transaction_in_progress_asks_for_is_not_deleted(postgres: PostgresServer, clock: Clock) -> None:
    """The collector does not wait for it."""
    with _postgresql(postgres) as database:
        assign(database, TAG)
        add_newest(database)
        age(database, ago(2))
        collector = UnusedNames(clock)
        collect(database, collector)
        clock.seconds += 3 * HOUR
        with database.writing() as connection:
            assign_ids(SqlalchemySession(connection), [TAG])
            assert collect(database, collector) == 0
        assert collect(database, collector) == 0
        assert TAG in present(database)


@contextmanager
def _postgresql(server: PostgresServer) -> Iterator[Database]:
    name = f"names_{time.monotonic_ns()}"
    database = Database(server.create_database(name))
    migrate(database)
    try:
        yield database
    finally:
        database.dispose()
        server.drop_database(name)
