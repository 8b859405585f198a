"""The rules one by one, and the policy as a whole against a table of who may follow whom."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import product
from typing import Any

import pytest

from mintaka_core import rules, task_rules
from mintaka_core.backoff import NEVER_RAN, Backoff, Budget, Retries
from mintaka_core.concurrency import Outcome, Standing
from mintaka_core.policies import FLOW_RUN_POLICY, TASK_RUN_POLICY
from mintaka_core.states import (
    AWAITING_CONCURRENCY_SLOT,
    CANCELLED,
    CANCELLING,
    COMPLETED,
    CRASHED,
    FAILED,
    PAUSED,
    PENDING,
    RUNNING,
    SCHEDULED,
    TERMINAL,
    State,
    StateType,
    scheduled,
)
from mintaka_core.task_facts import KeptResult, TagLimits, Unpersisted
from mintaka_core.transitions import Abort, Accept, Redirect, Rule, Transition, Verdict, Wait, decide

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)
HOUR = timedelta(hours=1)
NO_SLOT = Standing(Outcome.WAIT, "etl", 1, 1, "flow run 'a'")
KEPT = KeptResult("key", NOW - HOUR)
BLOCKED = TagLimits(("tag:gpu", "tag:io"), ("tag:gpu",), next_time=NOW + SECOND)
LOST = Unpersisted("NotPersisted", "StorageError", "no space left")
PLAIN = Backoff(delay_seconds=10, factor=2, max_seconds=600, jitter=0)


def retries(failures: int = 0, crashes: int = 0, *reasons: str) -> Retries:
    """Budgets without jitter; `reasons` limit the crashes'."""
    return Retries(Budget(failures, PLAIN), Budget(crashes, PLAIN, frozenset(reasons)))


def proposal(current: StateType | State | None, proposed: StateType | State, **facts: Any) -> Transition:
    """A transition between two states, named by their type where nothing else about them matters."""
    before = State(current, time=NOW) if isinstance(current, StateType) else current
    after = State(proposed) if isinstance(proposed, StateType) else proposed
    return Transition(before, after, NOW, **facts)


def outcome(rule: Rule, transition: Transition) -> str:
    """A rule's verdict in a word: its kind and its target state; "pass" also if the rule does not apply."""
    match rule.judge(transition) if rule.may_speak(transition.edge) else None:
        case Redirect(state):
            return f"{state.type}/{state.name}"
        case Wait():
            return "wait"
        case Abort():
            return "abort"
        case Accept(reason):
            return f"accept: {reason}"
    return "pass"


