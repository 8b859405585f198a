"""Pod status → verdict, by the failure table: how it ended (pod_verdicts.py), or why it does not start (pending_reasons.py).

Judged by the flow's container, never by the pod's phase alone: a sidecar may outlive the flow. docs/failure-table.md is
generated from these tables.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from mintaka_core.states import State, StateType
from mintaka_core.workloads import Phase, Workload
from mintaka_operator.failure_rows import first_match
from mintaka_operator.pending_reasons import PENDING_REASONS
from mintaka_operator.pod_verdicts import POD_VERDICTS
from mintaka_operator.podview import PodView, parse_time

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

#: Kubernetes cuts times to whole seconds: what ended at 10:00:00 may have ended just before 10:00:01.
_WHOLE_SECOND = timedelta(seconds=1)

#: Decided elsewhere, listed so that the table is whole: number, situation, signs, conclusion.
ELSEWHERE: tuple[tuple[str, str, str, str], ...] = (
    ("9b", "node does not come back", "deletionTimestamp (grace period included) 300 s ago, the flow not terminated", "the pod is deleted by force; CRASHED NodeLost"),
    ("12", "pod gone", "no such pod (asked again before it is believed)", "CRASHED PodDisappeared"),
    ("18", "stuck in ContainerCreating", "waiting ContainerCreating; the cause is in the pod's last Warning event", "waits until pendingTimeoutSeconds, then CRASHED with that event's reason, such as FailedMount, or PendingTimeout"),
    ("28", "pod cannot be created", "the API server refuses it", "throttled or unavailable: tried again for ever; QuotaExceeded: waits for ever; PodForbidden: waits 60 s; PodNameTaken: waits 5 minutes; PodRejected, NamespaceTerminating: CRASHED at once, not tried again"),
)  # fmt: skip


def diagnose(pod: Mapping[str, Any]) -> Workload:
    """What the reconciler needs to know of a pod; pure."""
    view = PodView(dict(pod))
    created = parse_time(view.metadata.get("creationTimestamp"))
    if created is None:
        message = f"pod {view.metadata.get('name')} has no creationTimestamp"
        raise ValueError(message)
    ended = bool(view.terminated) or view.phase in {"Succeeded", "Failed"}
    end, row = first_match(POD_VERDICTS, view) if ended else (None, None)
    pending = not ended and view.started_time is None
    start_issue, _ = first_match(PENDING_REASONS, view) if pending else (None, None)
    report = view.report
    started = view.started_time
    return Workload(
        name=view.metadata["name"],
        uid=view.metadata.get("uid", ""),
        attempt=view.attempt,
        phase=Phase.ENDED if ended else Phase.RUNNING if started else Phase.PENDING,
        created_time=created,
        alive=view.anything_runs,
        started_time=started if not (row and row.never_ran) else None,
        ended_time=view.ended_time + _WHOLE_SECOND if view.ended_time else None,
        stopping_time=_stopping_time(view),
        start_issue=start_issue,
        end=end,
        retriable=report.retriable if report and end is report.state else True,
        never_ran=bool(row and row.never_ran),
        exit_code=view.exit_code,
        history_complete=report.history_complete if report else (False if ended and view.reports and started else None),
        spool=report.spool if report else "",
        suspension=report.suspension if report and end is report.state else "",
        resume_by=report.resume_by if report and end is report.state else None,
    )


def _stopping_time(view: PodView) -> datetime | None:
    """`deletionTimestamp` is when the grace period is over (Kubernetes API conventions), which is what is wanted here."""
    return parse_time(view.metadata.get("deletionTimestamp"))


def overridden(end: State | None, verdicts: Mapping[str, str] | None) -> State | None:
    """The end with its type replaced where the deployment says otherwise for its reason."""
    if end is None or not verdicts or end.reason not in verdicts:
        return end
    return State(StateType(verdicts[end.reason]), reason=end.reason, message=end.message)
