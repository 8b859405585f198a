"""Backups under load, and the state after a restore: a consistent history that can be continued."""

from __future__ import annotations

import asyncio
import os
import re
import sqlite3
import subprocess
import sys
import uuid
from contextlib import asynccontextmanager, closing
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import text

from api_testing import API, report, running, seen_run, status, task
from mintaka_api.queries import mirrored
from mintaka_api.row_mapping import Inherited, names_of_run, run_rows
from mintaka_api.settings import Settings
from mintaka_api.snapshots import snapshot_of
from mintaka_history.database import Database
from mintaka_history.embedded_sqlite import EmbeddedDatabase
from mintaka_history.migrating import migrate
from mintaka_history.queries.names import Names
from mintaka_history.sqlite_backup import BackupFailed, back_up, restore
from old_databases import close_old_file
from postgres_server import PostgresServer, find_program

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    import httpx

_RUNS = 6


class Load:
    """Runs that report, one report after the other: each has a task run and a line of log."""

    def __init__(self, client: httpx.AsyncClient, acknowledged: dict[str, int] | None = None) -> None:
        """`acknowledged`: the newest report of each run so far."""
        self._client = client
        self.acknowledged = acknowledged or {str(uuid.uuid4()): 0 for _ in range(_RUNS)}
        self._ended = False

    async def report_until_ended(self) -> None:
        """Report without a pause."""
        await asyncio.gather(*map(self._report, self.acknowledged))

    async def _report(self, uid: str) -> None:
        while not self._ended:
            await self.send(uid, self.acknowledged[uid] + 1)
            self.acknowledged[uid] += 1

    async def send(self, uid: str, number: int, **members: Any) -> None:
        """Deliver one report."""
        line = {"seq": number, "time": number, "message": f"line {number}"}
        sent = report(number, [task(number, task=f"etl.t{number % 50}")], logs=[line], **members)
        answer = await self._client.post(f"{API}/flow-runs/{uid}/reports", json=sent)
        assert answer.status_code == 200, answer.text

    def end(self) -> None:
        """Let each run's last report be answered."""
        self._ended = True


@asynccontextmanager
async def under_load(url: str, acknowledged: dict[str, int] | None = None) -> AsyncIterator[Load]:
    """The API on the database at `url`, with runs that report until the block ends."""
    async with running(Settings(database_url=url, mirror=False)) as client:
        load = Load(client, acknowledged)
        reporting = asyncio.create_task(load.report_until_ended())
        while not all(load.acknowledged.values()):  # noqa: ASYNC110 - the reports' own numbers say it
            await asyncio.sleep(0.01)
        try:
            yield load
        finally:
            load.end()
            await reporting


def stored(url: str) -> dict[str, int]:
    """The newest report of each run in a database, after a look whether its task runs and lines are exactly those of the reports until it."""
    database = Database(url)
    migrate(database)
    with database.reading() as connection:
        runs = connection.execute(text("SELECT no, uid, reported FROM flow_runs WHERE resource_version = 0")).all()
        for number, _, reported in runs:
            expected = list(range(1, reported + 1))
            for query in (
                "SELECT n FROM task_runs WHERE flow_run = :no ORDER BY n",
                "SELECT seq FROM logs WHERE flow_run = :no ORDER BY seq",
            ):
                found = list(connection.scalars(text(query), {"no": number}))
                assert len(found) == len(expected)
        counted = connection.scalar(text("SELECT sum(n) FROM flow_run_counts WHERE hour >= 0 AND ns = -1"))
        assert counted == connection.scalar(text("SELECT count(*) FROM flow_runs"))
    database.dispose()
    return {str(uuid.UUID(str(uid))): int(reported) for _, uid, reported in runs}


class Drill:
    """How a database is backed up, and restored elsewhere."""

    def __init__(self, folder: Path, server: PostgresServer | None) -> None:
        self._folder = folder
        self._server = server
        self.url = server.create_database("before") if server else f"sqlite:///{folder / 'mintaka.db'}"
        self._file = folder / "backup"

    def back_up(self) -> None:
        """As docs/operations.md has it."""
        if self._server:
            subprocess.run([find_program("pg_dump"), "--format=custom", f"--file={self._file}", self.url], check=True)
        else:
            subprocess.run([*MINTAKA, "database", "backup", str(self._file)], env=environment(self.url), check=True)

    def restore(self) -> str:
        """Into a fresh database, on another server or in another folder; its URL."""
        if not self._server:
            url = f"sqlite:///{self._folder / 'restored' / 'mintaka.db'}"
            subprocess.run([*MINTAKA, "database", "restore", str(self._file)], env=environment(url), check=True)
            return url
        url = self._server.create_database("after")
        subprocess.run(
            [find_program("pg_restore"), "--exit-on-error", "--no-owner", "--single-transaction", f"--dbname={url}", self._file], check=True
        )
        return url