OVERDUE = {"deadline": NOW, "stopped": True}
EARLY = {"deadline": NOW + HOUR, "stopped": True}
STOPPED_FOR_SUSPENSION = {"suspend_requested": True, "stopped": True}
PULLING = State(PENDING, reason="ImagePullBackOff", message="no such image")
CASES: dict[Rule, dict[str, tuple[Transition, str]]] = {
    rules.fence_stale_attempts: {
        "an older attempt is not heard": (proposal(RUNNING, COMPLETED, attempt=1, current_attempt=2), "abort"),
        "the current attempt is heard": (proposal(RUNNING, COMPLETED, attempt=2, current_attempt=2), "pass"),
        "the next attempt is heard": (proposal(SCHEDULED, PENDING, attempt=3, current_attempt=2), "pass"),
    },
    rules.terminal_states_stay: {
        "a failed run does not complete": (proposal(FAILED, COMPLETED), "abort"),
        "a completed run is not cancelled": (proposal(COMPLETED, CANCELLING, cancel_requested=True), "abort"),
        "a finished run runs again where that was asked for": (proposal(FAILED, SCHEDULED, explicit=True), "pass"),
        "a running run ends": (proposal(RUNNING, FAILED), "pass"),
        "a new run has no end yet": (proposal(None, SCHEDULED), "pass"),
    },
    rules.cancelling_ends_cancelled: {
        "failing while being cancelled is being cancelled": (proposal(CANCELLING, FAILED), "CANCELLED/Cancelled"),
        "completing while being cancelled is being cancelled": (proposal(CANCELLING, COMPLETED), "CANCELLED/Cancelled"),
        "crashing while being cancelled is being cancelled": (proposal(CANCELLING, CRASHED), "CANCELLED/Cancelled"),
        "pausing while being cancelled is being cancelled": (proposal(CANCELLING, PAUSED), "CANCELLED/Cancelled"),
        "it does not start again": (proposal(CANCELLING, SCHEDULED), "abort"),
        "it does not go on running": (proposal(CANCELLING, RUNNING), "abort"),
        "it ends cancelled": (proposal(CANCELLING, CANCELLED), "pass"),
        "a running run is not its business": (proposal(RUNNING, FAILED), "pass"),
    },
    rules.cancel_what_does_not_run: {
        "a run that waits is cancelled at once": (proposal(SCHEDULED, CANCELLING, cancel_requested=True), "CANCELLED/Cancelled"),
        "a paused run is cancelled at once": (proposal(PAUSED, CANCELLING, cancel_requested=True), "CANCELLED/Cancelled"),
        "a run without a state is cancelled at once": (proposal(None, CANCELLING, cancel_requested=True), "CANCELLED/Cancelled"),
        "a pending run has a pod to stop": (proposal(PENDING, CANCELLING, cancel_requested=True), "pass"),
        "a running run has a pod to stop": (proposal(RUNNING, CANCELLING, cancel_requested=True), "pass"),
        "nobody asked": (proposal(SCHEDULED, CANCELLING), "pass"),
        "it does not start instead": (proposal(SCHEDULED, PENDING, cancel_requested=True), "pass"),
    },
    rules.suspend_before_running: {
        "a suspended run does not start": (proposal(SCHEDULED, PENDING, suspend_requested=True), "PAUSED/Suspended"),
        "a suspended run does not retry": (proposal(RUNNING, SCHEDULED, suspend_requested=True), "PAUSED/Suspended"),
        "a new run gets its first state first": (proposal(None, SCHEDULED, suspend_requested=True), "pass"),
        "it may end": (proposal(RUNNING, COMPLETED, suspend_requested=True), "pass"),
        "nobody asked": (proposal(SCHEDULED, PENDING), "pass"),
    },
    rules.suspend_what_was_stopped: {
        "what was stopped while it ran is paused": (proposal(RUNNING, CRASHED, **STOPPED_FOR_SUSPENSION), "PAUSED/Suspended"),
        "what failed when told to stop is paused": (proposal(RUNNING, FAILED, **STOPPED_FOR_SUSPENSION), "PAUSED/Suspended"),
        "what was stopped before it ran is paused": (proposal(PENDING, CRASHED, **STOPPED_FOR_SUSPENSION), "PAUSED/Suspended"),
        "what completed in spite of it has completed": (proposal(RUNNING, COMPLETED, **STOPPED_FOR_SUSPENSION), "pass"),
        "what ended by itself has ended": (proposal(RUNNING, FAILED, suspend_requested=True), "pass"),
        "what others stopped has crashed": (proposal(RUNNING, CRASHED, stopped=True), "pass"),
        "what is being cancelled is not paused": (proposal(CANCELLING, CRASHED, **STOPPED_FOR_SUSPENSION), "pass"),
    },
    rules.wait_for_scheduled_time: {
        "not before its time": (proposal(scheduled(NOW + SECOND), PENDING), "wait"),
        "at its time": (proposal(scheduled(NOW), PENDING), "pass"),
        "after its time": (proposal(scheduled(NOW - HOUR), PENDING), "pass"),
        "at once where no time is given": (proposal(scheduled(), PENDING), "pass"),
        "a cancellation does not wait": (proposal(scheduled(NOW + HOUR), CANCELLED), "pass"),
        "what never was scheduled does not wait": (proposal(None, SCHEDULED), "pass"),
    },
    rules.wait_for_a_slot: {
        "nothing is limited": (proposal(scheduled(), PENDING), "pass"),
        "a slot is free": (proposal(scheduled(), PENDING, slot=Standing(Outcome.FREE, "etl", 1)), "pass"),
        "no slot is free": (proposal(scheduled(), PENDING, slot=NO_SLOT), "SCHEDULED/AwaitingConcurrencySlot"),
        "it waits already": (
            proposal(scheduled(reason=AWAITING_CONCURRENCY_SLOT, message=NO_SLOT.sentence), PENDING, slot=NO_SLOT),
            "wait",
        ),
        "it is refused": (proposal(scheduled(), PENDING, slot=Standing(Outcome.REFUSE, "etl", 1, 1)), "CANCELLED/Cancelled"),
        "it replaces others": (
            proposal(scheduled(), PENDING, slot=Standing(Outcome.REPLACE, "etl", 1, 1, victims=("a",))),
            "SCHEDULED/AwaitingConcurrencySlot",
        ),
        "a cancellation does not wait": (proposal(scheduled(), CANCELLED, slot=NO_SLOT), "pass"),
        "a new attempt that runs has its slot": (proposal(PENDING, RUNNING, slot=NO_SLOT), "pass"),
    },
    rules.run_in_order: {
        "a run begins scheduled": (proposal(None, SCHEDULED), "pass"),
        "a run does not begin in its middle": (proposal(None, RUNNING), "abort"),
        "what is pending has not completed": (proposal(PENDING, COMPLETED), "abort"),
        "what was asked for by name may": (proposal(COMPLETED, SCHEDULED, explicit=True), "pass"),
    },
    rules.time_out_pending: {
        "stopped past its deadline, it crashed for what held it back": (proposal(PULLING, CRASHED, **OVERDUE), "CRASHED/Crashed"),
        "failing when told to stop, it crashed for what held it back": (proposal(PULLING, FAILED, **OVERDUE), "CRASHED/Crashed"),
        "stopped before its deadline, it crashed as it did": (proposal(PULLING, CRASHED, **EARLY), "pass"),
        "crashed by itself past its deadline, it crashed as it did": (proposal(PULLING, CRASHED, deadline=NOW), "pass"),
        "without a deadline there is no timeout": (proposal(PULLING, CRASHED, stopped=True), "pass"),
        "a running run has a timeout of its own": (proposal(RUNNING, CRASHED, **OVERDUE), "pass"),
    },
    rules.time_out_running: {
        "stopped past its deadline, it timed out": (proposal(RUNNING, CRASHED, **OVERDUE), "FAILED/TimedOut"),
        "failing when told to stop past its deadline, it timed out": (proposal(RUNNING, FAILED, **OVERDUE), "FAILED/TimedOut"),
        "completing when told to stop, it completed": (proposal(RUNNING, COMPLETED, **OVERDUE), "pass"),
        "stopped before its deadline, it crashed": (proposal(RUNNING, CRASHED, **EARLY), "pass"),
        "failed by itself past its deadline, it failed": (proposal(RUNNING, FAILED, deadline=NOW), "pass"),
        "ended long before, though seen late, it crashed": (
            proposal(RUNNING, CRASHED, **OVERDUE, ended_time=NOW - timedelta(minutes=1)),
            "pass",
        ),
        "ended a moment before by its node's clock, it timed out": (
            proposal(RUNNING, CRASHED, **OVERDUE, ended_time=NOW - 2 * SECOND),
            "FAILED/TimedOut",
        ),
        "a pending run has a timeout of its own": (proposal(PENDING, CRASHED, **OVERDUE), "pass"),
    },
    rules.retry_what_never_ran: {
        "turned away, it is tried again": (proposal(PENDING, CRASHED, never_ran=True), "SCHEDULED/AwaitingRetry"),
        "turned away for the last time, it crashed": (proposal(PENDING, CRASHED, never_ran=True, rejections=NEVER_RAN.limit), "pass"),
        "what ran is not tried again for free": (proposal(PENDING, CRASHED), "pass"),
        "a failure is never free": (proposal(RUNNING, FAILED, never_ran=True), "pass"),
    },
    rules.retry_failed: {
        "within its budget, it is tried again": (proposal(RUNNING, FAILED, retries=retries(1)), "SCHEDULED/AwaitingRetry"),
        "past its budget, it failed": (proposal(RUNNING, FAILED, retries=retries(1), failures=1), "pass"),
        "without a budget, it failed": (proposal(RUNNING, FAILED), "pass"),
        "where trying again cannot help, it failed": (proposal(RUNNING, FAILED, retries=retries(1), retriable=False), "pass"),
        "the crashes' budget is not touched": (proposal(RUNNING, FAILED, retries=retries(0, 5)), "pass"),
        "what never ran did not fail": (proposal(PENDING, FAILED, retries=retries(1)), "pass"),
        "a refused run is not tried again": (proposal(SCHEDULED, FAILED, retries=retries(1)), "pass"),
    },
    rules.retry_crashed: {
        "crashed while running, it is tried again": (proposal(RUNNING, CRASHED, retries=retries(0, 1)), "SCHEDULED/AwaitingRetry"),
        "crashed while starting, it is tried again": (proposal(PENDING, CRASHED, retries=retries(0, 1)), "SCHEDULED/AwaitingRetry"),
        "past its budget, it crashed": (proposal(RUNNING, CRASHED, retries=retries(0, 2), crashes=2), "pass"),
        "the failures' budget is not touched": (proposal(RUNNING, CRASHED, retries=retries(5, 0)), "pass"),
        "a reason that the budget names": (
            proposal(RUNNING, State(CRASHED, reason="Evicted"), retries=retries(0, 1, "Evicted")),
            "SCHEDULED/AwaitingRetry",
        ),
        "a reason that the budget does not name": (
            proposal(RUNNING, State(CRASHED, reason="OOMKilled"), retries=retries(0, 1, "Evicted")),
            "pass",
        ),
        "a refused run is not tried again": (proposal(SCHEDULED, CRASHED, retries=retries(0, 1)), "pass"),
    },
    task_rules.use_kept_result: {
        "a result that is kept stands in for the run": (proposal(PENDING, RUNNING, kept=KEPT), "COMPLETED/Cached"),
        "a result that is still good stands in": (proposal(PENDING, RUNNING, kept=replace(KEPT, expires=NOW + SECOND)), "COMPLETED/Cached"),
        "an expired one does not, and the record states that": (
            proposal(PENDING, RUNNING, kept=replace(KEPT, expires=NOW)),
            "accept: the kept result expired at 2026-01-01T12:00:00Z",
        ),
        "nor does one if a new one is requested": (
            proposal(PENDING, RUNNING, kept=KEPT, refresh=True),
            "accept: a new result is requested",
        ),
        "nor does one that cannot be read": (proposal(PENDING, RUNNING, kept_issue="corrupt"), "accept: corrupt"),
        "without one the run begins": (proposal(PENDING, RUNNING), "pass"),
        "a failure is nothing to be stood in for": (proposal(RUNNING, FAILED, kept=KEPT), "pass"),
        "nor is a retry": (proposal(SCHEDULED, PENDING, kept=KEPT), "pass"),
    },
    task_rules.replay_recorded_result: {
        "a recorded result stands in for the run": (proposal(PENDING, RUNNING, recorded=KEPT), "COMPLETED/Cached"),
        "also if it expired": (proposal(PENDING, RUNNING, recorded=replace(KEPT, expires=NOW - HOUR)), "COMPLETED/Cached"),
        "without one the run begins, and the record states why": (
            proposal(PENDING, RUNNING, unrecorded="not persisted"),
            "accept: not persisted",
        ),
        "outside of replays it does not apply": (proposal(PENDING, RUNNING, kept=KEPT), "pass"),
    },
    task_rules.wait_for_tag_slots: {
        "without a free slot the run waits": (proposal(PENDING, RUNNING, tag_limits=BLOCKED), "wait"),
        "with its slots it begins": (proposal(PENDING, RUNNING, tag_limits=replace(BLOCKED, next_time=None)), "pass"),
        "without limits it begins": (proposal(PENDING, RUNNING), "pass"),
        "it may end while it waits": (proposal(PENDING, CANCELLED, tag_limits=BLOCKED), "pass"),
    },
    task_rules.complete_without_result: {
        "a result that is not persisted gives the run another name": (
            proposal(RUNNING, COMPLETED, unpersisted=LOST),
            "COMPLETED/NotPersisted",
        ),
        "also after the run completed": (proposal(COMPLETED, COMPLETED, unpersisted=LOST, explicit=True), "COMPLETED/NotPersisted"),
        "a persisted one does not": (proposal(RUNNING, COMPLETED), "pass"),
        "a failed run has no result": (proposal(RUNNING, FAILED, unpersisted=LOST), "pass"),
    },
    task_rules.cancel_what_is_left: {
        "what a flow left is cancelled": (proposal(RUNNING, State(CANCELLED, reason="FlowEnded")), "accept: what it is part of has ended"),
        "what a task left too": (proposal(PENDING, State(CANCELLED, reason="TaskEnded")), "accept: what it is part of has ended"),
        "what its caller cancels is another matter": (proposal(RUNNING, State(CANCELLED, reason="Cancelled")), "pass"),
    },
    task_rules.run_in_process_order: {
        "the order of a process": (proposal(PENDING, RUNNING), "pass"),
        "a paused run may be interrupted": (proposal(PAUSED, CRASHED), "pass"),
        "a run does not begin without PENDING": (proposal(SCHEDULED, RUNNING), "abort"),
        "an end is left if that is explicit": (proposal(COMPLETED, COMPLETED, explicit=True), "pass"),
        "and not otherwise": (proposal(COMPLETED, RUNNING), "abort"),
    },
}


