"""Behind PgBouncer in transaction mode: nothing of the API belongs to a session of the server, and a restart of the pooler loses nothing."""

from __future__ import annotations

import asyncio
import re
import uuid
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import text

from api_testing import API, ORDINARY, eventually, report, running, seen_run, task
from mintaka_api.queries import mirrored
from mintaka_api.row_mapping import Inherited, names_of_run, run_rows
from mintaka_api.settings import Settings, from_environment
from mintaka_api.snapshots import snapshot_of
from mintaka_history.database import Database, DatabaseAway
from mintaka_history.migrating import migrate
from mintaka_history.queries.names import Names
from old_databases import psql
from pgbouncer import PgBouncer
from postgres_server import PostgresServer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.anyio
_POOL = 4


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    """A server that logs every statement."""
    made = PostgresServer(fsync="off", log_statement="all", log_line_prefix="'%p '")
    try:
        made.start()
        yield made
    finally:
        made.remove()


@pytest.fixture(scope="module")
def bouncer(server: PostgresServer) -> Iterator[PgBouncer]:
    """Fewer connections to the server than the API opens, so that transactions share them."""
    made = PgBouncer(server.port, size=_POOL)
    try:
        made.start()
        yield made
    finally:
        made.remove()


@pytest.fixture
def name(server: PostgresServer) -> str:
    """An empty database."""
    made = f"pooled_{uuid.uuid4().hex[:12]}"
    server.create_database(made)
    return made


@pytest.fixture
def settings(bouncer: PgBouncer, name: str) -> Settings:
    """The API's settings, as the chart gives them."""
    return from_environment(
        {"MINTAKA_DATABASE_URL": bouncer.url(name), "MINTAKA_DATABASE_POOLER": "transaction", "MINTAKA_MIRROR": "false"}
    )


def opened(settings: Settings) -> Database:
    return Database(settings.database_url, pooler=settings.database_pooler)


def log_of(server: PostgresServer) -> str:
    return (server.folder / "log").read_text(encoding="utf-8", errors="replace")


def test_without_the_setting_the_message_says_what_to_set(bouncer: PgBouncer, name: str) -> None:
    """PgBouncer refuses start-up options."""
    database = Database(bouncer.url(name))
    with pytest.raises(
        DatabaseAway, match=r"startup parameter.*: set MINTAKA_DATABASE_POOLER=transaction \(chart: api\.database\.pooler\)"
    ):
        migrate(database)
    database.dispose()


async def test_history_comes_in_and_pages_go_out(settings: Settings, server: PostgresServer) -> None:
    """Schema, reports, pages, limits, leases, pauses and variables, over two hundred requests at once."""
    before = len(log_of(server))
    runs = [str(uuid.uuid4()) for _ in range(50)]
    async with running(settings) as client:
        parts = {"migrations": "ok", "database": "ok", "zombie-detection": "ok", "maintenance": "ok"}
        assert (await client.get("/readyz")).json()["parts"] == parts
        assert (await client.put(f"{API}/namespaces/ns/concurrency-limits/l", json={"slots": 3})).status_code == 200

        async def one(uid: str) -> None:
            url = f"{API}/flow-runs/{uid}"
            assert (await client.post(f"{url}/reports", json=report(1, [task(n, tags=["t"]) for n in range(20)]))).status_code == 200
            assert (await client.put(f"{API}/namespaces/ns/variables/v-{uid}", json={"value": uid})).status_code == 200
            asked = {"id": uuid.uuid4().hex, "names": ["l"], "flow_run": uid}
            assert (await client.post(f"{API}/namespaces/ns/concurrency-leases", json=asked)).status_code == 200
            assert len((await client.get(f"{url}/task-runs?limit=7")).json()["items"]) == 7

        await asyncio.gather(*map(one, runs))
        listed = await client.get(f"{API}/flow-runs?limit=200")
        assert sorted(run["uid"] for run in listed.json()["items"]) == sorted(runs)
        assert (await client.get(f"{API}/concurrency-limits")).json()["items"][0]["name"] == "l"
    said = log_of(server)[before:]
    assert "_pg3_" not in said  # psycopg's names of prepared statements
    assert re.search(r"statement: BEGIN; SET LOCAL statement_timeout = 30000; SET LOCAL idle_in_transaction_session_timeout = 60000", said)
    ours = [
        line for line in said.splitlines() if re.search(r"statement: (SET (?!LOCAL)|LISTEN|PREPARE|CREATE TEMP)|pg_advisory_lock", line)
    ]
    assert [
        line for line in ours if "pgbouncer" not in line and not re.search(r"SET (application_name|DateStyle|client_encoding)", line)
    ] == []


