"""The document store on both databases: several writers, outages, a server that is killed, and the answers of the API."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import select

from api_testing import API, running, status
from local_documents import NAMESPACE, deployment, flow_run, history_of
from mintaka_api.local.document_store import DocumentStore
from mintaka_api.local.history_rows import HistoryRows
from mintaka_api.settings import Settings
from mintaka_controller.ports import Conflict, Missing, Unavailable
from mintaka_history.database import Database, DatabaseAway
from mintaka_history.migrating import migrate
from mintaka_history.queries.names import Names
from mintaka_history.tables import documents, flow_runs

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from sqlalchemy import Connection

pytestmark = pytest.mark.anyio

DEPLOYMENT, RUN = "FlowDeployment", "FlowRun"
ROOT = Path(__file__).parents[2]


@pytest.fixture
async def stores(database_url: str) -> AsyncIterator[tuple[DocumentStore, DocumentStore]]:
    """The stores of two servers on one database."""
    databases = [Database(database_url) for _ in range(2)]
    for database in databases:
        migrate(database)
    one, other = (DocumentStore(database, Names()) for database in databases)
    yield one, other
    for store in (one, other):
        await store.close()
        store.database.dispose()


@pytest.fixture
async def store(stores: tuple[DocumentStore, DocumentStore]) -> DocumentStore:
    """One of them."""
    return stores[0]


# Several writers.


async def test_two_servers_never_give_one_version_twice(stores: tuple[DocumentStore, DocumentStore]) -> None:
    """If both create a document with the same name, one of them is refused."""
    names = [f"run-{number}" for number in range(20)]
    results = await asyncio.gather(*(store.create(RUN, flow_run(name)) for name in names for store in stores), return_exceptions=True)
    created = [result for result in results if isinstance(result, dict)]
    assert sorted(document["metadata"]["name"] for document in created) == sorted(names)
    assert len({document["metadata"]["resourceVersion"] for document in created}) == len(names)
    assert await stores[1].list(RUN) == await stores[0].list(RUN)


async def test_of_several_changes_of_one_version_one_is_made(stores: tuple[DocumentStore, DocumentStore]) -> None:
    """The others get a conflict, in the same process or in another one."""
    run = await stores[0].create(RUN, flow_run())
    version = run["metadata"]["resourceVersion"]
    writes = [stores[number % 2].write_status(RUN, (NAMESPACE, "run"), version, {"attempt": number}) for number in range(1, 9)]
    results = await asyncio.gather(*writes, return_exceptions=True)
    (written,) = [result for result in results if isinstance(result, dict)]
    assert {type(result) for result in results} == {dict, Conflict}
    assert await stores[1].read(RUN, (NAMESPACE, "run")) == written
    assert (await history_of(stores[0].database, run["metadata"]["uid"]))["attempt"] == written["status"]["attempt"]


async def test_changes_without_a_version_are_all_made(stores: tuple[DocumentStore, DocumentStore]) -> None:
    """Each is merged into the newest version."""
    await stores[0].create(DEPLOYMENT, deployment())
    labels = [{"metadata": {"labels": {f"l{number}": "x"}}} for number in range(20)]
    await asyncio.gather(*(stores[number % 2].patch(DEPLOYMENT, (NAMESPACE, "etl"), merge) for number, merge in enumerate(labels)))
    assert len((await stores[0].read(DEPLOYMENT, (NAMESPACE, "etl")))["metadata"]["labels"]) == 20


# Faults.


async def test_document_and_history_are_written_together_or_not_at_all(store: DocumentStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """The database fails after the rows and before the commit: nothing is stored, nothing is announced, and the next try succeeds."""
    run, seen = await store.create(RUN, flow_run()), []
    store.subscribe(lambda _kind, document, _deleted: seen.append(document["metadata"]["resourceVersion"]))
    written = HistoryRows.write

    def fail(self: HistoryRows, connection: Connection, changes: Any) -> None:
        written(self, connection, changes)
        assert connection.scalar(select(flow_runs.c.attempt).where(flow_runs.c.uid == run["metadata"]["uid"])) == 1
        message = "database: the connection is lost"
        raise DatabaseAway(message)

    monkeypatch.setattr(HistoryRows, "write", fail)
    version = run["metadata"]["resourceVersion"]
    with pytest.raises(Unavailable, match="the connection is lost"):
        await store.write_status(RUN, (NAMESPACE, "run"), version, {"attempt": 1})
    monkeypatch.undo()
    assert await store.read(RUN, (NAMESPACE, "run")) == run
    assert (await history_of(store.database, run["metadata"]["uid"]))["attempt"] == 0
    assert seen == []
    await store.write_status(RUN, (NAMESPACE, "run"), version, {"attempt": 1})
    assert (await history_of(store.database, run["metadata"]["uid"]))["attempt"] == 1


async def test_one_document_whose_history_fails_does_not_stop_the_others(store: DocumentStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """They share a transaction, and are then tried one by one."""
    written = HistoryRows.write

    def fail(self: HistoryRows, connection: Connection, changes: Any) -> None:
        if any(change.document["metadata"]["name"] == "run-3" for change in changes):
            message = "a fault of ours"
            raise ZeroDivisionError(message)
        written(self, connection, changes)

    monkeypatch.setattr(HistoryRows, "write", fail)
    results = await asyncio.gather(*(store.create(RUN, flow_run(f"run-{number}")) for number in range(6)), return_exceptions=True)
    assert [type(result) for result in results] == [dict, dict, dict, ZeroDivisionError, dict, dict]
    assert [document["metadata"]["name"] for document in await store.list(RUN)] == [f"run-{number}" for number in (0, 1, 2, 4, 5)]


_WRITER = """
    import asyncio, sys
    from mintaka_api.local.document_store import DocumentStore
    from mintaka_history.database import Database
    from mintaka_history.queries.names import Names
    from api_testing import status
    from local_documents import flow_run
    from mintaka_history.migrating import migrate

    async def main(url):
        database = Database(url)
        migrate(database)
        store = DocumentStore(database, Names())
        runs = {}
        for number in range(4):
            run = await store.create("FlowRun", flow_run(f"run-{number}"))
            runs[run["metadata"]["name"]] = run["metadata"]["resourceVersion"]
        states = ["SCHEDULED"]
        while True:
            states.append("PENDING" if states[-1] == "SCHEDULED" else "SCHEDULED")
            async def write(name):
                new = await store.write_status("FlowRun", ("local", name), runs[name], status(tuple(states)))
                runs[name] = new["metadata"]["resourceVersion"]
            await asyncio.gather(*(write(name) for name in runs))
            print(len(states), flush=True)

    asyncio.run(main(sys.argv[1]))
