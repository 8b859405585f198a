"""Why a flow run is where it is: one sentence each for why, for what happens next and when, and for what would change it. Pure.

Called by the command line, the API, and the operator's ledger (for the conditions of the run). Every state type has a function;
`explanation_reasons` has the texts of reasons, `explanation_waits` and `explanation_ends` those of runs before and after they ran.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from mintaka_core.explanation_ends import explain_end
from mintaka_core.explanation_reasons import ISSUES, OTHER_ISSUE
from mintaka_core.explanation_texts import (
    AWAY,
    Explanation,
    Parts,
    at,
    cancels,
    clock_note,
    finish,
    is_late,
    is_stale,
    operator_check,
    place_of,
    reason_of,
    resumes,
    said,
    workload_of,
)
from mintaka_core.explanation_waits import explain_scheduled, held_reason
from mintaka_core.rules import PENDING_TIMEOUT, SCHEDULING_GATED
from mintaka_core.states import SUSPENDED_ITSELF

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from mintaka_core.explanation_facts import DeploymentFacts, PauseFacts, RunFacts

#: How long a workload may take to end after a request to stop before its node is in doubt.
_STOPPING = timedelta(minutes=2)
#: The same after a deadline: the grace period, and 5 min until it is deleted by force.
_OVERDUE = timedelta(minutes=10)


def explain(run: RunFacts, deployment: DeploymentFacts | None = None, now: datetime | None = None) -> Explanation:
    """Why `run` is where it is; `now` None: independently of the clock (what is overdue then counts as not due yet).

    `deployment` is that of the run (None: it has none, or it is not known).
    """
    if run.type == "SCHEDULED" and not run.cancel:
        parts = explain_scheduled(run, deployment, now)
    elif run.type in _ENDS:
        parts = explain_end(run)
    else:
        parts = _LIVE.get(run.type, _unknown)(run, now)
    note = clock_note(run, now)
    if note:
        parts = parts._replace(remedy=f"{parts.remedy.rstrip('. ')}. {note}")
    return finish(reason_of(run, held_reason(run)), parts)


def _pending(run: RunFacts, now: datetime | None) -> Parts:
    if run.cancel:
        return _cancel_is_set(run)
    if run.suspending:
        return _being_suspended(run)
    if run.state_name == PENDING_TIMEOUT:
        reason = f", {run.reason}" if run.reason and run.reason != PENDING_TIMEOUT else ""
        why = said(f"It did not start in time{reason}", run.message)
        return Parts(why, f"It crashes when {workload_of(run)} has been stopped", "Raise pendingTimeoutSeconds if it needs longer")
    issue = ISSUES.get(run.reason, OTHER_ISSUE)
    clause = issue.clause.format(workload=workload_of(run), reason=run.reason)
    why = said(clause[:1].upper() + clause[1:], run.message)
    if is_stale(run.next_time, now) and run.next_time:
        return Parts(why, f"It should have been stopped at {at(run.next_time)}: {AWAY}", operator_check(run))
    remedy = issue.remedy.format(pod=run.pod or "NAME") if not run.local else f"mintaka logs {run.name} shows its log"
    if run.reason == SCHEDULING_GATED:
        return Parts(why, "It waits without a deadline; its time to start begins when the last gate goes", remedy)
    deadline = f"It crashes if it has not started by {at(run.next_time)}" if run.next_time else "It has no deadline"
    return Parts(why, deadline, remedy)


def _running(run: RunFacts, now: datetime | None) -> Parts:
    if run.cancel:
        return _cancel_is_set(run)
    if run.suspending:
        return _being_suspended(run)
    if run.pause is not None and not is_late(run.next_time, now):
        return _waits_for_an_answer(run, run.pause)
    deadline = run.next_time
    if deadline is not None and is_stale(deadline, now, _OVERDUE):
        why = f"Attempt {run.attempt} ran longer than timeoutSeconds"
        return Parts(why, f"It should have been stopped at {at(deadline)}: {AWAY}, or its node does not answer", operator_check(run))
    if is_late(deadline, now):
        why = f"Attempt {run.attempt} ran longer than timeoutSeconds and is being stopped"
        return Parts(why, f"It fails TimedOut when {workload_of(run)} has ended", "Raise timeoutSeconds if it needs longer")
    ends = f"It is stopped and fails TimedOut if it has not ended by {at(deadline)}" if deadline else "It has no deadline"
    since = f" since {at(run.time)}" if run.time else ""
    if run.kind == "called":
        caller = run.caller or "another run"
        remedy = f"mintaka explain {run.caller} explains that one" if run.caller else f"mintaka logs {run.name} shows its log"
        return Parts(said(f"It runs in the process of flow run {caller}{since}", run.message), ends, remedy)
    called = f", called by flow run {run.caller}," if run.caller else ""
    verb = f"is {run.own_name}" if run.own_name else "runs"
    why = said(f"Attempt {run.attempt}{called} {verb} in {place_of(run)}{since}", run.message)
    return Parts(why, ends, f"mintaka logs {run.name} shows its log")


def _waits_for_an_answer(run: RunFacts, pause: PauseFacts) -> Parts:
    why = f"Attempt {run.attempt} waits in {place_of(run)} for an answer to {pause.key}"
    refused = f"the last answer was refused: {pause.refusal}" if pause.refusal else ""
    return Parts(said(why, refused), _pause_ends(pause), _answers(run))


def _pause_ends(pause: PauseFacts) -> str:
    return f"The wait fails if nobody answers by {at(pause.deadline)}" if pause.deadline else "It waits without a deadline"


def _answers(run: RunFacts) -> str:
    if run.pause is not None and run.pause.needs_input:
        return f"mintaka resume {run.name} --input JSON answers it"
    return resumes(run, "continues it")


def _being_suspended(run: RunFacts) -> Parts:
    ends = f"It becomes PAUSED when {workload_of(run)} has ended"
    return Parts("Its workload is being stopped for spec.suspend", ends, resumes(run, "takes that back"))


def _cancel_is_set(run: RunFacts) -> Parts:
    if run.type in ("SCHEDULED", "PAUSED"):
        return Parts("It is cancelled, and nothing of it runs", "It ends CANCELLED now", "Cancel cannot be taken back")
    ends = f"It ends CANCELLED when {workload_of(run)} has ended"
    return Parts("spec.cancel is set, and it is about to be stopped", ends, "Cancel cannot be taken back")


def _paused(run: RunFacts, _now: datetime | None) -> Parts:
    if run.cancel:
        return _cancel_is_set(run)
    if run.rerun_wanted and run.suspend:
        return Parts("It was resumed, but spec.suspend holds it", "It waits without a deadline", "Set spec.suspend to false")
    if run.rerun_wanted:
        return Parts("It was resumed", f"Attempt {run.attempt + 1} starts now", cancels(run))
    if run.next_time is not None:
        deadline = f"It fails TimedOut if nobody resumes it by {at(run.next_time)}"
    elif run.pause is not None:
        deadline = _pause_ends(run.pause)
    else:  # pauses of scripts are not in their state
        deadline = "It waits without a deadline" if run.kind == "deployed" else "It waits until it is resumed"
    if run.state_name != "Suspended":
        place = "" if run.local else f" in {workload_of(run)}"
        why = said(f"It is paused, and its process waits{place}", run.message)
    elif run.reason == SUSPENDED_ITSELF or run.kind != "deployed":
        why = said("Its own code suspended it, and nothing runs", run.message)
    else:
        why = "Its owner suspended it, and nothing runs"
    return Parts(why, deadline, _answers(run))


def _cancelling(run: RunFacts, now: datetime | None) -> Parts:
    workload = workload_of(run)
    if run.time is not None and not run.local and is_stale(run.time, now, _STOPPING):
        why = said(f"It is being cancelled since {at(run.time)}", f"{run.message or 'cancel was requested'}; {workload} has not ended")
        node = f"kubectl get pod {run.pod} -o wide shows its node" if run.pod else operator_check(run)
        return Parts(f"{why}, and its node may not answer", "The pod is deleted by force 5 min after its grace period", node)
    return Parts(said("It is being cancelled", run.message), f"It ends CANCELLED when {workload} has ended", "Cancel cannot be taken back")


def _unknown(run: RunFacts, _now: datetime | None) -> Parts:
    reason = ": ".join(part for part in (run.reason, run.message) if part)
    why = said(f"It is in state {run.state_name} ({run.type}), which this release does not know", reason)
    return Parts(why, "What follows is not known", "Upgrade mintaka here")


_ENDS = frozenset({"COMPLETED", "FAILED", "CRASHED", "CANCELLED"})
_LIVE: dict[str, Callable[[RunFacts, datetime | None], Parts]] = {
    "SCHEDULED": lambda run, _now: _cancel_is_set(run),
    "PENDING": _pending,
    "RUNNING": _running,
    "PAUSED": _paused,
    "CANCELLING": _cancelling,
}
