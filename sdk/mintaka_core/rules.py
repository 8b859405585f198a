"""The rules, each a sentence and a pure function from a transition to a verdict."""

from __future__ import annotations

from mintaka_core.backoff import NEVER_RAN, Budget
from mintaka_core.instants import later
from mintaka_core.states import (
    CANCELLED,
    CANCELLING,
    COMPLETED,
    CRASHED,
    FAILED,
    PAUSED,
    PENDING,
    RUNNING,
    SCHEDULED,
    State,
    awaiting_retry,
    suspended,
    timed_out,
)
from mintaka_core.transitions import Abort, Redirect, Transition, Verdict, Wait

#: The reason of a workload that crashed without a known cause for not starting.
PENDING_TIMEOUT = "PendingTimeout"
#: The reason of a workload that its owner or a queue holds back: its time to start begins when the last scheduling gate is removed.
SCHEDULING_GATED = "SchedulingGated"


def fence_stale_attempts(transition: Transition) -> Verdict | None:
    """A proposal from an older attempt no longer counts."""
    if transition.attempt < transition.current_attempt:
        return Abort(f"attempt {transition.attempt} was replaced by attempt {transition.current_attempt}")
    return None


def terminal_states_stay(transition: Transition) -> Verdict | None:
    """A finished run stays finished, except for an explicit rerun."""
    if transition.current and transition.current.is_terminal and not transition.explicit:
        return Abort(f"the run already ended {transition.current.name}")
    return None


def cancelling_ends_cancelled(transition: Transition) -> Verdict | None:
    """A run that is being cancelled ends CANCELLED, however its workload ends."""
    if transition.edge[0] != CANCELLING or transition.edge[1] in (CANCELLED, CANCELLING):
        return None
    if transition.proposed.is_terminal or transition.proposed.type == PAUSED:
        end = transition.proposed
        return Redirect(
            State(CANCELLED, reason="Cancelled", message=f"ended {end.name} while being cancelled: {end.message}".rstrip(": ")),
            reason=f"cancellation was requested before it ended {end.name}",
        )
    return Abort("a run that is being cancelled only ends")


def cancel_what_does_not_run(transition: Transition) -> Verdict | None:
    """A run without a workload has nothing to stop: it is CANCELLED at once."""
    if transition.edge[1] != CANCELLING or not transition.cancel_requested:
        return None
    if transition.current is None or transition.current.type in (SCHEDULED, PAUSED):
        return Redirect(State(CANCELLED, reason="Cancelled", message="cancelled before it ran"), reason="nothing was running")
    return None


def suspend_before_running(transition: Transition) -> Verdict | None:
    """A run that its owner suspended does not start."""
    if transition.suspend_requested and transition.edge[1] in (PENDING, SCHEDULED) and transition.current is not None:
        return Redirect(suspended("suspended before it ran; set spec.suspend to false to go on"), reason="spec.suspend is set")
    return None


def wait_for_scheduled_time(transition: Transition) -> Verdict | None:
    """SCHEDULED → PENDING waits until the run is due."""
    current = transition.current
    if transition.edge != (SCHEDULED, PENDING) or current is None or current.scheduled_time is None:
        return None
    if current.scheduled_time > transition.now:
        return Wait(current.scheduled_time, reason=f"due at {current.scheduled_time:%Y-%m-%dT%H:%M:%SZ}")
    return None


def run_in_order(transition: Transition) -> Verdict | None:
    """Each state follows only from those that lead to it."""
    if transition.edge in ORDER or transition.explicit:
        return None
    origin = transition.edge[0]
    return Abort(f"{transition.proposed.type} does not follow {origin or 'nothing'}")


def time_out_pending(transition: Transition) -> Verdict | None:
    """A run that did not start in time crashed for the reason that delayed it, however its workload ended."""
    current = transition.current
    if current is None or transition.edge not in {(PENDING, CRASHED), (PENDING, FAILED)}:
        return None
    if not (transition.overdue and transition.stopped):
        return None
    reason = current.reason or PENDING_TIMEOUT
    return Redirect(State(CRASHED, reason=reason, message=current.message or "it did not start in time"), reason="pending timeout")


