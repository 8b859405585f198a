"""Concurrency of deployments at a local server: slots over its documents, also when the server is killed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from local_documents import NAMESPACE, deployment, flow_run
from local_world import LocalWorld

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from mintaka_history.database import Database

pytestmark = pytest.mark.anyio


@pytest.fixture
async def world(database: Database) -> AsyncIterator[LocalWorld]:
    """A controller that runs, with a deployment whose runs share a key of the cluster, which does not have to be listed here."""
    there = LocalWorld(database)
    await there.start()
    await there.store.create("FlowDeployment", deployment(concurrency={"limit": 1, "key": "cluster/gpu"}))
    yield there
    await there.kill()
    assert there.telemetry.failures == 0


async def create(world: LocalWorld, name: str, priority: int = 0) -> None:
    """Create a run."""
    owner = await world.store.read("FlowDeployment", (NAMESPACE, "etl"))
    await world.store.create("FlowRun", flow_run(name, owner=owner, priority=priority))


async def reason(world: LocalWorld, name: str) -> str:
    """The reason of the run's state."""
    status = (await world.store.read("FlowRun", (NAMESPACE, name))).get("status", {})
    return str(status.get("state", {}).get("reason", ""))


async def test_a_run_waits_for_the_one_that_has_the_slot(world: LocalWorld) -> None:
    """Of two that wait, the one with the higher priority is next."""
    await create(world, "first")
    await world.until("first", "RUNNING")
    for name, priority in (("ordinary", 0), ("urgent", 5)):
        await create(world, name, priority)
        await world.eventually(lambda name=name: _waits(world, name), f"{name} does not wait")  # type: ignore[misc]
    world.workloads.end("first-1")
    await world.until("urgent", "RUNNING")
    assert await reason(world, "ordinary") == "AwaitingConcurrencySlot"
    world.workloads.end("urgent-1")
    await world.until("ordinary", "RUNNING")


async def test_a_server_that_was_killed_gives_no_slot_twice(world: LocalWorld) -> None:
    await create(world, "first")
    await world.until("first", "RUNNING")
    await create(world, "second")
    await world.eventually(lambda: _waits(world, "second"), "it does not wait")
    await world.kill()
    await world.start()
    await create(world, "third")
    await world.eventually(lambda: _waits(world, "third"), "it does not wait")
    assert set(world.workloads.started) == {"first-1"}
    world.workloads.end("first-1")
    await world.until("second", "RUNNING")
    assert set(world.workloads.started) == {"first-1", "second-1"}


async def test_a_run_that_has_its_slot_and_is_held_by_a_rule_names_the_rule(world: LocalWorld) -> None:
    """It does not claim to wait for a slot any more."""
    rule = {
        "apiVersion": "mintaka.dev/v1alpha1",
        "kind": "OrchestrationRule",
        "metadata": {"name": "freeze"},
        "spec": {"to": ["PENDING"], "when": "name == 'second'", "then": {"wait": {"seconds": 600}}, "message": "frozen"},
    }
    await world.store.create("OrchestrationRule", rule)
    await create(world, "first")
    await world.until("first", "RUNNING")
    await create(world, "second")
    await world.eventually(lambda: _waits(world, "second"), "it does not wait")
    world.workloads.end("first-1")
    await world.until("first", "COMPLETED")
    await world.eventually(lambda: _held_by_rule(world, "second"), "it does not say what holds it")
    state = (await world.store.read("FlowRun", (NAMESPACE, "second")))["status"]["state"]
    assert (state["name"], state.get("reason", "")) == ("Scheduled", "")


async def _held_by_rule(world: LocalWorld, name: str) -> bool:
    conditions = (await world.store.read("FlowRun", (NAMESPACE, name)))["status"]["conditions"]
    return any(condition["type"] == "Finished" and condition["reason"] == "HeldByRule" for condition in conditions)


async def _waits(world: LocalWorld, name: str) -> bool:
    return await reason(world, name) == "AwaitingConcurrencySlot"