@pytest.mark.parametrize(
    ("rule", "transition", "expected"),
    [
        pytest.param(rule, transition, expected, id=f"{rule.name}: {sentence}")
        for rule, cases in CASES.items()
        for sentence, (transition, expected) in cases.items()
    ],
)
def test_each_rule_says_what_its_sentence_says(rule: Rule, transition: Transition, expected: str) -> None:
    """One row per thing a rule must say, and per thing it must leave alone."""
    assert outcome(rule, transition) == expected


def test_every_rule_of_every_policy_has_a_table_and_a_sentence() -> None:
    """A rule nobody described or tested is not a rule."""
    for rule in {*FLOW_RUN_POLICY, *TASK_RUN_POLICY}:
        assert rule in CASES
        assert getattr(rules, rule.name, None) is rule or getattr(task_rules, rule.name) is rule
        assert rule.sentence.endswith(".")


def test_no_rule_changes_its_transition_or_depends_on_being_asked_twice() -> None:
    """Rules are pure: the same question has the same answer."""
    for rule, cases in CASES.items():
        for transition, _ in cases.values():
            assert rule.judge(transition) == rule.judge(transition)


def test_a_pending_timeout_says_what_held_the_workload_back() -> None:
    """The reason is that of the start issue, not of the pod's deletion; PendingTimeout where none was seen."""
    held_back = rules.time_out_pending.judge(proposal(PULLING, State(CRASHED, reason="PodDeleted"), **OVERDUE))
    assert isinstance(held_back, Redirect)
    assert (held_back.state.reason, held_back.state.message) == ("ImagePullBackOff", "no such image")
    unknown = rules.time_out_pending.judge(proposal(PENDING, State(CRASHED, reason="PodDeleted"), **OVERDUE))
    assert isinstance(unknown, Redirect)
    assert unknown.state.reason == "PendingTimeout"


