"""Runs whose workload exists: the run follows its workload, within its owner's intents and its deadlines.

Each step gets the pass and returns True if it changed the run's state.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from mintaka_core.clocks import CLOCK_TOLERANCE
from mintaka_core.reconciling.cleanup import describe_delivery
from mintaka_core.reconciling.observation import FORCE_AFTER
from mintaka_core.reconciling.reruns import note_suspension, suspended_end
from mintaka_core.reconciling.starting import pending_deadline
from mintaka_core.rules import PENDING_TIMEOUT, SCHEDULING_GATED
from mintaka_core.states import COMPLETED, CRASHED, FAILED, PENDING, RUNNING, State

if TYPE_CHECKING:
    from datetime import datetime

    from mintaka_core.reconciling.observation import Pass
    from mintaka_core.workloads import Workload


def follow(going: Pass, state: State) -> bool:
    """PENDING or RUNNING: follow the workload, the owner's intent and the deadlines."""
    workload = going.workload
    if workload is None:
        gone = State(CRASHED, reason="PodDisappeared", message=f"pod {going.ledger.status.pod_name} does not exist any more")
        return going.ledger.propose(gone, stopped=True).accepted
    if state.type == PENDING and _has_run(workload) and not _given_up(going, state, workload):
        return _running(going, state, workload)
    if workload.end is not None:
        return end(going, workload)
    if _lost(going, workload):
        return True
    if going.seen.run.spec.suspend:
        return _suspend(going, workload)
    if workload.stopping_time is None:
        going.ledger.keep_going()
    if state.type == PENDING and _record_start_issue(going, state, workload):
        return True
    if state.type == RUNNING and going.ledger.status.next_time is None and state.time is not None:
        # Its deployment was missing or could not be read when it began to run.
        going.ledger.update(next_time=_run_deadline(going, state.time))
    if going.ledger.status.next_time is not None:
        _watch_clock(going, state, workload, going.ledger.status.next_time)
    return False


def _watch_clock(going: Pass, state: State, workload: Workload, deadline: datetime) -> None:
    if going.now < deadline:
        going.due.append(deadline)
    elif state.type == RUNNING:
        going.stop(workload, "it ran longer than timeoutSeconds")
    else:
        if not state.reason and workload.stopping_time is None:
            # The reason is recorded before the stop: the workload may still start, and must not look as if it was deleted.
            going.ledger.propose(State(PENDING, reason=PENDING_TIMEOUT, message="it did not start in time"))
            going.ledger.update(next_time=deadline)
        going.stop(workload, "it did not start in time")


def _given_up(going: Pass, state: State, workload: Workload) -> bool:
    """It began to run only after it was stopped for not starting in time; unless it completed, that was its end."""
    deadline = going.ledger.status.next_time
    overdue = deadline is not None and going.now + CLOCK_TOLERANCE >= deadline
    ended_otherwise = workload.end is not None and workload.end.type not in (CRASHED, FAILED)
    return bool(state.reason) and overdue and workload.stopping_time is not None and not ended_otherwise


def _suspend(going: Pass, workload: Workload) -> bool:
    """The suspension is recorded before the stop: spec.suspend may be reset while the workload is still stopping."""
    if not going.ledger.suspending:
        going.ledger.start_suspending()
    going.stop(workload, "spec.suspend was set")
    return False


def _lost(going: Pass, workload: Workload) -> bool:
    """Asked to stop, by us or by others, and still not ended long after: its node is gone."""
    if workload.stopping_time is None:
        return False
    going.stop(workload, "it was told to stop")
    if going.now < workload.stopping_time + FORCE_AFTER:
        return False
    message = "the pod was told to stop and has not: its node does not answer"
    return going.ledger.propose(State(CRASHED, reason="NodeLost", message=message), stopped=True).accepted


def _running(going: Pass, state: State, workload: Workload) -> bool:
    """It runs. Its deadline is computed from a time on our own clock: a node's clock may be hours off."""
    # If it became PENDING in this very pass, it was adopted: it has been PENDING since its workload was created.
    pending_since = state.time if state.time and state.time < going.now else workload.created_time
    started = min(max(workload.started_time or workload.ended_time or going.now, pending_since), going.now)
    if not going.ledger.propose(State(RUNNING, time=started)).accepted:
        return False
    going.ledger.update(start_time=going.ledger.status.start_time or started, next_time=_run_deadline(going, started))
    return True


def _run_deadline(going: Pass, started: datetime) -> datetime | None:
    """When the attempt must end; None: never, or the template is not known at present."""
    timeout = going.seen.template.timeout_seconds if going.seen.template else None
    return started + timedelta(seconds=timeout) if timeout else None


def _record_start_issue(going: Pass, state: State, workload: Workload) -> bool:
    """Record why it does not start, once per reason, and how long that may last."""
    start_issue = workload.start_issue
    reason = start_issue.reason if start_issue else ""
    if reason == state.reason or (not reason and state.reason == PENDING_TIMEOUT):
        return False
    if state.reason and workload.stopping_time is not None:
        return False  # why it was stopped is known; later events while it stops do not matter
    deadline = _start_deadline(going, workload)
    accepted = going.ledger.propose(State(PENDING, reason=reason, message=start_issue.message if start_issue else "")).accepted
    going.ledger.update(next_time=deadline)
    return accepted


def _start_deadline(going: Pass, workload: Workload) -> datetime | None:
    """When it must have started; None while it is meant to wait."""
    issue = workload.start_issue
    if issue and issue.intended:
        return None
    deadline = pending_deadline(going, _released_time(going, workload))
    return deadline if issue is None or issue.patience is None else min(deadline, going.now + issue.patience)


def _released_time(going: Pass, workload: Workload) -> datetime:
    """The beginning of its time to start: when the last scheduling gate was removed, else its creation."""
    records = [record for record in going.ledger.status.transitions if record.attempt == workload.attempt]
    gated = [index for index, record in enumerate(records) if record.reason == SCHEDULING_GATED]
    if not gated:
        return workload.created_time
    later = records[gated[-1] + 1 :]
    return later[0].time if later else going.now


def end(going: Pass, workload: Workload) -> bool:
    """The run ends as its workload ended; sidecars are stopped, and the state of its history is recorded."""
    if workload.end is None:
        return False
    going.stop(workload, "the flow ended")
    accepted = going.ledger.propose(
        suspended_end(workload.end, going.ledger),
        attempt=workload.attempt,
        retriable=workload.retriable,
        never_ran=workload.never_ran,
        ended_time=workload.ended_time and min(workload.ended_time, going.now),
        stopped=workload.stopping_time is not None and not workload.ended_unasked,
    ).accepted
    if accepted and workload.history_complete is not None:
        going.ledger.condition("HistoryComplete", holds=workload.history_complete, **describe_delivery(workload))
    note_suspension(workload, going.ledger)
    return accepted


def _has_run(workload: Workload) -> bool:
    """Code of the flow ran; some container runtimes do not report since when."""
    return workload.started_time is not None or (workload.end is not None and workload.end.type == COMPLETED)
