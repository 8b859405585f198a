"""A run's ledger put through any sequence of proposals, wishes and moments, by hypothesis."""

from __future__ import annotations

from datetime import timedelta

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from mintaka_core.backoff import NEVER_RAN, Backoff, Budget, Retries
from mintaka_core.policies import FLOW_RUN_POLICY
from mintaka_core.reconciling.ledger import Ledger
from mintaka_core.resources import FlowRun
from mintaka_core.resources.runs import TRANSITIONS_KEPT, TransitionStatus
from mintaka_core.rules import ORDER
from mintaka_core.states import CANCELLED, CANCELLING, PAUSED, PENDING, SCHEDULED, TERMINAL, State, StateType
from simulated.agenda import START

_PLAIN = Backoff(delay_seconds=1, factor=2, max_seconds=60, jitter=0.5)
RETRIES = Retries(Budget(2, _PLAIN), Budget(3, _PLAIN, frozenset({"Evicted", "OOMKilled"})))
REASONS = st.sampled_from(["", "Evicted", "OOMKilled", "ValueError"])


class LifeOfARun(RuleBasedStateMachine):
    """Whoever proposes whatever, whenever: the ledger stays in order."""

    def __init__(self) -> None:
        super().__init__()
        self.now = START
        self.run = FlowRun.model_validate({"metadata": {"name": "r", "uid": "u", "generation": 1}, "spec": {"deployment": "d"}})
        self.history: list[TransitionStatus] = []
        self.cancelled_in: StateType | None = None

    @property
    def state(self) -> StateType | None:
        """The present state type."""
        return self.run.status.state.type if self.run.status.state else None

    @rule(
        proposed=st.sampled_from(list(StateType)),
        reason=REASONS,
        behind=st.integers(0, 2),
        stopped=st.booleans(),
        never_ran=st.booleans(),
        retriable=st.booleans(),
    )
    def propose(self, proposed: StateType, reason: str, behind: int, stopped: bool, never_ran: bool, retriable: bool) -> None:
        """Somebody says that the run is in another state now; perhaps an attempt that is over."""
        before = self.run.status
        ledger = Ledger(self.run, RETRIES, self.now, FLOW_RUN_POLICY)
        attempt = max(before.attempt - behind, 0)
        decision = ledger.propose(
            State(proposed, reason=reason), attempt=attempt, stopped=stopped, never_ran=never_ran, retriable=retriable
        )
        if decision.state is None:
            assert all(record.verdict == "Wait" for record in ledger.new), "a refusal alone was written"
            assert ledger.status.state == before.state
        assert attempt == before.attempt or decision.state is None, "an attempt that is over was heard"
        if before.is_terminal:
            assert decision.state is None, "an end was left"
        if self.run.spec.suspend and decision.state is not None and before.state is not None:
            assert decision.state.type not in (PENDING, SCHEDULED), "it starts though it is suspended"
        if before.state is not None and before.state.type == CANCELLING and decision.state is not None:
            assert decision.state.type == CANCELLED
        status = ledger.settle() or ledger.status
        self.history += ledger.new
        self.run = self.run.model_copy(update={"status": status})

    @precondition(lambda self: self.state == SCHEDULED)
    @rule()
    def start(self) -> None:
        """The next attempt begins, where the run is due."""
        ledger = Ledger(self.run, RETRIES, self.now, FLOW_RUN_POLICY)
        due = self.run.status.next_time
        decision = ledger.propose(State(PENDING), attempt=self.run.status.attempt + 1)
        if due is not None and due > self.now and not self.run.spec.suspend:
            assert decision.until == due
        else:
            assert decision.state is not None
        status = ledger.settle() or ledger.status
        self.history += ledger.new
        self.run = self.run.model_copy(update={"status": status})

    @rule(suspend=st.booleans())
    def suspend(self, suspend: bool) -> None:
        """The owner changes his mind."""
        self.run = self.run.model_copy(update={"spec": self.run.spec.model_copy(update={"suspend": suspend})})

    @rule()
    def cancel(self) -> None:
        """The owner cancels, and the reconciler proposes what follows."""
        self.run = self.run.model_copy(update={"spec": self.run.spec.model_copy(update={"cancel": True})})
        if self.state not in {None, CANCELLING}:
            self.propose(CANCELLING, "Cancelling", 0, stopped=False, never_ran=False, retriable=True)
            assert self.state in TERMINAL | {CANCELLING}
            assert self.state != PAUSED

    @rule(seconds=st.floats(-5, 400))
    def pass_time(self, seconds: float) -> None:
        """Time goes by, or an operator with a slower clock takes over."""
        self.now += timedelta(seconds=seconds)

    @invariant()
    def sequences_have_no_gap(self) -> None:
        """From 1 on, and the status keeps the latest."""
        assert [transition.sequence for transition in self.history] == list(range(1, len(self.history) + 1))
        assert self.run.status.sequence == len(self.history)
        assert list(self.run.status.transitions) == self.history[-TRANSITIONS_KEPT:]

    @invariant()
    def edges_are_allowed_and_times_only_grow(self) -> None:
        """Each transition begins where the last one ended."""
        before, time = None, None
        for transition in self.history:
            assert transition.from_type == before
            if not transition.accepted:
                assert transition.to == before
                continue
            assert (before, transition.to) in ORDER
            assert time is None or transition.time >= time
            before, time = transition.to, transition.time

    @invariant()
    def budgets_are_kept(self) -> None:
        """Retries granted are as many as the transitions that say so, and never more than the limits."""
        status = self.run.status
        counts = dict.fromkeys(("retry_failed", "retry_crashed", "retry_what_never_ran"), 0)
        for transition in self.history:
            if transition.rule in counts:
                counts[transition.rule] += 1
        assert list(counts.values()) == [status.failures, status.crashes, status.rejections]
        assert (status.failures <= 2, status.crashes <= 3, status.rejections <= NEVER_RAN.limit) == (True, True, True)

    @invariant()
    def an_end_has_a_time_and_a_condition(self) -> None:
        """What `kubectl wait` waits for is there exactly when the run is over."""
        finished = [condition for condition in self.run.status.conditions if (condition.type, condition.status) == ("Finished", "True")]
        assert bool(finished) == self.run.status.is_terminal == (self.run.status.end_time is not None)
        suspended = [condition.status for condition in self.run.status.conditions if condition.type == "Suspended"]
        assert (suspended == ["True"]) == (self.state == PAUSED)


LifeOfARun.TestCase.settings = settings(max_examples=60, stateful_step_count=40)
TestLifeOfARun = LifeOfARun.TestCase
