"""Reconciling a flow run: from the observation of it and of its workloads to a plan.

Each step checks the run's state and proposes the next one; steps repeat until nothing changes, so one pass may take a run
from no state to PENDING, or, after the operator was down, from PENDING through RUNNING to its end.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from mintaka_core import names
from mintaka_core.reconciling.active_runs import end, follow
from mintaka_core.reconciling.attempts import complete_attempts, end_attempt, record_revision
from mintaka_core.reconciling.cleanup import clean_up_run, clean_up_workloads
from mintaka_core.reconciling.observation import CALLED_PATIENCE, TRY_AGAIN, Reconciliation, RunObservation
from mintaka_core.reconciling.plans import AddFinalizer, RunPlan
from mintaka_core.reconciling.reruns import run_again, wait_for_its_owner
from mintaka_core.reconciling.starting import adopt, start
from mintaka_core.states import CANCELLED, CANCELLING, PAUSED, PENDING, RUNNING, SCHEDULED, SUSPENDED_ITSELF, State, scheduled

if TYPE_CHECKING:
    from datetime import datetime

    from mintaka_core.resources.runs import FlowRunStatus

_STEPS = 8


def has_to_be_cancelled(seen: RunObservation) -> bool:
    """True if the run that called it was cancelled: `spec.cancel` is set first, where its process and others find it."""
    run = seen.run
    over = run.status.is_terminal and not run.rerun_wanted
    return seen.caller_cancelled and not over and not run.spec.cancel and run.metadata.deletion_timestamp is None


def reconcile(seen: RunObservation, now: datetime) -> RunPlan:
    """What to do about the run at `now` (aware, UTC); idempotent: repeating it leads to the same state."""
    reconciliation = Reconciliation(seen, now)
    metadata = seen.run.metadata
    if seen.run.status.is_terminal and not seen.run.rerun_wanted:
        clean_up_run(seen, reconciliation, now)
        clean_up_workloads(reconciliation)
        return _plan(reconciliation, reconciliation.ledger.settle())
    for _ in range(_STEPS):
        if not _step(reconciliation):
            break
    clean_up_workloads(reconciliation)
    if seen.mirrored and metadata.deletion_timestamp is None and names.MIRROR_FINALIZER not in metadata.finalizers:
        reconciliation.effects.append(AddFinalizer())
    status = reconciliation.ledger.settle()
    return _plan(reconciliation, status and status.model_copy(update={"observed_generation": metadata.generation}))


def _step(reconciliation: Reconciliation) -> bool:
    """True if it changed the run's state, so that the next step sees the new state."""
    state = reconciliation.ledger.state
    if state is None:
        spec = reconciliation.seen.run.spec
        # Reruns set at creation request nothing.
        reconciliation.ledger.update(reruns=spec.reruns, concurrency=reconciliation.seen.concurrency)
        record_revision(reconciliation, attempt=1)
        return reconciliation.ledger.propose(replace(scheduled(spec.scheduled_time), time=reconciliation.seen.pending_since)).accepted
    if state.is_terminal:
        return run_again(reconciliation, "Rerun")
    if adopt(reconciliation, state):
        return True
    _stop_replaced(reconciliation)
    if reconciliation.ledger.cancel_requested and state.type != CANCELLING:
        return reconciliation.ledger.propose(State(CANCELLING, reason="Cancelling", message=_why_cancelled(reconciliation))).accepted
    match state.type:
        case t if t == SCHEDULED:
            return start(reconciliation, state)
        case t if t in (PENDING, RUNNING):
            return follow(reconciliation, state)
        case t if t == CANCELLING:
            return _cancel(reconciliation)
        case t if t == PAUSED:
            return wait_for_its_owner(reconciliation) if state.reason == SUSPENDED_ITSELF else _resume(reconciliation)
    return False


def _stop_replaced(reconciliation: Reconciliation) -> None:
    """Stop workloads of past attempts, created by an operator with stale data that had itself been replaced."""
    for workload in reconciliation.seen.workloads.values():
        if workload.attempt < reconciliation.ledger.status.attempt:
            reconciliation.stop(workload, f"attempt {reconciliation.ledger.status.attempt} has replaced it")


def _cancel(reconciliation: Reconciliation) -> bool:
    """CANCELLED means that nothing runs any more, including an attempt that was begun but not recorded."""
    begun = max((workload.attempt for workload in reconciliation.seen.workloads.values()), default=0)
    if begun > reconciliation.ledger.status.attempt:
        reconciliation.ledger.update(attempt=begun)
    running = [other for other in reconciliation.seen.workloads.values() if other.end is None]
    for other in running:
        reconciliation.stop(other, "the run is being cancelled")
    if running or _waits_for_called(reconciliation):
        return False
    workload = reconciliation.workload
    if workload is not None:
        return end(reconciliation, workload)
    attempt = reconciliation.ledger.status.attempt
    decision = reconciliation.ledger.propose(State(CANCELLED, reason="Cancelled", message=_why_cancelled(reconciliation)))
    end_attempt(reconciliation, attempt, decision)
    return decision.accepted


def _waits_for_called(reconciliation: Reconciliation) -> bool:
    """True while `spec.cancel` is not set yet in a run that this one called: after its end, nothing else may set it."""
    state = reconciliation.ledger.state
    if not reconciliation.seen.called_go_on or state is None or state.time is None:
        return False
    until = state.time + CALLED_PATIENCE
    if reconciliation.now >= until:
        return False
    reconciliation.due.append(min(until, reconciliation.now + TRY_AGAIN))
    return True


def _resume(reconciliation: Reconciliation) -> bool:
    """PAUSED: nothing may be alive; once spec.suspend is reset, an attempt that was begun but not recorded is adopted."""
    suspend = reconciliation.seen.run.spec.suspend
    for workload in reconciliation.seen.workloads.values():
        if suspend or workload.attempt <= reconciliation.ledger.status.attempt:
            reconciliation.stop(workload, "the run is suspended")
            reconciliation.ledger.update(attempt=max(workload.attempt, reconciliation.ledger.status.attempt))
    if suspend:
        return False
    due = reconciliation.seen.run.spec.scheduled_time
    return reconciliation.ledger.propose(scheduled(due, reason="Resumed", message="spec.suspend was taken back")).accepted


def _why_cancelled(reconciliation: Reconciliation) -> str:
    run = reconciliation.seen.run
    if run.spec.cancel and reconciliation.seen.caller_cancelled and run.spec.called_by:
        return f"flow run {run.spec.called_by.name}, which called it, was cancelled"
    if run.spec.cancel and reconciliation.seen.replaced_by:
        return f"flow run {reconciliation.seen.replaced_by} replaced it: the policy of its concurrency is Replace"
    return "spec.cancel was set" if run.spec.cancel else "the FlowRun was deleted"


def _plan(reconciliation: Reconciliation, status: FlowRunStatus | None) -> RunPlan:
    """What the workloads show of attempts is written only together with something else."""
    if status is not None:
        status = complete_attempts(status, reconciliation.seen.workloads, reconciliation.now)
    due = min((*reconciliation.due, *reconciliation.ledger.due), default=None)
    ledger = reconciliation.ledger
    return RunPlan(tuple(reconciliation.effects), status, due, tuple(ledger.new), tuple(ledger.noted))