def test_a_cancelled_end_tells_how_the_workload_ended() -> None:
    """What it said last is kept in the message."""
    verdict = rules.cancelling_ends_cancelled.judge(proposal(CANCELLING, State(FAILED, reason="ValueError", message="no such file")))
    assert isinstance(verdict, Redirect)
    assert (verdict.state.reason, verdict.state.message) == ("Cancelled", "ended Failed while being cancelled: no such file")


@pytest.mark.parametrize(("used", "seconds"), [(0, 10), (1, 20), (2, 40), (8, 600)])
def test_a_retry_waits_longer_each_time_and_keeps_its_cause(used: int, seconds: int) -> None:
    """The state after a failure is due after the backoff and tells why."""
    failed = State(FAILED, reason="ValueError", message="no such file")
    verdict = rules.retry_failed.judge(proposal(RUNNING, failed, retries=retries(9), failures=used))
    assert isinstance(verdict, Redirect)
    assert verdict.state.scheduled_time == NOW + timedelta(seconds=seconds)
    assert (verdict.state.reason, verdict.state.message) == ("ValueError", "no such file")
    assert verdict.reason == f"failure {used + 1} of 9 allowed, again in {seconds:.1f} s"


def test_a_wait_for_a_slot_names_the_limit_and_the_reason_of_the_state() -> None:
    """The reason of the state is AwaitingConcurrencySlot meanwhile; of several limits, the one without a free slot is named."""
    verdict = task_rules.wait_for_tag_slots.judge(proposal(PENDING, RUNNING, tag_limits=BLOCKED))
    assert verdict == Wait(NOW + SECOND, "waits for a slot of tag:gpu", "AwaitingConcurrencySlot")