async def test_a_limit_of_several_slots_is_not_exceeded(settings: Settings) -> None:
    """Forty callers request two slots at once."""
    async with running(settings) as client:
        await client.put(f"{API}/namespaces/ns/concurrency-limits/two", json={"slots": 2})
        asked = [{"id": uuid.uuid4().hex, "names": ["two"], "flow_run": str(uuid.uuid4())} for _ in range(40)]
        answers = await asyncio.gather(*(client.post(f"{API}/namespaces/ns/concurrency-leases", json=lease) for lease in asked))
        assert [answer.status_code for answer in answers] == [200] * 40
        assert sum(answer.json()["granted"] for answer in answers) == 2


def test_the_mirror_writes(settings: Settings) -> None:
    """Transitions of a hundred runs, some of them twice."""
    database, names = opened(settings), Names()
    migrate(database)
    for last in range(1, 5):
        snapshots = [
            snapshot_of(seen_run(f"run-{n}", ORDINARY[:last], version=last, spec={"tags": ["t"]}), 0.0).parsed() for n in range(100)
        ]
        ids = names.ids_of(database, [word for snapshot in snapshots for word in names_of_run(snapshot, Inherited())])
        with database.writing() as connection:
            assert mirrored.write_runs(connection, [run_rows(snapshot, ids, Inherited(), 1) for snapshot in snapshots]).transitions == 100
    with database.reading() as connection:
        assert connection.scalar(text("SELECT count(*) FROM flow_run_transitions")) == 400
    database.dispose()


def test_settings_hold_for_our_transactions_and_for_no_others(settings: Settings, bouncer: PgBouncer, name: str) -> None:
    """Timeouts and what pages need; the next transaction on the same connection has the server's own."""
    database = opened(settings)
    migrate(database)
    with database.reading(pages=True) as connection:
        wanted = {"statement_timeout": "2s", "plan_cache_mode": "force_generic_plan", "enable_sort": "off", "TimeZone": "UTC"}
        assert {setting: connection.scalar(text(f"SHOW {setting}")) for setting in wanted} == wanted
    with pytest.raises(DatabaseAway, match="statement timeout"), database.reading() as connection:
        connection.execute(text("SELECT pg_sleep(10)"))
    with database.writing() as connection:
        assert connection.scalar(text("SHOW statement_timeout")) == "30s"
    shown = [psql(bouncer.url(name), "SHOW statement_timeout; SHOW plan_cache_mode; SHOW enable_sort;").split() for _ in range(_POOL * 2)]
    assert shown == [["0", "auto", "on"]] * (_POOL * 2)
    database.dispose()


def test_replicas_that_start_at_once_make_one_schema(settings: Settings) -> None:
    """The lock that excludes others belongs to a transaction."""
    from concurrent.futures import ThreadPoolExecutor  # noqa: PLC0415

    replicas = [opened(settings) for _ in range(4)]
    with ThreadPoolExecutor(len(replicas)) as pool:
        assert list(pool.map(migrate, replicas)) == [None] * len(replicas)
    for replica in replicas:
        replica.dispose()


# SQLAlchemy drops, without closing it, a connection that breaks while it is set up.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
async def test_a_restart_of_the_pooler_loses_no_report(settings: Settings, bouncer: PgBouncer) -> None:
    """A refused client gets 503 and repeats its request; then every row is stored once."""
    uid = str(uuid.uuid4())
    refused = 0
    async with running(settings) as client:

        async def deliver(number: int) -> None:
            nonlocal refused
            sent = report(number, [task(number)], logs=[{"seq": number, "time": number, "message": f"line {number}"}])
            while (status := (await client.post(f"{API}/flow-runs/{uid}/reports", json=sent)).status_code) != 200:
                assert status == 503
                refused += 1
                await asyncio.sleep(0.05)

        async def restart() -> None:
            await asyncio.sleep(0.2)
            await asyncio.to_thread(bouncer.kill)
            await asyncio.sleep(0.3)
            await asyncio.to_thread(bouncer.start)

        restarted = asyncio.create_task(restart())
        number = 0
        while not restarted.done() or number < 200:
            await asyncio.gather(*(deliver(number + n + 1) for n in range(10)))
            number += 10
        await restarted
        tasks, after = 0, ""
        while after is not None:
            page = (await client.get(f"{API}/flow-runs/{uid}/task-runs?limit=200" + (f"&cursor={after}" if after else ""))).json()
            tasks, after = tasks + len(page["items"]), page.get("next")
        assert tasks == number
        assert refused > 0
        await eventually(lambda: client.get("/readyz"), lambda answer: answer.status_code == 200)


def test_an_unknown_pooler_is_refused(tmp_path: Path) -> None:
    """Before anything is opened."""
    with pytest.raises(Exception, match=r"MINTAKA_DATABASE_POOLER='session' is not one of '', 'transaction'"):
        from_environment({"MINTAKA_DATABASE_URL": f"sqlite:///{tmp_path}/x.db", "MINTAKA_DATABASE_POOLER": "session"})
