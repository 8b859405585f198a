"""Pod status → verdict, by the failure table: how it ended (pod_verdicts.py), or why it does not start (pending_reasons.py).

The verdict depends on the flow's container, never on the pod's phase alone: a sidecar may outlive the flow.
docs/failure-table.md is generated from these tables.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from mintaka_core.failure_rows import first_match
from mintaka_core.json_values import text
from mintaka_core.names import FLOW_CONTAINER
from mintaka_core.printable import printable_end
from mintaka_core.workloads import Phase, Workload, report_fields
from mintaka_operator.other_containers import killed_for_memory
from mintaka_operator.pending_reasons import PENDING_REASONS
from mintaka_operator.pod_verdicts import POD_VERDICTS
from mintaka_operator.podview import PodView

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mintaka_core.states import State

#: How much of the end of a log a workload carries.
_TAIL_CHARACTERS = 1024
#: Kubernetes truncates times to whole seconds: an end at 10:00:00 may have been just before 10:00:01.
_WHOLE_SECOND = timedelta(seconds=1)

#: Decided elsewhere, listed to make the table complete: number, situation, signs, conclusion.
ELSEWHERE: tuple[tuple[str, str, str, str], ...] = (
    (
        "9b",
        "node does not come back",
        "deletionTimestamp (grace period included) 300 s ago, the flow not terminated",
        "the pod is deleted by force; CRASHED NodeLost",
    ),
    ("12", "pod gone", "no such pod (asked again before it is believed)", "CRASHED PodDisappeared"),
    (
        "18",
        "stuck in ContainerCreating",
        "waiting ContainerCreating; the cause is in the pod's last Warning event",
        "waits until pendingTimeoutSeconds, then CRASHED with that event's reason, such as FailedMount, or PendingTimeout",
    ),
    ("28", "pod cannot be created", "the API server refuses it", "waits, then CRASHED, by the table below; not tried again"),
)


def diagnose(pod: Mapping[str, Any], *, node_gone: bool = False) -> Workload:
    """The state of a pod as the reconciler needs it; pure.

    A pod has ended if the kubelet says so, if it was deleted before it was bound to a node, if its node is gone (`node_gone`: the
    Node it is bound to does not exist, or is tainted out-of-service), or if it was force-deleted; it is then not `alive`.
    Its `end` is known as soon as the flow's container has ended, even while a sidecar still runs.

    Raises:
        PodWithoutIdentity: it has no name or no creation time. Any other field that is missing or of a wrong type reads as empty.
    """
    view = PodView(pod, node_gone)
    ended = bool(view.terminated or view.is_terminal or view.never_bound or view.forced or view.node_gone or view.starts_again)
    end, row = first_match(POD_VERDICTS, view) if ended else (None, None)
    started = view.started_time
    start_issue, _ = first_match(PENDING_REASONS, view) if not ended and started is None else (None, None)
    report = view.report
    unserved = report is None and bool(view.unserved_report)
    fields = report_fields(report, end, incomplete=bool(ended and view.reports and started), unserved=unserved)
    return Workload(
        name=view.name,
        uid=text(view.metadata.get("uid")),
        attempt=view.attempt,
        phase=Phase.ENDED if ended else Phase.RUNNING if started else Phase.PENDING,
        created_time=view.created_time,
        alive=view.anything_runs,
        started_time=started if not (row and row.never_ran) else None,
        ended_time=view.ended_time + _WHOLE_SECOND if view.ended_time else None,
        stopping_time=view.stopping_time,
        start_issue=start_issue,
        end=end and _with_remarks(end, view),
        never_ran=bool(row and row.never_ran),
        exit_code=view.exit_code,
        held=view.held,
        deleted=view.deleted,
        ended_unasked=view.deleted and not view.deleted_before_it_ended,
        reports=view.reports,
        node=sys.intern(view.node),  # thousands of pods share few nodes
        log_tail=printable_end(view.log_tail, _TAIL_CHARACTERS) if ended and report is None else "",
        revision=sys.intern(view.revision),
        container=FLOW_CONTAINER if view.container_name == FLOW_CONTAINER else view.container_name,
        **fields,
    )


def _with_remarks(end: State, view: PodView) -> State:
    """The end with details that its own message may omit: a process that was killed for memory, a second start."""
    remarks = [end.message]
    if end.reason != "OOMKilled" and (killed := killed_for_memory(view)):
        remarks.append(f"a process in this pod was killed for memory (container {', '.join(killed)})")
    if view.starts_again and end.reason != "ContainerRestarted":
        remarks.append(f"the container was started {view.starts_again + 1} times, so its work may have been done more than once")
    return replace(end, message="; ".join(filter(None, remarks))) if len(remarks) > 1 else end
