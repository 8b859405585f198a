"""The mirror while something else is unavailable, full, forbidden or replaced: the database, its disk, the permissions, the cluster."""

from __future__ import annotations

import asyncio
import json
import logging
import uuid
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import web
from sqlalchemy import create_engine, func, select, text

from api_testing import ORDINARY, eventually, seen_run
from loopback_api_server import LoopbackApiServer
from loopback_api_server import status as refusal
from mintaka_api import mirror as mirror_module
from mintaka_api.batch_writer import BatchWriter
from mintaka_api.cluster import Cluster
from mintaka_api.leader import NotLeading
from mintaka_api.metrics import Metrics
from mintaka_api.mirror import Mirror
from mintaka_api.settings import Settings
from mintaka_history.database import Database, DatabaseAway
from mintaka_history.enum_codes import STATE_OF_CODE, NameKind
from mintaka_history.migrating import migrate
from mintaka_history.queries.names import Names
from mintaka_history.tables import flow_deployment_versions, flow_run_tags, flow_runs, names
from mintaka_kubernetes import CONFIG_MAPS, CONTROLLER_REVISIONS, FLOW_DEPLOYMENTS, FLOW_RUNS
from postgres_server import PostgresServer
from small_disk import with_small_disk

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

    from mintaka_api.backlog import Batch

pytestmark = pytest.mark.anyio

RUNS = FLOW_RUNS.path(None)
REVISIONS = CONTROLLER_REVISIONS.path(None)


@asynccontextmanager
async def api_server(*runs: dict[str, Any]) -> AsyncIterator[LoopbackApiServer]:
    """An API server with these runs."""
    server = LoopbackApiServer()
    home = Settings().release_namespace
    server.items = {path: [] for path in (FLOW_DEPLOYMENTS.path(None), CONFIG_MAPS.path(home), REVISIONS)}
    server.items[RUNS] = [json.dumps(run).encode() for run in runs]
    async with server.running():
        yield server


@asynccontextmanager
async def mirroring(database: Database, server: LoopbackApiServer, **settings: Any) -> AsyncIterator[Mirror]:
    """A mirror of the server's cluster, as the app runs it."""
    cluster, remembered = Cluster(credentials=server.credentials), Names()
    database.forget.append(remembered.forget)
    mirror = Mirror(database, remembered, cluster, Settings(**{"cluster_name": "here"} | settings), Metrics())
    running = asyncio.create_task(mirror.run())
    try:
        yield mirror
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await cluster.close()


def runs_of(database: Database) -> Callable[[], Awaitable[dict[str, tuple[str, bool]]]]:
    """The runs as the database has them: state and whether they left the cluster, by name; {} while the database is unavailable."""

    async def look() -> dict[str, tuple[str, bool]]:
        r = flow_runs.c
        try:
            rows = await database.read(lambda connection: connection.execute(select(r.name, r.state, r.deleted)).all())
        except DatabaseAway:
            return {}
        return {row.name: (STATE_OF_CODE[row.state].value, row.deleted is not None) for row in rows}

    return look


@pytest.fixture
def own_postgres() -> Iterator[PostgresServer]:
    """A PostgreSQL server that the test may stop."""
    server = PostgresServer(fsync="off")
    try:
        server.start()
        yield server
    finally:
        server.remove()


