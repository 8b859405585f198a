"""Readers' queries: answers compared with the known rows (`filled_history`), on both databases."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import text

import filled_history as filled
from api_testing import API, running
from filled_history import BEGIN, HOUR, RUNS, SPREAD, STEP, uid_of
from mintaka_api.settings import Settings
from mintaka_history.database import Database
from mintaka_history.queries import logs
from mintaka_history.tables import names

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    import httpx

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def filled_url(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a filled database."""
    url = f"sqlite:///{tmp_path_factory.mktemp('filled') / 'mintaka.db'}"
    if request.param == "postgresql":
        url = request.getfixturevalue("postgres").create_database("reading")
    database = Database(url)
    filled.fill(database)
    database.dispose()
    return url


@pytest.fixture
async def api(filled_url: str) -> AsyncIterator[httpx.AsyncClient]:
    """The API over it."""
    async with running(Settings(database_url=filled_url, mirror=False)) as client:
        yield client


async def get(api: httpx.AsyncClient, path: str, **query: Any) -> dict[str, Any]:
    """The document that a route answers with."""
    answer = await api.get(f"{API}{path}", params=query)
    assert answer.status_code == 200, answer.text
    document: dict[str, Any] = answer.json()
    return document


async def walk(api: httpx.AsyncClient, path: str, to: str = "next", **query: Any) -> list[dict[str, Any]]:
    """Every item of a list, by its cursors in one direction."""
    items: list[dict[str, Any]] = []
    while True:
        page = await get(api, path, **query)
        items = [*items, *page["items"]] if to == "next" else [*page["items"], *items]
        if page[to] is None:
            return items
        query["cursor"] = page[to]


def instant(microseconds: int) -> str:
    """A time in a query."""
    return datetime.fromtimestamp(microseconds / 1e6, UTC).isoformat()


