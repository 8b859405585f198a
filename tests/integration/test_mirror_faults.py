"""Objects that the mirror cannot write: each is left out, counted and logged, and the others are written."""

from __future__ import annotations

import logging
import uuid
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import update

from api_testing import API, ORDINARY, running, seen_run
from mintaka_api import batch_writer
from mintaka_api.backlog import Batch
from mintaka_api.cluster import Cluster
from mintaka_api.metrics import Metrics
from mintaka_api.mirror import Mirror
from mintaka_api.row_mapping import read_deployment
from mintaka_api.settings import Settings
from mintaka_api.snapshots import snapshot_of
from mintaka_core.names import API_VERSION
from mintaka_history.database import DatabaseAway
from mintaka_history.queries.names import Names
from mintaka_history.tables import flow_deployments, flow_run_transitions, flow_runs
from mintaka_history.timestamps import EARLIEST_MICROSECONDS, LATEST_MICROSECONDS
from mintaka_kubernetes import Credentials

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from mintaka_history.database import Database

pytestmark = pytest.mark.anyio

#: Instants that Kubernetes accepts and UTC cannot express.
BEYOND = ["9999-12-31T23:59:59-12:00", "0001-01-01T00:00:00+12:00", "0000-01-01T00:00:00Z"]


class Stage:
    """A mirror without its informers."""

    def __init__(self, database: Database, cluster: Cluster) -> None:
        self.metrics = Metrics()
        settings = Settings(database_url=str(database.url), cluster_name="test")
        self.mirror = Mirror(database, Names(), cluster, settings, self.metrics)
        self.mirror.writer.cluster_key = "test"

    async def write(self, *documents: dict[str, Any]) -> None:
        """Write what the informers saw as one batch."""
        runs = [snapshot_of(each, 0.0) for each in documents if each["kind"] == "FlowRun"]
        deployments = [read_deployment(each) for each in documents if each["kind"] == "FlowDeployment"]
        await self.mirror.writer.write(Batch(runs, {each.metadata.uid: (each, None) for each in deployments}))

    @property
    def unreadable(self) -> float:
        """How many objects were counted."""
        return float(self.metrics.registry.get_sample_value("mintaka_mirror_unreadable_total") or 0)


@pytest.fixture
async def stage(database: Database) -> AsyncIterator[Stage]:
    """A mirror that is never started, of a cluster that is never called."""
    cluster = Cluster(credentials=Credentials("http://127.0.0.1:9"))
    yield Stage(database, cluster)
    await cluster.close()


async def listed(database_url: str, kind: str) -> dict[str, dict[str, Any]]:
    """What the API lists, by name."""
    async with running(Settings(database_url=database_url, mirror=False)) as client:
        answer = await client.get(f"{API}/{kind}", params={"limit": 200})
        assert answer.status_code == 200, answer.text
        return {item["name"]: item for item in answer.json()["items"]}


def deployment(name: str, **schedule: Any) -> dict[str, Any]:
    """A flow deployment with one schedule of an hour."""
    return {
        "apiVersion": API_VERSION,
        "kind": "FlowDeployment",
        "metadata": {
            "name": name,
            "namespace": "ns",
            "uid": str(uuid.uuid4()),
            "resourceVersion": "1",
            "creationTimestamp": "2026-01-01T00:00:00Z",
        },
        "spec": {"entrypoint": "etl:main", "schedules": [{"name": "s", "interval": "1h", **schedule}]},
    }


@pytest.mark.parametrize("time", BEYOND)
async def test_a_time_that_utc_cannot_express_hides_nothing(stage: Stage, database_url: str, time: str) -> None:
    """In whatever field of a deployment or run it is, all are listed."""
    anywhere = seen_run("status", ORDINARY)
    anywhere["status"] |= {"startTime": time, "endTime": time, "nextTime": time}
    anywhere["status"]["state"]["time"] = anywhere["status"]["transitions"][0]["time"] = time
    await stage.write(
        deployment("hostile", anchor=time),
        seen_run("scheduled", spec={"template": {"entrypoint": "a:b"}, "scheduledTime": time}),
        anywhere,
        seen_run("innocent"),
    )
    assert (await listed(database_url, "flow-runs")).keys() == {"scheduled", "status", "innocent"}
    assert (await listed(database_url, "flow-deployments")).keys() == {"hostile"}


