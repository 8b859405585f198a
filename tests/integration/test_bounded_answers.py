"""Answers and statements of bounded size, however much there is; and numbers of flow runs when they run out."""

from __future__ import annotations

import json
import uuid
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import event, update

from api_testing import API, report, running, seen_run
from mintaka_api.queries import mirrored
from mintaka_api.row_mapping import Inherited, names_of_run, run_rows
from mintaka_api.settings import Settings
from mintaka_api.snapshots import snapshot_of
from mintaka_history.batches import decode
from mintaka_history.ingest import store_batch
from mintaka_history.queries import flow_runs as queries
from mintaka_history.queries import numbers
from mintaka_history.queries.names import Names
from mintaka_history.tables import flow_runs
from mintaka_history.timestamps import to_microseconds
from mintaka_history.writing import runs
from mintaka_history.writing.runs import NoFreeNumber, first_number

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import httpx

    from mintaka_history.database import Database

pytestmark = pytest.mark.anyio


def write(database: Database, names: Names, document: dict[str, Any]) -> None:
    """Mirror a flow run."""
    run = snapshot_of(document, 0.0).parsed()
    ids = names.ids_of(database, names_of_run(run, Inherited()))
    with database.writing() as connection:
        mirrored.write_runs(connection, [run_rows(run, ids, Inherited(), 1)])


@pytest.fixture
async def api(database_url: str) -> AsyncIterator[httpx.AsyncClient]:
    async with running(Settings(database_url=database_url, mirror=False)) as client:
        yield client


async def all_pages(api: httpx.AsyncClient, path: str, **query: Any) -> list[list[Any]]:
    """The items of a list, page by page."""
    found, cursor = [], None
    while True:
        answer = (await api.get(path, params=query | ({"cursor": cursor} if cursor else {}))).json()
        found.append(answer["items"])
        cursor = answer["next"]
        if cursor is None:
            return found


async def test_transitions_come_in_pages(api: httpx.AsyncClient) -> None:
    """Oldest first; a run with thousands of retries fits into no single answer."""
    uid = str(uuid.uuid4())
    transitions = [[n, "RUNNING", "", n, "", [], "", ""] for n in range(1, 2001)]
    local = {"flow": "main", "created": 1, "transitions": transitions}
    body = report(1, flow_run={"name": "run", "namespace": "ns", "local": local})
    assert (await api.post(f"{API}/flow-runs/{uid}/reports", json=body)).status_code == 200
    for query, sizes in (({}, [1000, 1000]), ({"limit": 800}, [800, 800, 400])):
        found = await all_pages(api, f"{API}/flow-runs/{uid}/transitions", **query)
        assert [len(page) for page in found] == sizes
        assert [item["sequence"] for page in found for item in page] == list(range(1, 2001))
    assert (await api.get(f"{API}/flow-runs/{uid}/transitions", params={"limit": 1001})).status_code == 400


async def test_artifacts_come_in_pages_of_bounded_size(api: httpx.AsyncClient) -> None:
    """By number and by the size of their data; one that is larger than a page is a page."""
    uid = str(uuid.uuid4())
    sizes = [1_500_000, 1_500_000, 1_500_000, 3_900_000, 10, 10, 10]
    for n, size in enumerate(sizes):
        data = {"id": str(uuid.uuid4()), "kind": "markdown", "seq": 1, "created": n, "updated": n, "data": "x" * size}
        answer = await api.post(f"{API}/flow-runs/{uid}/reports", json=report(n + 1, artifacts=[data]))
        assert answer.status_code == 200, answer.text
    found = await all_pages(api, f"{API}/flow-runs/{uid}/artifacts")
    assert [[len(item["data"]) for item in page] for page in found] == [sizes[:2], sizes[2:3], sizes[3:]]
    found = await all_pages(api, f"{API}/flow-runs/{uid}/artifacts", limit=2)
    assert [len(page) for page in found] == [2, 1, 2, 2]


