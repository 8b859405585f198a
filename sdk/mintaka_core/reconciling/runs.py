"""Reconciling a flow run: from what is seen of it and of its workloads to what to do next.

Each step looks at the state the run is in and proposes the next one; steps repeat until nothing more is to be said, so
one pass may take a run from nothing to PENDING, or, after the operator was away, from PENDING through RUNNING to its end.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from types import MappingProxyType

from mintaka_core import names
from mintaka_core.backoff import Retries
from mintaka_core.reconciling.again import note_suspension, run_again, suspended_end, wait_for_its_owner
from mintaka_core.reconciling.ends import after_the_end, delivery
from mintaka_core.reconciling.ledger import Ledger
from mintaka_core.reconciling.plans import AddFinalizer, CreateWorkload, RunEffect, RunPlan, StopWorkload
from mintaka_core.resources.runs import FlowRun, FlowRunStatus
from mintaka_core.resources.template import FlowTemplate
from mintaka_core.rules import PENDING_TIMEOUT
from mintaka_core.states import (
    CANCELLED,
    CANCELLING,
    COMPLETED,
    CRASHED,
    FAILED,
    PAUSED,
    PENDING,
    RUNNING,
    SCHEDULED,
    SUSPENDED_ITSELF,
    State,
    scheduled,
)
from mintaka_core.transitions import CLOCK_TOLERANCE
from mintaka_core.workloads import Refusal, Workload

#: A workload that was told to stop and has not, this long after its grace period, is forgotten by force: its node is gone.
FORCE_AFTER = timedelta(seconds=300)
#: How soon to look again at a run that no workload can be created for, or whose workload was just asked to stop.
TRY_AGAIN = timedelta(seconds=5)

_STEPS = 8


@dataclass(frozen=True, slots=True)
class RunObservation:
    """Everything the reconciler may know about a run.

    `resumed_from` is the uid under which the results of finished tasks are kept, where that is another run's. `workloads` are those that exist, by attempt; whoever observes has made sure that an attempt missing there does not
    exist. `refusal` says why none can be created; `template` is None when it is not known what to run. `mirrored`: an API
    keeps the history, and the finalizer waits for it; `mirror_patience` is how long a deleted run waits.
    """

    run: FlowRun
    template: FlowTemplate | None
    workloads: Mapping[int, Workload] = field(default_factory=lambda: MappingProxyType({}))
    refusal: Refusal | None = None
    resumed_from: str = ""
    ttl: timedelta = timedelta(days=7)
    mirrored: bool = True
    mirror_patience: timedelta = timedelta(hours=1)


class _Pass:
    """One pass over one run."""

    def __init__(self, seen: RunObservation, now: datetime) -> None:
        self.seen = seen
        self.now = now
        self.ledger = Ledger(seen.run, seen.template.retries.budgets() if seen.template else Retries(), now)
        self.effects: list[RunEffect] = []
        self.due: list[datetime] = []

    @property
    def workload(self) -> Workload | None:
        return self.seen.workloads.get(self.ledger.status.attempt)

    def stop(self, workload: Workload, why: str) -> None:
        """Ask once; force when it did not listen."""
        if not workload.alive:
            return
        if workload.stopping_time is None:
            self._stop(workload, why, force=False)
        elif self.now >= workload.stopping_time + FORCE_AFTER:
            self._stop(workload, f"{why}; it did not stop when asked", force=True)
        else:
            self.due.append(workload.stopping_time + FORCE_AFTER)

    def _stop(self, workload: Workload, why: str, *, force: bool) -> None:
        effect = StopWorkload(workload.name, workload.uid, why, force=force)
        if not any(isinstance(known, StopWorkload) and known.name == workload.name for known in self.effects):
            self.effects.append(effect)
            # It may turn out to be gone already, its event missed: nobody else would say so again.
            self.due.append(self.now + TRY_AGAIN)

    # Each step returns True where it moved the run on, so that the next step looks at the new state.

    def step(self) -> bool:
        state = self.ledger.state
        if state is None:
            spec = self.seen.run.spec
            self.ledger.update(reruns=spec.reruns)  # what it is created with asks for nothing
            return self.ledger.propose(scheduled(spec.scheduled_time)).accepted
        if state.is_terminal:
            return run_again(self, "Rerun")
        if self._adopt(state):
            return True
        self._stop_replaced()
        if self.ledger.cancel_requested and state.type != CANCELLING:
            return self.ledger.propose(State(CANCELLING, reason="Cancelling", message=self._why_cancelled())).accepted
        match state.type:
            case t if t == SCHEDULED:
                return self._start(state)
            case t if t in (PENDING, RUNNING):
                return self._follow(state)
            case t if t == CANCELLING:
                return self._cancel()
            case t if t == PAUSED:
                return wait_for_its_owner(self) if state.reason == SUSPENDED_ITSELF else self._resume()
        return False

    def _why_cancelled(self) -> str:
        return "spec.cancel was set" if self.seen.run.spec.cancel else "the FlowRun was deleted"

    def _adopt(self, state: State) -> bool:
        """A workload exists whose creation was not recorded: its creator died in between."""
        unrecorded = [attempt for attempt in self.seen.workloads if attempt > self.ledger.status.attempt]
        return state.type == SCHEDULED and bool(unrecorded) and self._pending(min(unrecorded))

    def _stop_replaced(self) -> None:
        """What an operator made that had been replaced itself and knew only the past: a workload of an attempt that is over."""
        for workload in self.seen.workloads.values():
            if workload.attempt < self.ledger.status.attempt:
                self.stop(workload, f"attempt {self.ledger.status.attempt} has replaced it")

    def _pending(self, attempt: int) -> bool:
        accepted = self.ledger.propose(State(PENDING), attempt=attempt).state
        if accepted is None or accepted.type != PENDING:
            return accepted is not None
        self.ledger.update(pod_name=names.pod_name(self.seen.run.metadata.name, attempt), next_time=self._pending_deadline(self.now))
        if self.seen.resumed_from:
            self.ledger.update(resumed_from=self.seen.resumed_from)
        return True

    def _pending_deadline(self, since: datetime) -> datetime:
        seconds = self.seen.template.pending_timeout_seconds if self.seen.template else 600
        return since + timedelta(seconds=seconds)

    def _start(self, state: State) -> bool:
        """SCHEDULED: create the next attempt's workload once it is due and nothing of an older one is left."""
        for older in self.seen.workloads.values():
            if older.alive and older.attempt <= self.ledger.status.attempt:
                self.stop(older, "another attempt is to start")
                return False
        refusal = self.seen.refusal
        due = state.scheduled_time is None or state.scheduled_time <= self.now
        if refusal and due and not self.seen.run.spec.suspend:
            return self._refused(state, refusal)
        attempt = self.ledger.status.attempt + 1
        if attempt > self.seen.run.status.attempt + 1:
            # Found ended before it was ever recorded. On record first: else, were it forgotten, its name would be used again.
            self.due.append(self.now)
            return False
        before = self.ledger.state
        moved = self._pending(attempt)
        after = self.ledger.state
        if after is not None and before is not None and after.type == PENDING != before.type:
            self.effects.append(CreateWorkload(attempt))
            return False  # nothing more can be said before it exists
        if not moved and state.scheduled_time:
            self.due.append(state.scheduled_time)
        return moved

    def _refused(self, state: State, refusal: Refusal) -> bool:
        since = state.time if state.reason == refusal.reason and state.time else self.now
        if refusal.patience is not None and self.now >= since + refusal.patience:
            return self.ledger.propose(State(refusal.verdict, reason=refusal.reason, message=refusal.message), retriable=False).accepted
        self.due.append(self.now + TRY_AGAIN)
        if state.reason == refusal.reason:
            return False
        self.ledger.propose(State(SCHEDULED, state.name, refusal.reason, refusal.message))
        return False

    def _follow(self, state: State) -> bool:
        """PENDING or RUNNING: do as the workload does, and mind the owner's wish and the clock."""
        workload = self.workload
        if workload is None:
            gone = State(CRASHED, reason="PodDisappeared", message=f"pod {self.ledger.status.pod_name} does not exist any more")
            return self.ledger.propose(gone, stopped=True).accepted
        if state.type == PENDING and _has_run(workload) and not self._given_up(state, workload):
            return self._running(workload)
        if workload.end is not None:
            return self._end(workload)
        if self._lost(workload):
            return True
        if self.seen.run.spec.suspend:
            return self._suspend(workload)
        if workload.stopping_time is None:
            self.ledger.keep_going()
        if state.type == PENDING and self._troubled(state, workload):
            return True
        if self.ledger.status.next_time is not None:
            self._watch_clock(state, workload, self.ledger.status.next_time)
        return False

    def _watch_clock(self, state: State, workload: Workload, deadline: datetime) -> None:
        if self.now < deadline:
            self.due.append(deadline)
        elif state.type == RUNNING:
            self.stop(workload, "it ran longer than timeoutSeconds")
        else:
            if not state.reason and workload.stopping_time is None:
                # The reason is on record before it is stopped: it may still start, and is not taken for deleted then.
                self.ledger.propose(State(PENDING, reason=PENDING_TIMEOUT, message="it did not start in time"))
                self.ledger.update(next_time=deadline)
            self.stop(workload, "it did not start in time")

    def _given_up(self, state: State, workload: Workload) -> bool:
        """It began to run only after it was stopped for not starting in time; unless it completed, that was its end."""
        deadline = self.ledger.status.next_time
        overdue = deadline is not None and self.now + CLOCK_TOLERANCE >= deadline
        ended_otherwise = workload.end is not None and workload.end.type not in (CRASHED, FAILED)
        return bool(state.reason) and overdue and workload.stopping_time is not None and not ended_otherwise

    def _suspend(self, workload: Workload) -> bool:
        """It is on record before it is done: the wish may be taken back while the workload is still stopping."""
        if not self.ledger.suspending:
            self.ledger.start_suspending()
        self.stop(workload, "spec.suspend was set")
        return False

    def _lost(self, workload: Workload) -> bool:
        """Told to stop, by us or by others, and still not ended long after: its node is gone."""
        if workload.stopping_time is None:
            return False
        self.stop(workload, "it was told to stop")
        if self.now < workload.stopping_time + FORCE_AFTER:
            return False
        message = "the pod was told to stop and has not: its node does not answer"
        return self.ledger.propose(State(CRASHED, reason="NodeLost", message=message), stopped=True).accepted

    def _running(self, workload: Workload) -> bool:
        started = workload.started_time or workload.ended_time or self.now
        if not self.ledger.propose(State(RUNNING, time=min(started, self.now))).accepted:
            return False
        timeout = self.seen.template.timeout_seconds if self.seen.template else None
        self.ledger.update(
            start_time=self.ledger.status.start_time or started,
            next_time=started + timedelta(seconds=timeout) if timeout else None,
        )
        return True

    def _troubled(self, state: State, workload: Workload) -> bool:
        """Write down why it does not start, once per reason, and how long that may last."""
        trouble = workload.trouble
        reason = trouble.reason if trouble else ""
        if reason == state.reason or (not reason and state.reason == PENDING_TIMEOUT):
            return False
        if state.reason and workload.stopping_time is not None:
            return False  # why it was stopped is known; what befalls it on its way out is not
        deadline = self._pending_deadline(workload.created_time)
        if trouble and trouble.patience is not None:
            deadline = min(deadline, self.now + trouble.patience)
        accepted = self.ledger.propose(State(PENDING, reason=reason, message=trouble.message if trouble else "")).accepted
        self.ledger.update(next_time=deadline)
        return accepted

    def _end(self, workload: Workload) -> bool:
        if workload.end is None:
            return False
        self.stop(workload, "the flow ended")
        accepted = self.ledger.propose(
            suspended_end(workload.end, self.ledger),
            attempt=workload.attempt,
            retriable=workload.retriable,
            never_ran=workload.never_ran,
            ended_time=workload.ended_time,
            stopped=workload.stopping_time is not None,
        ).accepted
        if accepted and workload.history_complete is not None:
            self.ledger.condition("HistoryComplete", holds=workload.history_complete, **delivery(workload))
        note_suspension(workload, self.ledger)
        return accepted

    def _cancel(self) -> bool:
        workload = self.workload
        if workload is not None and workload.end is None:
            self.stop(workload, "the run is being cancelled")
            return False
        if workload is not None:
            return self._end(workload)
        return self.ledger.propose(State(CANCELLED, reason="Cancelled", message=self._why_cancelled())).accepted

    def _resume(self) -> bool:
        """PAUSED: nothing may live; once the wish is taken back, an attempt that was begun but not recorded is adopted."""
        suspend = self.seen.run.spec.suspend
        for workload in self.seen.workloads.values():
            if suspend or workload.attempt <= self.ledger.status.attempt:
                self.stop(workload, "the run is suspended")
                self.ledger.update(attempt=max(workload.attempt, self.ledger.status.attempt))
        if suspend:
            return False
        due = self.seen.run.spec.scheduled_time
        return self.ledger.propose(scheduled(due, reason="Resumed", message="spec.suspend was taken back")).accepted


def _has_run(workload: Workload) -> bool:
    """Code of the flow ran; some container runtimes do not say since when."""
    return workload.started_time is not None or (workload.end is not None and workload.end.type == COMPLETED)


def reconcile(seen: RunObservation, now: datetime) -> RunPlan:
    """What to do about the run at `now` (aware, UTC); doing it and asking again ends in the same place."""
    going = _Pass(seen, now)
    metadata = seen.run.metadata
    if seen.run.status.is_terminal and not seen.run.rerun_wanted:
        after_the_end(seen, going, now)
        return _plan(going, None)
    for _ in range(_STEPS):
        if not going.step():
            break
    if seen.mirrored and metadata.deletion_timestamp is None and names.MIRROR_FINALIZER not in metadata.finalizers:
        going.effects.append(AddFinalizer())
    status = going.ledger.status
    if status != seen.run.status:
        status = status.model_copy(update={"observed_generation": metadata.generation})
        return _plan(going, status)
    return _plan(going, None)


def _plan(going: _Pass, status: FlowRunStatus | None) -> RunPlan:
    due = min(going.due, default=None)
    return RunPlan(tuple(going.effects), status, due, tuple(going.ledger.new))
