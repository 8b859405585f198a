"""Runs whose workload exists: the run follows its workload, within its owner's intents and its deadlines.

Each step gets the pass and returns True if it changed the run's state.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from mintaka_core.clocks import CLOCK_TOLERANCE
from mintaka_core.reconciling.attempts import end_attempt
from mintaka_core.reconciling.cleanup import describe_delivery
from mintaka_core.reconciling.observation import FORCE_AFTER
from mintaka_core.reconciling.reruns import note_suspension, suspended_end
from mintaka_core.reconciling.starting import pending_deadline
from mintaka_core.rules import PENDING_TIMEOUT, SCHEDULING_GATED
from mintaka_core.states import COMPLETED, CRASHED, FAILED, PENDING, RUNNING, State

if TYPE_CHECKING:
    from datetime import datetime

    from mintaka_core.reconciling.observation import Reconciliation
    from mintaka_core.workloads import Workload


def follow(reconciliation: Reconciliation, state: State) -> bool:
    """PENDING or RUNNING: follow the workload, the owner's intent and the deadlines."""
    workload = reconciliation.workload
    if workload is None:
        attempt = reconciliation.ledger.status.attempt
        gone = State(CRASHED, reason="PodDisappeared", message=f"pod {reconciliation.ledger.status.pod_name} does not exist any more")
        decision = reconciliation.ledger.propose(gone, stopped=True)
        end_attempt(reconciliation, attempt, decision)
        return decision.accepted
    if state.type == PENDING and _has_run(workload) and not _given_up(reconciliation, state, workload):
        return _running(reconciliation, state, workload)
    if workload.end is not None:
        return end(reconciliation, workload)
    if _lost(reconciliation, workload):
        return True
    if reconciliation.seen.run.spec.suspend:
        return _suspend(reconciliation, workload)
    if workload.stopping_time is None:
        reconciliation.ledger.keep_going()
    if state.type == PENDING and _record_start_issue(reconciliation, state, workload):
        return True
    if state.type == RUNNING and reconciliation.ledger.status.next_time is None and state.time is not None:
        # Its deployment was missing or could not be read when it began to run.
        reconciliation.ledger.update(next_time=_run_deadline(reconciliation, state.time))
    if reconciliation.ledger.status.next_time is not None:
        _watch_clock(reconciliation, state, workload, reconciliation.ledger.status.next_time)
    return False


def _watch_clock(reconciliation: Reconciliation, state: State, workload: Workload, deadline: datetime) -> None:
    if reconciliation.now < deadline:
        reconciliation.due.append(deadline)
    elif state.type == RUNNING:
        reconciliation.stop(workload, "it ran longer than timeoutSeconds")
    else:
        if state.name != PENDING_TIMEOUT and workload.stopping_time is None:
            # Recorded before the stop: the workload may start before it is seen to be stopping, and must not look as if it was deleted.
            message = state.message or "it did not start in time"
            reconciliation.ledger.propose(State(PENDING, PENDING_TIMEOUT, state.reason or PENDING_TIMEOUT, message))
            reconciliation.ledger.update(next_time=deadline)
        reconciliation.stop(workload, "it did not start in time")


def _given_up(reconciliation: Reconciliation, state: State, workload: Workload) -> bool:
    """It began to run only after a stop was requested because it had not started in time; unless it completed, that was its end."""
    deadline = reconciliation.ledger.status.next_time
    overdue = deadline is not None and reconciliation.now + CLOCK_TOLERANCE >= deadline
    ended_otherwise = workload.end is not None and (workload.stopping_time is None or workload.end.type not in (CRASHED, FAILED))
    stopped = state.name == PENDING_TIMEOUT or (bool(state.reason) and workload.stopping_time is not None)
    return stopped and overdue and not ended_otherwise


def _suspend(reconciliation: Reconciliation, workload: Workload) -> bool:
    """The suspension is recorded before the stop: spec.suspend may be reset while the workload is still stopping."""
    if not reconciliation.ledger.suspending:
        reconciliation.ledger.start_suspending()
    reconciliation.stop(workload, "spec.suspend was set")
    return False


