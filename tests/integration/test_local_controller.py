"""The controller runs flows over the local server's documents: the same stories as in a cluster, on both databases."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from local_documents import NAMESPACE, config_map, deployment, deployments_in_history, flow_run, history_of
from local_world import LocalWorld
from mintaka_core.states import CRASHED, FAILED, State

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from mintaka_history.database import Database

pytestmark = pytest.mark.anyio


@pytest.fixture
async def world(database: Database) -> AsyncIterator[LocalWorld]:
    """A controller that runs."""
    there = LocalWorld(database)
    await there.start()
    yield there
    await there.kill()
    assert there.telemetry.failures == 0


async def create(world: LocalWorld, name: str = "run", **spec: Any) -> str:
    """Create a run of the deployment `etl`; return its uid."""
    owner = await world.store.read("FlowDeployment", (NAMESPACE, "etl"))
    return str((await world.store.create("FlowRun", flow_run(name, owner=owner, **spec)))["metadata"]["uid"])


async def test_a_run_completes_and_its_history_is_there_with_each_state(world: LocalWorld) -> None:
    """The decisions of the status and those of the history are the same, without a gap."""
    owner = await world.store.create("FlowDeployment", deployment(tags=["nightly"]))
    uid = await create(world, tags=["mine"])
    await world.until("run", "RUNNING")
    running = await history_of(world.database, uid)
    assert (running["state"], running["attempts"]) == ("RUNNING", [(1, None)])
    world.workloads.end("run-1")
    await world.until("run", "COMPLETED")
    document = await world.store.read("FlowRun", (NAMESPACE, "run"))
    history = await history_of(world.database, uid)
    decisions = [(each["sequence"], each["to"], each.get("rule") or None) for each in document["status"]["transitions"]]
    assert history["transitions"] == decisions
    assert [seq for seq, *_ in decisions] == list(range(1, len(decisions) + 1))
    assert history["resource_version"] == int(document["metadata"]["resourceVersion"])
    assert (history["state"], history["gap"], history["deleted"]) == ("COMPLETED", False, None)
    assert history["tags"] == '["mine","nightly"]'
    assert history["attempts"] == [(1, "COMPLETED")]
    assert history["revision"] == document["status"]["revision"]
    assert await deployments_in_history(world.database, "etl") == [(owner["metadata"]["uid"], 1, False, 1)]


async def test_a_crash_is_retried_and_a_failure_is_not(world: LocalWorld) -> None:
    """Crashes and failures have separate budgets; each attempt is in the history."""
    once = {"limit": 1, "backoff": {"delaySeconds": 0}}
    await world.store.create("FlowDeployment", deployment(retries={"onCrash": once}))
    uid = await create(world)
    await world.until("run", "RUNNING")
    world.workloads.end("run-1", State(CRASHED, reason="Killed", message="by a test"))
    await world.eventually(lambda: _started(world, "run-2"), "there is no second attempt")
    await world.until("run", "RUNNING")
    world.workloads.end("run-2", State(FAILED, reason="ValueError", message="x"))
    await world.until("run", "FAILED")
    history = await history_of(world.database, uid)
    assert history["attempts"] == [(1, "CRASHED"), (2, "FAILED")]
    assert history["crashes"] == 1


async def _started(world: LocalWorld, name: str) -> bool:
    return name in world.workloads.started


async def test_a_cancelled_run_stops_its_process(world: LocalWorld) -> None:
    """The run ends CANCELLED in the documents and in the history."""
    await world.store.create("FlowDeployment", deployment())
    uid = await create(world)
    await world.until("run", "RUNNING")
    await world.store.patch("FlowRun", (NAMESPACE, "run"), {"spec": {"cancel": True}})
    await world.until("run", "CANCELLED")
    assert (await history_of(world.database, uid))["state"] == "CANCELLED"
    assert not any(owned.workload.alive for owned in world.workloads.processes.values())


async def test_a_deleted_run_is_stopped_recorded_and_gone(world: LocalWorld) -> None:
    """The history has the end that the controller decided, not a vanished run."""
    await world.store.create("FlowDeployment", deployment())
    uid = await create(world)
    await world.until("run", "RUNNING")
    await world.store.delete("FlowRun", (NAMESPACE, "run"))
    await world.until("run", "gone")
    history = await history_of(world.database, uid)
    assert (history["state"], history["gap"]) == ("CANCELLED", False)
    assert history["deleted"] is not None
    assert "end_what_was_deleted" not in {rule for *_, rule in history["transitions"]}
    assert not any(owned.workload.alive for owned in world.workloads.processes.values())


async def test_a_deleted_deployment_takes_its_runs_and_revisions_along(world: LocalWorld) -> None:
    """Running ones are stopped first; all of it stays in the history."""
    await world.store.create("FlowDeployment", deployment())
    uids = [await create(world, name) for name in ("ended", "running")]
    await world.until("ended", "RUNNING")
    world.workloads.end("ended-1")
    await world.until("ended", "COMPLETED")
    await world.until("running", "RUNNING")
    await world.store.delete("FlowDeployment", (NAMESPACE, "etl"))
    await world.until("ended", "gone")
    await world.until("running", "gone")
    await world.eventually(lambda: _none(world, "ControllerRevision"), "a revision is left")
    assert [(await history_of(world.database, uid))["state"] for uid in uids] == ["COMPLETED", "CANCELLED"]
    ((_, _, gone, versions),) = await deployments_in_history(world.database, "etl")
    assert (gone, versions) == (True, 1)


async def _none(world: LocalWorld, kind: str) -> bool:
    return not await world.store.list(kind)


async def test_a_retry_runs_the_revision_that_its_run_began_with(world: LocalWorld) -> None:
    """The deployment was changed in between; a new run gets the new revision, with the next number."""
    once = {"limit": 1, "backoff": {"delaySeconds": 0}}
    await world.store.create("FlowDeployment", deployment(image="v1", retries={"onCrash": once}))
    await create(world, "old")
    await world.until("old", "RUNNING")
    await world.store.patch("FlowDeployment", (NAMESPACE, "etl"), {"spec": {"image": "v2"}})
    world.workloads.end("old-1", State(CRASHED, reason="Killed", message=""))
    await world.eventually(lambda: _started(world, "old-2"), "there is no second attempt")
    await create(world, "new")
    await world.until("new", "RUNNING")
    assert world.workloads.started == {"old-1": "v1", "old-2": "v1", "new-1": "v2"}
    revisions = await world.store.list("ControllerRevision")
    assert sorted((each["revision"], each["data"]["spec"]["image"]) for each in revisions) == [(1, "v1"), (2, "v2")]


async def test_schedules_fire(world: LocalWorld) -> None:
    """Each scheduled time creates one run, regardless of the number of reconciliations."""
    await world.store.create("FlowDeployment", deployment(schedules=[{"name": "often", "interval": "1s"}]))
    await world.eventually(lambda: _has_runs(world, 2), "no schedule has fired twice")
    await world.store.patch("FlowDeployment", (NAMESPACE, "etl"), {"spec": {"suspend": True}})
    runs = await world.store.list("FlowRun")
    assert len({run["spec"]["scheduledTime"] for run in runs}) == len(runs)
    assert {run["metadata"]["labels"]["mintaka.dev/schedule"] for run in runs} == {"often"}


async def _has_runs(world: LocalWorld, count: int) -> bool:
    return len(await world.store.list("FlowRun")) >= count


async def test_finished_runs_beyond_the_limit_leave(world: LocalWorld) -> None:
    """The oldest are removed first; their history remains."""
    await world.store.create("FlowDeployment", deployment(history={"limit": 1}))
    uids = []
    for name in ("first", "second", "third"):
        uids.append(await create(world, name))
        await world.until(name, "RUNNING")
        world.workloads.end(f"{name}-1")
        await world.until(name, "COMPLETED", "gone")
    await world.until("first", "gone")
    await world.until("second", "gone")
    assert await world.state("third") == "COMPLETED"
    assert {(await history_of(world.database, uid))["state"] for uid in uids} == {"COMPLETED"}


async def test_a_run_waits_for_its_config_map(world: LocalWorld) -> None:
    """While the ConfigMap is missing, the status of the run reports it; afterwards the revision has a copy of the code."""
    await world.store.create("FlowDeployment", deployment(entrypoint="flow.py:main", source={"configMap": {"name": "code"}}))
    await create(world)

    async def waits() -> bool:
        status = (await world.store.read("FlowRun", (NAMESPACE, "run"))).get("status") or {}
        return bool((status.get("state") or {}).get("reason") == "ConfigMapNotFound")

    await world.eventually(waits, "the run does not say what is missing")
    await world.store.create("ConfigMap", config_map())
    await world.until("run", "RUNNING")
    (revision,) = await world.store.list("ControllerRevision")
    assert revision["data"]["spec"]["source"]["configMap"]["files"] == {"flow.py": "x = 1\n"}


async def test_a_controller_that_died_resumes_where_it_was(database: Database) -> None:
    """Processes that ended in between are recorded, running ones are found, and none is started twice."""
    world = LocalWorld(database)
    await world.start()
    await world.store.create("FlowDeployment", deployment())
    uids = [await create(world, name) for name in ("ended", "running")]
    for name in ("ended", "running"):
        await world.until(name, "RUNNING")
    await world.kill()
    world.workloads.end("ended-1")
    uids.append(await create(world, "new"))
    await world.start()
    await world.until("ended", "COMPLETED")
    await world.until("new", "RUNNING")
    assert await world.state("running") == "RUNNING"
    for name in ("running", "new"):
        world.workloads.end(f"{name}-1")
        await world.until(name, "COMPLETED")
    assert sorted(world.workloads.started) == ["ended-1", "new-1", "running-1"]
    for uid in uids:
        history = await history_of(database, uid)
        assert (history["state"], history["gap"], history["attempts"]) == ("COMPLETED", False, [(1, "COMPLETED")])
    await world.kill()
    assert world.telemetry.failures == 0
