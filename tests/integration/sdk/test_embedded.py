"""A script's history is in its SQLite file, whatever ends the script, whoever writes beside it, whatever is wrong with the file."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import textwrap
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from mintaka import flow, get_run_logger, task
from mintaka.artifacts import create_markdown_artifact, create_progress_artifact, update_progress_artifact
from mintaka.environment import InvalidEnvironment
from mintaka.recording.homes import home
from mintaka_history import baseline
from mintaka_history.embedded_sqlite import EmbeddedDatabase
from mintaka_history.sqlite_schema import BASELINE, HEAD, PATH, generated
from mintaka_history.writing.crashes import RULE
from mintaka_history.writing.restarts import OVERDUE
from old_databases import OLD_LINE, close_old_file


@pytest.fixture
def database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """History goes into this file."""
    monkeypatch.setenv("MINTAKA_HISTORY", "on")
    monkeypatch.setenv("MINTAKA_HOME", str(tmp_path))
    return tmp_path / "history.db"


def rows(database: Path, question: str) -> list[Any]:
    with closing(sqlite3.connect(database)) as connection:
        return connection.execute(question).fetchall()


def script(text: str, database: Path, **variables: str) -> subprocess.Popen[str]:
    environment = os.environ | {"MINTAKA_HISTORY": "on", "MINTAKA_HOME": str(database.parent)} | variables
    command = [sys.executable, "-c", textwrap.dedent(text)]
    return subprocess.Popen(command, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


@task(tags=["sum"])
def add(a: int, b: int = 1) -> int:
    get_run_logger().info("adding %d", a)
    return a + b


def test_a_flow_that_returned_has_all_its_history_in_the_file(database: Path) -> None:
    @flow(tags=["nightly"])
    def sums(n: int, *, secret: object = None) -> int:  # noqa: ARG001 - its argument is what is looked at
        create_markdown_artifact("# Sums", key="sums")
        progress = create_progress_artifact(0)
        total = sum(add(add(i)) for i in range(n))
        update_progress_artifact(progress, 100)
        return total

    sums(3, secret=object())
    ((state, name, sequence, final, counts, parameters, tags),) = rows(
        database, "SELECT state, name, sequence, final_attempt, counts, parameters, tags FROM flow_runs"
    )
    assert (state, sequence, final, counts, tags) == (4, 3, 1, '{"COMPLETED":6}', '["nightly"]')
    assert name.startswith("sums-")
    assert parameters == '{"n":3,"secret":"<builtins.object>"}'
    assert rows(database, "SELECT seq, to_state FROM flow_run_transitions ORDER BY seq") == [(1, 2), (2, 3), (3, 4)]
    assert rows(database, "SELECT n, state, upstream FROM task_runs ORDER BY n")[1::2] == [(1, 4, None), (3, 4, None), (5, 4, None)]
    assert len(rows(database, "SELECT * FROM logs")) == 6
    assert rows(database, "SELECT kind, key, seq, data FROM artifacts ORDER BY kind") == [
        ("markdown", "sums", 1, '"# Sums"'),
        ("progress", None, 2, "100.0"),
    ]


@pytest.mark.parametrize("ending", [ValueError("no"), SystemExit(3), KeyboardInterrupt()], ids=["an exception", "sys.exit", "Ctrl-C"])
def test_history_is_there_however_the_flow_ends(database: Path, ending: BaseException) -> None:
    @flow
    def ends() -> None:
        for number in range(50):
            add(number)
        raise ending

    with pytest.raises(type(ending)):
        ends()
    ((state, final),) = rows(database, "SELECT state, final_attempt FROM flow_runs")
    assert (state in (5, 6), final) == (True, 1)
    assert len(rows(database, "SELECT * FROM task_runs WHERE state = 4")) == 50


def test_a_retried_flow_says_which_rule_decided(database: Path) -> None:
    @flow(retries=1)
    def fails() -> None:
        raise ValueError

    assert fails(return_state=True).is_failed()
    names = rows(database, "SELECT to_state, rule, verdict FROM flow_run_transitions ORDER BY seq")
    assert (1, "retry_failed", "Redirect") in names
    assert names[-1][0] == 5


def test_history_can_be_switched_off(database: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MINTAKA_HISTORY", "off")
    flow(lambda: add(1))()
    assert not database.exists()


def test_where_history_goes_is_said_by_the_environment(tmp_path: Path) -> None:
    assert home({"MINTAKA_HOME": "/a"}).database == Path("/a/history.db")
    assert home({"XDG_DATA_HOME": "/data"}).database == Path("/data/mintaka/history.db")
    assert home({"MINTAKA_DATABASE_URL": f"sqlite:///{tmp_path}/x.db"}).database == tmp_path / "x.db"
    assert home({"MINTAKA_API_URL": "http://api"}).api_url == "http://api"
    with pytest.raises(Exception, match="run the API on it and set MINTAKA_API_URL"):
        home({"MINTAKA_DATABASE_URL": "postgresql://host/name"})


KILLED = """
    import os, signal, sys
    from mintaka import flow, task
    @task
    def add(n):
        return n
    @task
    def last():
        print("busy", flush=True)
        sys.stdin.read()
        signal.pause()
    @flow
    def dies():
        for n in range(2000):
            add(n)
        from mintaka.recording.historian import historian
        import time
        historian()._leave()  # what the next flush would do
        last()
    dies()
