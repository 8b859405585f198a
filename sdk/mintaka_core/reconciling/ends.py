"""What is left to do about a run that is over: nothing of it may live on, its history is kept, in time it leaves the cluster."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mintaka_core import names
from mintaka_core.reconciling.plans import DeleteRun, ReleaseRun

if TYPE_CHECKING:
    from datetime import datetime

    from mintaka_core.reconciling.passes import Pass, RunObservation
    from mintaka_core.workloads import Workload


def after_the_end(seen: RunObservation, going: Pass, now: datetime) -> None:
    """A finished run: what lives of it is stopped; deleted or past its time to live, it goes, its history being in the mirror."""
    metadata, status = seen.run.metadata, seen.run.status
    for workload in seen.workloads.values():
        going.stop(workload, "the run has ended")
    if metadata.deletion_timestamp is not None:
        if names.MIRROR_FINALIZER in metadata.finalizers:
            deadline = metadata.deletion_timestamp + seen.mirror_patience
            if not seen.mirrored or now >= deadline:
                going.effects.append(ReleaseRun(tombstone=seen.mirrored))
            else:
                going.due.append(deadline)
    elif status.end_time is not None:
        if now >= status.end_time + seen.ttl:
            going.effects.append(DeleteRun(metadata.namespace, metadata.name, metadata.uid, "its time to live is over"))
        else:
            going.due.append(status.end_time + seen.ttl)


def delivery(workload: Workload) -> dict[str, str]:
    """Reason and message of the condition HistoryComplete, by what the workload's own report said of it."""
    if workload.history_complete:
        return {"reason": "Delivered"}
    if workload.spool:
        return {"reason": "Spooled", "message": f"the API was away; what it did not take in is in {workload.spool}"}
    return {"reason": "NoReport", "message": "the process left no report; what it did in its last moments may be missing"}
