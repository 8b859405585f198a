"""Facts: a decision's record is enough to decide again."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from mintaka_core import rules
from mintaka_core.backoff import Backoff, Budget, Retries
from mintaka_core.facts import FACTS_BYTES, TRUNCATED
from mintaka_core.policies import FLOW_RUN_POLICY, TASK_RUN_POLICY
from mintaka_core.reconciling.records import record_of, transition_of
from mintaka_core.resources.runs import StateStatus, TransitionStatus
from mintaka_core.states import COMPLETED, CRASHED, FAILED, PAUSED, PENDING, RUNNING, SCHEDULED, State, StateType, scheduled
from mintaka_core.task_facts import KeptResult, TagLimits, Unpersisted
from mintaka_core.transitions import Abort, Decision, Policy, Redirect, Rule, Transition, Verdict, Wait, decide

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)
MIDNIGHT = scheduled(NOW - timedelta(hours=12)).at(NOW - timedelta(hours=13))


def moved(current: State | StateType | None, proposed: State | StateType, **facts: Any) -> Decision:
    """The decision of the flow runs' policy about a proposal."""
    before = State(current, time=NOW - SECOND) if isinstance(current, StateType) else current
    after = State(proposed) if isinstance(proposed, StateType) else proposed
    return decide(FLOW_RUN_POLICY, Transition(before, after, NOW, **facts))


def record(decision: Decision) -> TransitionStatus:
    """The record of a decision, as a run's status has it after it went over the wire."""
    transition = decision.transition
    after = decision.state or (transition.current and transition.current.at(transition.current.time or NOW))
    assert after is not None
    wire = json.loads(json.dumps(record_of(decision, 1, StateStatus.of(after)).to_wire()))
    return TransitionStatus.model_validate(wire)


BUDGET = Retries(Budget(2, Backoff(delay_seconds=5, jitter=0)), Budget(3, reasons=frozenset({"OOMKilled", "Evicted"})))


@pytest.mark.parametrize(
    ("decision", "facts"),
    [
        pytest.param(moved(None, SCHEDULED), {}, id="a new run: nothing worth recording"),
        pytest.param(moved(SCHEDULED, PENDING, attempt=1, current_attempt=0), {}, id="an ordinary start: nothing"),
        pytest.param(
            moved(PENDING, RUNNING, deadline=NOW, jitter=0.3, retries=BUDGET), {}, id="an ordinary run: nothing, also if facts are known"
        ),
        pytest.param(moved(RUNNING, COMPLETED, cancel_requested=True, jitter=0.3, retries=BUDGET), {}, id="an ordinary end: nothing"),
        pytest.param(
            moved(MIDNIGHT, State(PENDING, time=NOW - 2 * SECOND)),
            {"current": {"scheduledTime": "2026-01-01T00:00:00.000000Z"}, "currentAttempt": 1, "now": "2026-01-01T12:00:00.000000Z"},
            id="a scheduled start, recorded as earlier than now: when it was due, and when that was decided",
        ),
        pytest.param(
            moved(RUNNING, State(FAILED, reason="ValueError", message="no such file"), retries=BUDGET, failures=1, jitter=0.5),
            {
                "failures": 1,
                "jitter": 0.5,
                "proposed": {"message": "no such file", "reason": "ValueError"},
                "retries": {"onFailure": {"limit": 2, "backoff": {"delaySeconds": 5, "jitter": 0}}},
            },
            id="a retry: the budget that was used, not the other",
        ),
        pytest.param(
            moved(RUNNING, State(CRASHED, reason="NodeLost"), retries=BUDGET),
            {"proposed": {"reason": "NodeLost"}, "retries": {"onCrash": {"limit": 3, "reasons": ["Evicted", "OOMKilled"]}}},
            id="a crash whose reason is not in the budget: why not",
        ),
        pytest.param(
            moved(RUNNING, CRASHED, deadline=NOW, stopped=True, ended_time=NOW - SECOND),
            {"deadline": "2026-01-01T12:00:00.000000Z", "endedTime": "2026-01-01T11:59:59.000000Z", "stopped": True},
            id="a timeout: the deadline, and when it ended",
        ),
        pytest.param(
            moved(scheduled(), PENDING, attempt=1, current_attempt=0, suspend_requested=True),
            {"suspendRequested": True},
            id="a suspended start: that it was suspended",
        ),
        pytest.param(moved(COMPLETED, RUNNING), {}, id="a refusal: the record is complete"),
        pytest.param(
            moved(RUNNING, COMPLETED, attempt=1, current_attempt=3), {"currentAttempt": 3}, id="a stale attempt: which one had replaced it"
        ),
    ],
)
def test_facts_are_what_was_read_and_is_not_on_record_anyway(decision: Decision, facts: dict[str, Any]) -> None:
    """One row for each kind of decision: what its record has in addition."""
    assert decision.facts == facts
    assert record(decision).facts == (facts or None)


TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=40)
TIMES = st.integers(-7200, 7200).map(lambda seconds: NOW + timedelta(seconds=seconds / 8))
REASONS = st.sampled_from(["", "Evicted", "OOMKilled", "ValueError"])
BUDGETS = st.builds(
    Budget,
    st.integers(0, 3),
    st.builds(Backoff, st.floats(0, 100), st.floats(1, 3), st.floats(0, 1000), st.floats(0, 1)),
    st.frozensets(st.sampled_from(["Evicted", "OOMKilled", "ValueError"])),
)
STATES = st.builds(State, st.sampled_from(list(StateType)), st.one_of(st.just(""), TEXTS), REASONS, TEXTS, TIMES, st.none() | TIMES)
PROPOSED = st.builds(State, st.sampled_from(list(StateType)), st.just("") | TEXTS, REASONS, TEXTS, st.none() | TIMES, st.none() | TIMES)
TRANSITIONS = st.builds(
    Transition,
    st.none() | STATES,
    PROPOSED,
    TIMES,
    attempt=st.integers(0, 3),
    current_attempt=st.integers(0, 3),
    failures=st.integers(0, 3),
    crashes=st.integers(0, 3),
    rejections=st.integers(0, 6),
    retries=st.builds(Retries, BUDGETS, BUDGETS),
    retriable=st.booleans(),
    never_ran=st.booleans(),
    deadline=st.none() | TIMES,
    ended_time=st.none() | TIMES,
    stopped=st.booleans(),
    explicit=st.booleans(),
    cancel_requested=st.booleans(),
    suspend_requested=st.booleans(),
    kept=st.none() | st.builds(KeptResult, TEXTS, TIMES, st.none() | TIMES),
    refresh=st.booleans(),
    kept_issue=st.sampled_from(["", "corrupt"]),
    recorded=st.none() | st.builds(KeptResult, TEXTS, TIMES),
    unrecorded=st.sampled_from(["", "not persisted"]),
    tag_limits=st.none() | st.builds(TagLimits, st.just(("tag:gpu", "tag:io")), st.just(("tag:gpu",)), TEXTS, st.none() | TIMES),
    unpersisted=st.none() | st.builds(Unpersisted, st.sampled_from(["NotPersisted", "Completed"]), REASONS, TEXTS),
    jitter=st.floats(0, 1, exclude_max=True),
)


def _hold_back(transition: Transition) -> Verdict | None:
    due = transition.current.scheduled_time if transition.current else None
    if transition.proposed.reason == "Evicted" and transition.jitter > 0.5:
        return Wait(due or transition.now + SECOND, f"{transition.proposed.message} at {transition.current_attempt}")
    return None


def _give_another_name(transition: Transition) -> Verdict | None:
    return Redirect(replace(transition.proposed, name="Renamed"), "renamed") if transition.kept else None


def _return_what_was_proposed(transition: Transition) -> Verdict | None:
    return Redirect(transition.proposed, "as it is") if transition.refresh else None


def _refuse_what_is_late(transition: Transition) -> Verdict | None:
    if transition.retries == Retries() or not transition.overdue:
        return None
    current = transition.current
    read = (current.name, current.reason, current.message, str(current.time), str(current.scheduled_time)) if current else ()
    return Abort(f"{transition.retries.on_crash.limit} {transition.proposed.time} {read}")


#: Rules that read what no rule of ours reads, before and after those.
CURIOUS: Policy = (
    Rule("hold_back", "", None, _hold_back),
    *FLOW_RUN_POLICY[:3],
    Rule("give_another_name", "", None, _give_another_name),
    *FLOW_RUN_POLICY[3:-1],
    Rule("refuse_what_is_late", "", rules.edges(StateType, [FAILED, CRASHED, SCHEDULED]), _refuse_what_is_late),
    Rule("return_what_was_proposed", "", None, _return_what_was_proposed),
)