"""


def test_a_killed_script_is_found_crashed_by_whoever_looks_next(database: Path) -> None:
    process = script(KILLED.replace("sys.stdin.read()", "pass"), database)
    assert process.stdout is not None
    assert process.stdout.readline() == "busy\n"
    looks = EmbeddedDatabase(database)
    assert rows(database, "SELECT state FROM flow_runs") == [(3,)]
    looks.close()
    process.send_signal(signal.SIGKILL)
    process.communicate()
    EmbeddedDatabase(database).close()
    ((state, reason, gap),) = rows(database, "SELECT state, reason, gap FROM flow_runs")
    assert (state, reason, gap) == (6, "ProcessDied", 1)
    assert rows(database, "SELECT to_state, rule FROM flow_run_transitions ORDER BY seq")[-1] == (6, RULE)
    states = Counter(state for (state,) in rows(database, "SELECT state FROM task_runs"))
    assert states[4] == 2000
    assert set(states) <= {4, 6}


WRITER = """
    import sys, time
    from mintaka import flow, task
    @task
    def add(n):
        return n
    @flow
    def writes():
        for n in range(200):
            add(n)
    until = time.monotonic() + float(sys.argv[1]) if len(sys.argv) > 1 else time.monotonic() + 60
    runs = 0
    while time.monotonic() < until:
        writes()
        runs += 1
    print(runs)
