"""A number that a column cannot hold is a 422 with its place, in both databases; the largest ones are stored and read back."""

from __future__ import annotations

import json
import uuid
from typing import TYPE_CHECKING, Any

import pytest

from api_testing import API, report, running, task
from mintaka_api.settings import Settings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import httpx

pytestmark = pytest.mark.anyio
UID = str(uuid.UUID(int=5))
REPORTS = f"{API}/flow-runs/{UID}/reports"
AT = 1_790_000_000_000_000
YEAR_9999 = 253_402_214_400_000_000
HUGE = 10**30
#: Written as it stands: Python has no number for it.
INFINITE = "@1e999@"
TINY = "@1e-999@"


@pytest.fixture
async def api(database_url: str) -> AsyncIterator[httpx.AsyncClient]:
    async with running(Settings(database_url=database_url, mirror=False)) as client:
        yield client


def text_of(body: dict[str, Any]) -> bytes:
    return json.dumps(body).replace('"@', "").replace('@"', "").encode()


def line(**members: Any) -> dict[str, Any]:
    return {"logs": [{"seq": 1, "time": AT, "message": "m"} | members]}


def artifact(**members: Any) -> dict[str, Any]:
    return {"artifacts": [{"id": UID, "seq": 1, "kind": "table", "created": AT, "updated": AT, "data": []} | members]}


def event(**members: Any) -> dict[str, Any]:
    return {"events": [{"id": UID, "name": "e", "resource": "r", "time": AT} | members]}


def local(**members: Any) -> dict[str, Any]:
    return {"flow_run": {"name": "run", "namespace": "ns", "local": {"flow": "f", "created": AT} | members}}


def called(**members: Any) -> dict[str, Any]:
    return {"called": [{"uid": str(uuid.UUID(int=6)), "name": "c", "flow": "f", "created": AT} | members]}


def moved(*, number: Any = 1, time: Any = AT) -> list[list[Any]]:
    return [[number, "RUNNING", "", time, "", [], "", ""]]