MINTAKA = (sys.executable, "-c", "from mintaka.cli import main; main()")


def environment(url: str) -> dict[str, str]:
    """As in the API's pod."""
    left_out = ("MINTAKA_API_URL", "MINTAKA_HISTORY", "MINTAKA_HOME")
    return {name: value for name, value in os.environ.items() if name not in left_out} | {"MINTAKA_DATABASE_URL": url}


@pytest.fixture(params=["sqlite", "postgresql"])
def drill(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Drill]:
    """A database of each kind; PostgreSQL's server is its own."""
    server = PostgresServer(fsync="off") if request.param == "postgresql" else None
    try:
        if server:
            server.start()
        yield Drill(tmp_path, server)
    finally:
        if server:
            server.remove()


@pytest.mark.anyio
async def test_a_backup_under_load_is_consistent_and_history_goes_on_after_a_restore(drill: Drill) -> None:
    """What was acknowledged before the backup is in it; each run's sequence has no gap; reports are accepted from there."""
    async with under_load(drill.url) as load:
        await asyncio.sleep(0.5)
        before = dict(load.acknowledged)
        await asyncio.to_thread(drill.back_up)
        after = dict(load.acknowledged)
        await asyncio.sleep(0.2)
    assert all(after[uid] > before[uid] for uid in before), "no report came in during the backup"
    url = await asyncio.to_thread(drill.restore)
    found = await asyncio.to_thread(stored, url)
    assert found.keys() == before.keys()
    for uid, number in found.items():
        assert before[uid] <= number <= after[uid] + 1
    async with under_load(url, dict(found)) as load:
        await asyncio.sleep(0.3)
    assert await asyncio.to_thread(stored, url) == load.acknowledged
    assert all(load.acknowledged[uid] > found[uid] for uid in found)


def mirror(database: Database, names: Names, states: int, *, kept: int, uid: str) -> None:
    """Record a run of the cluster after `states` transitions, of which its status contains the last `kept`."""
    document = seen_run(uid, version=states, uid=uid)
    document["status"] = status(
        ("SCHEDULED", "PENDING", "RUNNING", *["SCHEDULED", "RUNNING"] * 20)[:states][-kept:], first=max(states - kept, 0) + 1
    )
    snapshot = snapshot_of(document, 0.0).parsed()
    ids = names.ids_of(database, names_of_run(snapshot, Inherited()))
    with database.writing() as connection:
        mirrored.write_runs(connection, [run_rows(snapshot, ids, Inherited(), 1)])


@pytest.mark.anyio
async def test_after_a_restore_a_run_with_a_gap_says_so(drill: Drill) -> None:
    """The cluster stores the last 32 transitions: with fewer since the backup nothing is missing, with more the run's history is not complete."""
    few, many = str(uuid.uuid4()), str(uuid.uuid4())
    database = Database(drill.url)
    migrate(database)
    for uid in (few, many):
        mirror(database, Names(), 3, kept=32, uid=uid)
    drill.back_up()
    database.dispose()
    url = drill.restore()
    restored = Database(url)
    migrate(restored)
    mirror(restored, Names(), 20, kept=32, uid=few)
    mirror(restored, Names(), 40, kept=32, uid=many)
    with restored.reading() as connection:
        rows = connection.execute(text("SELECT uid, sequence, gap FROM flow_runs")).all()
    restored.dispose()
    assert {str(uuid.UUID(str(uid))): (sequence, bool(gap)) for uid, sequence, gap in rows} == {few: (20, False), many: (40, True)}
    async with running(Settings(database_url=url, mirror=False)) as client:
        assert (await client.get(f"{API}/flow-runs/{many}")).json()["history_complete"] is False


def test_changes_of_another_servers_transactions_are_forgotten(postgres: PostgresServer) -> None:
    """A server that was restored to counts its transactions from its own beginning; its own changes stay."""
    name = f"moved_{uuid.uuid4().hex[:8]}"
    url = postgres.create_database(name)
    for _ in range(2):
        database = Database(url)
        migrate(database)
        with database.writing() as connection:
            insert = "INSERT INTO changes (tx, at, object, ns, kind) VALUES ({}, 1, gen_random_uuid(), 1, 1)"
            connection.execute(text(insert.format("pg_current_xact_id()::text::bigint")))
            connection.execute(text(insert.format("1000000000000")))
        database.dispose()
    database = Database(url)
    migrate(database)
    with database.reading() as connection:
        assert connection.scalar(text("SELECT count(*) FROM changes WHERE tx < 1000000000000")) == 2
        assert connection.scalar(text("SELECT count(*) FROM changes")) == 2
    database.dispose()
    postgres.drop_database(name)


