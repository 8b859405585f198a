"""Reconciling a flow run: from the observation of it and of its workloads to a plan.

Each step checks the run's state and proposes the next one; steps repeat until nothing changes, so one pass may take a run
from no state to PENDING, or, after the operator was down, from PENDING through RUNNING to its end.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from mintaka_core import names
from mintaka_core.reconciling.active_runs import end, follow
from mintaka_core.reconciling.cleanup import clean_up_run, clean_up_workloads
from mintaka_core.reconciling.observation import Pass, RunObservation
from mintaka_core.reconciling.plans import AddFinalizer, RunPlan
from mintaka_core.reconciling.reruns import run_again, wait_for_its_owner
from mintaka_core.reconciling.starting import adopt, start
from mintaka_core.states import CANCELLED, CANCELLING, PAUSED, PENDING, RUNNING, SCHEDULED, SUSPENDED_ITSELF, State, scheduled

if TYPE_CHECKING:
    from datetime import datetime

    from mintaka_core.resources.runs import FlowRunStatus

_STEPS = 8


def reconcile(seen: RunObservation, now: datetime) -> RunPlan:
    """What to do about the run at `now` (aware, UTC); idempotent: repeating it leads to the same state."""
    going = Pass(seen, now)
    metadata = seen.run.metadata
    if seen.run.status.is_terminal and not seen.run.rerun_wanted:
        clean_up_run(seen, going, now)
        clean_up_workloads(going)
        return _plan(going, going.ledger.status if going.ledger.status != seen.run.status else None)
    for _ in range(_STEPS):
        if not _step(going):
            break
    clean_up_workloads(going)
    if seen.mirrored and metadata.deletion_timestamp is None and names.MIRROR_FINALIZER not in metadata.finalizers:
        going.effects.append(AddFinalizer())
    status = going.ledger.status
    if status != seen.run.status:
        status = status.model_copy(update={"observed_generation": metadata.generation})
        return _plan(going, status)
    return _plan(going, None)


def _step(going: Pass) -> bool:
    """True if it changed the run's state, so that the next step sees the new state."""
    state = going.ledger.state
    if state is None:
        spec = going.seen.run.spec
        going.ledger.update(reruns=spec.reruns)  # reruns set at creation request nothing
        return going.ledger.propose(replace(scheduled(spec.scheduled_time), time=going.seen.pending_since)).accepted
    if state.is_terminal:
        return run_again(going, "Rerun")
    if adopt(going, state):
        return True
    _stop_replaced(going)
    if going.ledger.cancel_requested and state.type != CANCELLING:
        return going.ledger.propose(State(CANCELLING, reason="Cancelling", message=_why_cancelled(going))).accepted
    match state.type:
        case t if t == SCHEDULED:
            return start(going, state)
        case t if t in (PENDING, RUNNING):
            return follow(going, state)
        case t if t == CANCELLING:
            return _cancel(going)
        case t if t == PAUSED:
            return wait_for_its_owner(going) if state.reason == SUSPENDED_ITSELF else _resume(going)
    return False


def _stop_replaced(going: Pass) -> None:
    """Stop workloads of past attempts, created by an operator with stale data that had itself been replaced."""
    for workload in going.seen.workloads.values():
        if workload.attempt < going.ledger.status.attempt:
            going.stop(workload, f"attempt {going.ledger.status.attempt} has replaced it")


def _cancel(going: Pass) -> bool:
    """CANCELLED means that nothing runs any more, including an attempt that was begun but not recorded."""
    begun = max((workload.attempt for workload in going.seen.workloads.values()), default=0)
    if begun > going.ledger.status.attempt:
        going.ledger.update(attempt=begun)
    running = [other for other in going.seen.workloads.values() if other.end is None]
    for other in running:
        going.stop(other, "the run is being cancelled")
    if running:
        return False
    workload = going.workload
    if workload is not None:
        return end(going, workload)
    return going.ledger.propose(State(CANCELLED, reason="Cancelled", message=_why_cancelled(going))).accepted


def _resume(going: Pass) -> bool:
    """PAUSED: nothing may be alive; once spec.suspend is reset, an attempt that was begun but not recorded is adopted."""
    suspend = going.seen.run.spec.suspend
    for workload in going.seen.workloads.values():
        if suspend or workload.attempt <= going.ledger.status.attempt:
            going.stop(workload, "the run is suspended")
            going.ledger.update(attempt=max(workload.attempt, going.ledger.status.attempt))
    if suspend:
        return False
    due = going.seen.run.spec.scheduled_time
    return going.ledger.propose(scheduled(due, reason="Resumed", message="spec.suspend was taken back")).accepted


def _why_cancelled(going: Pass) -> str:
    return "spec.cancel was set" if going.seen.run.spec.cancel else "the FlowRun was deleted"


def _plan(going: Pass, status: FlowRunStatus | None) -> RunPlan:
    due = min(going.due, default=None)
    return RunPlan(tuple(going.effects), status, due, tuple(going.ledger.new))
