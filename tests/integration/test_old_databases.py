"""Databases of releases before the baseline: a SQLite file is renamed and a new one begun, a PostgreSQL schema is refused."""

from __future__ import annotations

import logging
import multiprocessing
import os
import re
import shlex
import signal
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import text

from api_testing import API, eventually, report, running, task
from mintaka_api.settings import Settings
from mintaka_history.database import Database, DatabaseAway
from mintaka_history.embedded_sqlite import EmbeddedDatabase, HistoryUnreadable
from mintaka_history.migrating import HEAD, migrate
from mintaka_history.readonly_sqlite import Superseded, Unreadable, newest_names, summary_of
from mintaka_history.schema_revisions import SchemaNotUsable
from mintaka_history.sqlite_replacement import replace_superseded
from old_databases import OLD_LINE, OLD_REVISIONS, close_old_file, dump_of, old_file, old_postgresql, psql

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from postgres_server import PostgresServer

_UID = "00000000-0000-4000-8000-000000000001"


def _by_a_script(path: Path) -> None:
    EmbeddedDatabase(path).close()


def _by_the_api(path: Path) -> None:
    database = Database(f"sqlite:///{path}")
    migrate(database)
    database.dispose()


def revision_of(path: Path) -> str:
    with closing(sqlite3.connect(path)) as connection:
        return str(connection.execute("SELECT version_num FROM alembic_version").fetchone()[0])


def lines_of(path: Path) -> list[str]:
    with closing(sqlite3.connect(path)) as connection:
        return [message for (message,) in connection.execute("SELECT message FROM logs ORDER BY seq")]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """The path of a history, in a folder whose name needs quoting in URLs of SQLite."""
    return tmp_path / "a home #1" / "history.db"


OPENERS = pytest.mark.parametrize("open_with", [pytest.param(_by_a_script, id="a script"), pytest.param(_by_the_api, id="the API")])