"""


def test_eight_processes_write_one_file_for_a_minute_without_losing_or_waiting_in_vain(database: Path) -> None:
    processes = [script(WRITER, database) for _ in range(8)]
    said = [process.communicate(timeout=240) for process in processes]
    assert [error for _, error in said] == [""] * 8
    runs = sum(int(text) for text, _ in said)
    assert rows(database, "SELECT count(*), min(state), max(state), min(final_attempt) FROM flow_runs") == [(runs, 4, 4, 1)]
    assert rows(database, "SELECT count(*), min(state), max(state) FROM task_runs") == [(runs * 200, 4, 4)]


def test_a_file_that_is_no_database_costs_history_but_not_the_flow(database: Path, caplog: pytest.LogCaptureFixture) -> None:
    database.write_text("not a database, but long enough to be taken for one" * 100)
    assert flow(lambda: add(1))() == 2
    assert "file is not a database; move the file away, or name another one in MINTAKA_DATABASE_URL" in caplog.text
    assert "is not delivered yet: it is in" in caplog.text
    assert database.read_text().startswith("not a database")


def test_a_database_of_somebody_else_is_left_alone(database: Path, caplog: pytest.LogCaptureFixture) -> None:
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("CREATE TABLE mine (x)")
    assert flow(lambda: add(1))() == 2
    assert "not one of Mintaka" in caplog.text
    assert rows(database, "SELECT name FROM sqlite_master") == [("mine",)]


def test_a_folder_that_cannot_be_made_costs_history_but_not_the_flow(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("MINTAKA_HISTORY", "on")
    monkeypatch.setenv("MINTAKA_HOME", str(tmp_path / "file" / "folder"))
    assert flow(lambda: add(1))() == 2
    assert "history cannot be kept as it should" in caplog.text
    assert "history lost" in caplog.text


def test_a_file_older_than_the_baseline_is_renamed_when_a_flow_is_called(database: Path) -> None:
    close_old_file(database)
    assert flow(lambda: add(1))() == 2
    assert rows(database.with_name(f"{database.name}.before-0010"), "SELECT message FROM logs") == [(OLD_LINE,)]
    assert rows(database, "SELECT version_num FROM alembic_version") == [(HEAD,)]
    assert rows(database, "SELECT state FROM flow_runs") == [(4,)]


def test_the_schema_as_text_is_that_of_the_tables() -> None:
    assert PATH.read_text(encoding="utf-8") == generated(), "run python -m mintaka_history.sqlite_schema"


def test_a_script_loads_neither_sqlalchemy_nor_alembic_nor_asyncio(database: Path) -> None:
    process = script(
        """
        import sys
        from mintaka import flow
        flow(lambda: None)()
        print([name for name in ("sqlalchemy", "alembic", "asyncio", "fastapi", "httpx") if name in sys.modules])
        """,
        database,
    )
    assert process.communicate(timeout=60) == ("[]\n", "")
    assert rows(database, "SELECT state FROM flow_runs") == [(4,)]


def test_a_forked_child_writes_beside_its_parent(database: Path) -> None:
    process = script(
        """
        import os
        from mintaka import flow, task
        @task
        def add(n):
            return n
        @flow
        def sums():
            return [add(n) for n in range(100)]
        sums()
        child = os.fork()
        sums()
        if child:
            assert os.waitpid(child, 0)[1] == 0
        """,
        database,
    )
    _, said = process.communicate(timeout=60)
    assert process.returncode == 0, said
    assert rows(database, "SELECT count(*), min(state), max(state) FROM flow_runs") == [(3, 4, 4)]
    assert rows(database, "SELECT count(*) FROM task_runs") == [(300,)]


def test_lines_of_loggers_that_are_named_are_history_too(database: Path) -> None:
    """In the flow's process and in a worker's."""
    process = script(
        """
        import logging
        from mintaka import flow, task
        from mintaka.task_runners import ProcessPoolTaskRunner

        logging.getLogger("lib").info("outside of a run")

        @task
        def work():
            logging.getLogger("lib.part").info("worked")
            logging.getLogger("unnamed").info("not this one")

        @flow(task_runner=ProcessPoolTaskRunner(max_workers=1))
        def main():
            logging.getLogger("lib").info("begun")
            work.submit().result()

        if __name__ == "__main__":
            main()
        """,
        database,
        MINTAKA_LOGGING_EXTRA_LOGGERS="lib",
    )
    _, told = process.communicate(timeout=60)
    assert process.returncode == 0, told
    assert rows(database, "SELECT n, level, message FROM logs ORDER BY seq") == [(None, 20, "begun"), (0, 20, "worked")]
    assert "INFO    lib: begun" in told
    assert "INFO    lib.part: worked" in told


@pytest.mark.parametrize("seconds", ["soon", "-1", "nan", "inf"])
def test_a_grace_that_is_no_time_is_told_before_the_flow_begins(database: Path, monkeypatch: pytest.MonkeyPatch, seconds: str) -> None:
    monkeypatch.setenv("MINTAKA_HISTORY_GRACE_SECONDS", seconds)
    began = []
    with pytest.raises(
        InvalidEnvironment, match=f"^MINTAKA_HISTORY_GRACE_SECONDS='{seconds}' is no number of seconds: set it to 0 or more"
    ):
        flow(lambda: began.append(1))()
    assert (began, database.exists()) == ([], False)


def test_what_is_overdue_is_found_without_reading_every_pause_there_was(database: Path) -> None:
    """Whoever opens the file looks; an API does every few seconds."""
    EmbeddedDatabase(database).close()
    plan = [row[-1] for row in rows(database, "EXPLAIN QUERY PLAN " + OVERDUE.replace("?", "1"))]
    assert any("ix_pauses_open_suspensions" in step for step in plan), plan
    assert not any(step.startswith("SCAN") for step in plan), plan


def test_a_file_of_an_earlier_revision_is_migrated_when_a_flow_is_called(database: Path) -> None:
    """The file of the first release, with its history. A second call finds it already migrated."""
    with closing(sqlite3.connect(database)) as connection:
        for statement in baseline.statements("sqlite"):
            connection.execute(statement)
        connection.execute("CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL CONSTRAINT alembic_version_pkc PRIMARY KEY)")
        connection.execute("INSERT INTO alembic_version (version_num) VALUES (?)", (BASELINE,))
        connection.execute("INSERT INTO variables (ns, name, created, updated, value, tags) VALUES ('local', 'v', 1, 1, '1', '[]')")
        connection.commit()
    for _ in range(2):
        assert flow(lambda: add(1))() == 2
    assert rows(database, "SELECT version_num FROM alembic_version") == [(HEAD,)]
    assert rows(database, "SELECT state FROM flow_runs") == [(4,), (4,)]
    assert rows(database, "SELECT name FROM variables") == [("v",)]
    assert rows(database, "SELECT count(*) FROM documents") == [(0,)]
