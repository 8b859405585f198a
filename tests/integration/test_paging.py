"""Pages by keyset, against an oracle in Python."""

from __future__ import annotations

import asyncio
import uuid
from datetime import datetime
from typing import TYPE_CHECKING, Any
from unittest import mock

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from sqlalchemy import event

from api_testing import API, ORDINARY, report, running, seen_run, status, task
from mintaka_api.queries import mirrored
from mintaka_api.row_mapping import Inherited, names_of_run, run_rows
from mintaka_api.settings import Settings
from mintaka_api.snapshots import snapshot_of
from mintaka_core.secret_parameters import NO_SECRETS
from mintaka_core.states import StateType
from mintaka_history.database import Database
from mintaka_history.enum_codes import STATE_CODES
from mintaka_history.migrating import migrate
from mintaka_history.paging import Page
from mintaka_history.queries import flow_runs as queries
from mintaka_history.queries import pages
from mintaka_history.queries.flow_run_filters import FlowRunFilter
from mintaka_history.queries.names import Names

if TYPE_CHECKING:
    import httpx

pytestmark = pytest.mark.anyio

_STATES = (StateType.COMPLETED, StateType.FAILED, StateType.CRASHED, StateType.SCHEDULED)
_NAMESPACES = ("a", "b", "c")


def write(database: Database, names: Names, documents: list[dict[str, Any]]) -> None:
    """Mirror flow runs."""
    runs = [snapshot_of(document, 0.0).parsed() for document in documents]
    ids = names.ids_of(database, {word for run in runs for word in names_of_run(run, Inherited())})
    with database.writing() as connection:
        mirrored.write_runs(connection, [run_rows(run, ids, Inherited(secrets=NO_SECRETS), 1) for run in runs])


def made_up_run(position: int, second: int, state: StateType, namespace: str, tags: list[str], name: str) -> dict[str, Any]:
    """A flow run with a creation time and a state."""
    document = seen_run(
        name, namespace=namespace, uid=str(uuid.uuid5(uuid.NAMESPACE_OID, f"{position}")), spec={"deployment": "d", "tags": tags}
    )
    document["metadata"]["creationTimestamp"] = f"2026-01-01T00:00:{second:02}Z"
    return document | {"status": status((state.value,))}


run_strategy = st.tuples(
    st.integers(0, 5),
    st.sampled_from(_STATES),
    st.sampled_from(_NAMESPACES),
    st.lists(st.sampled_from(["x", "y"]), unique=True),
    st.sampled_from(["aa", "ab", "abc", "b", "ba"]),
)


@hypothesis_settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    runs=st.lists(run_strategy, max_size=25),
    namespaces=st.lists(st.sampled_from([*_NAMESPACES, "none"]), unique=True),
    states=st.lists(st.sampled_from(_STATES), unique=True),
    tags=st.lists(st.sampled_from(["x", "y"]), unique=True),
    prefix=st.sampled_from([None, "a", "ab", "b", ""]),
    order=st.sampled_from(["created", "name"]),
    descending=st.booleans(),
    limit=st.integers(1, 7),
    few=st.sampled_from([0, 5, 5000]),
)
def test_the_pages_together_are_the_sorted_list(
    database: Database,
    runs: Any,
    namespaces: list[str],
    states: list[StateType],
    tags: list[str],
    prefix: str | None,
    order: str,
    descending: bool,
    limit: int,
    few: int,
) -> None:
    """Whatever the filters, sort and size, and whether few have the name or many: all pages in a row equal the filtered, sorted whole."""
    names = Names()
    with database.writing() as connection:
        for table in (mirrored.flow_runs, mirrored.flow_run_tags, mirrored.flow_run_transitions):
            connection.execute(table.delete())
    documents = [made_up_run(position, *run) for position, run in enumerate(runs)]
    if documents:
        write(database, names, documents)
    wanted = FlowRunFilter(namespaces=tuple(namespaces), states=tuple(states), tags=tuple(tags), name=prefix)
    seen: list[Any] = []
    after = None
    while True:
        with database.reading(pages=True) as connection, mock.patch.object(pages, "_FEW", few):
            part = queries.page(connection, names, wanted, order, Page(limit, descending, after), None)
        assert len(part.items) <= limit
        seen += [(item.created.second, item.name, item.state.type, item.uid) for item in part.items]
        after = part.last
        if after is None:
            break
    expected = {
        (second, name, state, str(uuid.uuid5(uuid.NAMESPACE_OID, f"{position}")))
        for position, (second, state, namespace, own, name) in enumerate(runs)
        if (not namespaces or namespace in namespaces)
        and (not states or state in states)
        and set(tags) <= set(own)
        and name.startswith(prefix or "")
    }
    assert len(seen) == len(set(seen))
    assert set(seen) == expected
    keys = [item[0] if order == "created" else item[1] for item in seen]
    assert keys == sorted(keys, reverse=descending)