def test_the_reason_of_a_redirect_stays_if_a_later_rule_has_no_objection() -> None:
    """A rule that only states why it lets something pass decides nothing."""
    trail = decide(TASK_RUN_POLICY, proposal(PENDING, RUNNING, unrecorded="not persisted", kept=KEPT))
    assert [(opinion.rule, type(opinion.verdict).__name__) for opinion in trail.trail] == [
        ("replay_recorded_result", "Accept"),
        ("use_kept_result", "Redirect"),
    ]
    assert (trail.rule, trail.verdict) == ("use_kept_result", "Redirect")


#: From (row, None first) to (column), without any wish or budget: y entered, n refused, otherwise where it leads.
TABLE = """
             SCHEDULED PENDING RUNNING COMPLETED FAILED    CRASHED   PAUSED    CANCELLING CANCELLED
-            y         n       n       n         n         n         n         n          n
SCHEDULED    y         y       n       n         y         y         y         y          y
PENDING      y         y       y       n         y         y         y         y          y
RUNNING      y         n       n       y         y         y         y         y          y
COMPLETED    n         n       n       n         n         n         n         n          n
FAILED       n         n       n       n         n         n         n         n          n
CRASHED      n         n       n       n         n         n         n         n          n
PAUSED       y         n       n       n         y         n         n         y          y
CANCELLING   n         n       n       CANCELLED CANCELLED CANCELLED CANCELLED n          y
CANCELLED    n         n       n       n         n         n         n         n          n
"""
HEADER, *ROWS = (line.split() for line in TABLE.strip().splitlines())
EXPECTED = {
    (None if name == "-" else StateType(name), StateType(column)): cell
    for name, *cells in ROWS
    for column, cell in zip(HEADER, cells, strict=True)
}
PAIRS = list(product([None, *StateType], StateType))


