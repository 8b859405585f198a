"""Cleanup of finished attempts and runs: stop the rest, copy logs, wait for the history, then delete in time."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from mintaka_core import names
from mintaka_core.history_reasons import DELIVERED, SENTENCES, HistoryReason
from mintaka_core.reconciling.plans import DeleteRun, ReleaseRun, ReleaseWorkload, RemoveWorkload
from mintaka_core.states import CANCELLING, PENDING, RUNNING

#: The minimum time that a run of a schedule is retained after its end: a request to create it that was repeated, because no answer came,
#: may arrive late. While the run exists it is refused; afterwards it would create, and run, the same scheduled time again.
LATE_REQUEST = timedelta(seconds=60)

if TYPE_CHECKING:
    from datetime import datetime

    from mintaka_core.reconciling.observation import Reconciliation, Retention, RunObservation
    from mintaka_core.workloads import Workload


def clean_up_run(seen: RunObservation, reconciliation: Reconciliation, now: datetime) -> None:
    """Clean up a finished run: stop its remains; remove it if deleted or past its time to live, once the mirror has its history."""
    metadata, status = seen.run.metadata, seen.run.status
    begun = max((workload.attempt for workload in seen.workloads.values()), default=0)
    if begun > status.attempt:
        # Another controller began an attempt, and one of the two has stale data. This is recorded before the stop: if the
        # other one is right, this write fails with a conflict.
        reconciliation.ledger.update(attempt=begun)
    for workload in seen.workloads.values():
        reconciliation.stop(workload, "the run has ended")
    if metadata.deletion_timestamp is not None:
        if names.MIRROR_FINALIZER in metadata.finalizers:
            deadline = metadata.deletion_timestamp + seen.mirror_patience
            if not seen.mirrored or now >= deadline:
                reconciliation.effects.append(ReleaseRun(tombstone=seen.mirrored))
            else:
                reconciliation.due.append(deadline)
    elif status.end_time is not None:
        ttl = max(seen.ttl, LATE_REQUEST) if names.LABEL_SCHEDULE in metadata.labels else seen.ttl
        if now >= status.end_time + ttl:
            reconciliation.effects.append(DeleteRun(metadata.namespace, metadata.name, metadata.uid, "its time to live is over"))
        else:
            reconciliation.due.append(status.end_time + ttl)


def clean_up_workloads(reconciliation: Reconciliation) -> None:
    """Clean up workloads whose end is recorded: release a deleted one at once, remove the others after their retention."""
    for workload in reconciliation.seen.workloads.values():
        if workload.end is None or workload.alive or not _recorded(reconciliation, workload):
            continue
        if workload.deleted:
            if workload.held:
                reconciliation.effects.append(_release(reconciliation, workload))
        elif reconciliation.seen.retention is not None:
            _remove_in_time(reconciliation, workload, reconciliation.seen.retention)


def _release(reconciliation: Reconciliation, workload: Workload) -> ReleaseWorkload:
    retention = reconciliation.seen.retention
    deadline = None
    if retention is not None and needs_log_copy(workload):
        deadline = (
            max(_end_time(reconciliation, workload), min(workload.stopping_time or reconciliation.now, reconciliation.now))
            + retention.deleted_log_patience
        )
    return ReleaseWorkload(workload.name, workload.uid, workload.attempt, copy_log_until=deadline)


def _remove_in_time(reconciliation: Reconciliation, workload: Workload, retention: Retention) -> None:
    if workload.end is None:
        return
    due = _end_time(reconciliation, workload) + retention.of(workload.end.type)
    if reconciliation.now < due:
        reconciliation.due.append(due)
        return
    deadline = due + retention.log_patience if needs_log_copy(workload) else None
    reconciliation.effects.append(RemoveWorkload(workload.name, workload.uid, workload.attempt, copy_log_until=deadline))


def _end_time(reconciliation: Reconciliation, workload: Workload) -> datetime:
    """When the attempt ended, at the latest when our own clock recorded it: a node's clock may be hours ahead."""
    status = reconciliation.ledger.status
    recorded = status.end_time or (status.state.time if status.state else reconciliation.now)
    # An earlier attempt whose pod does not say when it ended: the state it was recorded with is over.
    ended = workload.ended_time or (recorded if workload.attempt == status.attempt else workload.created_time)
    return min(ended, recorded, reconciliation.now)


def _recorded(reconciliation: Reconciliation, workload: Workload) -> bool:
    """True if the run's status has the attempt's end; the plan writes the status before the clean-up."""
    status = reconciliation.ledger.status
    if workload.attempt != status.attempt:
        return workload.attempt < status.attempt
    return status.state is not None and status.state.type not in (PENDING, RUNNING, CANCELLING)


def needs_log_copy(workload: Workload) -> bool:
    """True if the process printed output that no report delivered: plain containers, and processes that died without a report."""
    if workload.never_ran or workload.started_time is None:
        return False
    return not (workload.reports and workload.history_complete)


def describe_delivery(workload: Workload) -> dict[str, str]:
    """Reason and message of the condition HistoryComplete, from the workload's own report."""
    if workload.history_complete:
        return {"reason": DELIVERED}
    reason = workload.history_reason or (HistoryReason.SPOOLED if workload.spool else HistoryReason.NO_REPORT)
    rest = f"what the API did not accept is in {workload.spool}" if workload.spool else ""
    return {"reason": reason, "message": "; ".join(filter(None, (SENTENCES[reason], rest)))}
