"""Orchestration rules in a local server's documents decide about real runs, and their status reports what they do."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from local_documents import NAMESPACE, deployment, flow_run
from local_world import LocalWorld
from mintaka_core.names import API_VERSION
from mintaka_core.states import FAILED, State
from mintaka_history.queries.names import Names
from mintaka_history.rule_dry_runs import Selection, dry_run
from mintaka_validation.rule_documents import rules_of
from mintaka_validation.rule_expressions import RuleExpressions

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from mintaka_history.database import Database

pytestmark = pytest.mark.anyio

FREEZE = {"then": {"wait": {"seconds": 3600}}, "to": ["PENDING"], "when": "now.getFullYear('Europe/Berlin') > 2000", "message": "frozen"}


@pytest.fixture
async def world(database: Database) -> AsyncIterator[LocalWorld]:
    """A controller that runs."""
    there = LocalWorld(database)
    await there.start()
    yield there
    await there.kill()
    assert there.telemetry.failures == 0


def rule(name: str, kind: str = "OrchestrationRule", **spec: Any) -> dict[str, Any]:
    """A rule."""
    return {"apiVersion": API_VERSION, "kind": kind, "metadata": {"name": name}, "spec": spec}


async def create(world: LocalWorld, name: str, owner: str, **spec: Any) -> None:
    """Create a run of a deployment."""
    found = await world.store.read("FlowDeployment", (NAMESPACE, owner))
    await world.store.create("FlowRun", flow_run(name, owner=found, **spec))


async def condition_of(world: LocalWorld, kind: str, name: str, condition: str) -> dict[str, Any]:
    """A condition of a rule; {} if it has none yet."""
    document = await world.store.read(kind, ("" if kind.startswith("Cluster") else NAMESPACE, name))
    conditions = (document.get("status") or {}).get("conditions") or []
    return next((each for each in conditions if each["type"] == condition), {})


async def last_record(world: LocalWorld, name: str) -> dict[str, Any]:
    """The last recorded decision about a run."""
    document = await world.store.read("FlowRun", (NAMESPACE, name))
    records: list[dict[str, Any]] = (document.get("status") or {}).get("transitions") or [{}]
    return records[-1]


async def test_no_run_starts_in_a_freeze_window_until_the_rule_is_deleted(world: LocalWorld) -> None:
    """The run is SCHEDULED, and its decision names the rule and its message; the rule's status counts the run."""
    await world.store.create("OrchestrationRule", rule("freeze", **FREEZE))
    await world.store.create("FlowDeployment", deployment())
    await create(world, "run", "etl")

    async def is_held() -> bool:
        return (await last_record(world, "run")).get("verdict") == "Wait"

    await world.eventually(is_held, "the run is not held back")
    record = await last_record(world, "run")
    assert (record["rule"], record["message"], record["proposed"]) == ("orchestrationrule/freeze", "frozen", "PENDING")
    assert world.workloads.started == {}

    async def says_so() -> bool:
        status = (await world.store.read("OrchestrationRule", (NAMESPACE, "freeze"))).get("status") or {}
        return status.get("holding") == 1 and status.get("verdicts", 0) >= 1

    await world.eventually(says_so, "the rule does not say that it holds a run back", seconds=40)
    assert (await condition_of(world, "OrchestrationRule", "freeze", "Accepted"))["status"] == "True"
    await world.store.delete("OrchestrationRule", (NAMESPACE, "freeze"))
    await world.until("run", "RUNNING")


async def test_a_rule_of_the_cluster_is_cancelled_by_no_one_but_a_held_run_is(world: LocalWorld) -> None:
    """Cancelling a run that a rule holds back ends it at once."""
    await world.store.create("ClusterOrchestrationRule", rule("freeze", "ClusterOrchestrationRule", **FREEZE))
    await world.store.create("FlowDeployment", deployment())
    await create(world, "run", "etl")

    async def is_held() -> bool:
        return (await last_record(world, "run")).get("rule") == "clusterorchestrationrule/freeze"

    await world.eventually(is_held, "the run is not held back")
    await world.store.patch("FlowRun", (NAMESPACE, "run"), {"spec": {"cancel": True}})
    await world.until("run", "CANCELLED")


async def test_a_run_held_while_another_deployment_runs_starts_when_that_ends(world: LocalWorld) -> None:
    """`live` counts the other runs; an end wakes those that wait."""
    hold = {"selector": {"deployments": ["report"]}, "when": "'etl' in live", "then": {"wait": {"seconds": 600}}, "message": "etl runs"}
    await world.store.create("OrchestrationRule", rule("after-etl", **hold))
    for name in ("etl", "report"):
        await world.store.create("FlowDeployment", deployment(name))
    await create(world, "first", "etl")
    await world.until("first", "RUNNING")
    await create(world, "second", "report")

    async def is_held() -> bool:
        return (await last_record(world, "second")).get("message") == "etl runs"

    await world.eventually(is_held, "the run is not held back")
    assert (await last_record(world, "second"))["facts"]["live"] == {"etl": {"RUNNING": 1}}
    world.workloads.end("first-1")
    await world.eventually(lambda: world._is_in("second", ("RUNNING",)), "the end did not wake it", seconds=5)