@pytest.mark.parametrize(("before", "after"), PAIRS, ids=[f"{before or 'nothing'} to {after}" for before, after in PAIRS])
def test_who_may_follow_whom(before: StateType | None, after: StateType) -> None:
    """All ninety pairs against a table written by hand."""
    decision = decide(FLOW_RUN_POLICY, proposal(before, after))
    expected = EXPECTED[before, after]
    found = "n" if decision.state is None else "y" if decision.state.type == after else decision.state.type
    assert found == expected


@pytest.mark.parametrize("after", list(StateType))
def test_no_attempt_that_is_over_is_heard_whatever_it_says(after: StateType) -> None:
    """The fence is the policy's first rule, so that no other has a word in it."""
    for before in StateType:
        decision = decide(FLOW_RUN_POLICY, proposal(before, after, attempt=1, current_attempt=2, cancel_requested=True))
        assert (decision.state, decision.rule) == (None, "fence_stale_attempts")


@pytest.mark.parametrize("end", sorted(TERMINAL))
def test_an_end_is_defended_by_the_rule_that_says_so(end: StateType) -> None:
    """And explained by it, whatever is proposed."""
    for after in StateType:
        decision = decide(FLOW_RUN_POLICY, proposal(end, after))
        assert decision.rule == "terminal_states_stay"
        assert decision.reason == f"the run already ended {end.capitalize()}"


FACTS = [
    {
        "cancel_requested": cancel,
        "suspend_requested": suspend,
        "stopped": stopped,
        "deadline": deadline,
        "retries": budget,
        "never_ran": new,
    }
    for cancel, suspend, stopped, new in product([False, True], repeat=4)
    for deadline in (None, NOW - SECOND, NOW + HOUR)
    for budget in (Retries(), retries(1, 1))
]


@pytest.mark.parametrize(("before", "after"), PAIRS, ids=[f"{before or 'nothing'} to {after}" for before, after in PAIRS])
def test_whatever_is_wished_no_policy_leaves_the_order(before: StateType | None, after: StateType) -> None:
    """Wishes, timeouts and budgets redirect, but only along edges that exist, and never out of an end."""
    for facts, policy in product(FACTS, (FLOW_RUN_POLICY, TASK_RUN_POLICY)):
        decision = decide(policy, proposal(before, after, **facts))
        if decision.state is None:
            continue
        assert (before, decision.state.type) in (rules.ORDER if policy is FLOW_RUN_POLICY else task_rules.PROCESS_ORDER)
        assert before not in TERMINAL
        if policy is FLOW_RUN_POLICY and before == CANCELLING:
            assert decision.state.type == CANCELLED