def time_out_running(transition: Transition) -> Verdict | None:
    """A run that was stopped after its deadline TimedOut, unless it completed."""
    if transition.edge[0] != RUNNING or transition.proposed.type not in (FAILED, CRASHED):
        return None
    if not (transition.overdue and transition.stopped):
        return None
    return Redirect(timed_out("stopped after spec.timeoutSeconds"), reason="run timeout")


def suspend_what_was_stopped(transition: Transition) -> Verdict | None:
    """A run whose workload was stopped because its owner suspended it is PAUSED, however the workload ended."""
    if not (transition.suspend_requested and transition.stopped):
        return None
    if transition.edge[0] not in (PENDING, RUNNING) or transition.proposed.type not in (FAILED, CRASHED):
        return None
    return Redirect(suspended("stopped; set spec.suspend to false to run it again"), reason="spec.suspend is set")


def retry_failed(transition: Transition) -> Verdict | None:
    """RUNNING → FAILED becomes AwaitingRetry while the failure budget lasts."""
    if transition.edge != (RUNNING, FAILED):
        return None
    return _retry(transition, transition.retries.on_failure, transition.failures, "failure")


def retry_what_never_ran(transition: Transition) -> Verdict | None:
    """A workload that was rejected before any code ran is restarted outside of the two budgets; not one that was asked to stop."""
    if transition.proposed.type != CRASHED or not transition.never_ran or transition.stopped:
        return None
    return _retry(transition, NEVER_RAN, transition.rejections, "rejection")


def retry_crashed(transition: Transition) -> Verdict | None:
    """A crash becomes AwaitingRetry while the crash budget lasts for its reason."""
    if transition.proposed.type != CRASHED or transition.edge[0] not in (PENDING, RUNNING):
        return None
    return _retry(transition, transition.retries.on_crash, transition.crashes, "crash")


def _retry(transition: Transition, budget: Budget, used: int, what: str) -> Verdict | None:
    proposed = transition.proposed
    if not transition.retriable or used >= budget.limit or not budget.covers(proposed.reason):
        return None
    delay = budget.backoff.delay(used, transition.jitter)
    return Redirect(
        awaiting_retry(later(transition.now, delay), reason=proposed.reason, message=proposed.message),
        reason=f"{what} {used + 1} of {budget.limit} allowed, again in {delay.total_seconds():.1f} s",
    )


def use_kept_result(transition: Transition) -> Verdict | None:
    """PENDING → RUNNING becomes COMPLETED, named Cached, if a valid result is cached and no refresh is requested."""
    kept = transition.kept
    if kept is None or transition.refresh or transition.edge != (PENDING, RUNNING):
        return None
    if kept.expires is not None and kept.expires <= transition.now:
        return None
    return Redirect(
        State(COMPLETED, "Cached", message=f"result of {kept.created:%Y-%m-%dT%H:%M:%SZ}, kept as {kept.key}"),
        reason="a result is kept for this call" + (f" until {kept.expires:%Y-%m-%dT%H:%M:%SZ}" if kept.expires else ""),
    )


#: Which state types may follow which; a retry returns through SCHEDULED.
ORDER = frozenset(
    (before, after)
    for before, afters in {
        None: (SCHEDULED,),
        SCHEDULED: (SCHEDULED, PENDING, PAUSED, CANCELLING, CANCELLED, FAILED, CRASHED),
        PENDING: (PENDING, RUNNING, SCHEDULED, PAUSED, CANCELLING, CANCELLED, FAILED, CRASHED),
        RUNNING: (COMPLETED, SCHEDULED, PAUSED, CANCELLING, CANCELLED, FAILED, CRASHED),
        PAUSED: (SCHEDULED, CANCELLING, CANCELLED, FAILED),
        CANCELLING: (CANCELLED,),
    }.items()
    for after in afters
)