def entry(offset: Any) -> list[list[Any]]:
    return [["RUNNING", "", offset, "", []]]


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "attempt, beyond a smallint": ({"attempt": 2**15}, "attempt"),
    "attempt, beyond 64 bits": ({"attempt": HUGE}, "attempt"),
    "attempt 0": ({"attempt": 0}, "attempt"),
    "report, beyond an integer": ({"report": 2**31}, "report"),
    "report, beyond all": ({"report": INFINITE}, "report"),
    "version, beyond an integer": ({"version": 2**31}, "version"),
    "version, negative": ({"version": -1}, "version"),
    "counts, one beyond an integer": ({"counts": {"COMPLETED": 2**31}}, "counts[...]"),
    "counts, their sum": ({"counts": {"COMPLETED": 2**31 - 1, "FAILED": 1}}, "counts"),
    "counts, infinite": ({"counts": {"COMPLETED": INFINITE}}, "counts[...]"),
    "task run n": ({"tasks": [task(0), task(0) | {"n": 2**31}]}, "tasks[1].n"),
    "task run seq, to which one is added": ({"tasks": [task(0) | {"seq": 2**31 - 1}]}, "tasks[0].seq"),
    "task run created, a year too late": ({"tasks": [task(0) | {"created": YEAR_9999 + 1}]}, "tasks[0].created"),
    "task run created, negative": ({"tasks": [task(0) | {"created": -1}]}, "tasks[0].created"),
    "task run started": ({"tasks": [task(0) | {"started": 2**63}]}, "tasks[0].started"),
    "task run ended": ({"tasks": [task(0) | {"ended": 2**64}]}, "tasks[0].ended"),
    "task run runs": ({"tasks": [task(0) | {"runs": 2**31}]}, "tasks[0].runs"),
    "task run parent": ({"tasks": [task(0) | {"parent": 2**31}]}, "tasks[0].parent"),
    "task run inputs": ({"tasks": [task(0) | {"inputs": {"x": [2**31]}}]}, "tasks[0].inputs[...][0]"),
    "task run of": ({"tasks": [task(0) | {"of": 2**40}]}, "tasks[0].of"),
    "history, µs since created": ({"tasks": [task(0) | {"history": entry(YEAR_9999 + 1)}]}, "tasks[0].history[0][2]"),
    "history, µs before created": ({"tasks": [task(0) | {"history": entry(-HUGE)}]}, "tasks[0].history[0][2]"),
    "line seq": (line(seq=2**53), "logs[0].seq"),
    "line seq, negative": (line(seq=-1), "logs[0].seq"),
    "line time": (line(time=YEAR_9999 + 1), "logs[0].time"),
    "line level": (line(level=2**15), "logs[0].level"),
    "line level, negative": (line(level=-1), "logs[0].level"),
    "line n": (line(n=2**31), "logs[0].n"),
    "artifact seq": (artifact(seq=2**31), "artifacts[0].seq"),
    "artifact created": (artifact(created=HUGE), "artifacts[0].created"),
    "artifact updated": (artifact(updated=-1), "artifacts[0].updated"),
    "artifact n": (artifact(n=2**31), "artifacts[0].n"),
    "artifact data, an integer": (artifact(data=[{"a": 1}, {"a": 2**63}]), "artifacts[0].data[1].a"),
    "artifact data, a float": (artifact(data={"rows": [[1.5, INFINITE]]}), "artifacts[0].data.rows[0][1]"),
    "artifact data, the value itself": (artifact(data=-(2**63) - 1), "artifacts[0].data"),
    "artifact data, too many digits to be read": (artifact(data=["@" + "9" * 5000 + "@"]), "artifacts[0].data[0]"),
    "artifact data, deep down": (artifact(data="@" + "[" * 90_000 + "9" * 30 + "]" * 90_000 + "@"), ""),
    "event time": (event(time=2**70), "events[0].time"),
    "event payload": (event(payload={"deep": [[HUGE]]}), "events[0].payload.deep[0][0]"),
    "event payload, infinite": (event(payload=INFINITE), "events[0].payload"),
    "script created": (local(created=YEAR_9999 + 1), "flow_run.local.created"),
    "script transition number": (local(transitions=moved(number=2**31 - 1)), "flow_run.local.transitions[0][0]"),
    "script transition number 0": (local(transitions=moved(number=0)), "flow_run.local.transitions[0][0]"),
    "script transition time": (local(transitions=moved(time=2**63)), "flow_run.local.transitions[0][3]"),
    "parameter, beyond 64 bits": (local(parameters={"a": {"b": [0, 2**63]}}), "flow_run.local.parameters.a.b[1]"),
    "parameter, far below": (local(parameters={"a": -HUGE}), "flow_run.local.parameters.a"),
    "parameter, infinite": (local(parameters={"a": [INFINITE]}), "flow_run.local.parameters[...][0]"),
    "parameter, too many digits to be read": (local(parameters={"a": "@" + "9" * 5000 + "@"}), "flow_run.local.parameters[...]"),
    "called run created": (called(created=HUGE), "called[0].created"),
    "called run parent_n": (called(parent_n=2**31), "called[0].parent_n"),
    "called run transition number": (called(transitions=moved(number=2**31 - 1)), "called[0].transitions[0][0]"),
    "called run transition time": (called(transitions=moved(time=YEAR_9999 + 1)), "called[0].transitions[0][3]"),
    "called run parameter": (called(parameters={"a": [{"b": 2**64}]}), "called[0].parameters.a[0].b"),
    "called run counts": (called(counts={"FAILED": 2**31 - 1, "COMPLETED": 2**31 - 1}), "called[0].counts"),
}


@pytest.mark.parametrize(("change", "place"), REFUSED.values(), ids=REFUSED)
def test_each_kind_is_refused_where_it_is_decoded(change: dict[str, Any], place: str) -> None:
    """Also for reports that lie on a disk."""
    from mintaka_history.batch_errors import MalformedBatch  # noqa: PLC0415 - beside what it explains
    from mintaka_history.batches import decode  # noqa: PLC0415

    with pytest.raises(MalformedBatch) as refused:
        decode(text_of(report(1, [task(0)]) | change))
    assert refused.value.place == place
    assert refused.value.problem