def test_an_explicit_rerun_is_the_only_way_out_of_an_end() -> None:
    """Each end can be left for SCHEDULED where somebody asked for it, and the decision is an ordinary Accept."""
    for end in TERMINAL:
        decision = decide(FLOW_RUN_POLICY, proposal(end, SCHEDULED, explicit=True))
        assert decision.state is not None
        assert decision.verdict == "Accept"


def test_a_kept_result_expires_when_its_run_leaves_its_end() -> None:
    """What is run again, or rolled back, takes its kept result with it; every other step leaves it alone."""
    for end in TERMINAL:
        assert decide(TASK_RUN_POLICY, proposal(end, SCHEDULED, explicit=True)).expires_kept_result
        assert decide(TASK_RUN_POLICY, proposal(end, State(COMPLETED, "RolledBack"), explicit=True)).expires_kept_result
        assert not decide(TASK_RUN_POLICY, proposal(end, SCHEDULED)).expires_kept_result
    assert not decide(TASK_RUN_POLICY, proposal(RUNNING, COMPLETED)).expires_kept_result


def test_the_trail_tells_every_opinion_in_order() -> None:
    """A timeout becomes a retry: both rules are on record, the last one decided."""
    transition = proposal(RUNNING, State(CRASHED, reason="PodDeleted"), **OVERDUE, retries=retries(1))
    decision = decide(FLOW_RUN_POLICY, transition)
    assert [opinion.rule for opinion in decision.trail] == ["time_out_running", "retry_failed"]
    assert (decision.rule, decision.verdict) == ("retry_failed", "Redirect")
    assert decision.reason == "failure 1 of 1 allowed, again in 10.0 s"
    assert decision.accepted
    assert decision.transition is transition
    assert decision.state is not None
    assert (decision.state.name, decision.state.reason) == ("AwaitingRetry", "TimedOut")


def test_a_plain_yes_leaves_no_trail() -> None:
    """Nobody objected: Accept, without rule or reason, begun now."""
    decision = decide(FLOW_RUN_POLICY, proposal(PENDING, RUNNING))
    assert (decision.verdict, decision.rule, decision.reason, decision.trail) == ("Accept", "", "", ())
    assert decision.state == State(RUNNING, time=NOW)


def test_a_wait_says_until_when_and_nobody_is_asked_after_it() -> None:
    """The run stays; the proposal is to be made again."""
    decision = decide(FLOW_RUN_POLICY, proposal(scheduled(NOW + HOUR), PENDING))
    assert (decision.state, decision.until, decision.accepted) == (None, NOW + HOUR, False)
    assert (decision.rule, decision.verdict) == ("wait_for_scheduled_time", "Wait")
    assert decision.reason == "due at 2026-01-01T13:00:00Z"


def test_a_refusal_ends_the_asking() -> None:
    """The first Abort is the last word: what rules after it would say is not asked."""

    def explode(_: Transition) -> Verdict | None:
        pytest.fail("asked after an Abort")

    decision = decide((rules.terminal_states_stay, Rule("explode", "", None, explode)), proposal(COMPLETED, RUNNING))
    assert (decision.state, decision.until, decision.verdict) == (None, None, "Abort")


def test_a_state_that_knows_when_it_began_keeps_its_time() -> None:
    """A pod tells when its container started; that is when RUNNING began."""
    decision = decide(FLOW_RUN_POLICY, proposal(PENDING, State(RUNNING, time=NOW - HOUR)))
    assert decision.state is not None
    assert decision.state.time == NOW - HOUR


def test_a_task_run_follows_the_same_rules_of_retrying() -> None:
    """In the client as on the server: failure and crash each by their own budget."""
    for end, budget in ((FAILED, retries(1)), (CRASHED, retries(0, 1))):
        decision = decide(TASK_RUN_POLICY, proposal(RUNNING, end, retries=budget))
        assert decision.state is not None
        assert decision.state.name == "AwaitingRetry"
