"""What is recorded of decisions: waits, refusals, trails; when they are written, and what they count for."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from mintaka_core import rules
from mintaka_core.policies import FLOW_RUN_POLICY
from mintaka_core.reconciling.ledger import Ledger
from mintaka_core.resources.runs import TRANSITIONS_KEPT
from mintaka_core.states import CRASHED, FAILED, PENDING, RUNNING, SCHEDULED, State
from mintaka_core.transitions import Abort, Redirect, Rule, Transition, Verdict, Wait
from run_scenario import START, Stage, crashed, failed

if TYPE_CHECKING:
    from collections.abc import Callable

    from mintaka_core.transitions import Policy

MINUTE = timedelta(minutes=1)
ONCE = {"limit": 1, "backoff": {"delaySeconds": 60, "jitter": 0}}
STARTS = rules.edges([SCHEDULED], [PENDING])


class Door:
    """A rule that holds back starts as the test wants it: `verdict` is its answer to each."""

    def __init__(self, verdict: Verdict | None) -> None:
        self.verdict = verdict

    @property
    def policy(self) -> Policy:
        """The usual rules, then this one."""
        return (*FLOW_RUN_POLICY, Rule("hold_the_door", "A run starts when the door is open.", STARTS, lambda _: self.verdict))


def until(minutes: float, reason: str = "the door is shut") -> Wait:
    """A wait."""
    return Wait(START + timedelta(minutes=minutes), reason)


def waits(stage: Stage) -> list[tuple[str, float | None]]:
    """The decisions of the door that changed nothing: the reason, and until which minute."""
    return [(each.message, each.until and (each.until - START) / MINUTE) for each in stage.history if not each.accepted]


class TestWaits:
    """A proposal that is valid but early."""

    def test_a_wait_is_written_with_the_state_it_begins_in(self) -> None:
        """The first state and the wait are one write; the record states in which state the run stays, and until when."""
        stage = Stage(spec={"scheduledTime": START + MINUTE})
        assert stage.writes == 1
        first, wait = stage.run.status.transitions
        assert (first.to, first.sequence) == (SCHEDULED, 1)
        assert (wait.from_type, wait.to, wait.name, wait.proposed, wait.sequence) == (SCHEDULED, SCHEDULED, "Scheduled", PENDING, 2)
        assert (wait.verdict, wait.rule, wait.until, wait.attempt) == ("Wait", "wait_for_scheduled_time", START + MINUTE, 1)
        assert wait.message == "due at 2026-01-01T12:01:00Z"
        assert wait.facts == {"current": {"scheduledTime": "2026-01-01T12:01:00.000000Z"}}
        assert stage.due == START + MINUTE

    def test_the_same_wait_is_recorded_once(self) -> None:
        """However often it is proposed; the run starts when it is over."""
        door = Door(until(60))
        stage = Stage(policy=door.policy)
        for _ in range(50):
            stage.pass_time(60)
        assert (stage.writes, waits(stage)) == (1, [("the door is shut", 60)])
        door.verdict = None
        assert stage.pass_time(600).state == "PENDING"
        assert stage.writes == 2

    def test_the_begin_of_a_wait_is_a_write_of_its_own(self) -> None:
        """The run was about to start when the door was shut: the owner reads why it does not."""
        door = Door(None)
        stage = Stage(spec={"scheduledTime": START + MINUTE}, policy=door.policy)
        door.verdict = until(60)
        stage.pass_time(60)
        assert stage.writes == 2
        assert stage.stayed == ["Wait wait_for_scheduled_time: due at 2026-01-01T12:01:00Z", "Wait hold_the_door: the door is shut"]
        assert stage.due == START + 60 * MINUTE

    def test_another_reason_is_a_write_of_its_own(self) -> None:
        door = Door(until(60))
        stage = Stage(policy=door.policy)
        door.verdict = until(60, "the lock is stuck")
        stage.pass_time(1)
        assert (stage.writes, waits(stage)) == (2, [("the door is shut", 60), ("the lock is stuck", 60)])

    def test_a_reason_is_written_once_in_thirty_seconds(self) -> None:
        """Two reasons that alternate, and move their end each time, cost a write per reason and half a minute."""
        door = Door(until(60))
        stage = Stage(policy=door.policy)
        for second in range(1, 121):
            door.verdict = until(60 + second, "the door is shut" if second % 2 == 0 else "the lock is stuck")
            stage.pass_time(1)
        assert 6 <= stage.writes <= 2 * 5

    def test_a_wait_that_is_replaced_in_time_is_written_with_the_next_change(self) -> None:
        """The same reason with another end, before the first has passed: no write of its own."""
        door = Door(until(60))
        stage = Stage(policy=door.policy)
        door.verdict = until(90)
        stage.pass_time(300)
        assert (stage.writes, waits(stage)) == (1, [("the door is shut", 60)])
        stage.pass_time(60).ask(suspend=True)
        assert stage.state == "PAUSED/Suspended Suspended"
        assert (stage.writes, waits(stage)) == (2, [("the door is shut", 60), ("the door is shut", 90)])
        assert [record.verdict for record in stage.history] == ["Accept", "Wait", "Wait", "Redirect"]

    def test_a_wait_that_is_over_and_begins_anew_is_written(self) -> None:
        """The time in the status would be wrong: it is past."""
        door = Door(until(1))
        stage = Stage(policy=door.policy)
        door.verdict = until(2)
        stage.pass_time(60)
        assert (stage.writes, waits(stage)) == (2, [("the door is shut", 1), ("the door is shut", 2)])

    def test_a_reason_that_comes_back_at_once_is_written_when_its_half_minute_is_over(self) -> None:
        """Until then the run is checked again."""
        door = Door(until(60))
        stage = Stage(policy=door.policy)
        door.verdict = until(60, "the lock is stuck")
        stage.pass_time(5)
        door.verdict = until(61)
        stage.pass_time(5)
        assert (stage.writes, stage.due) == (2, START + timedelta(seconds=30))
        stage.pass_time(20)
        assert (stage.writes, waits(stage)[-1]) == (3, ("the door is shut", 61))

    def test_a_retry_that_waits_is_written_with_the_retry(self) -> None:
        stage = Stage(retries={"onFailure": ONCE}).start().end(failed())
        retry, wait = stage.run.status.transitions[-2:]
        assert (retry.name, retry.verdict) == ("AwaitingRetry", "Redirect")
        assert (wait.verdict, wait.proposed, wait.attempt, wait.until) == ("Wait", PENDING, 2, retry.time + MINUTE)
        assert stage.writes == 3

    def test_a_wait_of_another_rule_leaves_the_scheduled_time_alone(self) -> None:
        """The status' next time stays that of the state; the time of the next check is the wait's."""
        stage = Stage(policy=Door(until(60)).policy)
        assert stage.run.status.next_time is None
        assert stage.due == START + 60 * MINUTE


class TestRefusals:
    """A proposal that is not allowed."""

    def test_a_refusal_alone_is_never_written(self) -> None:
        """It is recorded with the first state, and causes no write after that, however often it is repeated."""
        stage = Stage(policy=Door(Abort("never")).policy)
        assert stage.stayed == ["Abort hold_the_door: never"]
        for _ in range(10):
            stage.pass_time(60)
        assert (stage.writes, stage.run.status.sequence) == (1, 2)
        assert stage.state == "SCHEDULED"

    def test_a_refusal_travels_with_the_next_write_once(self) -> None:
        """Not again while the last record is the same; again after something else happened."""
        door = Door(Abort("never"))
        stage = Stage(policy=door.policy)
        door.verdict = Abort("still not")
        stage.pass_time(60).pass_time(60)
        assert (stage.writes, stage.stayed) == (1, ["Abort hold_the_door: never"])
        stage.ask(suspend=True)
        assert (stage.writes, stage.stayed) == (2, ["Abort hold_the_door: never", "Abort hold_the_door: still not"])
        assert stage.history[2].time == START + MINUTE, "it is recorded when it was refused first"

    def test_of_very_many_refusals_the_last_are_recorded(self) -> None:
        """A reason that is another each time is not remembered without a limit; sequences have no gap."""
        door = Door(Abort("never"))
        stage = Stage(policy=door.policy)
        for number in range(100):
            door.verdict = Abort(f"not for the {number}th time")
            stage.pass_time(60)
        stage.ask(suspend=True)
        assert stage.stayed[1:] == [f"Abort hold_the_door: not for the {number}th time" for number in range(92, 100)]
        assert stage.writes == 2

    def test_what_was_noted_before_another_operator_wrote_is_forgotten(self) -> None:
        """Its numbers are taken, and it may no longer follow from the state."""
        door = Door(Abort("never"))
        stage = Stage(policy=door.policy)
        door.verdict = Abort("still not")
        stage.pass_time(60)
        noted = stage.noted
        stage.noted = ()
        stage.ask(suspend=True)
        stage.noted = noted
        stage.ask(suspend=False)
        assert [record.sequence for record in stage.history] == list(range(1, len(stage.history) + 1))

    def test_a_run_without_a_state_has_none_to_stay_in(self) -> None:
        """What would be its first state is refused: there is nothing to record, and nothing breaks."""
        never = Rule("never", "", rules.edges([None], [SCHEDULED]), lambda _: Abort("never"))
        stage = Stage(policy=(never,))
        assert (stage.state, stage.history) == ("nothing", [])

    def test_a_proposal_of_a_stale_attempt_is_recorded_with_the_next_change(self) -> None:
        """The order is preserved, and sequences have no gap."""
        run = Stage(retries={"onFailure": ONCE}).start().run
        ledger = Ledger(run, rules_of_one(), START + MINUTE, FLOW_RUN_POLICY)
        ledger.propose(State(FAILED), attempt=0)
        assert (ledger.settle(), ledger.new) == (None, [])
        ledger.propose(State(FAILED), attempt=1)
        status = ledger.settle()
        assert status is not None
        assert [(each.sequence, each.verdict, each.attempt) for each in status.transitions[-2:]] == [(4, "Abort", 0), (5, "Redirect", 1)]
        assert list(status.transitions[-2:]) == ledger.new
        assert status.transitions[-2].facts == {"currentAttempt": 1}


def rules_of_one() -> Any:
    """Budgets of one retry each."""
    budgets = Stage(retries={"onFailure": ONCE, "onCrash": ONCE}).template
    assert budgets is not None
    return budgets.retries.budgets()


def _afterwards(change: Callable[[State], State]) -> Rule:
    def judge(transition: Transition) -> Verdict | None:
        return Redirect(change(transition.proposed), "said afterwards") if transition.proposed.name == "AwaitingRetry" else None

    return Rule("speak_afterwards", "A rule that a user added after the retries.", None, judge)


#: The usual rules, and one that speaks after a retry was granted and moves it by an hour.
LATER = (*FLOW_RUN_POLICY, _afterwards(lambda state: replace(state, scheduled_time=START + 60 * MINUTE)))


class TestBudgets:
    """Counted from all opinions of a trail."""

    @pytest.mark.parametrize(
        ("budget", "rule", "end", "template"),
        [
            ("failures", "retry_failed", lambda stage: stage.start().end(failed()), {"retries": {"onFailure": ONCE}}),
            ("crashes", "retry_crashed", lambda stage: stage.start().end(crashed()), {"retries": {"onCrash": ONCE}}),
            ("rejections", "retry_what_never_ran", lambda stage: stage.end(crashed("OutOfcpu"), never_ran=True), {}),
        ],
        ids=["failures", "crashes", "rejections"],
    )
    def test_a_rule_that_speaks_after_the_retry_does_not_uncount_it(self, budget: str, rule: str, end: Any, template: Any) -> None:
        """Without this, a run with such a rule would be tried again for ever."""
        stage = end(Stage(policy=LATER, **template))
        record = stage.entered[-1]
        assert (record.rule, record.name) == ("speak_afterwards", "AwaitingRetry")
        assert [(opinion.rule, opinion.verdict) for opinion in record.trail] == [(rule, "Redirect"), ("speak_afterwards", "Redirect")]
        assert getattr(stage.run.status, budget) == 1
        others = {"failures", "crashes", "rejections"} - {budget}
        assert [getattr(stage.run.status, other) for other in others] == [0, 0]

    def test_the_budget_ends_although_another_rule_decides(self) -> None:
        stage = Stage(policy=LATER, retries={"onFailure": ONCE}).start().end(failed())
        stage.pass_time(to=START + 60 * MINUTE).start().end(failed())
        assert (stage.state, stage.run.status.failures) == ("FAILED ValueError", 1)

    def test_a_retry_that_is_made_to_wait_is_not_counted_yet(self) -> None:
        """Nothing was granted; the end is proposed again when the wait is over."""
        later: list[Verdict | None] = [Wait(START + MINUTE, "not now")]
        slow = Rule("slow", "", rules.edges([RUNNING], [SCHEDULED]), lambda _: later[0])
        stage = Stage(policy=(*FLOW_RUN_POLICY, slow), retries={"onFailure": ONCE}).start().end(failed())
        assert (stage.state, stage.run.status.failures, stage.due) == ("RUNNING", 0, START + MINUTE)
        record = stage.run.status.transitions[-1]
        assert [opinion.rule for opinion in record.trail] == ["retry_failed", "slow"]
        assert (record.verdict, record.proposed, record.to) == ("Wait", FAILED, RUNNING)
        later[0] = None
        stage.pass_time(60)
        assert (stage.state, stage.run.status.failures) == ("SCHEDULED/AwaitingRetry ValueError", 1)


class TestTrails:
    """The opinions behind a decision."""

    def test_a_single_opinion_is_the_record_itself(self) -> None:
        stage = Stage(retries={"onFailure": ONCE}).start().end(failed())
        record = stage.entered[-1]
        assert (record.rule, record.trail) == ("retry_failed", ())
        assert "trail" not in record.to_wire()

    def test_several_opinions_are_recorded_in_order(self) -> None:
        """A timeout becomes a retry; both reasons can be read."""
        stage = Stage(timeoutSeconds=60, retries={"onFailure": ONCE}).start().pass_time(61)
        record = stage.end(crashed()).entered[-1]
        assert [(each.rule, each.verdict, each.reason) for each in record.trail] == [
            ("time_out_running", "Redirect", "run timeout"),
            ("retry_failed", "Redirect", "failure 1 of 1 allowed, again in 60.0 s"),
        ]
        assert (record.proposed, record.name, record.reason) == (CRASHED, "AwaitingRetry", "TimedOut")

    def test_very_many_long_opinions_fit_into_a_status(self) -> None:
        """Forty rules of users that each say a lot: the last sixteen, cut; the status stays far below its limit."""
        many = tuple(
            Rule(f"rule_{number}", "", rules.edges([SCHEDULED], [PENDING]), lambda _: Redirect(State(PENDING), "é" * 900))
            for number in range(40)
        )
        stage = Stage(policy=(*FLOW_RUN_POLICY, *many), retries={"onFailure": {**ONCE, "limit": 40}})
        for _ in range(40):
            stage.start().end(failed(message="é" * 4000)).pass_time(to=stage.run.status.next_time)
        status = stage.run.status
        assert len(status.transitions) == TRANSITIONS_KEPT
        trail = next(record.trail for record in status.transitions if record.to == PENDING)
        assert [opinion.rule for opinion in trail] == [f"rule_{number}" for number in range(24, 40)]
        assert len(stage.run.model_dump_json(by_alias=True).encode()) < 200_000


def test_the_policy_comes_with_the_observation() -> None:
    """Another policy, another outcome: no rule is built in."""
    stage = Stage(policy=(rules.run_in_order,), spec={"scheduledTime": datetime(2030, 1, 1, tzinfo=START.tzinfo)})
    assert stage.state == "PENDING"