async def all_pages(client: httpx.AsyncClient, path: str, query: dict[str, Any], between: Any = None) -> list[dict[str, Any]]:
    """Every item of a list, by its pages."""
    items: list[dict[str, Any]] = []
    cursor = None
    while True:
        page = (await client.get(path, params=query | ({"cursor": cursor} if cursor else {}))).json()
        items += page["items"]
        cursor = page["next"]
        if cursor is None:
            return items
        if between:
            await between()


async def test_runs_that_appear_meanwhile_neither_repeat_nor_hide_others(database_url: str) -> None:
    """Everything that was there before the first page is on exactly one page."""
    names = Names()
    database = Database(database_url)
    migrate(database)
    write(database, names, [made_up_run(k, k % 30, _STATES[k % 4], "a", ["x"], f"run-{k}") for k in range(100)])
    async with running(Settings(database_url=database_url, mirror=False)) as client:
        position = 100
        additions = 0

        async def more() -> None:
            nonlocal position, additions
            additions -= 1
            if additions < 0:
                return
            new = [made_up_run(k, k % 30, _STATES[k % 4], "a", ["x"], f"run-{k}") for k in range(position, position + 5)]
            position += 5
            await asyncio.to_thread(write, database, names, new)

        for query in ({}, {"sort": "created"}, {"sort": "name"}, {"tag": "x"}, {"state": ["FAILED", "CRASHED"]}, {"namespace": ["a", "b"]}):
            before = {item["uid"] for item in await all_pages(client, f"{API}/flow-runs", {**query, "limit": 200})}
            additions = 8
            seen = [item["uid"] for item in await all_pages(client, f"{API}/flow-runs", {**query, "limit": 7}, more)]
            assert len(seen) == len(set(seen))
            assert before <= set(seen)
    database.dispose()


async def test_task_runs_and_logs_come_in_pages_too(database_url: str) -> None:
    """Across runs by creation, within a run by number or name, logs by line."""
    async with running(Settings(database_url=database_url, mirror=False)) as client:
        uids = [str(uuid.uuid4()) for _ in range(3)]
        for uid in uids:
            lines = [{"seq": n, "time": n, "message": str(n), "level": 20 + n % 2} for n in range(25)]
            tasks = [task(n, state="FAILED" if n % 5 == 0 else "COMPLETED", name=f"t{n % 7}" if n % 2 else None) for n in range(40)]
            assert (await client.post(f"{API}/flow-runs/{uid}/reports", json=report(1, tasks, logs=lines))).status_code == 200
        across = await all_pages(client, f"{API}/task-runs", {"limit": 11})
        keys = [(item["created"], item["flow_run"], item["n"]) for item in across]
        assert len(set(keys)) == 120
        times = [datetime.fromisoformat(key[0]) for key in keys]
        assert times == sorted(times, reverse=True)
        failed = await all_pages(client, f"{API}/task-runs", {"limit": 7, "state": ["FAILED", "CRASHED"], "task": "etl.clean"})
        assert len(failed) == 24
        own = f"{API}/flow-runs/{uids[0]}"
        assert [item["n"] for item in await all_pages(client, f"{own}/task-runs", {"limit": 9})] == list(range(40))
        assert [item["n"] for item in await all_pages(client, f"{own}/task-runs", {"limit": 9, "sort": "-n"})] == list(range(39, -1, -1))
        named = [(item["name"], item["n"]) for item in await all_pages(client, f"{own}/task-runs", {"limit": 3, "sort": "name"})]
        assert named == sorted((f"t{n % 7}", n) for n in range(1, 40, 2))
        assert [line["seq"] for line in await all_pages(client, f"{own}/logs", {"limit": 4})] == list(range(25))
        assert [line["seq"] for line in await all_pages(client, f"{own}/logs", {"limit": 4, "level": 21})] == list(range(1, 25, 2))