def command(server: PostgresServer, *statements: str) -> None:
    """Run commands as the administrator."""
    engine = create_engine(server.url("postgres").replace("postgresql:", "postgresql+psycopg:"), isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        for statement in statements:
            connection.execute(text(statement))
    engine.dispose()


async def test_a_database_that_was_away_gets_what_happened_meanwhile(own_postgres: PostgresServer) -> None:
    """The mirror waits, reports the problem, and resumes by itself."""
    database = Database(own_postgres.create_database("history"))
    await asyncio.to_thread(migrate, database)
    async with api_server(seen_run("before", ORDINARY)) as server, mirroring(database, server) as mirror:
        await eventually(runs_of(database), lambda found: found.keys() == {"before"})
        own_postgres.stop(fast=False)
        mirror._runs[0]._handler.present(seen_run("meanwhile", ORDINARY, version=7))

        async def problem() -> str:
            return mirror.problem()

        assert "database:" in await eventually(problem, bool)
        own_postgres.start()
        await eventually(runs_of(database), lambda found: found.keys() == {"before", "meanwhile"})
        assert await eventually(problem, lambda found: not found) == ""
    database.dispose()


async def test_a_database_restored_to_yesterday_gets_everything_again(
    own_postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Runs it had, runs it lacks, and names whose numbers were given to others since; the API is not restarted."""
    monkeypatch.setattr(mirror_module, "_CHECK_SECONDS", 1.0)
    database = Database(own_postgres.create_database("history"))
    await asyncio.to_thread(migrate, database)
    async with api_server(seen_run("old", ORDINARY[:2], version=2)) as server:
        async with mirroring(database, server):
            await eventually(runs_of(database), lambda found: found.keys() == {"old"})
        database.dispose()
        command(own_postgres, "CREATE DATABASE yesterday TEMPLATE history")
        database = Database(own_postgres.url("history"))
        await asyncio.to_thread(migrate, database)
        today = [
            seen_run("old", ORDINARY, version=5),
            seen_run("new", ORDINARY[:3], version=6, spec={"template": {"entrypoint": "a:b"}, "tags": ["t"]}),
        ]
        server.items[RUNS] = [json.dumps(run).encode() for run in today]
        expected = {"old": ("COMPLETED", False), "new": ("RUNNING", False)}
        async with mirroring(database, server) as mirror:
            await eventually(runs_of(database), lambda found: found == expected)
            restore = "CREATE DATABASE history TEMPLATE yesterday", "DROP DATABASE history WITH (FORCE)"
            command(own_postgres, *reversed(restore))
            other = Database(own_postgres.url("history"))
            other.migrated = True
            Names().ids_of(other, {(NameKind.TAG, "of another process")})
            other.dispose()
            await eventually(runs_of(database), lambda found: found == expected)
            assert mirror.writer.last_written is not None
            query = select(names.c.value).join(flow_run_tags, flow_run_tags.c.tag == names.c.id)
            assert await database.read(lambda connection: list(connection.scalars(query))) == ["t"]
    assert "the database lacks what was written to it" in caplog.text
    database.dispose()


async def test_a_lost_connection_alone_lists_nothing_again(own_postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """The database still has what was written last."""
    monkeypatch.setattr(mirror_module, "_RECONNECTED_SECONDS", 0.1)
    database = Database(own_postgres.create_database("history"))
    await asyncio.to_thread(migrate, database)
    async with api_server(seen_run("one", ORDINARY)) as server, mirroring(database, server):
        await eventually(runs_of(database), bool)
        epoch, lists = database.epoch, sum(request.startswith(f"GET {RUNS}") for request in server.requests)
        own_postgres.stop()
        await eventually(runs_of(database), lambda found: not found)
        own_postgres.start()
        await eventually(runs_of(database), bool)
        assert database.epoch > epoch
        await asyncio.sleep(1)
        assert sum(request.startswith(f"GET {RUNS}") for request in server.requests) == lists == 1
    database.dispose()


_ON_SMALL_DISK = """
import asyncio
sys.path.insert(0, {support!r})
from api_testing import ORDINARY, seen_run
from mintaka_api.backlog import Batch
from mintaka_api.cluster import Cluster
from mintaka_api.metrics import Metrics
from mintaka_api.mirror import Mirror
from mintaka_api.settings import Settings
from mintaka_api.snapshots import snapshot_of
from mintaka_history.database import Database, DatabaseAway
from mintaka_history.migrating import migrate
from mintaka_history.queries.names import Names
from mintaka_kubernetes import Credentials

async def write():
    database = Database(f"sqlite:///{{disk}}/history.db")
    migrate(database)
    mirror = Mirror(database, Names(), Cluster(credentials=Credentials("http://127.0.0.1:9")), Settings(), Metrics())
    mirror.writer.cluster_key = "here"
    said = []
    for runs, full in ((1, False), (400, True), (400, False)):
        unlimited = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
        if full and mounted:
            fill()
        elif full:
            resource.setrlimit(resource.RLIMIT_FSIZE, (1000000, resource.RLIM_INFINITY))
        try:
            await mirror.writer.write(Batch([snapshot_of(seen_run(f"run-{{n}}", ORDINARY), 0.0) for n in range(runs)]))
            said.append("")
        except DatabaseAway as away:
            said.append(str(away))
        resource.setrlimit(resource.RLIMIT_FSIZE, unlimited)
        ballast.unlink(missing_ok=True)
        with database.reading() as connection:
            counts = [connection.exec_driver_sql(f"SELECT count(*) FROM {{table}}").scalar() for table in ("flow_runs", "flow_run_transitions")]
        said.append(counts)
    database.dispose()
    print(json.dumps([said, mirror._metrics.registry.get_sample_value("mintaka_mirror_unreadable_total")]))

asyncio.run(write())
"""


def test_a_full_disk_writes_nothing_and_then_everything(tmp_path: Path) -> None:
    """It is a database that is away, not a fault of the runs."""
    child = _ON_SMALL_DISK.format(support=str(Path(__file__).parents[1] / "support"))
    said, unreadable = with_small_disk(child, tmp_path, kilobytes=4000)
    assert said[2].startswith("database: ")
    assert [said[0], said[4]] == ["", ""]
    assert [said[1], said[3], said[5]] == [[1, 4], [1, 4], [400, 1600]]
    assert unreadable == 0


def count_writes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The numbers of runs in the batches that are committed."""
    sizes: list[int] = []
    commit = BatchWriter.commit

    def counted(self: BatchWriter, batch: Batch) -> Any:
        result = commit(self, batch)
        sizes.append(len(batch.runs))
        return result

    monkeypatch.setattr(BatchWriter, "commit", counted)
    return sizes


async def test_a_restart_writes_only_what_has_changed(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 3,000 runs the 7 that changed, and one that is new."""
    runs = [seen_run(f"run-{number}", ORDINARY, version=number + 1) for number in range(3000)]
    sizes = count_writes(monkeypatch)
    async with api_server(*runs) as server:
        async with mirroring(database, server):
            await eventually(runs_of(database), lambda found: len(found) == 3000)
        assert sum(sizes) == 3000
        sizes.clear()
        changed = [seen_run(f"run-{number}", ORDINARY, version=5000 + number) for number in range(7)]
        server.items[RUNS] = [json.dumps(run).encode() for run in (*changed, *runs[7:], seen_run("new", version=9000))]
        async with mirroring(database, server) as mirror:
            await eventually(runs_of(database), lambda found: len(found) == 3001)
            assert mirror.problem() == ""
    assert sum(sizes) == 8


async def test_lists_wait_while_nothing_can_be_written(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """The backlog is bounded, however many runs there are; afterwards all are written."""
    away = asyncio.Event()
    commit = BatchWriter.commit

    def refusing(self: BatchWriter, batch: Batch) -> Any:
        if not away.is_set():
            message = "away for this test"
            raise DatabaseAway(message)
        return commit(self, batch)

    monkeypatch.setattr(BatchWriter, "commit", refusing)
    runs = [seen_run(f"run-{number}", version=number + 1) for number in range(4000)]
    async with api_server(*runs) as server, mirroring(database, server) as mirror:

        async def waiting() -> int:
            return len(mirror._backlog)

        await eventually(waiting, lambda count: count > 2000)
        await asyncio.sleep(0.5)
        assert await waiting() <= 2500
        pages = sum(request.startswith(f"GET {RUNS}") for request in server.requests)
        assert pages == 5
        away.set()
        await eventually(runs_of(database), lambda found: len(found) == 4000)


async def test_without_permission_to_read_versions_all_else_is_mirrored(database: Database, caplog: pytest.LogCaptureFixture) -> None:
    """It is logged once, and is not a problem of the mirror; runs name their revision all the same."""
    run = seen_run("one", ORDINARY)
    run["status"]["revision"] = "nightly-1"
    async with api_server(run) as server:

        def answer(request: web.Request) -> web.StreamResponse | None:
            return refusal(403) if request.path == REVISIONS else None

        server.answer = answer
        with caplog.at_level(logging.WARNING):
            async with mirroring(database, server) as mirror:
                await eventually(runs_of(database), bool)

                async def tries() -> int:
                    return sum(request.startswith(f"GET {REVISIONS}") for request in server.requests)

                await eventually(tries, lambda count: count >= 3)
                assert mirror.problem() == ""
    assert sum("controllerrevisions" in record.message for record in caplog.records) == 1
    assert await database.read(lambda connection: connection.scalar(select(flow_runs.c.revision))) == "nightly-1"


async def test_versions_are_read_from_controller_revisions(database: Database) -> None:
    """Those with the label of a deployment; one that cannot be read is left out."""
    uid = str(uuid.uuid4())
    metadata = {"namespace": "ns", "resourceVersion": "5", "creationTimestamp": "2026-01-01T00:00:00Z"}
    owner = {"ownerReferences": [{"apiVersion": "mintaka.dev/v1alpha1", "kind": "FlowDeployment", "name": "nightly", "uid": uid}]}
    good = {"metadata": {**metadata, **owner, "name": "nightly-abc", "uid": "a"}, "revision": 1, "data": {"spec": {"entrypoint": "a:b"}}}
    bad = {"metadata": {**metadata, "name": "nightly-def", "uid": "b"}, "revision": 2, "data": {"spec": {}}}
    async with api_server() as server:
        server.items[REVISIONS] = [json.dumps(each).encode() for each in (bad, good)]
        async with mirroring(database, server):

            async def stored() -> list[tuple[str, str]]:
                v = flow_deployment_versions.c
                rows = await database.read(lambda connection: connection.execute(select(v.deployment, v.revision)).all())
                return [(row.deployment, row.revision) for row in rows]

            assert await eventually(stored, bool) == [(uid, "nightly-abc")]
        assert any(request.startswith(f"GET {REVISIONS}?labelSelector=mintaka.dev/deployment&") for request in server.requests)


@pytest.mark.parametrize("key", ["elsewhere", "here"])
async def test_a_mirror_of_a_wrong_cluster_ends_no_run_of_another(database: Database, key: str) -> None:
    """An empty cluster with another key changes nothing. Under the same key its runs have left; with the right cluster they return."""
    runs = [seen_run("active", ORDINARY[:3]), seen_run("over", ORDINARY)]
    expected = {"active": ("RUNNING", False), "over": ("COMPLETED", False)}
    async with api_server(*runs) as right, api_server() as wrong:
        async with mirroring(database, right):
            await eventually(runs_of(database), lambda found: found == expected)
        async with mirroring(database, wrong, cluster_name=key) as mirror:
            await asyncio.wait_for(mirror._runs[0].synced.wait(), 10)
            if key == "here":
                await eventually(runs_of(database), lambda found: found == {"active": ("CANCELLED", True), "over": ("COMPLETED", True)})
            else:
                await asyncio.sleep(0.5)
                assert await runs_of(database)() == expected
        async with mirroring(database, right):
            await eventually(runs_of(database), lambda found: found == expected)


async def test_nothing_is_mirrored_before_the_key_of_the_cluster_is_known(database: Database, caplog: pytest.LogCaptureFixture) -> None:
    """It is the uid of the release's namespace, read until that succeeds; the reported problem states what to do."""
    allowed = asyncio.Event()
    async with api_server(seen_run("one", ORDINARY)) as server:
        path = f"/api/v1/namespaces/{Settings().release_namespace}"

        def answer(request: web.Request) -> web.StreamResponse | None:
            if request.path != path:
                return None
            return web.json_response({"metadata": {"uid": "the-uid"}}) if allowed.is_set() else refusal(403)

        server.answer = answer
        async with mirroring(database, server, cluster_name="") as mirror:

            async def problem() -> str:
                return mirror.problem()

            await eventually(problem, lambda found: "set clusterName" in found)
            assert server.requests.count(f"GET {path}") == len([request for request in server.requests if "watch" not in request])
            allowed.set()
            await eventually(runs_of(database), bool)
    query = select(names.c.value).join(flow_runs, flow_runs.c.cluster == names.c.id)
    assert await database.read(lambda connection: connection.scalar(query)) == "the-uid"
    assert sum("set clusterName" in record.message for record in caplog.records) == 1


async def test_a_replica_that_lost_its_lease_during_a_transaction_commits_nothing(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was frozen between reading and writing; the batch waits, and is dropped when the mirror begins again."""
    async with api_server(seen_run("one", ORDINARY)) as server, mirroring(database, server) as mirror:
        await eventually(runs_of(database), bool)
        checks = []

        def check() -> None:
            checks.append(True)
            if len(checks) > 1:
                message = "lost"
                raise NotLeading(message)

        monkeypatch.setattr(mirror._leader, "check", check)
        mirror._runs[0]._handler.present(seen_run("late", ORDINARY, version=9))

        async def checked() -> int:
            return len(checks)

        await eventually(checked, lambda count: count >= 2)
        assert await runs_of(database)() == {"one": ("COMPLETED", False)}
        assert await database.read(lambda connection: connection.scalar(select(func.count()).select_from(flow_runs))) == 1
