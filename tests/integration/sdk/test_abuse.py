"""What flows do to themselves ends in clear states, with all of their history, and without a hang."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from mintaka import flow, task
from mintaka.recording.homes import home


@pytest.fixture
def database(mintaka_home: str) -> Path:
    """History goes into this file."""
    assert mintaka_home
    found = home().database
    assert found is not None
    return found


def rows(database: Path, question: str) -> list[Any]:
    with closing(sqlite3.connect(database)) as connection:
        return connection.execute(question).fetchall()


@task
def endless(n: int) -> int:
    return endless(n + 1)


@task
def nested(n: int) -> int:
    return nested(n - 1) + 1 if n else 0


@task
def mostly(n: int) -> int:
    if n % 100 == 7:
        raise ValueError(f"{n} is bad")
    return n


def test_a_task_that_calls_itself_for_ever_fails_and_so_do_all_its_calls(database: Path) -> None:
    @flow
    def main() -> None:
        endless(0)

    state = main(return_state=True)
    assert (state.is_failed(), state.reason) == (True, "RecursionError")
    ((run_state, reason, final),) = rows(database, "SELECT state, reason, final_attempt FROM flow_runs")
    assert (run_state, reason, final) == (5, "RecursionError", 1)
    found = rows(database, "SELECT state, count(*) FROM task_runs GROUP BY state")
    assert {state for state, _ in found} <= {5, 6, 9}, found
    assert sum(count for _, count in found) > 20
    assert flow(nested)(3) == 3  # the process is as good as new


def test_tasks_may_call_tasks_a_hundred_deep(database: Path) -> None:
    @flow
    def main() -> int:
        return nested(99)

    assert main() == 99
    assert rows(database, "SELECT count(*), min(state), max(state) FROM task_runs") == [(100, 4, 4)]
    assert rows(database, "SELECT count(*) FROM task_runs WHERE parent = n - 1") == [(99,)]


def test_ten_thousand_mapped_tasks_of_which_some_fail_are_all_there(database: Path) -> None:
    @flow
    def main() -> int:
        states = [future.state for future in mostly.map(range(10_000)) if future.wait() is None]
        return sum(state.is_failed() for state in states)

    assert main() == 100
    assert rows(database, "SELECT state, count(*) FROM task_runs GROUP BY state ORDER BY state") == [(4, 9900), (5, 100)]
    assert rows(database, "SELECT count(*) FROM task_runs WHERE state = 5 AND message = n || ' is bad' AND reason = 'ValueError'") == [
        (100,)
    ]
    assert rows(database, "SELECT state, counts, final_attempt FROM flow_runs") == [(4, '{"COMPLETED":9900,"FAILED":100}', 1)]


def damaged(database: Path) -> None:
    """Pages of a good file overwritten: its header and the schema can still be read."""
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    data = bytearray(database.read_bytes())
    data[4096 * 1 :] = os.urandom(len(data) - 4096)
    database.write_bytes(bytes(data))


SCRIPT = """
from mintaka import flow, task
@task
def add(n):
    return n + 1
@flow
def main():
    return sum(add(n) for n in range(10))
print(main())
"""


def python(*arguments: str) -> tuple[int, str, str]:
    done = subprocess.run([sys.executable, *arguments], capture_output=True, text=True, check=False, timeout=60)
    return done.returncode, done.stdout, done.stderr


def test_a_damaged_database_costs_no_flow_says_what_to_do_and_loses_nothing_new(database: Path) -> None:
    assert python("-c", SCRIPT) == (0, "55\n", "")
    damaged(database)
    code, out, said = python("-c", SCRIPT)
    assert (code, out) == (0, "55\n")
    assert f"history database {database}: " in said
    assert "move the file away, or name another one in MINTAKA_DATABASE_URL" in said
    assert "Traceback" not in said
    code, out, said = python(str(Path(sys.executable).with_name("mintaka")), "get")
    assert code != 0
    assert "move the file away" in said
    assert "Traceback" not in said
    for path in database.parent.glob(f"{database.name}*"):
        path.rename(path.with_name(f"old-{path.name}"))
    assert python("-c", SCRIPT) == (0, "55\n", "")
    assert rows(database, "SELECT state, final_attempt FROM flow_runs") == [(4, 1), (4, 1)]