@pytest.mark.parametrize("microseconds", [2**62, -(2**62), LATEST_MICROSECONDS + 1, EARLIEST_MICROSECONDS - 1])
async def test_a_stored_time_that_is_out_of_range_fails_no_page(
    stage: Stage, database: Database, database_url: str, microseconds: int
) -> None:
    """An earlier release may have written it."""
    await stage.write(seen_run("odd", ORDINARY), seen_run("innocent"), deployment("odd"))
    times = dict.fromkeys(("scheduled", "started", "ended", "state_time"), microseconds)
    with database.writing() as connection:
        connection.execute(update(flow_runs).where(flow_runs.c.name == "odd").values(times))
        connection.execute(update(flow_run_transitions).values(at=microseconds))
        connection.execute(update(flow_deployments).values(created=microseconds))
    runs = await listed(database_url, "flow-runs")
    assert runs.keys() == {"odd", "innocent"}
    assert runs["odd"]["scheduled"][:4] in {"0001", "9999"}
    assert (await listed(database_url, "flow-deployments")).keys() == {"odd"}
    async with running(Settings(database_url=database_url, mirror=False)) as client:
        assert (await client.get(f"{API}/flow-runs/{runs['odd']['uid']}/transitions")).status_code == 200


def broken(monkeypatch: pytest.MonkeyPatch, concerned: Callable[[str], bool]) -> None:
    """Make the mapping of some runs fail in a way that nothing foresees."""
    mapping = batch_writer.run_rows

    def run_rows(observed: Any, *others: Any) -> Any:
        if concerned(observed.run.metadata.name):
            message = "nothing foresees this"
            raise ArithmeticError(message)
        return mapping(observed, *others)

    monkeypatch.setattr(batch_writer, "run_rows", run_rows)


async def test_an_unforeseen_fault_of_some_objects_stops_no_other(
    stage: Stage, database_url: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """They are counted and named, once each."""
    broken(monkeypatch, lambda name: name.startswith("bad"))
    with caplog.at_level(logging.ERROR, "mintaka.api.mirror"):
        await stage.write(*(seen_run(f"bad-{number}") for number in range(20)), seen_run("good"))
        await stage.write(seen_run("bad-alone"))
    assert (await listed(database_url, "flow-runs")).keys() == {"good"}
    assert stage.unreadable == len(caplog.records) == 21


async def test_a_fault_of_all_objects_is_taken_for_ours(stage: Stage, database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is raised, so that the mirror waits and begins anew, and no object is given up."""
    runs = [seen_run(f"run-{number}") for number in range(20)]
    with monkeypatch.context() as patch:
        broken(patch, lambda _name: True)
        with pytest.raises(ArithmeticError):
            await stage.write(*runs)
    assert stage.unreadable == 0
    await stage.write(*runs)
    assert len(await listed(database_url, "flow-runs")) == 20


async def test_an_unavailable_database_is_not_a_fault_of_the_objects(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is halved."""
    asked = []

    def away(batch: Any) -> Any:
        asked.append(batch)
        message = "away for this test"
        raise DatabaseAway(message)

    monkeypatch.setattr(stage.mirror.writer, "commit", away)
    with pytest.raises(DatabaseAway):
        await stage.write(seen_run("one"), seen_run("two"))
    assert len(asked) == 1


async def test_nothing_is_remembered_of_deployments_that_are_gone(stage: Stage) -> None:
    """Neither with an event of their end nor without."""
    masked = stage.mirror.writer.masking._masked
    documents = [deployment(name) for name in ("one", "two")]
    for each in documents:
        each["spec"]["parameterSchema"] = {"properties": {"a": {"writeOnly": True}}}
    await stage.write(*documents)
    first, second = (read_deployment(each) for each in documents)
    assert masked.keys() == {first.metadata.uid, second.metadata.uid}
    await stage.mirror.writer.write(Batch([], {first.metadata.uid: (first, 1)}, {}, {second.metadata.uid: 1}))
    assert not masked
