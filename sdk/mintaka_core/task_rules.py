"""The rules for task runs, and for flow runs as far as their own process decides about them: their order, replays, cached results,
limits of tags, results that could not be persisted, and what is left when a flow ends.
"""

from __future__ import annotations

from mintaka_core.rules import edges, rule
from mintaka_core.states import (
    AWAITING_CONCURRENCY_SLOT,
    CANCELLED,
    COMPLETED,
    CRASHED,
    FAILED,
    FLOW_ENDED,
    PAUSED,
    PENDING,
    RUNNING,
    SCHEDULED,
    TASK_ENDED,
    State,
    StateType,
)
from mintaka_core.transitions import Abort, Accept, Redirect, Transition, Verdict, Wait

_ENDS = (PAUSED, CANCELLED, FAILED, CRASHED)
#: Which state types may follow which in a process: it may be interrupted, or suspended, in any state, and code runs on beside a pause.
PROCESS_ORDER = frozenset(
    (before, after)
    for before, afters in {
        None: (PENDING,),
        SCHEDULED: (PENDING, *_ENDS),
        PENDING: (RUNNING, *_ENDS),
        RUNNING: (COMPLETED, SCHEDULED, *_ENDS),
        PAUSED: (SCHEDULED, COMPLETED, *_ENDS),
    }.items()
    for after in afters
)
_STARTS = edges([PENDING], [RUNNING])


@rule(on=edges([None, *StateType], StateType) - PROCESS_ORDER)
def run_in_process_order(transition: Transition) -> Verdict | None:
    """In a process, each state follows only from those that lead to it."""
    if transition.explicit:
        return None
    before, after = transition.edge
    return Abort(f"{after} does not follow {before or 'nothing'}")


@rule(on=edges([RUNNING, PAUSED, COMPLETED], [COMPLETED]))
def complete_without_result(transition: Transition) -> Verdict | None:
    """A completed run whose result could not be persisted is named NotPersisted."""
    failure = transition.unpersisted
    if failure is None:
        return None
    return Redirect(State(COMPLETED, failure.name, failure.reason, failure.message), reason="its result is not persisted")


@rule(on=edges([SCHEDULED, PENDING, RUNNING, PAUSED], [CANCELLED]))
def cancel_what_is_left(transition: Transition) -> Verdict | None:
    """What a flow or a task has not waited for is CANCELLED when it ends."""
    if transition.proposed.reason not in (FLOW_ENDED, TASK_ENDED):
        return None
    return Accept("what it is part of has ended")


@rule(on=_STARTS)
def replay_recorded_result(transition: Transition) -> Verdict | None:
    """In a replay, PENDING → RUNNING becomes COMPLETED, named Cached, if the run has a recorded result, expired or not."""
    recorded = transition.recorded
    if recorded is not None:
        return Redirect(State(COMPLETED, "Cached", message=f"kept as {recorded.key}"), reason="recorded result")
    return Accept(transition.unrecorded) if transition.unrecorded else None


@rule(on=_STARTS)
def use_kept_result(transition: Transition) -> Verdict | None:
    """PENDING → RUNNING becomes COMPLETED, named Cached, if a valid result is cached and no refresh is requested."""
    kept = transition.kept
    if kept is None:
        return Accept(transition.kept_issue) if transition.kept_issue else None
    if transition.refresh:
        return Accept("a new result is requested")
    if kept.expires is not None and kept.expires <= transition.now:
        return Accept(f"the kept result expired at {kept.expires:%Y-%m-%dT%H:%M:%SZ}")
    return Redirect(
        State(COMPLETED, "Cached", message=f"result of {kept.created:%Y-%m-%dT%H:%M:%SZ}, kept as {kept.key}"),
        reason="a result is kept for this call" + (f" until {kept.expires:%Y-%m-%dT%H:%M:%SZ}" if kept.expires else ""),
    )


@rule(on=_STARTS)
def wait_for_tag_slots(transition: Transition) -> Verdict | None:
    """PENDING → RUNNING waits until a slot of each limit of the run's tags is held."""
    limits = transition.tag_limits
    if limits is None or limits.next_time is None:
        return None
    names = ", ".join(limits.blocked or limits.names)
    reason = f"waits for a slot of {names}" + (f": {limits.issue}" if limits.issue else "")
    return Wait(limits.next_time, reason, AWAITING_CONCURRENCY_SLOT)
