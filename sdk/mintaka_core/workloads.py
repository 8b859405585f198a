"""The observed workload that runs one attempt: a pod or a local process.

The reconciler reads only this, so the operator and the local mode share it. The observer of a pod or process has already
determined how it ended (`end`), because only the observer can read the signs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, TypedDict

from mintaka_core.history_reasons import HistoryReason
from mintaka_core.states import State, StateType

if TYPE_CHECKING:
    from mintaka_core.reports import Report


class Phase(StrEnum):
    """PENDING: none of the user's code has run yet. RUNNING: it is running. ENDED: it will never run again."""

    PENDING = "PENDING"
    RUNNING = "RUNNING"
    ENDED = "ENDED"


@dataclass(frozen=True, slots=True)
class StartIssue:
    """Why a workload does not start. `patience` is how long it may last before the attempt counts as crashed; None: only
    the deployment's pendingTimeoutSeconds applies. `intended`: it is meant to wait, so its time to start does not elapse
    meanwhile.
    """

    reason: str
    message: str
    patience: timedelta | None = None
    intended: bool = False


@dataclass(frozen=True, slots=True)
class Workload:
    """One attempt's pod or process.

    `alive` is False once nothing of it can run any more. `stopping_time` is the end of the grace period it was given to
    stop, by us or by others (None: it was not asked to stop). `end` is the state that its end results in (None while it
    runs); `retriable` is False if a retry cannot help; `never_ran` is True if it was rejected before any code ran.
    `history_complete` is its own report's statement about its task runs (None: there is no report), `spool` the location of
    the rest, `history_reason` why it is incomplete (None: no special reason). `suspension` names the suspension that it ended in (`end` is PAUSED then), `resume_by` is its deadline (None:
    none). `held`: it has our finalizer, which must not be removed before its end is recorded. `deleted`: its deletion was
    requested. `ended_unasked`: it had ended before it was asked to stop. `reports`: its process is expected to leave a
    report. `node` is the node it runs on, "" before that is decided; `container` is the container whose log is the flow's,
    "" for a process. `log_tail` is the end of what a process printed that left no report. `revision` is the stored revision
    that it runs, "" if there is none.
    """

    name: str
    uid: str
    attempt: int
    phase: Phase
    created_time: datetime
    alive: bool = True
    started_time: datetime | None = None
    ended_time: datetime | None = None
    stopping_time: datetime | None = None
    start_issue: StartIssue | None = None
    end: State | None = None
    retriable: bool = True
    never_ran: bool = False
    exit_code: int | None = None
    history_complete: bool | None = None
    spool: str = ""
    history_reason: HistoryReason | None = None
    suspension: str = ""
    resume_by: datetime | None = None
    held: bool = False
    deleted: bool = False
    ended_unasked: bool = False
    reports: bool = False
    node: str = ""
    container: str = ""
    log_tail: str = ""
    revision: str = ""


@dataclass(frozen=True, slots=True)
class RevisionCode:
    """What a workload runs: the name of a stored revision ("": none), and the files of its ConfigMap source as the revision has
    them if the ConfigMap has changed since (None: those of the ConfigMap).
    """

    revision: str = ""
    files: Mapping[str, str] | None = None


#: The code of a workload that runs a template which is not stored as a revision.
NO_REVISION = RevisionCode()


class CreateErrorKind(StrEnum):
    """When a refusal may pass. LASTING: only by a change of the run's own resources, within its patience. CAPACITY: when
    something else happens, such as the end of another workload or a change of a quota. TRANSIENT: by itself, soon.
    """

    LASTING = "LASTING"
    CAPACITY = "CAPACITY"
    TRANSIENT = "TRANSIENT"


@dataclass(frozen=True, slots=True)
class CreateError:
    """Why no workload can be created for a run that is due.

    `patience` is how long that may last before the run ends in `verdict`: zero if nothing can fix it, None if retrying
    forever makes sense (a quota that others will free). `retry_after` is the wait in seconds that the refusing side requests
    (None: not given), `retry_time` when the controller tries again (None: after the usual wait).
    """

    reason: str
    message: str
    verdict: StateType
    patience: timedelta | None = timedelta(0)
    kind: CreateErrorKind = CreateErrorKind.LASTING
    retry_after: float | None = None
    retry_time: datetime | None = None


class ReportFields(TypedDict):
    """The fields of a Workload that its report decides."""

    retriable: bool
    history_complete: bool | None
    spool: str
    history_reason: HistoryReason | None
    suspension: str
    resume_by: datetime | None


def report_fields(report: Report | None, end: State | None, *, incomplete: bool, unserved: bool) -> ReportFields:
    """What the report of a workload that ended as `end` decides.

    Without one its history is `incomplete` if its process began and should have left one; `unserved`: it left one of a wire version
    that is not served. If the observer did not take the end from the report, the requests in the report are ignored.
    """
    if report is None:
        reason = HistoryReason.WIRE_VERSION_NOT_SERVED if unserved else None
        missing = False if incomplete else None
        return ReportFields(retriable=True, history_complete=missing, spool="", history_reason=reason, suspension="", resume_by=None)
    decides = end is report.state
    return ReportFields(
        retriable=report.retriable if decides else True,
        history_complete=report.history_complete,
        spool=report.spool,
        history_reason=report.history_reason,
        suspension=report.suspension if decides else "",
        resume_by=report.resume_by if decides else None,
    )