@OPENERS
@pytest.mark.parametrize("revision", OLD_REVISIONS)
def test_a_file_of_an_old_release_is_renamed_and_a_new_one_begun(
    path: Path, open_with: Callable[[Path], None], revision: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Every revision before the baseline; one sentence in the log gives both names, and the old file can be read as before."""
    close_old_file(path, revision)
    open_with(path)
    renamed = path.with_name("history.db.before-0010")
    assert (revision_of(path), revision_of(renamed)) == (HEAD, revision)
    assert lines_of(renamed) == ([] if revision == "0001" else [OLD_LINE])
    said = [record.getMessage() for record in caplog.records if record.name == "mintaka.history" and record.levelno == logging.WARNING]
    assert said == [
        f"history database {path} has the schema of an older release (revision {revision}): it was renamed to {renamed}, and a new one is begun"
    ]
    assert {file.name for file in path.parent.iterdir()} <= {
        "history.db",
        "history.db-wal",
        "history.db-shm",
        "history.db-holders",
        renamed.name,
    }


def test_names_that_exist_get_a_number(path: Path) -> None:
    """Also if only a WAL of that name is there."""
    for _ in range(3):
        close_old_file(path)
        _by_a_script(path)
        for suffix in ("", "-wal", "-shm"):
            path.with_name(path.name + suffix).unlink(missing_ok=True)
    path.with_name("history.db.before-0010-4-wal").touch()
    close_old_file(path)
    _by_a_script(path)
    old = sorted(file.name for file in path.parent.glob("*.before-*"))
    assert old == [f"history.db.before-0010{end}" for end in ("", "-2", "-3", "-4-wal", "-5")]


@OPENERS
def test_a_process_that_has_the_old_file_open_continues_with_it(path: Path, open_with: Callable[[Path], None]) -> None:
    """It reads and writes the renamed file; when it closes it, neither file is damaged, and neither loses its WAL."""
    old = old_file(path)
    old.execute("INSERT INTO logs SELECT flow_run, at, seq + 1, n, logger, attempt, level, 'before' FROM logs")
    open_with(path)
    new = EmbeddedDatabase(path)
    with new.writing() as session:
        session.run("INSERT INTO variables (ns, name, created, updated, value, tags) VALUES ('ns', 'v', 1, 1, '1', '[]')")
    old.execute(
        "INSERT INTO logs SELECT flow_run, at, seq + 2, n, logger, attempt, level, 'after' FROM logs WHERE message = ?", (OLD_LINE,)
    )
    assert old.execute("SELECT count(*) FROM logs").fetchone() == (3,)
    old.close()
    with new.writing() as session:
        session.run("UPDATE variables SET value = '2'")
    new.close()
    renamed = path.with_name("history.db.before-0010")
    assert sorted(lines_of(renamed)) == ["after", "before", OLD_LINE]
    for file in (path, renamed):
        with closing(sqlite3.connect(file)) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT value FROM variables").fetchall() == [("2",)]


def test_a_name_that_is_a_link_stays_one(path: Path, tmp_path: Path) -> None:
    """The file it points to is renamed in its folder, and the new one is created there."""
    real = tmp_path / "disk" / "real.db"
    close_old_file(real)
    path.parent.mkdir()
    path.symlink_to(real)
    _by_a_script(path)
    assert path.is_symlink()
    assert (revision_of(real), revision_of(real.with_name("real.db.before-0010"))) == (HEAD, "0008")


def _start(path: Path, barrier: threading.Barrier, kind: int) -> None:
    barrier.wait(60)
    (_by_a_script, _by_the_api)[kind % 2](path)


@pytest.mark.parametrize("in_use", [False, True], ids=["no process has it open", "an old process has it open"])
def test_exactly_one_of_many_processes_renames(path: Path, *, in_use: bool) -> None:
    """Four at once, scripts and APIs: none fails, and none renames the new file."""
    old = old_file(path)
    if not in_use:
        old.close()
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(4)
    processes = [context.Process(target=_start, args=(path, barrier, kind)) for kind in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(120)
    assert [process.exitcode for process in processes] == [0] * 4
    old.close()
    assert [file.name for file in path.parent.glob("*.before-*") if not file.name.endswith(("-wal", "-shm"))] == ["history.db.before-0010"]
    assert lines_of(path.with_name("history.db.before-0010")) == [OLD_LINE]
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    assert not list(path.parent.glob("*-replacement"))


def test_exactly_one_of_many_threads_renames(path: Path) -> None:
    """Locks of one process do not exclude each other, flock's do."""
    close_old_file(path)
    renamed: list[Path | None] = []
    threads = [threading.Thread(target=lambda: renamed.append(replace_superseded(path))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [target for target in renamed if target is not None] == [path.with_name("history.db.before-0010")]
    assert len(renamed) == len(threads)


_KILLED_AFTER_THE_FIRST_RENAME = """
import os, pathlib, signal, sys
from mintaka_history.sqlite_replacement import replace_superseded
rename = pathlib.Path.rename
def renamed(path, target):
    rename(path, target)
    os.kill(os.getpid(), signal.SIGKILL)
pathlib.Path.rename = renamed
replace_superseded(pathlib.Path(sys.argv[1]))
"""


@OPENERS
def test_a_rename_is_completed_after_its_process_was_killed(path: Path, open_with: Callable[[Path], None]) -> None:
    """Another process has the file open and its WAL in use: no line is lost, and both files are sound."""
    old = old_file(path)
    done = subprocess.run([sys.executable, "-c", _KILLED_AFTER_THE_FIRST_RENAME, path], check=False)
    assert done.returncode == -signal.SIGKILL
    assert not path.exists()
    old.execute("INSERT INTO logs SELECT flow_run, at, seq + 1, n, logger, attempt, level, 'after' FROM logs")
    open_with(path)
    assert revision_of(path) == HEAD
    old.close()
    assert lines_of(path.with_name("history.db.before-0010")) == [OLD_LINE, "after"]
    assert not list(path.parent.glob("*-replacement"))


def test_a_folder_that_cannot_be_written_is_said(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is renamed or written, and the message has the file's name and the system's words."""
    close_old_file(path)

    def refuse(*_: object) -> None:
        raise OSError(16, "Device or resource busy", str(path))

    monkeypatch.setattr(Path, "rename", refuse)
    with pytest.raises(DatabaseAway, match=r"history\.db.*Device or resource busy"):
        _by_the_api(path)
    with pytest.raises(Exception, match=r"history database .*history\.db.*Device or resource busy"):
        _by_a_script(path)
    assert revision_of(path) == "0008"


@pytest.mark.parametrize("read", [summary_of, lambda path: newest_names(path, "", 5)], ids=["doctor", "completion"])
def test_readers_of_the_file_say_what_to_do(path: Path, read: Callable[[Path], object]) -> None:
    """They change nothing."""
    close_old_file(path)
    before = path.read_bytes()
    with pytest.raises(Superseded, match=r"revision 0008.*renames it to history\.db\.before-0010 and begins a new one"):
        read(path)
    assert path.read_bytes() == before


#: What a database records of its schema: kind, revision, oldest usable one, and the message for the user.
REFUSED = [
    pytest.param("9999", "9998", r"revision 9999 and needs a release whose own revision is 9998 or newer.*upgrade Mintaka", id="too new"),
    pytest.param("9999", None, r"needs a release whose own revision is 9999 or newer", id="too new, and silent about it"),
    pytest.param("ae1027a6acf0", None, r"'ae1027a6acf0' is not one of Mintaka's.*a database of its own", id="another program's"),
]


@pytest.mark.parametrize(("revision", "oldest", "words"), REFUSED)
def test_a_schema_that_cannot_be_used_is_refused(database_url: str, revision: str, oldest: str | None, words: str) -> None:
    """By the API, by scripts and by readers, and nothing is changed."""
    database = Database(database_url)
    migrate(database)
    with database.writing() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = :new"), {"new": revision})
        if oldest:
            connection.execute(text("UPDATE schema_compatibility SET oldest = :oldest"), {"oldest": oldest})
        else:
            connection.execute(text("DELETE FROM schema_compatibility"))
    database.dispose()
    again = Database(database_url)
    with pytest.raises(SchemaNotUsable, match=words):
        migrate(again)
    assert not again.migrated
    again.dispose()
    if database_url.startswith("sqlite"):
        path = Path(database_url.removeprefix("sqlite:///"))
        with pytest.raises(HistoryUnreadable, match=words):
            EmbeddedDatabase(path)
        with pytest.raises(Unreadable, match=words):
            summary_of(path)


def test_a_newer_schema_that_still_serves_this_release_is_used_by_scripts(path: Path) -> None:
    """Its `oldest` decides, not its revision."""
    _by_a_script(path)
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    database = EmbeddedDatabase(path)
    with database.writing() as session:
        session.run("INSERT INTO variables (ns, name, created, updated, value, tags) VALUES ('ns', 'v', 1, 1, '1', '[]')")
    database.close()
    assert summary_of(path).revision == "9999"


@pytest.fixture
def old_url(postgres: PostgresServer) -> Iterator[str]:
    """A PostgreSQL database with the schema of an old release."""
    name = f"old_{os.getpid()}_{threading.get_ident() % 10000}"
    url = postgres.create_database(name)
    old_postgresql(url)
    yield url
    postgres.drop_database(name)


@pytest.mark.anyio
async def test_an_old_postgresql_schema_is_refused_until_its_owner_has_renamed_it(old_url: str, caplog: pytest.LogCaptureFixture) -> None:
    """The API changes nothing, /readyz and the log have the two commands, and after them it continues by itself."""
    before = dump_of(old_url)
    async with running(Settings(database_url=old_url, mirror=False)) as client:
        answer = await client.get("/readyz")
        problem = answer.json()["parts"]["migrations"]
        assert answer.status_code == 503
        assert "revision 0008" in problem
        assert (await client.get(f"{API}/flow-runs")).status_code == 503
        assert dump_of(old_url) == before
        commands = [line.strip() for line in problem.splitlines()[1:]]
        assert [command.partition(" -c ")[0] for command in commands] == [f"psql {old_url.rpartition('/')[2]}"] * 2
        for command in commands:
            psql(old_url, shlex.split(command)[-1])
        await eventually(lambda: client.get("/readyz"), lambda answer: answer.status_code == 200)
        run = f"{API}/flow-runs/{_UID}"
        assert (await client.post(f"{run}/reports", json=report(1, [task(1)]))).status_code == 200
        assert (await client.get(f"{run}/task-runs")).json()["items"]
    assert psql(old_url, "SELECT value FROM public_before_0010.names") == "old\n"
    assert len(re.findall(r"psql", caplog.text)) == 2  # logged once, however often it was tried


def test_a_postgresql_schema_whose_new_name_is_taken_gets_a_number(old_url: str) -> None:
    """The commands in the message work as they are."""
    psql(old_url, "CREATE SCHEMA public_before_0010")
    database = Database(old_url)
    with pytest.raises(SchemaNotUsable, match=r"RENAME TO \"public_before_0010_2\""):
        migrate(database)
    database.dispose()