async def test_a_number_that_is_too_large_is_refused_with_its_place(api: httpx.AsyncClient) -> None:
    """Every kind, over HTTP: 422, never 500 or 503; nothing of the report is stored, and the API continues."""
    for kind, (change, place) in REFUSED.items():
        answer = await api.post(REPORTS, content=text_of(report(1, [task(0)]) | change))
        assert (answer.status_code, answer.json()["type"].rsplit("/", 1)[1]) == (422, "malformed"), (kind, answer.text)
        assert answer.json()["errors"][0]["path"] == place, kind
        assert (await api.get(f"{API}/flow-runs/{UID}")).status_code == 404, kind


LARGEST: dict[str, dict[str, Any]] = {
    "attempt and report": {"attempt": 2**15 - 1, "report": 2**31 - 1},
    "a task run": {
        "tasks": [
            task(0)
            | {"n": 2**31 - 1, "seq": 2**31 - 2, "runs": 2**31 - 1, "parent": 2**31 - 1, "inputs": {"x": [2**31 - 1]}, "tags": ["t"]}
            | {"created": YEAR_9999, "started": YEAR_9999, "ended": YEAR_9999, "history": entry(-YEAR_9999)}
        ]
    },
    "a task run of the year 1970": {"tasks": [task(0) | {"created": 0, "started": 0, "ended": 0, "history": entry(YEAR_9999)}]},
    "a line": line(seq=2**53 - 1, time=YEAR_9999, level=2**15 - 1, n=2**31 - 1),
    "an artifact": artifact(seq=2**31 - 1, created=YEAR_9999, updated=YEAR_9999, n=2**31 - 1, data=[2**63 - 1, -(2**63), 1e308, TINY]),
    "an event": event(time=YEAR_9999, payload=[2**63 - 1, -1.7e308, 12345678901234567890.5]),
    "counts": {"counts": {"COMPLETED": 2**31 - 2, "FAILED": 1}},
    "a script of the year 9999": local(
        created=YEAR_9999, transitions=moved(number=2**31 - 2, time=YEAR_9999), parameters={"a": [2**63 - 1, 1e308, -(2**63), TINY]}
    ),
    "a script of the year 1970": local(created=0, transitions=moved(time=0)),
    "a called run": called(
        created=YEAR_9999, parent_n=2**31 - 1, transitions=moved(number=2**31 - 2, time=YEAR_9999), parameters={"a": -(2**63)}
    ),
}


@pytest.mark.parametrize("members", LARGEST.values(), ids=LARGEST)
async def test_the_largest_numbers_are_stored_and_read_back(api: httpx.AsyncClient, members: dict[str, Any]) -> None:
    """Twice, and every list of the run answers."""
    for _ in range(2):
        answer = await api.post(REPORTS, content=text_of(report(1) | members))
        assert answer.status_code == 200, answer.text
    for path in ("", "/transitions", "/task-runs", "/graph", "/logs", "/artifacts"):
        assert (await api.get(f"{API}/flow-runs/{UID}{path}")).status_code == 200, path
    assert (await api.get(f"{API}/flow-runs")).status_code == 200


async def test_a_script_that_is_declared_dead_after_the_largest_numbers_ends(api: httpx.AsyncClient) -> None:
    """One is added to each of them."""
    from sqlalchemy import text  # noqa: PLC0415 - this test alone

    from mintaka_history.queries.zombie_detection import crash_without_heartbeat  # noqa: PLC0415

    body = report(1, [task(0) | {"seq": 2**31 - 2, "state": "RUNNING", "ended": None}], **local(transitions=moved(number=2**31 - 2)))
    assert (await api.post(REPORTS, json=body)).status_code == 200
    database = api.app.state.services.database  # type: ignore[attr-defined]
    with database.writing() as connection:
        number = connection.execute(text("SELECT no FROM flow_runs")).scalar_one()
        assert crash_without_heartbeat(connection, number, 2**62)
    assert (await api.get(f"{API}/flow-runs/{UID}")).json()["state"]["type"] == "CRASHED"