@pytest.mark.parametrize("policy", [FLOW_RUN_POLICY, TASK_RUN_POLICY, CURIOUS], ids=["flow runs", "task runs", "with rules that read more"])
@given(transition=TRANSITIONS)
def test_a_record_and_its_facts_are_enough_to_decide_again(policy: Policy, transition: Transition) -> None:
    """Any transition: decided again from its record alone, it leaves the same record."""
    decision = decide(policy, transition)
    assume(decision.state or transition.current)  # a run without a state has none to stay in, and no record of that
    first = record(decision)
    if first.facts and TRUNCATED in first.facts:
        return
    again = transition_of(first)
    second = decide(policy, again)
    state = second.state or State(first.to, first.name, first.reason, time=first.time)
    # The facts may be others: they are what the record does not have, and what was unknown has become usual.
    assert record_of(second, 1, StateStatus.of(state)).model_copy(update={"facts": first.facts}) == first


@given(transition=TRANSITIONS, words=st.integers(1, 3000))
def test_facts_take_a_kibibyte_at_most(transition: Transition, words: int) -> None:
    """The largest are dropped first, and `truncated` is set."""
    long = replace(transition, proposed=replace(transition.proposed, message="ü" * words, reason="OOMKilled"))
    facts = decide(CURIOUS, long).facts
    assert len(json.dumps(facts, ensure_ascii=False, separators=(",", ":")).encode()) <= FACTS_BYTES
    if words > FACTS_BYTES and "message" in facts.get("proposed", {}):
        pytest.fail("the largest was kept")


def test_a_long_message_is_dropped_and_the_short_facts_stay() -> None:
    """A traceback of 4 KiB does not cost the budget its record."""
    decision = moved(RUNNING, State(FAILED, reason="ValueError", message="x" * 4000), retries=BUDGET)
    assert decision.facts == {
        "proposed": {"reason": "ValueError"},
        "retries": {"onFailure": {"limit": 2, "backoff": {"delaySeconds": 5, "jitter": 0}}},
        "truncated": True,
    }


def test_what_a_rule_made_of_the_proposal_is_no_fact() -> None:
    """A timeout whose retry reads the reason TimedOut: that reason follows from the other facts."""
    decision = moved(RUNNING, State(CRASHED, reason="PodDeleted"), deadline=NOW, stopped=True, retries=BUDGET)
    assert [opinion.rule for opinion in decision.trail] == ["time_out_running", "retry_failed"]
    assert "proposed" not in decision.facts


def test_a_rule_is_not_asked_beyond_its_edges() -> None:
    """What it would have read is not a fact either, also if only a redirect led away from its edge."""

    def explode(_: Transition) -> Verdict | None:
        pytest.fail("asked about another edge")

    policy = (rules.suspend_what_was_stopped, Rule("explode", "", rules.edges([RUNNING], [CRASHED]), explode))
    transition = Transition(State(RUNNING), State(CRASHED), NOW, suspend_requested=True, stopped=True)
    assert decide(policy, transition).state == State(
        PAUSED, "Suspended", "Suspended", "stopped; set spec.suspend to false to run it again", NOW
    )


def test_rules_get_what_behaves_as_a_transition() -> None:
    """A rule may compare, match and replace what it is passed; what it returns holds plain states."""
    found: list[Any] = []

    def look(transition: Transition) -> Verdict | None:
        found.append(isinstance(transition, Transition) and isinstance(transition.proposed, State))
        found.append(transition == given_transition and transition.proposed == given_transition.proposed)
        found.append(replace(transition, attempt=7).attempt)
        match transition.proposed:
            case State(type="FAILED"):
                return Redirect(transition.proposed, "it failed")
        return None

    given_transition = Transition(State(RUNNING), State(FAILED, reason="E"), NOW)
    decision = decide((Rule("look", "", None, look),), given_transition)
    assert found == [True, True, 7]
    assert decision.state is not None
    assert type(decision.state) is State
    (opinion,) = decision.trail
    assert isinstance(opinion.verdict, Redirect)
    assert type(opinion.verdict.state) is State