def numbers(items: list[dict[str, Any]]) -> list[int]:
    """The runs by themselves that are in a list, by position."""
    return [int(item["uid"][-12:], 16) // SPREAD for item in items]


async def test_pages_lead_back_to_the_one_before(api: httpx.AsyncClient) -> None:
    """Walking back from any page gives the same items in the same order; the first page has none before it, the last none after."""
    for path, query in (
        ("/flow-runs", {"limit": 7, "created_before": instant(BEGIN + 31 * STEP)}),
        ("/flow-runs", {"limit": 7, "sort": "created", "created_before": instant(BEGIN + 31 * STEP), "not.namespace": "team-1"}),
        ("/task-runs", {"limit": 3, "started_before": instant(BEGIN + 31 * STEP), "task": "etl.task_3"}),
        ("/events", {"limit": 7, "until": instant(BEGIN + 31 * STEP)}),
        (f"/flow-runs/{uid_of(10)}/logs", {"limit": 150}),
    ):
        pages, cursor = [], None
        while True:
            page = await get(api, path, **query, **({"cursor": cursor} if cursor else {}))
            pages.append(page)
            cursor = page["next"]
            if cursor is None:
                break
        assert pages[0]["previous"] is None
        assert len(pages) > 1
        for before, page in pairwise(pages):
            back = await get(api, path, **query, cursor=page["previous"])
            assert back["items"] == before["items"]
            assert (back["previous"] is None) == (before is pages[0])


async def test_runs_that_others_called_are_listed_apart(api: httpx.AsyncClient) -> None:
    """Of their parent, of the first run above them, of their kind, or with all others; with a name, whichever run called them."""
    parent = uid_of(500 * SPREAD)
    children = [uid_of(500 * SPREAD + n) for n in range(1, filled.CHILDREN + 1)]
    assert {item["parent"] for item in (await get(api, "/flow-runs", limit=200))["items"]} == {None}
    for query in ({"parent": parent}, {"root": parent}, {"name": "called-500"}):
        found = [item for item in (await get(api, "/flow-runs", sort="created", **query))["items"] if item["root"] == parent]
        assert [(item["uid"], item["parent"], item["kind"]) for item in found] == [(uid, parent, "called") for uid in children]
    assert {item["kind"] for item in (await get(api, "/flow-runs", limit=50, parent="any"))["items"]} == {"called", "deployed"}
    assert {item["kind"] for item in (await get(api, "/flow-runs", kind="called"))["items"]} == {"called"}
    assert (await get(api, "/flow-runs", kind="script"))["items"] == []


#: kind, query, which of the runs by themselves.
EXCLUDED: dict[str, tuple[dict[str, Any], Any]] = {
    "a state": ({"not.state": "COMPLETED"}, lambda n: n % 40 == 0 or n > RUNS - 20),
    "another state": ({"not.state": "FAILED"}, lambda n: n % 40 or n > RUNS - 20),
    "states of those wanted": ({"state": ["FAILED", "RUNNING"], "not.state": "RUNNING"}, lambda n: n % 40 == 0 and n <= RUNS - 20),
    "a namespace": ({"not.namespace": "team-1"}, lambda n: n % 4 != 0),
    "namespaces": ({"not.namespace": ["team-1", "team-2", "unknown"]}, lambda n: n % 4 > 1),
    "a deployment": ({"not.deployment": "deployment-1"}, lambda n: n % 20 != 0),
    "a deployment of a namespace": ({"namespace": "team-1", "not.deployment": "deployment-1"}, lambda n: n % 4 == 0 and n % 20 != 0),
    "a tag": ({"not.tag": "tag-1"}, lambda n: n % 100 != 3),
    "a tag of those with another": ({"tag": "tag-2", "not.tag": "tag-1"}, lambda n: n % 100 == 13),
}


@pytest.mark.parametrize("kind", EXCLUDED)
async def test_what_is_excluded_is_missing_and_nothing_else(api: httpx.AsyncClient, kind: str) -> None:
    """Among the first five hundred runs and the last hundred."""
    query, is_wanted = EXCLUDED[kind]
    for window, expected in (
        ({"created_before": instant(BEGIN + 501 * STEP)}, range(1, 501)),
        ({"created_after": instant(BEGIN + (RUNS - 99) * STEP)}, range(RUNS - 99, RUNS + 1)),
    ):
        found = await walk(api, "/flow-runs", limit=200, sort="created", **query, **window)
        assert numbers(found) == [n for n in expected if is_wanted(n)]


async def test_more_names_than_ranges_are_a_filter(api: httpx.AsyncClient, filled_url: str) -> None:
    """With forty deployments more, an exclusion is no longer a range for each other one."""
    database = Database(filled_url)
    database.migrated = True
    with database.writing() as connection:
        connection.execute(names.insert(), [{"id": 900 + n, "kind": 2, "value": f"more-{n}"} for n in range(40)])
    try:
        found = await walk(
            api,
            "/flow-runs",
            limit=200,
            sort="created",
            **{"not.deployment": "deployment-1", "created_before": instant(BEGIN + 101 * STEP)},
        )
        assert numbers(found) == [n for n in range(1, 101) if n % 20]
    finally:
        with database.writing() as connection:
            connection.execute(text("DELETE FROM names WHERE id >= 900"))
        database.dispose()


@pytest.mark.parametrize(("after", "before"), [(0, 1), (10, 11), (25, 26), (33, 40), (5, None), (None, 3), (60, 70)])
@pytest.mark.parametrize(
    "more", [{}, {"state": ["COMPLETED", "FAILED"]}, {"namespace": ["team-1", "team-2"]}, {"sort": "name"}, {"tag": "tag-2"}]
)
async def test_alive_in_a_window_means_started_before_its_end_and_not_ended_before_its_start(
    api: httpx.AsyncClient, after: int | None, before: int | None, more: dict[str, Any]
) -> None:
    """However long the runs take: a second or a day, or are still running."""
    query = {"alive_after": after, "alive_before": before}
    window = {name: instant(BEGIN + hours * HOUR) for name, hours in query.items() if hours is not None}
    found = await walk(api, "/flow-runs", limit=200, **{"sort": "created", **more}, **window)

    def is_alive(n: int) -> bool:
        started = filled.created_of(n) + 1_000_000
        ended = None if n > RUNS - 20 else started + filled.DURATIONS[n % 5]
        return (before is None or started < BEGIN + before * HOUR) and (after is None or ended is None or ended >= BEGIN + after * HOUR)

    def is_wanted(n: int) -> bool:
        if "state" in more and n > RUNS - 20:
            return False
        if "namespace" in more and n % 4 > 1:
            return False
        return "tag" not in more or n % 100 == 13

    assert sorted(numbers(found)) == [n for n in range(1, RUNS + 1) if is_alive(n) and is_wanted(n)]


async def test_a_log_is_read_from_its_end_around_a_line_and_between_two(api: httpx.AsyncClient) -> None:
    """In both orders; the numbers stay those of the lines."""
    path = f"/flow-runs/{uid_of(10)}/logs"

    async def lines(**query: Any) -> list[int]:
        return [line["seq"] // 1000 for line in (await get(api, path, **query))["items"]]

    assert await lines(sort="-seq", limit=3) == [500, 499, 498]
    assert await lines(tail=3) == [498, 499, 500]
    assert await lines(tail=3, sort="-seq") == [500, 499, 498]
    assert await lines(around=250_000, limit=5) == [248, 249, 250, 251, 252]
    assert await lines(around=250_000, limit=5, sort="-seq") == [252, 251, 250, 249, 248]
    assert await lines(around=1_000, limit=5) == [1, 2, 3, 4, 5]
    assert await lines(around=500_000, limit=4) == [498, 499, 500]
    assert await lines(around=250_500, limit=4) == [249, 250, 251, 252]
    assert await lines(after=10_000, before=14_000) == [11, 12, 13]
    page = await get(api, path, tail=100)
    assert (page["next"], len(page["items"])) == (None, 100)
    assert [line["seq"] // 1000 for line in await walk(api, path, "previous", tail=100, limit=90)] == list(range(1, 501))
    page = await get(api, path, around=250_000, limit=10)
    later = [line["seq"] // 1000 for line in await walk(api, path, limit=200, cursor=page["next"])]
    assert later == list(range(255, 501))
    refused = await api.get(f"{API}{path}", params={"around": 1, "q": "x"})
    assert refused.status_code == 400


#: kind, query, the lines.
SEARCHED: dict[str, tuple[dict[str, Any], list[int]]] = {
    "a text": ({"q": "line 7 of"}, [7]),
    "in another case": ({"q": "LINE 7 OF"}, [7]),
    "in another case beyond ASCII": ({"q": "äRGER"}, [100, 200, 300, 400, 500]),
    "as it is written": ({"q": "LINE 7 OF", "match_case": True}, []),
    "as it is written, beyond ASCII": ({"q": "Ärger", "match_case": True}, [100, 200, 300, 400, 500]),
    "a sign with a meaning in LIKE": ({"q": "line_7"}, []),
    "another": ({"q": "100%"}, []),
    "a letter that only looks like it": ({"q": "árger"}, []),
    "a level": ({"level": 40}, [100, 200, 300, 400, 500]),
    "a level and a text": ({"level": 40, "q": "line 2"}, [200]),
    "before a line": ({"level": 40, "before": 300_000}, [100, 200]),
    "newest first": ({"level": 40, "sort": "-seq", "limit": 2}, [500, 400]),
    "the last ones": ({"level": 40, "tail": 2}, [400, 500]),
}


@pytest.mark.parametrize("kind", SEARCHED)
async def test_a_search_finds_the_lines_with_a_text_or_level(api: httpx.AsyncClient, kind: str) -> None:
    """Also if a database gives the characters a meaning."""
    query, expected = SEARCHED[kind]
    page = await get(api, f"/flow-runs/{uid_of(10)}/logs", **query)
    assert [line["seq"] // 1000 for line in page["items"]] == expected
    assert "partial" not in page


@pytest.mark.parametrize("sort", ["seq", "-seq"])
@pytest.mark.parametrize("query", [{"level": 40}, {"q": "line 49"}, {"q": "nothing"}], ids=str)
async def test_a_search_that_takes_too_long_says_where_it_continues(
    api: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch, sort: str, query: dict[str, Any]
) -> None:
    """Its parts together find every line once, in both orders and directions."""
    path = f"/flow-runs/{uid_of(10)}/logs"
    whole = (await get(api, path, sort=sort, **query))["items"]
    monkeypatch.setattr(logs, "_FIRST_BLOCK", 16)
    monkeypatch.setattr(logs.page, "__kwdefaults__", {"seconds": 0.0})
    first = await get(api, path, sort=sort, limit=3, **query)
    assert first.get("partial") or len(first["items"]) == 3
    assert "partial" in first or whole
    assert await walk(api, path, sort=sort, limit=3, **query) == whole
    tail = await walk(api, path, "previous" if sort == "seq" else "next", sort=sort, limit=3, tail=3, **query)
    assert tail == whole


async def test_attempts_and_decisions_of_a_run(api: httpx.AsyncClient) -> None:
    """Attempts in order; decisions with or without those that changed nothing."""
    attempts = await walk(api, f"/flow-runs/{uid_of(10)}/attempts", limit=1)
    assert [(item["attempt"], item["pod"], item["exit_code"], item["state"]) for item in attempts] == [
        (1, "pod-1-1", 137, "CRASHED"),
        (2, "pod-1-2", 137, "CRASHED"),
    ]
    decisions = await walk(api, f"/flow-runs/{uid_of(10)}/transitions", limit=1)
    assert [item["verdict"] for item in decisions] == ["Accept", "Wait", "Accept"]
    assert [item["sequence"] for item in await walk(api, f"/flow-runs/{uid_of(10)}/transitions", limit=1, changed=True)] == [1, 3]


async def test_flow_deployments_show_their_last_runs_and_versions(api: httpx.AsyncClient) -> None:
    """Twenty at most, oldest first, in one statement; versions in pages, newest first."""
    items = {item["name"]: item for item in (await get(api, "/flow-deployments"))["items"]}
    for n in (1, 2, 20):
        own = [number for number in range(1, RUNS + 1) if 1 + number % 20 == n][-20:]
        runs = items[f"deployment-{n}"]["last_runs"]
        assert numbers(runs) == own
        assert [run["seconds"] for run in runs] == [None if k > RUNS - 20 else filled.DURATIONS[k % 5] / 1e6 for k in own]
        assert items[f"deployment-{n}"]["revision"] == f"deployment-{n}-30"
    assert (await get(api, "/flow-deployments", fields="name"))["items"][0] == {"name": "deployment-1"}
    versions = await walk(api, "/flow-deployments/team-1/deployment-1/versions", limit=7)
    assert [item["spec"] for item in versions] == [{"version": str(version)} for version in range(30, 0, -1)]
    assert (await api.get(f"{API}/flow-deployments/team-1/nothing/versions")).status_code == 404


async def test_counts_are_those_of_the_hours_that_the_answer_names(api: httpx.AsyncClient) -> None:
    """Of all, of a namespace, of a deployment; a window that begins within an hour counts all of it."""

    def expected(first: int, end: int, is_wanted: Any = lambda _: True) -> dict[str, int]:
        found: dict[str, int] = {}
        for n in range(1, RUNS + 1):
            if first <= (filled.created_of(n) - BEGIN) // HOUR < end and is_wanted(n):
                state = "RUNNING" if n > RUNS - 20 else "COMPLETED" if n % 40 else "FAILED"
                found[state] = found.get(state, 0) + 1
        return found

    called = 1 + filled.CHILDREN
    window = {"since": instant(BEGIN + HOUR // 2), "until": instant(BEGIN + 30 * HOUR + 1)}
    for query, is_wanted, factor in (
        ({}, lambda _: True, called),
        ({"namespace": "team-1"}, lambda n: n % 4 == 0, called),
        ({"namespace": ["team-1", "team-2"]}, lambda n: n % 4 < 2, called),
        ({"deployment": "deployment-3"}, lambda n: n % 20 == 2, 1),
        ({"deployment": "deployment-3", "namespace": "team-3"}, lambda n: n % 20 == 2, 1),
        ({"deployment": "deployment-3", "namespace": "team-1"}, lambda _: False, 1),
        ({"deployment": "unknown"}, lambda _: False, 1),
    ):
        histogram = await get(api, "/flow-runs/histogram", buckets=7, **query, **window)
        assert (histogram["since"], histogram["until"]) == ("2026-01-01T00:00:00Z", "2026-01-02T07:00:00Z")
        for position, bucket in enumerate(histogram["buckets"]):
            hours = expected(position * 5, min(position * 5 + 5, 31), is_wanted)
            assert bucket["counts"] == {state: number * factor for state, number in hours.items()}
        assert len(histogram["buckets"]) == 7
        found = await get(api, "/flow-runs/counts", **query, **window)
        everything = {state: number * factor for state, number in expected(0, 31, is_wanted).items()}
        assert [item["counts"] for item in found["items"]] == ([everything] if everything else [])
    by = {item["namespace"]: item["counts"] for item in (await get(api, "/flow-runs/counts", by="namespace", **window))["items"]}
    assert by == {f"team-{1 + k}": {s: n * called for s, n in expected(0, 31, lambda n, k=k: n % 4 == k).items()} for k in range(4)}
    by_deployment = (await get(api, "/flow-runs/counts", by="deployment", **window))["items"]
    own = {item["deployment"]: item["counts"] for item in by_deployment if item["deployment"]}
    assert own == {f"deployment-{1 + k}": expected(0, 31, lambda n, k=k: n % 20 == k) for k in range(20)}
    for query in ({"since": instant(BEGIN), "until": instant(BEGIN)}, {"since": "2020-01-01T00:00:00Z"}, {"buckets": 121}):
        assert (await api.get(f"{API}/flow-runs/histogram", params=query)).status_code == 400


def test_counts_follow_what_happens_to_a_run(database: Database) -> None:
    """Its state, its deletion, and times before 1970: every row's sum over its parts is the number of runs."""
    filled.fill(database)
    with database.writing() as connection:
        connection.execute(text("UPDATE flow_runs SET state = 6 WHERE state = 3"))
        connection.execute(text("UPDATE flow_runs SET deployment = NULL, created = -5 WHERE no < 100"))
        connection.execute(text("DELETE FROM flow_runs WHERE no > 15000"))
        counted = "SELECT hour, ns, deployment, state, CAST(sum(n) AS INTEGER) FROM flow_run_counts GROUP BY 1, 2, 3, 4 HAVING sum(n) <> 0"
        rows = {tuple(row[:4]): row[4] for row in connection.execute(text(counted))}
        runs = connection.execute(text("SELECT created, ns, COALESCE(deployment, 0), state FROM flow_runs")).all()
    expected: dict[tuple[int, ...], int] = {}
    for created, namespace, deployment, state in runs:
        hour = max(created, 0) // HOUR
        for key in ((hour, namespace, deployment), (hour, namespace, -1), (hour, -1, -1), (-1 - hour // 24, namespace, deployment)):
            expected[*key, state] = expected.get((*key, state), 0) + 1
    assert rows == expected


async def test_values_of_filters_are_searched_by_their_beginning(api: httpx.AsyncClient) -> None:
    """At most fifty, in order."""
    found = await get(api, "/flow-runs/facets", field="deployment", q="deployment-1")
    assert found == {"values": sorted(f"deployment-{n}" for n in (1, *range(10, 20))), "more": False}
    assert (await get(api, "/flow-runs/facets", field="namespace"))["values"] == [f"team-{n}" for n in range(1, 5)]
    assert (await get(api, "/flow-runs/facets", field="tag", q="none"))["values"] == []


async def test_events_by_time_namespace_resource_and_run(api: httpx.AsyncClient) -> None:
    """Newest first."""
    window = {"until": instant(BEGIN + 101 * STEP)}

    async def found(**query: Any) -> list[int]:
        return [int(item["resource"][-5:]) for item in await walk(api, "/events", limit=9, **query)]

    assert await found(**window) == list(range(100, 0, -1))
    assert await found(**window, namespace="team-1") == list(range(100, 0, -4))
    assert await found(**window, namespace=["team-1", "team-2"], sort="time") == [n for n in range(1, 101) if n % 4 < 2]
    assert await found(**window, resource="table/3") == [n for n in range(100, 0, -1) if n % 7 == 3]
    assert await found(flow_run=uid_of(31 * SPREAD)) == [31]
    assert await found(flow_run=uid_of(999_999)) == []
    (event,) = (await get(api, "/events", flow_run=uid_of(31 * SPREAD)))["items"]
    assert (event["payload"], event["flow_run"], event["namespace"]) == ({}, uid_of(31 * SPREAD), "team-4")
