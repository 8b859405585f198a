"""The status of a flow run while it is being reconciled: every change goes through a proposal and leaves a record."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mintaka_core import rules
from mintaka_core.explaining import explain
from mintaka_core.explanation_facts import facts_of_run
from mintaka_core.names import draw
from mintaka_core.reconciling.records import is_known, is_superseded, record_of, write_time
from mintaka_core.resources.model import Condition, set_condition
from mintaka_core.resources.runs import TRANSITIONS_KEPT, FlowRunStatus, StateStatus, TransitionStatus
from mintaka_core.states import CANCELLED, COMPLETED, CRASHED, FAILED, PAUSED, PENDING, RUNNING, SCHEDULED, SUSPENDING, State
from mintaka_core.transitions import Decision, Transition, decide

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from mintaka_core.backoff import Retries
    from mintaka_core.resources.runs import FlowRun
    from mintaka_core.transitions import Policy

#: Conditions of a finished run, which no longer hold once it runs again.
_OF_THE_END = frozenset({"Completed", "Failed", "Crashed", "Cancelled", "HistoryComplete"})
#: The condition that every run has: False until it has ended. Its message is the explanation of the run, cut to so many characters.
_FINISHED, _EXPLANATION = "Finished", 600
#: Of more decisions that changed nothing and were not written, the last are remembered.
NOTED_LIMIT = 8
#: Rules that are tried on recorded decisions later may read these facts.
_NOTED = frozenset({"failures", "crashes"})
_END_CONDITIONS = {COMPLETED: "Completed", FAILED: "Failed", CRASHED: "Crashed", CANCELLED: "Cancelled"}


class Ledger:
    """Proposes transitions to the policy and collects the resulting status and the records of the decisions.

    `due` is when to propose again what has to wait. `noted` are records of decisions that changed nothing, to be written along
    with the next change: those of earlier passes, if nothing was written since, and of this one.
    """

    def __init__(
        self,
        run: FlowRun,
        retries: Retries,
        now: datetime,
        policy: Policy,
        noted: Sequence[TransitionStatus] = (),
        *,
        live: dict[str, dict[str, int]] | None = None,
        local: bool = False,
    ) -> None:
        self.run = run
        self.now = now
        self.retries = retries
        self.policy = policy
        self.live = live
        self.local = local
        self.status: FlowRunStatus = run.status
        self.new: list[TransitionStatus] = []
        self.due: list[datetime] = []
        self.noted = list(noted) if noted and noted[0].sequence == run.status.sequence + 1 else []

    @property
    def state(self) -> State | None:
        """The state as the rules see it; a SCHEDULED state's due time is the status' next time."""
        kept = self.status.state
        if kept is None:
            return None
        due = self.status.next_time if kept.type == SCHEDULED else None
        return State(kept.type, kept.name, kept.reason, kept.message, kept.time, due)

    @property
    def cancel_requested(self) -> bool:
        """True if the run is cancelled or deleted: deleting an unfinished run cancels it."""
        return self.run.spec.cancel or self.run.metadata.deletion_timestamp is not None

    @property
    def suspending(self) -> bool:
        """True once the workload was to be stopped for spec.suspend, even if that was reset since."""
        return any(condition.type == "Suspended" and condition.reason == SUSPENDING for condition in self.status.conditions)

    def start_suspending(self) -> None:
        """Record that the workload is being stopped for spec.suspend."""
        self.condition("Suspended", holds=False, reason=SUSPENDING, message="the workload is being stopped")

    def keep_going(self) -> None:
        """Record that spec.suspend was reset before anything was stopped."""
        if self.suspending:
            self.condition("Suspended", holds=False, reason="Resumed", message="spec.suspend was taken back")

    def propose(self, proposed: State, *, attempt: int | None = None, **facts: Any) -> Decision:
        """Apply the policy: the run enters the state that it allows, or stays where it is, and that is recorded."""
        status = self.status
        attempt = status.attempt if attempt is None else attempt
        transition = Transition(
            current=self.state,
            proposed=proposed,
            now=self.now,
            attempt=attempt,
            current_attempt=status.attempt,
            failures=status.failures,
            crashes=status.crashes,
            rejections=status.rejections,
            redirects=status.rule_redirects,
            live=self.live,
            retries=self.retries,
            cancel_requested=self.cancel_requested,
            suspend_requested=self.run.spec.suspend or self.suspending,
            jitter=draw(self.run.metadata.uid, attempt),
            deadline=status.next_time,
            **facts,
        )
        decision = decide(self.policy, transition, noted=_NOTED)
        if status.state is not None:
            decision = decision.after(status.state.time)  # a pod's clock has whole seconds and may be another node's
        if decision.state is not None:
            self._enter(decision, decision.state)
        elif status.state is not None:
            self._stay(decision, status.state)
        return decision

    def settle(self) -> FlowRunStatus | None:
        """The status to write, with the records that were to travel with it; None if nothing is worth a write."""
        if self.status == self.run.status:
            return None
        self._record()
        self._explain()
        return self.status

    def update(self, **fields: Any) -> None:
        """Change fields of the status that are not part of a transition."""
        self.status = self.status.model_copy(update=fields)

    def condition(self, kind: str, *, holds: bool, reason: str, message: str = "") -> None:
        """Set one condition of the status."""
        new = Condition(
            type=kind,
            status="True" if holds else "False",
            reason=reason or kind,
            message=message,
            last_transition_time=self.now,
            observed_generation=self.run.metadata.generation,
        )
        self.update(conditions=set_condition(self.status.conditions, new))

    def _enter(self, decision: Decision, state: State) -> None:
        kept = StateStatus.of(state)
        self._record(record_of(decision, self._next_sequence, kept))
        status = self.status
        self.update(
            state=kept,
            # A run that waits for a slot, or is refused one, has begun no attempt.
            attempt=status.attempt if decision.heard(rules.wait_for_a_slot.name) else decision.transition.attempt,
            next_time=state.scheduled_time,
            failures=status.failures + decision.heard(rules.retry_failed.name),
            crashes=status.crashes + decision.heard(rules.retry_crashed.name),
            rule_redirects=status.rule_redirects + decision.redirects_by_users,
            rejections=status.rejections + decision.heard(rules.retry_what_never_ran.name),
        )
        self._mark(kept)

    def _stay(self, decision: Decision, state: StateStatus) -> None:
        """Record that the run waits or that a proposal was refused, unless the status records it already."""
        if decision.again is not None:
            self.due.append(decision.again)
        record, written = record_of(decision, self._next_sequence, state), self.status.transitions
        if is_known(record, written if not self.noted else (*written, *self.noted)):
            if record.verdict == "Abort" or is_known(record, written):
                return
        else:
            self._note(record)
        worth_it = write_time(record, written)
        if worth_it is not None and worth_it <= record.time:
            self._record()
        elif worth_it is not None:
            self.due.append(worth_it)

    def _note(self, record: TransitionStatus) -> None:
        """Remember a record for the next change, in place of an earlier one of the same proposal that gives the same reason."""
        noted = [*(known for known in self.noted if not is_superseded(known, record)), record][-NOTED_LIMIT:]
        first = self.status.sequence + 1
        self.noted = [known.model_copy(update={"sequence": number}) for number, known in enumerate(noted, first)]

    @property
    def _next_sequence(self) -> int:
        return self.status.sequence + len(self.noted) + 1

    def _record(self, *records: TransitionStatus) -> None:
        """Add records to the status, after those that waited for a change."""
        records = (*self.noted, *records)
        self.noted.clear()
        if records:
            self.new += records
            kept = (*self.status.transitions, *records)[-TRANSITIONS_KEPT:]
            self.update(sequence=records[-1].sequence, transitions=kept)

    def _explain(self) -> None:
        """Explain the run, independently of the time: in its condition Finished, and in one word in `problem`."""
        state = self.status.state
        if state is None:
            return
        explanation = explain(facts_of_run(self.run.model_copy(update={"status": self.status}), local=self.local))
        self.update(problem=explanation.reason[:200])
        over = state.type.is_terminal
        reason = state.name if over else explanation.reason or state.name
        self.condition(_FINISHED, holds=over, reason=reason, message=explanation.text[:_EXPLANATION])

    def _mark(self, kept: StateStatus) -> None:
        if self.status.end_time is not None and not kept.type.is_terminal:
            standing = tuple(condition for condition in self.status.conditions if condition.type not in _OF_THE_END)
            self.update(end_time=None, conditions=standing)
        if kept.type.is_terminal:
            self.update(end_time=kept.time, next_time=None)
            self.condition(_END_CONDITIONS[kept.type], holds=True, reason=kept.reason or kept.name, message=kept.message[:1024])
        was_suspended = any(condition.type == "Suspended" and condition.status == "True" for condition in self.status.conditions)
        was_suspended |= self.suspending and kept.type not in (PENDING, RUNNING)
        if kept.type == PAUSED or was_suspended:
            self.condition("Suspended", holds=kept.type == PAUSED, reason=kept.reason or kept.name, message=kept.message)
