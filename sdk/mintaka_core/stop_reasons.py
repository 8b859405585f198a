"""Why the process of an attempt was asked to stop, as far as the run itself shows: SIGTERM carries no reason.

Other reasons come from outside: the node was drained or shut down, the pod evicted, preempted or deleted.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

from mintaka_core.clocks import CLOCK_TOLERANCE
from mintaka_core.states import CANCELLED, CANCELLING, PAUSED, RUNNING, SUSPENDING

if TYPE_CHECKING:
    from datetime import datetime

    from mintaka_core.resources.runs import FlowRun


class StopReason(StrEnum):
    """Why an attempt is stopped. OUTSIDE: for a reason that the run does not state."""

    CANCELLED = "Cancelled"
    SUSPENDED = "Suspended"
    TIMED_OUT = "TimedOut"
    REPLACED = "Replaced"
    OUTSIDE = "Outside"


def stop_reason(run: FlowRun, attempt: int, now: datetime) -> StopReason:
    """Why `attempt` of `run` may have been asked to stop at `now`; in order of precedence, as in the policy."""
    status = run.status
    state = status.state
    if run.spec.cancel or run.metadata.deletion_timestamp is not None or (state and state.type in (CANCELLING, CANCELLED)):
        return StopReason.CANCELLED
    if status.attempt > attempt:
        return StopReason.REPLACED
    stopping = any(condition.type == "Suspended" and condition.reason == SUSPENDING for condition in status.conditions)
    if run.spec.suspend or stopping or (state and state.type == PAUSED):
        return StopReason.SUSPENDED
    overdue = state and state.type == RUNNING and status.next_time is not None and now + CLOCK_TOLERANCE >= status.next_time
    if overdue or (state and state.name == "TimedOut"):
        return StopReason.TIMED_OUT
    return StopReason.OUTSIDE
