"""What is seen of the thing that runs one attempt, be it a pod or a local process.

The reconciler reads only this, so operator and local mode share it. Whoever observes a pod or a process has already
judged how it ended (`end`), because only there its signs can be read.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from mintaka_core.states import State, StateType


class Phase(StrEnum):
    """PENDING: none of the user's code ran yet. RUNNING: it does. ENDED: it never will again."""

    PENDING = "PENDING"
    RUNNING = "RUNNING"
    ENDED = "ENDED"


@dataclass(frozen=True, slots=True)
class StartIssue:
    """Why a workload does not start. `patience` is how long it may last before the attempt counts as crashed; None:
    the deployment's pendingTimeoutSeconds alone decides. `intended`: it is meant to wait, so the time it may take to start does not
    pass meanwhile.
    """

    reason: str
    message: str
    patience: timedelta | None = None
    intended: bool = False


@dataclass(frozen=True, slots=True)
class Workload:
    """One attempt's pod or process.

    `alive` is False once nothing of it can run any more. `stopping_time` is when the time is over that it was
    given to stop, by us or by others (None: it was not asked to stop). `end` is the state its end amounts to (None while it
    runs); `retriable` False if trying again cannot help; `never_ran` True if it was rejected before any code ran.
    `history_complete` is what its own report said of its task runs (None: it left none), `spool` the place of the rest.
    `suspension` names the suspension that it ended in (`end` is PAUSED then), `resume_by` until when that may last (None: for ever).
    `held`: it cannot go before its hold is taken off, which must not happen before its end is recorded. `deleted`: its deletion was
    requested. `ended_unasked`: it had ended before anybody asked it to stop. `reports`: its process is to leave a report of its
    own. `node` is what it runs on, "" before that is decided; `container` is the container whose log is the flow's, "" for a process.
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
    suspension: str = ""
    resume_by: datetime | None = None
    held: bool = False
    deleted: bool = False
    ended_unasked: bool = False
    reports: bool = False
    node: str = ""
    container: str = ""


class CreateErrorKind(StrEnum):
    """How a refusal may pass. LASTING: by nothing but a change of the run's own resources, within its patience. CAPACITY: when
    something else happens, such as the end of another workload or a change of a quota. TRANSIENT: by itself, soon.
    """

    LASTING = "LASTING"
    CAPACITY = "CAPACITY"
    TRANSIENT = "TRANSIENT"


@dataclass(frozen=True, slots=True)
class CreateError:
    """Why no workload can be created for a run that is due.

    `patience` is how long that may last before the run ends in `verdict`: zero for what nothing will mend, None for what
    is worth trying for ever (a quota that others will free). `retry_after` is how many seconds the refusing side asks to wait
    (None: it does not say), `retry_time` when the controller tries again (None: after the usual wait).
    """

    reason: str
    message: str
    verdict: StateType
    patience: timedelta | None = timedelta(0)
    kind: CreateErrorKind = CreateErrorKind.LASTING
    retry_after: float | None = None
    retry_time: datetime | None = None