async def test_a_message_ends_a_run_instead_of_a_retry(world: LocalWorld) -> None:
    """A redirect to a final state is not retried, although the budget allows it."""
    once = {"limit": 3, "backoff": {"delaySeconds": 0}}
    stop = {"when": "message.contains('credentials')", "then": {"redirect": {"type": "FAILED", "reason": "BadCredentials"}}}
    await world.store.create("OrchestrationRule", rule("no-retry", to=["FAILED"], **stop))
    await world.store.create("FlowDeployment", deployment(retries={"onFailure": once}))
    await create(world, "run", "etl")
    await world.until("run", "RUNNING")
    world.workloads.end("run-1", State(FAILED, reason="PermissionError", message="invalid credentials"))
    await world.until("run", "FAILED")
    document = await world.store.read("FlowRun", (NAMESPACE, "run"))
    assert document["status"]["state"]["reason"] == "BadCredentials"
    assert document["status"].get("failures", 0) == 0


INVALID = [
    ({"when": "attempts > 1"}, "InvalidExpression", "line 1, column 1: undeclared reference to 'attempts'"),
    ({"when": "attempt > 1 &&\n  reason"}, "InvalidExpression", "line 1, column 13"),
    ({"when": "attempt + 1"}, "InvalidExpression", "it is of type int, a condition is true or false"),
    ({"when": "true", "to": ["FAILED"]}, "NoTransition", "can only hold back a start"),
]


@pytest.mark.parametrize(("spec", "reason", "message"), INVALID, ids=[row[1] + "/" + row[2][:24] for row in INVALID])
async def test_a_rule_that_cannot_be_applied_reports_the_reason_and_the_position(
    world: LocalWorld, spec: dict[str, Any], reason: str, message: str
) -> None:
    """It is stored, has the condition Invalid, and holds nothing back."""
    await world.store.create("OrchestrationRule", rule("broken", **{"then": {"abort": {}}, **spec}))

    async def is_invalid() -> bool:
        return (await condition_of(world, "OrchestrationRule", "broken", "Invalid")).get("status") == "True"

    await world.eventually(is_invalid, "the condition Invalid is missing", seconds=10)
    invalid = await condition_of(world, "OrchestrationRule", "broken", "Invalid")
    assert invalid["reason"] == reason
    assert message in invalid["message"]
    assert (await condition_of(world, "OrchestrationRule", "broken", "Accepted"))["status"] == "False"
    await world.store.create("FlowDeployment", deployment())
    await create(world, "run", "etl")
    await world.until("run", "RUNNING")


async def test_a_condition_that_fails_has_no_verdict_and_the_rule_reports_it(world: LocalWorld) -> None:
    """A missing parameter is an error of the condition: the run starts."""
    await world.store.create("OrchestrationRule", rule("typo", when="parameters.regoin == 'eu'", then={"abort": {}}))
    await world.store.create("FlowDeployment", deployment(parameters={"region": "eu"}))
    await create(world, "run", "etl")
    await world.until("run", "RUNNING")

    async def says_so() -> bool:
        return (await condition_of(world, "OrchestrationRule", "typo", "Evaluating")).get("status") == "False"

    await world.eventually(says_so, "the rule does not say that its condition fails", seconds=10)
    assert "no such key: regoin" in (await condition_of(world, "OrchestrationRule", "typo", "Evaluating"))["message"]


REFUSED = [
    ({"then": {"abort": {}, "delay": {"seconds": 1}}}, "then has exactly one of abort, wait, redirect and delay"),
    ({"then": {"wait": {}}}, "wait has exactly one of seconds and until"),
    ({"then": {"abort": {}}, "target": "TaskRun"}, "rules about task runs are not supported yet: use FlowRun"),
    ({"then": {"redirect": {"type": "PAUSED"}}}, "PAUSED"),
    ({"then": {"abort": {}}, "from": ["CANCELLING"]}, "CANCELLING"),
]


@pytest.mark.parametrize(("spec", "message"), REFUSED, ids=[row[1] for row in REFUSED])
async def test_a_rule_with_a_wrong_shape_is_refused(world: LocalWorld, spec: dict[str, Any], message: str) -> None:
    """As by an API server with the CRD."""
    from mintaka_validation import InvalidDocument  # noqa: PLC0415

    with pytest.raises(InvalidDocument, match=message):
        await world.store.create("OrchestrationRule", rule("wrong", **spec))


async def test_a_dry_run_shows_the_start_that_a_rule_would_have_held_back(world: LocalWorld) -> None:
    """From the history alone, without a change of it; the rule is validated and compiled as an applied one."""
    await world.store.create("FlowDeployment", deployment(tags=["nightly"]))
    await create(world, "run", "etl")
    await world.until("run", "RUNNING")
    world.workloads.end("run-1")
    await world.until("run", "COMPLETED")
    expressions = RuleExpressions()
    documents = [rule("freeze", selector={"tags": ["nightly"]}, **FREEZE), rule("other", selector={"deployments": ["load"]}, **FREEZE)]
    rules = rules_of(documents, expressions, NAMESPACE)
    selection = Selection(datetime.now(UTC) - timedelta(hours=1))
    found = await asyncio.to_thread(dry_run, world.database, Names(), rules, expressions, selection)
    assert (found.decisions, found.different, found.unknown, found.errors) == (4, 1, 0, {})
    [item] = found.items
    assert (item.namespace, item.name, item.recorded.verdict, item.recorded.state) == (NAMESPACE, "run", "Accept", "PENDING")
    assert (item.instead.verdict, item.instead.state, item.instead.rule) == ("Wait", "SCHEDULED", "orchestrationrule/freeze")
    nowhere = replace(selection, namespace="nowhere")
    assert (await asyncio.to_thread(dry_run, world.database, Names(), rules, expressions, nowhere)).decisions == 0
