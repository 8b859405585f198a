"""Rules of users: what each action does, to which transitions a rule applies, and how it is bounded."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from mintaka_core.backoff import Budget, Retries
from mintaka_core.policies import FLOW_RUN_POLICY, with_rules_of_users
from mintaka_core.resources.orchestration_rules import OrchestrationRuleSpec
from mintaka_core.rule_actions import InvalidRule
from mintaka_core.rule_dry_run import DryRun, RecordedDecision, RecordedRun
from mintaka_core.states import (
    CANCELLED,
    CANCELLING,
    COMPLETED,
    CRASHED,
    FAILED,
    PENDING,
    RUNNING,
    SCHEDULED,
    State,
    StateType,
)
from mintaka_core.transitions import Decision, Transition, decide
from mintaka_core.user_rules import REDIRECT_LIMIT, VARIABLES, Journal, RunFacts, UserRule, bind, compile_rule, select
from mintaka_validation.rule_expressions import RuleExpressions

NOW = datetime(2026, 12, 24, 23, 30, tzinfo=UTC)
SECOND = timedelta(seconds=1)
CEL = RuleExpressions()
RUN = RunFacts("team", "etl-1", "etl", {"tier": "gold"}, ("nightly", "eu"), lambda: {"region": "eu", "password": "********"})


def rule(name: str = "r", kind: str = "OrchestrationRule", **spec: Any) -> UserRule:
    """A compiled rule of the namespace `team`."""
    return compile_rule(kind, "team", name, OrchestrationRuleSpec.model_validate(spec), CEL)


def decision(*rules: UserRule, run: RunFacts = RUN, journal: Journal | None = None, **fields: Any) -> Decision:
    """What the policy with these rules decides."""
    facts: dict[str, Any] = {"current": State(SCHEDULED, time=NOW - 100 * SECOND), "proposed": State(PENDING), "now": NOW, **fields}
    bound = bind(select(rules, run), run, CEL, {} if journal is None else journal)
    return decide(with_rules_of_users(bound), Transition(**facts), noted=frozenset({"failures"}))


def of(before: StateType, after: StateType, **proposed: Any) -> dict[str, Any]:
    """A transition."""
    return {"current": State(before, time=NOW - 100 * SECOND), "proposed": State(after, **proposed)}


WAIT, ABORT, DELAY = {"wait": {"seconds": 60}}, {"abort": {}}, {"delay": {"seconds": 5}}
FAIL = {"redirect": {"type": "FAILED", "reason": "ByRule"}}
ONE_RETRY = Retries(on_failure=Budget(limit=1), on_crash=Budget(limit=1))

#: What a user sees: rule, transition, verdict, state type after it (of the run), deciding rule, when it is proposed again in seconds.
DECISIONS: dict[str, tuple[dict[str, Any], dict[str, Any], tuple[str, str | None, str, float | None]]] = {
    "wait: again after 30 s at the latest": ({"then": WAIT}, {}, ("Wait", None, "orchestrationrule/r", 20.0)),
    "a long wait is evaluated every 30 s": ({"then": {"wait": {"seconds": 3600}}}, {}, ("Wait", None, "orchestrationrule/r", 30.0)),
    "wait until a time": ({"then": {"wait": {"until": "2026-12-24T23:30:10Z"}}}, {}, ("Wait", None, "orchestrationrule/r", 10.0)),
    "a wait that is over no longer applies": ({"then": {"wait": {"until": "2026-12-24T23:00:00Z"}}}, {}, ("Accept", "PENDING", "", None)),
    "abort: evaluated again after 30 s": ({"then": ABORT}, {}, ("Abort", None, "orchestrationrule/r", 30.0)),
    "delay before a start": ({"then": DELAY}, {}, ("Redirect", "SCHEDULED", "orchestrationrule/r", None)),
    "a workload that exists is not held back": ({"then": WAIT}, {"begun": True}, ("Accept", "PENDING", "", None)),
    "a false condition": ({"then": WAIT, "when": "attempt > 7"}, {}, ("Accept", "PENDING", "", None)),
    "another edge": ({"then": FAIL, "to": ["CRASHED"]}, of(RUNNING, FAILED), ("Accept", "FAILED", "", None)),
    "fail instead of retry": (
        {"then": FAIL, "to": ["FAILED"], "when": "message.contains('credentials')"},
        {**of(RUNNING, FAILED, reason="E", message="bad credentials"), "retries": ONE_RETRY},
        ("Redirect", "FAILED", "orchestrationrule/r", None),
    ),
    "another message is retried": (
        {"then": FAIL, "to": ["FAILED"], "when": "message.contains('credentials')"},
        {**of(RUNNING, FAILED, reason="E", message="timeout"), "retries": ONE_RETRY},
        ("Redirect", "SCHEDULED", "retry_failed", None),
    ),
    "attempts capped by tag": (
        {"then": {"redirect": {"type": "CRASHED"}}, "to": ["CRASHED"], "selector": {"tags": ["nightly"]}, "when": "attempt >= 2"},
        {**of(RUNNING, CRASHED, reason="OOMKilled"), "retries": ONE_RETRY, "attempt": 2, "current_attempt": 2},
        ("Redirect", "CRASHED", "orchestrationrule/r", None),
    ),
    "a delayed retry does not count towards the budget": (
        {"then": DELAY, "to": ["FAILED"]},
        {**of(RUNNING, FAILED, reason="E"), "retries": ONE_RETRY},
        ("Redirect", "SCHEDULED", "orchestrationrule/r", None),
    ),
    "cancel wins over a redirect": (
        {"then": {"redirect": {"type": "COMPLETED"}}},
        {**of(CANCELLING, FAILED), "cancel_requested": True},
        ("Redirect", "CANCELLED", "cancelling_ends_cancelled", None),
    ),
    "cancel wins over a wait": (
        {"then": WAIT},
        {**of(SCHEDULED, CANCELLING), "cancel_requested": True},
        ("Redirect", "CANCELLED", "cancel_what_does_not_run", None),
    ),
    "no rule applies to a run that is to be cancelled": (
        {"then": FAIL},
        {**of(RUNNING, COMPLETED), "cancel_requested": True},
        ("Accept", "COMPLETED", "", None),
    ),
    "redirects end": ({"then": DELAY}, {"redirects": REDIRECT_LIMIT}, ("Accept", "PENDING", "", None)),
    "a condition that fails": ({"then": ABORT, "when": "parameters.nothing == 1"}, {}, ("Accept", "PENDING", "", None)),
    "secrets are masked": ({"then": ABORT, "when": "parameters.password != '********'"}, {}, ("Accept", "PENDING", "", None)),
    "no starts in the night of Berlin": (
        {"then": WAIT, "when": "now.getHours('Europe/Berlin') < 6"},
        {},
        ("Wait", None, "orchestrationrule/r", 20.0),
    ),
    "hold while another deployment runs": (
        {"then": WAIT, "when": "'load' in live && 'RUNNING' in live.load"},
        {"live": {"load": {"RUNNING": 2}}},
        ("Wait", None, "orchestrationrule/r", 20.0),
    ),
}


#: A condition for each variable, true of `RUN`, as a user writes it.
USES = {
    "deployment": "deployment == 'etl'",
    "run_namespace": "run_namespace == 'team'",
    "name": "name.startsWith('etl-')",
    "parameters": "parameters.region == 'eu'",
    "tags": "'nightly' in tags",
    "attempt": "attempt == 3",
    "failures": "failures == 1",
    "crashes": "crashes == 2",
    "reason": "reason == 'E'",
    "message": "message == 'bad credentials'",
    "now": "now.getFullYear() == 2026",
    "live": "live.load.RUNNING == 2",
}


@pytest.mark.parametrize("variable", VARIABLES)
def test_every_variable_can_be_used(variable: str) -> None:
    """None of their names is a reserved word of CEL."""
    fields = {"attempt": 3, "current_attempt": 3, "failures": 1, "crashes": 2, "live": {"load": {"RUNNING": 2}}}
    made = decision(rule(then=FAIL, when=USES[variable]), **of(RUNNING, FAILED, reason="E", message="bad credentials"), **fields)
    assert made.rule == "orchestrationrule/r"


@pytest.mark.parametrize("name", DECISIONS, ids=list(DECISIONS))
def test_a_rule_decides(name: str) -> None:
    """Verdict, state and rule are those of the table."""
    spec, fields, (verdict, state, deciding, again) = DECISIONS[name]
    made = decision(rule(**spec), **fields)
    assert (made.verdict, made.state and made.state.type, made.rule) == (verdict, state, deciding)
    assert (made.again - NOW).total_seconds() == again if again is not None else made.until is None  # type: ignore[operator]


def test_the_until_of_a_wait_is_the_same_for_each_evaluation_within_it() -> None:
    """Otherwise each evaluation would be written."""
    untils = {decision(rule(then=WAIT), now=NOW + shift * SECOND).until for shift in range(19)}
    assert untils == {NOW + 20 * SECOND}


def test_rules_of_the_cluster_come_first_and_the_first_wait_decides() -> None:
    """Then those of the namespace, by name."""
    rules = [rule("b", then=ABORT), rule("a", then=WAIT), rule("z", "ClusterOrchestrationRule", then=ABORT)]
    assert decision(*rules).rule == "clusterorchestrationrule/z"
    assert decision(*rules[:2]).rule == "orchestrationrule/a"


def test_contradictory_redirects_are_judged_once_each() -> None:
    """The last one decides, the trail names all."""
    rules = [rule("a", then={"redirect": {"type": "COMPLETED"}}), rule("b", then=FAIL), rule("c", then={"redirect": {"type": "COMPLETED"}})]
    made = decision(*rules, **of(RUNNING, CRASHED, reason="OOMKilled"))
    assert [opinion.rule for opinion in made.trail] == ["orchestrationrule/a", "orchestrationrule/b", "orchestrationrule/c"]
    assert made.state is not None
    assert made.state.type == COMPLETED
    assert made.redirects_by_users == 3


def test_errors_are_entered_into_the_journal() -> None:
    """With the sentence of the last one."""
    journal: Journal = {}
    decision(rule(then=ABORT, when="parameters.nothing == 1"), rule("loop", then=DELAY), journal=journal, redirects=REDIRECT_LIMIT)
    assert (journal["orchestrationrule/r"].errors, journal["orchestrationrule/r"].error) == (1, "no such key: nothing")
    assert "redirected by rules 50 times" in journal["orchestrationrule/loop"].error


COSTLY = "'abcdefgh'.split('').all(a, 'abcdefgh'.split('').all(b, 'abcdefgh'.split('').all(c, (a + b + c).size() > 0)))"


def test_a_condition_that_may_cost_too_much_is_not_evaluated() -> None:
    """And neither are those that would exceed the limit together with others; the rules of the cluster are evaluated first."""
    journal: Journal = {}
    assert decision(rule(then=ABORT, when=COSTLY), journal=journal).accepted
    assert "it may cost" in journal["orchestrationrule/r"].error
    journal = {}
    busy = "tags.all(a, tags.all(b, (a + b).size() > 0))"
    many = [rule(f"r{number:02}", then=ABORT, when=f"{busy} && attempt > 9") for number in range(60)]
    assert decision(*many, rule("z", "ClusterOrchestrationRule", then=ABORT, when="attempt > 9"), journal=journal).accepted
    assert journal["clusterorchestrationrule/z"].errors == 0
    assert any("together" in tally.error for tally in journal.values())


SELECTED = [
    ({}, True),
    ({"deployments": ["etl", "load"]}, True),
    ({"deployments": ["load"]}, False),
    ({"matchLabels": {"tier": "gold"}}, True),
    ({"matchLabels": {"tier": "iron"}}, False),
    ({"tags": ["nightly", "eu"]}, True),
    ({"tags": ["nightly", "us"]}, False),
    ({"deployments": ["etl"], "tags": ["us"]}, False),
]


@pytest.mark.parametrize(("selector", "selected"), SELECTED, ids=[str(row[0]) for row in SELECTED])
def test_a_selector_selects(selector: dict[str, Any], selected: bool) -> None:
    """A run matches if it matches every field."""
    assert rule(selector=selector, then=ABORT).selects(RUN) is selected


def test_a_rule_of_a_namespace_is_about_its_own_runs_alone() -> None:
    """A rule of the cluster is about all."""
    assert not rule(then=ABORT).selects(replace(RUN, namespace="other"))
    assert rule("r", "ClusterOrchestrationRule", then=ABORT).selects(replace(RUN, namespace="other"))


INVALID = [
    ({"then": ABORT, "when": "attempts > 1"}, "InvalidExpression", "spec.when: line 1, column 1: undeclared reference to 'attempts'"),
    ({"then": ABORT, "when": "true &&\n  reason"}, "InvalidExpression", "line 1, column 6"),
    ({"then": ABORT, "when": "'a'"}, "InvalidExpression", "a condition is true or false"),
    ({"then": ABORT, "to": ["FAILED"]}, "NoTransition", "abort can only hold back a start, which is from SCHEDULED to PENDING"),
    ({"then": WAIT, "from": ["RUNNING"]}, "NoTransition", "wait can only hold back a start"),
    ({"then": {"redirect": {"type": "COMPLETED"}}, "from": ["SCHEDULED"]}, "NoTransition", "redirect so"),
    ({"then": ABORT, "target": "TaskRun"}, "TargetNotSupported", "rules about TaskRun are not supported yet: use FlowRun"),
    ({"then": {}}, "InvalidAction", "exactly one of abort, wait, redirect and delay"),
]


@pytest.mark.parametrize(("spec", "reason", "message"), INVALID, ids=[f"{row[1]}: {row[2]}" for row in INVALID])
def test_a_rule_that_cannot_be_applied_reports_the_reason(spec: dict[str, Any], reason: str, message: str) -> None:
    """With the place of an error in its condition."""
    with pytest.raises(InvalidRule) as invalid:
        rule(**spec)
    assert invalid.value.reason == reason
    assert message in str(invalid.value)


def test_a_policy_without_rules_of_users_is_the_built_in_one() -> None:
    """So nothing costs more."""
    assert with_rules_of_users(()) is FLOW_RUN_POLICY


# Dry runs.


def recorded(**fields: Any) -> RecordedDecision:
    """A start that was accepted."""
    usual: dict[str, Any] = {"sequence": 2, "time": NOW, "before": SCHEDULED, "proposed": PENDING, "to": PENDING, "name": "Pending"}
    usual |= {"rule": "", "verdict": "Accept", "reason": "", "message": "", "attempt": 1}
    return RecordedDecision(**{**usual, **fields})


FROZEN = recorded(
    to=SCHEDULED,
    name="Scheduled",
    rule="orchestrationrule/r",
    verdict="Wait",
    until=NOW + SECOND,
    trail=[("orchestrationrule/r", "Wait", "")],
)
FAILURE = recorded(
    before=RUNNING,
    proposed=FAILED,
    to=SCHEDULED,
    name="AwaitingRetry",
    rule="retry_failed",
    verdict="Redirect",
    reason="E",
    message="failure 1 of 1 allowed: bad credentials",
    trail=[("retry_failed", "Redirect", "failure 1 of 1 allowed")],
    facts='{"proposed":{"reason":"E","message":"bad credentials"},"retries":{"onFailure":{"limit":1}}}',
)
DRY_RUNS: dict[str, tuple[dict[str, Any], RecordedDecision, tuple[str, str, str] | None, int]] = {
    "a start that would have waited": ({"then": WAIT}, recorded(), ("Wait", "SCHEDULED", "orchestrationrule/r"), 0),
    "a condition that was false": ({"then": WAIT, "when": "attempt > 1"}, recorded(), None, 0),
    "a wait of the same rule": ({"then": WAIT}, FROZEN, None, 0),
    "a wait that the changed rule would not have had": ({"then": WAIT, "when": "false"}, FROZEN, ("Accept", "PENDING", ""), 0),
    "a retry that would have been an end": (
        {"then": FAIL, "when": "message.contains('credentials')"},
        FAILURE,
        ("Redirect", "FAILED", "orchestrationrule/r"),
        0,
    ),
    "a fact that is not recorded": ({"then": WAIT, "when": "'a' in live"}, recorded(), None, 1),
    "a fact that is": (
        {"then": WAIT, "when": "'a' in live"},
        recorded(facts='{"live":{"a":{"RUNNING":1}}}'),
        ("Wait", "SCHEDULED", "orchestrationrule/r"),
        0,
    ),
}


@pytest.mark.parametrize("name", DRY_RUNS, ids=list(DRY_RUNS))
def test_a_dry_run_shows_what_would_have_been_different(name: str) -> None:
    """Outcome instead, or None; how many could not be judged."""
    spec, record, expected, unknown = DRY_RUNS[name]
    going = DryRun([rule(**spec)], CEL)
    found = going.judge(RecordedRun("uid", RUN), record)
    assert (found and (found.instead.verdict, found.instead.state, found.instead.rule)) == expected
    assert going.unknown == unknown


def test_what_a_rule_read_is_recorded_and_the_decision_can_be_taken_again() -> None:
    """`live` and the counters are facts, what the run's row contains anyway is not."""
    made = decision(rule(then=WAIT, when="'load' in live && deployment == 'etl'"), live={"load": {"RUNNING": 1}}, failures=2)
    assert made.facts["live"] == {"load": {"RUNNING": 1}}
    assert made.facts["failures"] == 2
    assert "deployment" not in made.facts


def test_a_cancelled_end_by_a_rule_is_not_a_cancellation_of_its_owner() -> None:
    """A rule may end a failed run CANCELLED."""
    made = decision(rule(then={"redirect": {"type": "CANCELLED", "reason": "NotNeeded"}}, to=["FAILED"]), **of(RUNNING, FAILED))
    assert made.state is not None
    assert (made.state.type, made.state.reason) == (CANCELLED, "NotNeeded")
