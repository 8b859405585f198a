"""Records of a process → workload of the controller; pure."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from mintaka_api.local.processes.process_verdicts import PROCESS_VERDICTS
from mintaka_core.failure_rows import first_match
from mintaka_core.json_values import text
from mintaka_core.workloads import Phase, Workload, report_fields

if TYPE_CHECKING:
    from mintaka_api.local.processes.process_view import ProcessView
    from mintaka_core.states import State


def process_workload(view: ProcessView) -> Workload:
    """The state of a process as the reconciler needs it."""
    ended = view.ended is not None
    end, row = first_match(PROCESS_VERDICTS, view) if ended else (None, None)
    report = view.report
    started = view.started_time
    unserved = report is None and bool(view.unserved_report)
    fields = report_fields(report, end, incomplete=bool(ended and view.reports and started), unserved=unserved)
    return Workload(
        name=text(view.request.get("name")),
        uid=text(view.request.get("uid")),
        attempt=view.attempt,
        phase=Phase.ENDED if ended else Phase.RUNNING if started else Phase.PENDING,
        created_time=view.created_time,
        alive=not ended,
        started_time=started if not (row and row.never_ran) else None,
        ended_time=view.ended_time,
        stopping_time=view.grace_end_time,
        end=end and _with_remarks(end, view),
        never_ran=bool(row and row.never_ran),
        exit_code=view.exit_code,
        held=True,
        deleted=view.stop is not None,
        ended_unasked=view.stop is not None and ended and not view.was_asked_to_stop,
        reports=view.reports,
        container=text(view.request.get("container")),
        log_tail=view.tail if ended and report is None else "",
        revision=text(view.request.get("revision")),
        **fields,
    )


def _with_remarks(end: State, view: ProcessView) -> State:
    """The end with details that its own message may omit."""
    remarks = [end.message]
    if view.remaining:
        remarks.append(f"processes that it started cannot be ended: {', '.join(map(str, view.remaining))}")
    if view.memory_kills and end.reason not in {"", "OOMKilled"}:
        remarks.append("while it ran, the kernel killed a process of this machine for lack of memory")
    if len(remarks) == 1:
        return end
    return replace(end, message="; ".join(filter(None, remarks)))
