"""Which attempt of a flow run may report: the mirror says it, so that a forged report ends no run."""

from __future__ import annotations

import json
import uuid
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import text

from api_testing import API, ORDINARY, Namespace, eventually, report, running, status, task
from mintaka_api.settings import Settings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    import httpx

pytestmark = pytest.mark.anyio
RUNNING = ORDINARY[:3]


async def send(client: httpx.AsyncClient, uid: str, attempt: int, number: int = 1, **members: Any) -> tuple[int, str]:
    """Send a report; the status of the answer, and the name of its problem."""
    answer = await client.post(f"{API}/flow-runs/{uid}/reports", json=report(number, [task(number)], attempt=attempt, **members))
    return answer.status_code, "" if answer.is_success else answer.json()["type"].rsplit("/", 1)[1]


ACCEPTED, STALE, UNKNOWN = (200, ""), (409, "stale-attempt"), (409, "unknown-attempt")


@pytest.fixture
async def mirrored(database_url: str, kubeconfig: str, namespace: Namespace) -> AsyncIterator[tuple[httpx.AsyncClient, str]]:
    """An API, and the uid of a run that it knows to be in attempt 1."""
    settings = Settings(database_url=database_url, kubeconfig=kubeconfig, namespaces=(namespace.name,), release_namespace=namespace.name)
    async with running(settings) as client:
        uid = (await namespace.create("victim"))["metadata"]["uid"]
        await mirror(client, namespace, uid, 1)
        yield client, uid


async def mirror(client: httpx.AsyncClient, namespace: Namespace, uid: str, attempt: int) -> None:
    """Have the cluster, and then the mirror, say that the run is in an attempt."""
    await namespace.set_status("victim", status(RUNNING, first=3 * attempt - 2, attempt=attempt))

    async def look() -> Any:
        answer = await client.get(f"{API}/flow-runs/{uid}")
        return answer.json()["sequence"] if answer.is_success else 0

    await eventually(look, lambda sequence: sequence == 3 * attempt)


async def test_a_forged_attempt_ends_no_run(mirrored: tuple[httpx.AsyncClient, str]) -> None:
    """It is refused with a sentence; the run's own pod is heard before and after."""
    client, uid = mirrored
    assert await send(client, uid, 1, 1) == ACCEPTED
    forged = await client.post(f"{API}/flow-runs/{uid}/reports", json=report(1, attempt=32767))
    assert (forged.status_code, forged.json()["attempt"], forged.json()["detail"]) == (
        409,
        1,
        "the cluster is known to be at attempt 1 of this flow run, so a report of attempt 32767 cannot be taken: send it again later",
    )
    for attempt in (3, 4, 1000):
        assert await send(client, uid, attempt) == UNKNOWN
    assert await send(client, uid, 1, 2) == ACCEPTED
    assert [item["n"] for item in (await client.get(f"{API}/flow-runs/{uid}/task-runs")).json()["items"]] == [1, 2]


async def test_the_next_attempt_may_report_before_the_mirror_knows_of_it_and_replaces_none(
    mirrored: tuple[httpx.AsyncClient, str], namespace: Namespace
) -> None:
    """The older one is fenced once the mirror says so."""
    client, uid = mirrored
    assert await send(client, uid, 2, 1) == ACCEPTED
    assert await send(client, uid, 1, 1) == ACCEPTED
    await mirror(client, namespace, uid, 2)
    assert await send(client, uid, 1, 2) == STALE
    assert [await send(client, uid, attempt, 2) for attempt in (2, 3, 4)] == [ACCEPTED, ACCEPTED, UNKNOWN]


async def test_a_report_that_came_too_early_is_taken_once_the_mirror_has_caught_up(
    mirrored: tuple[httpx.AsyncClient, str], namespace: Namespace
) -> None:
    """Two retries while the mirror was behind."""
    client, uid = mirrored
    assert await send(client, uid, 3) == UNKNOWN
    await mirror(client, namespace, uid, 3)
    assert await send(client, uid, 3) == ACCEPTED


async def test_what_an_older_release_let_in_ends_no_run_either(mirrored: tuple[httpx.AsyncClient, str]) -> None:
    """The number that was forged goes with the next report."""
    client, uid = mirrored
    assert await send(client, uid, 1, 1) == ACCEPTED
    database = client.app.state.services.database  # type: ignore[attr-defined]

    def poison() -> None:
        with database.writing() as connection:
            connection.execute(text("UPDATE flow_runs SET reported_attempt = 32767"))

    await database.in_writer(poison)
    assert await send(client, uid, 1, 2, counts={"COMPLETED": 2}) == ACCEPTED
    run = (await client.get(f"{API}/flow-runs/{uid}")).json()
    assert (run["attempt"], run["task_counts"]) == (1, {"COMPLETED": 2})


async def test_a_forged_next_attempt_takes_no_slot_from_a_run(mirrored: tuple[httpx.AsyncClient, str], namespace: Namespace) -> None:
    """Its lease stays as long as the mirror says that its attempt is the current one."""
    client, uid = mirrored
    scope = f"{API}/namespaces/{namespace.name}"
    assert (await client.put(f"{scope}/concurrency-limits/db", json={"slots": 1})).is_success
    wish = {"names": ["db"], "slots": 1, "seconds": 60}
    mine = await client.post(f"{scope}/concurrency-leases", json={**wish, "id": uuid.uuid4().hex, "flow_run": uid, "attempt": 1})
    assert (mine.status_code, mine.json()["granted"]) == (200, True)
    assert await send(client, uid, 2) == ACCEPTED
    other = await client.post(f"{scope}/concurrency-leases", json={**wish, "id": uuid.uuid4().hex})
    assert (other.status_code, other.json()["granted"]) == (200, False)


@pytest.fixture
async def behind(database_url: str, tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    """An API whose mirror does not reach the cluster."""
    nowhere = tmp_path / "kubeconfig"
    config = {
        "current-context": "c",
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
        "clusters": [{"name": "c", "cluster": {"server": "http://127.0.0.1:9"}}],
        "users": [{"name": "u", "user": {}}],
    }
    nowhere.write_text(json.dumps(config), encoding="utf-8")
    async with running(Settings(database_url=database_url, kubeconfig=str(nowhere))) as client:
        yield client


async def test_a_run_that_is_not_mirrored_yet_is_taken_to_be_in_its_first_attempt(behind: httpx.AsyncClient) -> None:
    """Its pod delivers; a later attempt waits for the mirror, known to the database or not."""
    uid = str(uuid.uuid4())
    assert await send(behind, uid, 2) == UNKNOWN
    assert (await behind.get(f"{API}/flow-runs/{uid}")).status_code == 404
    assert await send(behind, uid, 1, 1) == ACCEPTED
    assert await send(behind, uid, 32767) == UNKNOWN
    assert await send(behind, uid, 1, 2) == ACCEPTED


async def test_a_script_beside_a_cluster_counts_its_attempts_itself(behind: httpx.AsyncClient) -> None:
    """No mirror will ever know of it."""
    uid = str(uuid.uuid4())
    transitions = [[1, "PENDING", "", 1, "", [], "", ""], [2, "RUNNING", "", 1, "", [], "", ""]]
    script = {"name": "script", "namespace": "local", "local": {"flow": "main", "created": 1, "transitions": transitions}}
    assert await send(behind, uid, 3, 1, flow_run=script) == ACCEPTED
    assert await send(behind, uid, 5, 1, flow_run=script) == ACCEPTED
    assert await send(behind, uid, 3, 2, flow_run=script) == STALE