async def test_a_cursor_belongs_to_its_question(database_url: str) -> None:
    """Under other filters, another sort or another run it is refused."""
    async with running(Settings(database_url=database_url, mirror=False)) as client:
        for _ in range(3):
            await client.post(f"{API}/flow-runs/{uuid.uuid4()}/reports", json=report(1, [task(0)]))
        cursor = (await client.get(f"{API}/flow-runs?limit=1")).json()["next"]
        assert (await client.get(f"{API}/flow-runs", params={"cursor": cursor, "limit": 2, "fields": "uid"})).status_code == 200
        for query in ({"sort": "name"}, {"namespace": "ns"}, {"created_after": "2026-01-01T00:00:00Z"}):
            answer = await client.get(f"{API}/flow-runs", params={"cursor": cursor, **query})
            assert (answer.status_code, answer.json()["type"].rsplit("/", 1)[1]) == (400, "invalid-cursor")


def test_sequences_may_come_repeated_and_out_of_order(database: Database) -> None:
    """Any order of snapshots ends in the newest state with every transition once."""
    names = Names()
    snapshots = [seen_run("one", ORDINARY[:last], version=last + 10) for last in range(1, 5)]
    for document in (snapshots[2], snapshots[0], snapshots[3], snapshots[1], snapshots[3], snapshots[0]):
        write(database, names, [document])
    with database.reading() as connection:
        run = queries.one(connection, names, snapshots[0]["metadata"]["uid"])
        key = queries.key(connection, names, snapshots[0]["metadata"]["uid"])
        assert run is not None
        assert key is not None
        assert (run.sequence, run.state.type, run.history_complete) == (4, StateType.COMPLETED, True)
        assert [transition.sequence for transition in queries.transitions(connection, key.no, Page(10, descending=False)).items] == [
            1,
            2,
            3,
            4,
        ]
    assert STATE_CODES[StateType.COMPLETED] == 4


def test_transitions_that_were_never_seen_are_told(database: Database) -> None:
    """A run whose first transitions were pushed out of its status is not complete."""
    names = Names()
    document = seen_run("long") | {"status": status(ORDINARY, first=40)}
    write(database, names, [document])
    with database.reading() as connection:
        run = queries.one(connection, names, document["metadata"]["uid"])
        assert run is not None
        assert not run.history_complete


def test_a_page_by_state_walks_the_small_index(database: Database) -> None:
    """Rare states are found through the partial index, which needs the state written out in the statement."""
    asked: list[tuple[str, Any]] = []
    event.listen(database.read_engine, "before_cursor_execute", lambda _c, _u, text, values, *_: asked.append((text, values)))
    with database.reading(pages=True) as connection:
        queries.page(
            connection, Names(), FlowRunFilter(states=(StateType.FAILED,), any_parent=True), "created", Page(5, descending=True), None
        )
        text, values = next(query for query in asked if "FROM flow_runs" in query[0])
        if database.is_postgresql:
            connection.exec_driver_sql("SET LOCAL enable_seqscan = off")
        plan = connection.exec_driver_sql(f"EXPLAIN {'' if database.is_postgresql else 'QUERY PLAN '}{text}", values)
        assert "ix_flow_runs_unfinished" in str(plan.all())