async def test_a_page_of_limits_costs_few_statements(api: httpx.AsyncClient) -> None:
    """However many limits are on it, each with its own leases."""
    for n in range(60):
        assert (await api.put(f"{API}/namespaces/ns/concurrency-limits/limit-{n:02}", json={"slots": 1})).is_success
        for _ in range(2):
            wish = {"id": uuid.uuid4().hex, "names": [f"limit-{n:02}"], "who": f"worker of {n}"}
            assert (await api.post(f"{API}/namespaces/ns/concurrency-leases", json=wish)).is_success
    engine = api.app.state.services.database.read_engine  # type: ignore[attr-defined]
    statements: list[str] = []
    event.listen(engine, "before_cursor_execute", lambda *arguments: statements.append(arguments[2]))
    items = (await api.get(f"{API}/concurrency-limits", params={"limit": 60})).json()["items"]
    assert [(item["name"], item["held"], item["waiting"]) for item in items] == [(f"limit-{n:02}", 1, 1) for n in range(60)]
    assert [{lease["who"] for lease in item["leases"]} for item in items] == [{f"worker of {n}"} for n in range(60)]
    assert len(statements) < 10


async def test_leases_of_a_limit_come_in_pages(api: httpx.AsyncClient) -> None:
    """In the order in which they were requested; the limit itself shows the first hundred."""
    assert (await api.put(f"{API}/namespaces/ns/concurrency-limits/db", json={"slots": 1})).is_success
    asked = [uuid.uuid4().hex for _ in range(120)]
    for each in asked:
        assert (await api.post(f"{API}/namespaces/ns/concurrency-leases", json={"id": each, "names": ["db"]})).is_success
    path = f"{API}/namespaces/ns/concurrency-limits/db"
    found = await all_pages(api, f"{path}/leases", limit=50)
    assert [len(page) for page in found] == [50, 50, 20]
    assert [item["id"] for page in found for item in page] == asked
    assert [item["granted"] is None for page in found for item in page] == [False, *[True] * 119]
    shown = (await api.get(path)).json()
    assert (shown["held"], shown["waiting"], len(shown["leases"])) == (1, 119, 100)


def test_a_run_whose_numbers_are_taken_gets_another(database: Database) -> None:
    """Whoever knows its uid and time could take those that come next."""
    names, victim = Names(), seen_run("victim")
    created = snapshot_of(victim, 0.0).parsed().run.metadata.creation_timestamp
    assert created is not None
    first = first_number(victim["metadata"]["uid"], to_microseconds(created))
    for n in range(8):
        write(database, names, seen_run(f"other-{n}"))
    with database.writing() as connection:
        for n in range(8):
            other = seen_run(f"other-{n}")["metadata"]["uid"]
            connection.execute(update(flow_runs).where(flow_runs.c.uid == other).values(no=first + n))
    write(database, names, victim)
    with database.reading() as connection:
        key = queries.key(connection, names, victim["metadata"]["uid"])
    assert key is not None
    assert key.no not in range(first, first + 8)
    assert key.no >> 20 == first >> 20


def test_a_run_that_gets_no_number_is_not_passed_over(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither by the mirror nor by a report: both say so, and write nothing."""
    names, victim = Names(), seen_run("victim")
    write(database, names, seen_run("other"))
    with database.reading() as connection:
        taken = queries.key(connection, names, seen_run("other")["metadata"]["uid"])
    assert taken is not None
    for module in (numbers, runs):
        monkeypatch.setattr(module, "numbers_for", lambda *_: iter([taken.no] * 3))
    with pytest.raises(NoFreeNumber, match="no number is free for flow run"):
        write(database, names, victim)
    body = json.dumps(report()).encode()
    with pytest.raises(NoFreeNumber, match="no number is free for flow run"):
        store_batch(database, names, victim["metadata"]["uid"], decode(body))
    with database.reading() as connection:
        assert queries.key(connection, names, victim["metadata"]["uid"]) is None