def _lost(reconciliation: Reconciliation, workload: Workload) -> bool:
    """Asked to stop, by us or by others, and still not ended long after: its node is gone."""
    if workload.stopping_time is None:
        return False
    reconciliation.stop(workload, "it was asked to stop")
    if reconciliation.now < workload.stopping_time + FORCE_AFTER:
        return False
    message = "the pod was asked to stop and has not: its node does not answer"
    decision = reconciliation.ledger.propose(State(CRASHED, reason="NodeLost", message=message), stopped=True)
    end_attempt(reconciliation, workload.attempt, decision)
    return decision.accepted


def _running(reconciliation: Reconciliation, state: State, workload: Workload) -> bool:
    """It runs. Its deadline is computed from a time on our own clock: a node's clock may be hours off."""
    # If it became PENDING in this very pass, it was adopted: it has been PENDING since its workload was created.
    pending_since = state.time if state.time and state.time < reconciliation.now else workload.created_time
    started = min(max(workload.started_time or workload.ended_time or reconciliation.now, pending_since), reconciliation.now)
    if not reconciliation.ledger.propose(State(RUNNING, time=started)).accepted:
        return False
    reconciliation.ledger.update(
        start_time=reconciliation.ledger.status.start_time or started, next_time=_run_deadline(reconciliation, started)
    )
    return True


def _run_deadline(reconciliation: Reconciliation, started: datetime) -> datetime | None:
    """When the attempt must end; None: never, or the template is not known at present."""
    timeout = reconciliation.seen.template.timeout_seconds if reconciliation.seen.template else None
    return started + timedelta(seconds=timeout) if timeout else None


def _record_start_issue(reconciliation: Reconciliation, state: State, workload: Workload) -> bool:
    """Record why it does not start, once per reason, and how long that may last."""
    start_issue = workload.start_issue
    reason = start_issue.reason if start_issue else ""
    if reason == state.reason:
        return False
    if state.name == PENDING_TIMEOUT or (state.reason and workload.stopping_time is not None):
        return False  # why it is stopped is known; later events while it stops do not matter
    deadline = _start_deadline(reconciliation, workload)
    accepted = reconciliation.ledger.propose(State(PENDING, reason=reason, message=start_issue.message if start_issue else "")).accepted
    reconciliation.ledger.update(next_time=deadline)
    return accepted


def _start_deadline(reconciliation: Reconciliation, workload: Workload) -> datetime | None:
    """When it must have started; None while it is meant to wait."""
    issue = workload.start_issue
    if issue and issue.intended:
        return None
    deadline = pending_deadline(reconciliation, _released_time(reconciliation, workload))
    return deadline if issue is None or issue.patience is None else min(deadline, reconciliation.now + issue.patience)


def _released_time(reconciliation: Reconciliation, workload: Workload) -> datetime:
    """The beginning of its time to start: when the last scheduling gate was removed, else its creation."""
    transitions = reconciliation.ledger.status.transitions
    records = [record for record in transitions if record.attempt == workload.attempt and record.accepted]
    gated = [index for index, record in enumerate(records) if record.reason == SCHEDULING_GATED]
    if not gated:
        return workload.created_time
    later = records[gated[-1] + 1 :]
    return later[0].time if later else reconciliation.now


def end(reconciliation: Reconciliation, workload: Workload) -> bool:
    """The run ends as its workload ended; sidecars are stopped, and the state of its history is recorded."""
    if workload.end is None:
        return False
    reconciliation.stop(workload, "the flow ended")
    decision = reconciliation.ledger.propose(
        suspended_end(workload.end, reconciliation.ledger),
        attempt=workload.attempt,
        retriable=workload.retriable,
        never_ran=workload.never_ran,
        ended_time=workload.ended_time and min(workload.ended_time, reconciliation.now),
        stopped=workload.stopping_time is not None and not workload.ended_unasked,
    )
    accepted = decision.accepted
    end_attempt(reconciliation, workload.attempt, decision)
    if accepted and workload.history_complete is not None:
        reconciliation.ledger.condition("HistoryComplete", holds=workload.history_complete, **describe_delivery(workload))
    note_suspension(workload, reconciliation.ledger)
    return accepted


def _has_run(workload: Workload) -> bool:
    """Code of the flow ran; some container runtimes do not report since when."""
    return workload.started_time is not None or (workload.end is not None and workload.end.type == COMPLETED)
