"""How long it takes to delete a month of history, and whether ingest continues meanwhile.

PostgreSQL: task runs of four weeks in four partitions, 100 to a flow run, dropped by one pass of retention; then the same number
with an unfinished run in each week, deleted row by row. SQLite: row by row. The longest step is how long another writer waits at most.
PostgreSQL is a private server with fsync on, in a temporary folder.

    python benchmarks/retention.py [--rows 200000]
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "support"))

from sqlalchemy import text

from mintaka_history.database import Database
from mintaka_history.maintenance import jobs, retention
from mintaka_history.maintenance.policy import policy_of
from mintaka_history.maintenance.statements import DAY_MICROSECONDS, week_of
from mintaka_history.migrating import migrate
from mintaka_history.timestamps import now_microseconds, to_microseconds
from postgres_server import PostgresServer

if TYPE_CHECKING:
    from mintaka_history.maintenance.policy import RetentionPolicy

_PER_RUN = 100
_HISTORY = "[[2,0],[3,11],[4,43]]"


def fill(database: Database, rows: int, now: int) -> None:
    """Add task runs of the four weeks before last month, evenly."""
    start = to_microseconds(week_of(now - 70 * DAY_MICROSECONDS))
    runs = rows // _PER_RUN
    step = 28 * DAY_MICROSECONDS // runs
    series = (
        f"generate_series(0, {runs - 1}) AS g(r)"
        if database.is_postgresql
        else f"(WITH RECURSIVE g(r) AS (SELECT 0 UNION ALL SELECT r + 1 FROM g WHERE r < {runs - 1}) SELECT r FROM g) AS g"  # noqa: S608 - numbers
    )
    tasks = (
        f"generate_series(0, {_PER_RUN - 1}) AS t(n)"
        if database.is_postgresql
        else f"(WITH RECURSIVE t(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM t WHERE n < {_PER_RUN - 1}) SELECT n FROM t) AS t"  # noqa: S608 - numbers
    )
    uid = "gen_random_uuid()" if database.is_postgresql else "lower(hex(randomblob(16)))"
    created = f"({start} + CAST(r AS bigint) * {step})"
    number = f"({created} / 1000 << 20)"
    with database.writing() as connection:
        connection.execute(text("INSERT INTO names (kind, value, used) VALUES (1, 'bench', 1), (2, 'bench', 1), (3, 'etl.task', 1)"))
    insert_runs = (
        "INSERT INTO flow_runs (no, uid, created, ended, deleted, ns, deployment, state, kind, name) "  # noqa: S608 - our own words
        f"SELECT {number}, {uid}, {created}, {created} + 1000000, {created}, 1, 2, 4, 3, 'run-' || r FROM {series}"
    )
    insert_tasks = (
        "INSERT INTO task_runs (flow_run, attempt, n, ns, created, started, ended, task, seq, runs, state, subflow, upstream, history) "  # noqa: S608
        f"SELECT {number}, 1, n, 1, {created} + n * 50, {created} + n * 50 + 11, {created} + n * 50 + 43, 3, 3, 1, 4, false, "
        f"'{{\"rows\":[1]}}', '{_HISTORY}' FROM {series} CROSS JOIN {tasks}"
    )
    for statement in (insert_runs, insert_tasks):
        with database.writing() as connection:
            if database.is_postgresql:
                connection.execute(text("SET LOCAL statement_timeout = 0"))
            connection.exec_driver_sql(statement)


def hold(database: Database, now: int) -> None:
    """Leave one run of each week unfinished, so that no week goes as a whole."""
    with database.writing() as connection:
        for weeks in range(4):
            start = to_microseconds(week_of(now - (70 - 7 * weeks) * DAY_MICROSECONDS))
            statement = "UPDATE flow_runs SET state = 3 WHERE no = (SELECT min(no) FROM flow_runs WHERE created > :start)"
            connection.execute(text(statement), {"start": start + DAY_MICROSECONDS})


def measure(name: str, database: Database, policy: RetentionPolicy, now: int) -> None:
    """Time a pass of retention and print it."""
    with database.writing() as connection:
        connection.exec_driver_sql("ANALYZE")
    began = time.perf_counter()
    plan = retention.plan(database, policy, now)
    planned = time.perf_counter() - began
    deleted: Counter[str] = Counter()
    longest = dropped = 0.0
    steps = retention.steps(database, policy, now)
    began = before = time.perf_counter()
    for progress in steps:
        after = time.perf_counter()
        longest = max(longest, after - before)
        deleted.update(progress.rows)
        if progress.partition is not None:
            dropped = after - began
        before = after
    seconds = time.perf_counter() - began
    size = sum(partition.size for partition in plan.partitions) or plan.size
    rate = deleted["task_runs"] / seconds
    print(
        f"{name:<34} {deleted['task_runs']:>10,} task runs {deleted['flow_runs']:>7,} flow runs {size / 1e6:>8.1f} MB  "
        f"partitions {dropped * 1e3:>7.0f} ms  all {seconds * 1e3:>7.0f} ms ({rate:>9,.0f}/s)  longest step {longest * 1e3:>5.0f} ms  "
        f"dry run {planned * 1e3:>6.0f} ms"
    )


def main() -> None:
    """Measure all three."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=200_000)
    rows: int = parser.parse_args().rows
    now = now_microseconds()
    server = PostgresServer(autovacuum="off")  # it would lock a table that is to be dropped; the next pass would drop it then
    server.start()
    try:
        for name in ("PostgreSQL, whole weeks", "PostgreSQL, row by row"):
            database = Database(server.create_database(name.replace(", ", "_").replace(" ", "_").lower()))
            migrate(database)
            for weeks in range(4):
                for _ in jobs.make_partitions(database, to_microseconds(week_of(now - (70 - 7 * weeks) * DAY_MICROSECONDS))):
                    pass
            fill(database, rows, now)
            if name.endswith("row by row"):
                hold(database, now)
            measure(name, database, policy_of("30", ""), now)
            database.dispose()
    finally:
        server.remove()
    with tempfile.TemporaryDirectory() as folder:
        database = Database(f"sqlite:///{folder}/history.db")
        migrate(database)
        fill(database, rows, now)
        measure("SQLite, row by row", database, policy_of("30", ""), now)
        database.dispose()


if __name__ == "__main__":
    main()
