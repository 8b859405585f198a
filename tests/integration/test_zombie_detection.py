"""Runs of scripts that give no signs of life: one whose end cannot be recorded keeps neither the others nor the API from anything."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import text

from api_testing import API, eventually, report, running, task
from mintaka_api.settings import Settings
from mintaka_history.timestamps import now_microseconds

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import httpx

pytestmark = pytest.mark.anyio
LARGEST = 2**31 - 1
#: How each database is made to refuse the end of the run named stuck, and to accept it again.
REFUSAL = {
    "postgresql": (
        "ALTER TABLE flow_runs ADD CONSTRAINT refused CHECK (name <> 'stuck' OR state <> 6)",
        "ALTER TABLE flow_runs DROP CONSTRAINT refused",
    ),
    "sqlite": (
        """CREATE TRIGGER refused BEFORE UPDATE ON flow_runs WHEN new.name = 'stuck' AND new.state = 6
        BEGIN SELECT RAISE(ABORT, 'refused for this test'); END""",
        "DROP TRIGGER refused",
    ),
}


@pytest.fixture
async def api(database_url: str) -> AsyncIterator[httpx.AsyncClient]:
    """An API that takes scripts for dead after a second of silence."""
    async with running(Settings(database_url=database_url, mirror=False, silence_seconds=1)) as client:
        yield client


async def start(api: httpx.AsyncClient, name: str) -> str:
    """A script's run with a task that runs, heard of once; its uid."""
    now = now_microseconds()
    uid = str(uuid.uuid4())
    local = {
        "flow": "main",
        "created": now,
        "transitions": [[1, "PENDING", "", now, "", [], "", ""], [2, "RUNNING", "", now, "", [], "", ""]],
    }
    flow_run = {"name": name, "namespace": "local", "local": local}
    body = report(1, [task(0, state="RUNNING", ended=None)], flow_run=flow_run)
    answer = await api.post(f"{API}/flow-runs/{uid}/reports", json=body)
    assert answer.status_code == 200, answer.text
    return uid


async def execute(api: httpx.AsyncClient, *statements: str) -> None:
    """Change the database behind the API's back."""
    database = api.app.state.services.database  # type: ignore[attr-defined]

    def run() -> None:
        with database.writing() as connection:
            for statement in statements:
                connection.execute(text(statement))

    await database.in_writer(run)


async def state(api: httpx.AsyncClient, uid: str) -> str:
    return str((await api.get(f"{API}/flow-runs/{uid}")).json()["state"]["type"])


async def crashed(api: httpx.AsyncClient, uid: str) -> None:
    await eventually(lambda: state(api, uid), lambda seen: seen == "CRASHED")


@pytest.mark.parametrize(
    ("place", "body"),
    [
        ("tasks[0].seq", lambda: report(1, [task(0, seq=LARGEST)])),
        (
            "flow_run.local.transitions[0][0]",
            lambda: report(
                flow_run={
                    "name": "r",
                    "namespace": "local",
                    "local": {"flow": "f", "created": 1, "transitions": [[LARGEST, "RUNNING", "", 1, "", [], "", ""]]},
                }
            ),
        ),
    ],
    ids=["a task run", "a flow run"],
)
async def test_the_largest_number_is_refused_at_the_door(api: httpx.AsyncClient, place: str, body: Any) -> None:
    """The database could not add the one that the end of a lost process takes."""
    refused = await api.post(f"{API}/flow-runs/{uuid.uuid4()}/reports", json=body())
    assert refused.status_code == 422
    assert refused.json()["errors"][0]["path"].startswith(place.split("[0][0]", maxsplit=1)[0])


async def test_a_task_run_with_the_largest_number_crashes_with_its_run(api: httpx.AsyncClient) -> None:
    """A release that did not refuse it may have stored it."""
    uid = await start(api, "poisoned")
    await execute(api, "UPDATE task_runs SET seq = 2147483647")
    await crashed(api, uid)
    (item,) = (await api.get(f"{API}/flow-runs/{uid}/task-runs")).json()["items"]
    assert (item["state"], item["sequence"]) == ("CRASHED", LARGEST)


async def test_a_run_that_cannot_be_ended_keeps_no_other_from_its_end(api: httpx.AsyncClient, database_url: str) -> None:
    """It is named in /readyz, which stays 200, and ended as soon as that is possible."""
    refuse, accept = REFUSAL[database_url.split(":", maxsplit=1)[0]]
    await execute(api, refuse)
    stuck = await start(api, "stuck")
    others = [await start(api, f"other-{n}") for n in range(3)]
    for uid in others:
        await crashed(api, uid)

    async def ready() -> Any:
        return await api.get("/readyz")

    answer = await eventually(ready, lambda seen: seen.json()["ill"] == ["zombie-detection"])
    assert (answer.status_code, answer.json()["status"]) == (200, "degraded")
    assert "the end of 1 flow runs cannot be recorded" in answer.json()["parts"]["zombie-detection"]
    assert await state(api, stuck) == "RUNNING"
    later = await start(api, "later")
    await crashed(api, later)
    await execute(api, accept)
    await crashed(api, stuck)
    await eventually(ready, lambda seen: seen.json()["ill"] == [])


async def test_states_of_a_newer_release_are_shown_as_unknown(api: httpx.AsyncClient) -> None:
    """During a rolling update the older replica answers, and ends the run of a lost process that has such a task."""
    uid = await start(api, "newer")
    await execute(api, "UPDATE task_runs SET state = 77, history = '[[77,5]]'")
    (item,) = (await api.get(f"{API}/flow-runs/{uid}/task-runs")).json()["items"]
    assert (item["state"], item["state_name"], item["history"][0][0]) == ("UNKNOWN", "Unknown", "UNKNOWN")
    await crashed(api, uid)
    run = (await api.get(f"{API}/flow-runs/{uid}")).json()
    assert run["task_counts"] == {"UNKNOWN": 1}
    await execute(api, "UPDATE flow_runs SET state = 78", "UPDATE flow_run_transitions SET to_state = 79, from_state = 80, proposed = 81")
    (listed,) = (await api.get(f"{API}/flow-runs")).json()["items"]
    assert (listed["state"]["type"], listed["state"]["name"]) == ("UNKNOWN", "Unknown")
    transitions = (await api.get(f"{API}/flow-runs/{uid}/transitions")).json()["items"]
    assert {each["to"] for each in transitions} == {"UNKNOWN"}
    graph = (await api.get(f"{API}/flow-runs/{uid}/graph")).json()
    assert [node["state"] for node in graph["nodes"]] == ["UNKNOWN"]
