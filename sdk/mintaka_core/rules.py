"""The rules: each a name, a sentence, the edges on which it may speak, and a pure function from a transition to a verdict."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING

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
    TERMINAL,
    State,
    StateType,
    awaiting_retry,
    suspended,
    timed_out,
)
from mintaka_core.transitions import Abort, Redirect, Rule, Transition, Verdict, Wait

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from mintaka_core.transitions import Edge

#: The reason of a workload that crashed without a known cause for not starting.
PENDING_TIMEOUT = "PendingTimeout"
#: The reason of a workload that its owner or a queue holds back: its time to start begins when the last scheduling gate is removed.
SCHEDULING_GATED = "SchedulingGated"


_ANY = frozenset(StateType)


def edges(before: Iterable[StateType | None], after: Iterable[StateType]) -> frozenset[Edge]:
    """All pairs of a state type before and one after."""
    return frozenset(product(before, after))


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


def rule(on: frozenset[Edge] | None = None) -> Callable[[Callable[[Transition], Verdict | None]], Rule]:
    """Make a rule of a function: its name, the first line of its docstring as the sentence, and the edges on which it may speak (None: any)."""

    def made(judge: Callable[[Transition], Verdict | None]) -> Rule:
        return Rule(judge.__name__, (judge.__doc__ or "").partition("\n")[0], on, judge)

    return made


@rule()
def fence_stale_attempts(transition: Transition) -> Verdict | None:
    """A proposal from an older attempt no longer counts."""
    if transition.attempt < transition.current_attempt:
        return Abort(f"attempt {transition.attempt} was replaced by attempt {transition.current_attempt}")
    return None


@rule(on=edges(TERMINAL, _ANY))
def terminal_states_stay(transition: Transition) -> Verdict | None:
    """A finished run stays finished, except for an explicit rerun."""
    if transition.explicit or transition.current is None:
        return None
    return Abort(f"the run already ended {transition.current.name}")


@rule(on=edges([CANCELLING], _ANY - {CANCELLED, CANCELLING}))
def cancelling_ends_cancelled(transition: Transition) -> Verdict | None:
    """A run that is being cancelled ends CANCELLED, however its workload ends."""
    end = transition.proposed
    if end.type not in TERMINAL | {PAUSED}:
        return Abort("a run that is being cancelled only ends")
    return Redirect(
        State(CANCELLED, reason="Cancelled", message=f"ended {end.name} while being cancelled: {end.message}".rstrip(": ")),
        reason=f"cancellation was requested before it ended {end.name}",
    )


@rule(on=edges([None, SCHEDULED, PAUSED], [CANCELLING]))
def cancel_what_does_not_run(transition: Transition) -> Verdict | None:
    """A run without a workload has nothing to stop: it is CANCELLED at once."""
    if not transition.cancel_requested:
        return None
    return Redirect(State(CANCELLED, reason="Cancelled", message="cancelled before it ran"), reason="nothing was running")


@rule(on=edges(_ANY, [PENDING, SCHEDULED]))
def suspend_before_running(transition: Transition) -> Verdict | None:
    """A run that its owner suspended does not start."""
    if transition.suspend_requested:
        return Redirect(suspended("suspended before it ran; set spec.suspend to false to go on"), reason="spec.suspend is set")
    return None


@rule(on=edges([SCHEDULED], [PENDING]))
def wait_for_scheduled_time(transition: Transition) -> Verdict | None:
    """SCHEDULED → PENDING waits until the run is due."""
    due = transition.current.scheduled_time if transition.current else None
    if due is None or due <= transition.now:
        return None
    return Wait(due, reason=f"due at {due:%Y-%m-%dT%H:%M:%SZ}")


@rule(on=edges([None, *StateType], StateType) - ORDER)
def run_in_order(transition: Transition) -> Verdict | None:
    """Each state follows only from those that lead to it."""
    if transition.explicit:
        return None
    before, after = transition.edge
    return Abort(f"{after} does not follow {before or 'nothing'}")


@rule(on=edges([PENDING], [CRASHED, FAILED]))
def time_out_pending(transition: Transition) -> Verdict | None:
    """A run that did not start in time crashed for the reason that delayed it, however its workload ended."""
    current = transition.current
    if current is None or not (transition.stopped and transition.overdue):
        return None
    reason = current.reason or PENDING_TIMEOUT
    return Redirect(State(CRASHED, reason=reason, message=current.message or "it did not start in time"), reason="pending timeout")


@rule(on=edges([RUNNING], [FAILED, CRASHED]))
def time_out_running(transition: Transition) -> Verdict | None:
    """A run that was stopped after its deadline TimedOut, unless it completed."""
    if not (transition.stopped and transition.overdue):
        return None
    return Redirect(timed_out("stopped after spec.timeoutSeconds"), reason="run timeout")


@rule(on=edges([PENDING, RUNNING], [FAILED, CRASHED]))
def suspend_what_was_stopped(transition: Transition) -> Verdict | None:
    """A run whose workload was stopped because its owner suspended it is PAUSED, however the workload ended."""
    if not (transition.suspend_requested and transition.stopped):
        return None
    return Redirect(suspended("stopped; set spec.suspend to false to run it again"), reason="spec.suspend is set")


@rule(on=edges([RUNNING], [FAILED]))
def retry_failed(transition: Transition) -> Verdict | None:
    """RUNNING → FAILED becomes AwaitingRetry while the failure budget lasts."""
    return _retry(transition, transition.retries.on_failure, transition.failures, "failure")


@rule(on=edges([None, *StateType], [CRASHED]))
def retry_what_never_ran(transition: Transition) -> Verdict | None:
    """A workload that was rejected before any code ran is restarted outside of the two budgets; not one that was asked to stop."""
    if not transition.never_ran or transition.stopped:
        return None
    return _retry(transition, NEVER_RAN, transition.rejections, "rejection")


@rule(on=edges([PENDING, RUNNING], [CRASHED]))
def retry_crashed(transition: Transition) -> Verdict | None:
    """A crash becomes AwaitingRetry while the crash budget lasts for its reason."""
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