@pytest.fixture
def history(tmp_path: Path) -> Path:
    """A script's history, in a folder whose name has to be quoted in URLs."""
    path = tmp_path / "a #1" / "history.db"
    EmbeddedDatabase(path).close()
    return path


def mintaka(path: Path, *arguments: str, given: bytes | None = None) -> subprocess.CompletedProcess[bytes]:
    """Run a `mintaka database` command for the file `path`."""
    return subprocess.run(
        [*MINTAKA, "database", *arguments], env=environment(f"sqlite:///{path}"), check=False, capture_output=True, input=given
    )


def test_standard_output_and_input_serve_where_there_is_no_second_volume(history: Path, tmp_path: Path) -> None:
    """As with `kubectl exec`; nothing is left beside the database, and the former one is still there."""
    copied = mintaka(history, "backup", "-")
    assert (copied.returncode, copied.stderr) == (0, b"")
    put_back = mintaka(history, "restore", "-", given=copied.stdout)
    assert put_back.returncode == 0, put_back.stderr
    assert re.search(rb"the former one is .*history\.db\.before-restore: 0 flow runs, \d+ bytes, schema \d{4}", put_back.stdout)
    assert mintaka(history, "restore", "-", given=copied.stdout).returncode == 0
    names = {file.name for file in history.parent.iterdir()}
    assert names == {"history.db", "history.db-holders", "history.db.before-restore", "history.db.before-restore-2"}
    EmbeddedDatabase(history).close()
    assert list(tmp_path.iterdir()) == [history.parent]


def test_a_file_that_is_in_use_is_not_replaced(history: Path, tmp_path: Path) -> None:
    """The message states what to do, and nothing was changed."""
    back_up(history, tmp_path / "copy")
    database = EmbeddedDatabase(history)
    done = mintaka(history, "restore", str(tmp_path / "copy"))
    database.close()
    assert done.returncode == 2
    assert b"is in use: stop the processes that have it open (in a cluster: scale the API to 0)" in done.stderr
    assert not list(history.parent.glob("*before*")) + list(history.parent.glob("*restored*"))


def _empty(path: Path) -> None:
    path.touch()


def _other(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE t (x)")


def _cut(path: Path) -> None:
    EmbeddedDatabase(path).close()
    path.write_bytes(path.read_bytes()[:8192])


def _newer(path: Path) -> None:
    EmbeddedDatabase(path).close()
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
        connection.execute("UPDATE schema_compatibility SET oldest = '9999'")


#: Files that are not backups: how they are made, and the message for the user.
NO_BACKUPS = [
    pytest.param(lambda _: None, "unable to open", id="no file"),
    pytest.param(_empty, "is empty", id="an empty file"),
    pytest.param(lambda path: path.write_text("no database, but a text of some length " * 50), "not a database", id="a text"),
    pytest.param(_other, "not one of Mintaka", id="another program's database"),
    pytest.param(_cut, "malformed|damaged|disk image", id="half of a backup"),
    pytest.param(close_old_file, "of a release before the first one", id="an old release's database"),
    pytest.param(_newer, "upgrade Mintaka", id="a newer release's database"),
]


@pytest.mark.parametrize(("make", "words"), NO_BACKUPS)
def test_what_is_no_backup_is_not_put_back(history: Path, tmp_path: Path, make: Any, words: str) -> None:
    """The database stays, and no file is left beside it."""
    before = sorted(file.name for file in history.parent.iterdir())
    make(tmp_path / "copy.db")
    with pytest.raises(BackupFailed, match=words):
        restore(tmp_path / "copy.db", history)
    assert sorted(file.name for file in history.parent.iterdir() if not file.name.endswith(("-wal", "-shm"))) == before


def test_a_backup_overwrites_nothing(history: Path, tmp_path: Path) -> None:
    """Not even an older backup."""
    (tmp_path / "copy").write_text("mine")
    done = mintaka(history, "backup", str(tmp_path / "copy"))
    assert (done.returncode, (tmp_path / "copy").read_text()) == (2, "mine")
    assert b"exists already" in done.stderr


def test_with_postgresql_the_command_names_its_tools(tmp_path: Path) -> None:
    """And does not repeat the URL, which has a password."""
    done = subprocess.run(
        [*MINTAKA, "database", "backup", str(tmp_path / "x")],
        env=environment("postgresql://u:CANARY@h/d"),
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    assert "pg_dump" in done.stderr
    assert "CANARY" not in done.stderr