"""


@pytest.mark.timeout(300)
async def test_a_server_that_is_killed_leaves_documents_and_history_of_one_state(database_url: str) -> None:
    """Whenever the server is killed, the history matches the documents exactly."""
    code = os.pathsep.join(map(str, (ROOT / "sdk", ROOT / "operator", ROOT / "api", ROOT / "tests" / "support")))
    environment = os.environ | {"PYTHONPATH": code}
    process = await asyncio.to_thread(
        subprocess.Popen, [sys.executable, "-c", textwrap.dedent(_WRITER), database_url], env=environment, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    for _ in range(20):
        assert await asyncio.to_thread(process.stdout.readline)
    process.send_signal(signal.SIGKILL)
    await asyncio.to_thread(process.communicate)
    database = Database(database_url)
    migrate(database)
    store = DocumentStore(database, Names())
    documents = await store.list(RUN)
    assert len(documents) == 4
    for document in documents:
        history = await history_of(database, document["metadata"]["uid"])
        sequence = document["status"]["sequence"]
        assert sequence >= 20
        assert (history["sequence"], history["resource_version"]) == (sequence, int(document["metadata"]["resourceVersion"]))
        assert [seq for seq, *_ in history["transitions"]] == list(range(1, sequence + 1))
        assert (history["state"], history["gap"]) == (document["status"]["state"]["type"], False)
    newest = max(int(document["metadata"]["resourceVersion"]) for document in documents)
    assert int((await store.create(RUN, flow_run("after")))["metadata"]["resourceVersion"]) > newest
    database.dispose()


async def test_an_outage_is_unavailability(store: DocumentStore) -> None:
    """Readers and writers get Unavailable; all writers that share a transaction get it at once."""
    await store.create(RUN, flow_run())
    store.database.migrated = False
    for request in (store.read(RUN, (NAMESPACE, "run")), store.list(RUN), store.create(RUN, flow_run("other"))):
        with pytest.raises(Unavailable):
            await request
    store.database.migrated = True
    assert (await store.read(RUN, (NAMESPACE, "run")))["metadata"]["name"] == "run"


async def test_a_start_ends_rows_of_runs_that_have_no_document(store: DocumentStore) -> None:
    """Such a row remains if a process reports after its run and its history were deleted; other rows do not change."""
    kept = await store.create(RUN, flow_run("kept"))
    lost = await store.create(RUN, flow_run("lost"))
    await store.write_status(RUN, (NAMESPACE, "lost"), lost["metadata"]["resourceVersion"], status(("SCHEDULED", "PENDING")))
    await store.database.write(_lose, lost["metadata"]["uid"])
    await store.recover()
    await store.recover()
    history = await history_of(store.database, lost["metadata"]["uid"])
    assert (history["state"], history["reason"], history["sequence"]) == ("CANCELLED", "Deleted", 3)
    assert history["deleted"] is not None
    assert (await history_of(store.database, kept["metadata"]["uid"]))["deleted"] is None


def _lose(connection: Connection, uid: str) -> None:
    connection.execute(documents.delete().where(documents.c.uid == uid))


# What the API answers.


async def test_the_api_answers_from_the_rows(database_url: str) -> None:
    """Runs, decisions, attempts and deployments as if a cluster's mirror had written them, and the feed of changes."""
    database = Database(database_url)
    migrate(database)
    store = DocumentStore(database, Names())
    async with running(Settings(database_url=database_url, mirror=False)) as client:
        feed = (await client.get(f"{API}/changes")).json()
        owner = await store.create(DEPLOYMENT, deployment(tags=["nightly"]))
        run = await store.create(RUN, flow_run(owner=owner, parameters={"x": 1}))
        states = ("SCHEDULED", "PENDING", "RUNNING", "COMPLETED")
        attempt = {"number": 1, "podName": "run-1", "state": "COMPLETED", "exitCode": 0}
        written = await store.write_status(RUN, (NAMESPACE, "run"), run["metadata"]["resourceVersion"], status(states, attempts=[attempt]))
        url = f"{API}/flow-runs/{run['metadata']['uid']}"
        answer = (await client.get(url)).json()
        assert (answer["state"]["type"], answer["namespace"], answer["deployment"]) == ("COMPLETED", NAMESPACE, "etl")
        assert (answer["parameters"], answer["tags"], answer["kind"]) == ({"x": 1}, ["nightly"], "deployed")
        transitions = (await client.get(f"{url}/transitions")).json()["items"]
        assert sorted(each["sequence"] for each in transitions) == [1, 2, 3, 4]
        assert [each["exit_code"] for each in (await client.get(f"{url}/attempts")).json()["items"]] == [0]
        shown = (await client.get(f"{API}/flow-deployments/{NAMESPACE}/etl")).json()
        assert (shown["uid"], [each["name"] for each in shown["last_runs"]]) == (owner["metadata"]["uid"], ["run"])
        changed = (await client.get(f"{API}/changes", params={"after": feed["next"]})).json()
        assert {each["uid"] for each in changed["items"]} == {run["metadata"]["uid"], owner["metadata"]["uid"]}
        await store.delete(RUN, (NAMESPACE, "run"))
        await store.patch(RUN, (NAMESPACE, "run"), {"metadata": {"finalizers": None}})
        with pytest.raises(Missing):
            await store.read(RUN, (NAMESPACE, "run"))
        gone = (await client.get(url)).json()
        assert gone["deleted"] is not None
        assert (gone["state"]["type"], gone["sequence"]) == ("COMPLETED", written["status"]["sequence"])
    await store.close()
    database.dispose()
