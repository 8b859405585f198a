"""`GET /api/v1/flow-runs/{uid}/explain`: from history alone, on both databases."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

import pytest

from api_testing import API, instant, running, seen_run
from mintaka_api.backlog import Batch
from mintaka_api.cluster import Cluster
from mintaka_api.mirror import Mirror
from mintaka_api.settings import Settings
from mintaka_api.snapshots import snapshot_of
from mintaka_history.timestamps import now_microseconds
from mintaka_kubernetes import Credentials

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import httpx

pytestmark = pytest.mark.anyio
SLOT = "key etl has 1 slot, held by run etl-7c1a"
OOM = "out of memory: raise the memory limit of container flow"


@pytest.fixture
async def api(database_url: str) -> AsyncIterator[httpx.AsyncClient]:
    """The API over an empty database."""
    async with running(Settings(database_url=database_url, mirror=False)) as client:
        yield client


def record(sequence: int, before: str, after: str, **members: Any) -> dict[str, Any]:
    """A decision in a status."""
    usual = {"name": after.capitalize(), "proposed": after, "rule": "", "verdict": "Accept", "reason": "", "message": "", "attempt": 1}
    return {"sequence": sequence, "from": before, "to": after, "time": instant(sequence), **usual, **members}


def status(state: dict[str, Any], *records: dict[str, Any], **members: Any) -> dict[str, Any]:
    """A status in `state`, entered with the first of these decisions."""
    usual = {"reason": "", "message": "", "name": state["type"].capitalize(), "time": instant(1)}
    return {"state": {**usual, **state}, "sequence": len(records), "attempt": 1, "transitions": list(records), **members}


RETRY = {"type": "SCHEDULED", "name": "AwaitingRetry", "reason": "OOMKilled", "message": OOM}
#: The kind, the status, and what is answered: reason, why, next, remedy.
EXPLANATIONS: list[tuple[str, dict[str, Any], tuple[str, str, str, str]]] = [
    (
        "waits for a slot",
        status(
            {"type": "SCHEDULED"},
            record(1, "", "SCHEDULED") | {"from": None},
            record(2, "SCHEDULED", "SCHEDULED", proposed="PENDING", rule="wait_for_a_slot", verdict="Wait", message=SLOT, until="2999-01-01T00:00:00Z"),
            conditions=[
                {"type": "Finished", "status": "False", "reason": "AwaitingConcurrencySlot", "message": SLOT, "lastTransitionTime": instant(2)}
            ],
        ),
        (
            "AwaitingConcurrencySlot",
            f"It waits for a concurrency slot: {SLOT}.",
            "It starts when a slot is free and its turn comes, asked again at 2999-01-01T00:00:00Z at the latest.",
            "Raise spec.concurrency.limit, or cancel the holder.",
        ),
    ),
    (
        "retries",
        status(
            RETRY,
            record(1, "RUNNING", "SCHEDULED", name="AwaitingRetry", proposed="CRASHED", rule="retry_crashed", verdict="Redirect",
                   reason="OOMKilled", message=f"crash 1 of 5 allowed, again in 2.0 s: {OOM}"),
            nextTime="2999-01-01T00:00:00Z",
        ),
        (
            "OOMKilled",
            f"Attempt 1 crashed with OOMKilled: {OOM}.",
            "Attempt 2 starts at 2999-01-01T00:00:00Z (crash 1 of 5 allowed).",
            "Give its container more memory in podTemplate.",
        ),
    ),
    (
        "is over",
        status({"type": "CANCELLED", "reason": "Cancelled", "message": "cancelled before it ran"}, record(1, "SCHEDULED", "CANCELLED")),
        (
            "",
            "It was cancelled: cancelled before it ran.",
            "Nothing follows.",
            "A cancelled run does not run again: create another one with spec.resumeFrom.",
        ),
    ),
]  # fmt: skip


@pytest.mark.parametrize(("shown", "expected"), [pytest.param(*each, id=kind) for kind, *each in EXPLANATIONS])
@pytest.mark.parametrize("gone", [False, True], ids=["in the cluster", "gone from the cluster"])
async def test_a_run_is_explained_from_its_history(
    api: httpx.AsyncClient, shown: dict[str, Any], expected: tuple[str, str, str, str], *, gone: bool
) -> None:
    """The same whether its object exists or not, if it had ended; an unfinished one that left the cluster was cancelled."""
    services = api.app.state.services  # type: ignore[attr-defined]
    document = seen_run("r", spec={"deployment": "etl", "parameters": {"password": "s3cr3t"}}) | {"status": shown}
    uid = document["metadata"]["uid"]
    cluster = Cluster(credentials=Credentials("http://127.0.0.1:9"))
    mirror = Mirror(services.database, services.names, cluster, Settings(cluster_name="here"), services.metrics)
    mirror.writer.cluster_key = "here"
    await mirror.writer.write(Batch([snapshot_of(document, 0.0)]))
    if gone:
        await mirror.writer.write(Batch(vanished_runs={uid: now_microseconds()}))
    await cluster.close()
    answer = await api.get(f"{API}/flow-runs/{uid}/explain")
    assert answer.status_code == 200, answer.text
    found = answer.json()
    assert (found["uid"], found["namespace"], found["name"]) == (uid, "ns", "r")
    if gone and shown["state"]["type"] != "CANCELLED":
        expected = (
            "Deleted",
            "It was cancelled: the flow run was deleted from the cluster before it ended.",
            "Nothing follows.",
            "A deleted run does not run again: create another one.",
        )
    assert tuple(found[part] for part in ("reason", "why", "next", "remedy")) == expected
    assert "s3cr3t" not in answer.text


async def test_a_run_that_does_not_exist_is_not_found(api: httpx.AsyncClient) -> None:
    """With the uid in the message. A text that is not a uid is not found either."""
    uid = str(uuid.uuid4())
    answer = await api.get(f"{API}/flow-runs/{uid}/explain")
    assert (answer.status_code, answer.json()["detail"]) == (404, f"there is no flow run with uid {uid}")
    assert (await api.get(f"{API}/flow-runs/etl/explain")).status_code == 404
