"""Runs that start again: finished ones whose owner raised spec.reruns, and those that their own code suspended."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mintaka_core.resources.runs import RESUMED_LIMIT
from mintaka_core.states import FAILED, PAUSED, State, scheduled, suspended_itself

if TYPE_CHECKING:
    from mintaka_core.reconciling.ledger import Ledger
    from mintaka_core.reconciling.observation import Reconciliation
    from mintaka_core.workloads import Workload


def run_again(reconciliation: Reconciliation, reason: str) -> bool:
    """Start another attempt if the owner wants one, which ends any suspension. True if the run's state changed."""
    status, reruns = reconciliation.ledger.status, reconciliation.seen.run.spec.reruns
    if reruns <= status.reruns or reconciliation.ledger.cancel_requested:
        return False
    again = scheduled(reason=reason, message=f"spec.reruns was raised to {reruns}")
    accepted = reconciliation.ledger.propose(again, explicit=True).accepted
    if accepted:
        reconciliation.ledger.update(reruns=reruns, suspension="", resumed=(*status.resumed, *filter(None, (status.suspension,))))
    return accepted


def suspended_end(end: State, ledger: Ledger) -> State:
    """The state that a workload's end results in: a run must not suspend itself forever."""
    if end.type != PAUSED:
        return end
    if len(ledger.status.resumed) >= RESUMED_LIMIT:
        return State(FAILED, reason="TooManySuspensions", message=f"it suspended itself more than {RESUMED_LIMIT} times")
    return suspended_itself(end.message)


def note_suspension(workload: Workload, ledger: Ledger) -> None:
    """Record the suspension in which the run waits, and its deadline, if its workload ended so."""
    if ledger.state is not None and ledger.state.type == PAUSED and workload.end is not None and workload.end.type == PAUSED:
        ledger.update(suspension=workload.suspension[:200], next_time=workload.resume_by)


def wait_for_its_owner(reconciliation: Reconciliation) -> bool:
    """PAUSED by its own code: wait until its owner raises spec.reruns, or until its deadline."""
    ledger = reconciliation.ledger
    for workload in reconciliation.seen.workloads.values():
        if workload.attempt <= ledger.status.attempt:
            reconciliation.stop(workload, "the run is suspended")
    if reconciliation.seen.run.rerun_wanted:
        return not reconciliation.seen.run.spec.suspend and run_again(reconciliation, "Resumed")
    deadline = ledger.status.next_time
    if deadline is None:
        return False
    if reconciliation.now < deadline:
        reconciliation.due.append(deadline)
        return False
    ledger.update(suspension="")
    late = State(FAILED, "TimedOut", "SuspensionTimedOut", f"nobody resumed it until {deadline:%Y-%m-%dT%H:%M:%SZ}")
    return ledger.propose(late).accepted
