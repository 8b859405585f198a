"""States of flow runs and task runs: Orion's types and names.

A state has a *type* (what the orchestrator acts on) and a *name* (what a person reads, finer than the type). Types are few
and closed; names are open: a flow may return a COMPLETED state named "Skipped".
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum


class StateType(StrEnum):
    """The closed set of state types; those in `TERMINAL` end a run."""

    SCHEDULED = "SCHEDULED"
    PENDING = "PENDING"
    RUNNING = "RUNNING"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    CRASHED = "CRASHED"
    PAUSED = "PAUSED"
    CANCELLING = "CANCELLING"
    CANCELLED = "CANCELLED"

    @property
    def is_terminal(self) -> bool:
        """True if no further state follows, except by an explicit retry or rerun."""
        return self in TERMINAL


SCHEDULED = StateType.SCHEDULED
PENDING = StateType.PENDING
RUNNING = StateType.RUNNING
COMPLETED = StateType.COMPLETED
FAILED = StateType.FAILED
CRASHED = StateType.CRASHED
PAUSED = StateType.PAUSED
CANCELLING = StateType.CANCELLING
CANCELLED = StateType.CANCELLED

TERMINAL = frozenset({COMPLETED, FAILED, CRASHED, CANCELLED})

#: The name of a state without a finer one.
DEFAULT_NAMES = {state_type: state_type.value.capitalize() for state_type in StateType}


@dataclass(frozen=True, slots=True)
class State:
    """The state of a run: type, name, and why.

    `reason` is one CamelCase word that programs compare (`OOMKilled`); `message` is a sentence for people. `time` is when
    the state began (aware, UTC), None while it is only proposed. `scheduled_time` is when a SCHEDULED state is due; None
    means at once.
    """

    type: StateType
    name: str = ""
    reason: str = ""
    message: str = ""
    time: datetime | None = None
    scheduled_time: datetime | None = None

    def __post_init__(self) -> None:
        if not self.name:
            object.__setattr__(self, "name", DEFAULT_NAMES[self.type])

    @property
    def is_terminal(self) -> bool:
        """True if the run is over."""
        return self.type in TERMINAL

    def at(self, time: datetime) -> State:
        """The same state, begun at `time`."""
        return replace(self, time=time)


def scheduled(due: datetime | None = None, *, name: str = "Scheduled", reason: str = "", message: str = "") -> State:
    """A state due at `due`, or as soon as possible if None."""
    return State(SCHEDULED, name, reason, message, scheduled_time=due)


def awaiting_retry(due: datetime, *, reason: str, message: str = "") -> State:
    """A state for a retry due at `due`; `reason` is that of the failure or crash."""
    return State(SCHEDULED, "AwaitingRetry", reason, message, scheduled_time=due)


def suspended(message: str = "") -> State:
    """Suspended by its owner; nothing runs, and it can be resumed."""
    return State(PAUSED, "Suspended", "Suspended", message)


#: The reason of a run that waits for a slot of a concurrency limit.
AWAITING_CONCURRENCY_SLOT = "AwaitingConcurrencySlot"
#: The reasons of runs that a flow, or a task, left unfinished when it ended.
FLOW_ENDED, TASK_ENDED = "FlowEnded", "TaskEnded"

#: The reason of the condition Suspended of a run whose workload is being stopped for spec.suspend.
SUSPENDING = "Suspending"
#: The reason of a run that its own code suspended; only a rerun continues it.
SUSPENDED_ITSELF = "SuspendedItself"


def suspended_itself(message: str = "") -> State:
    """Suspended by its own code until it is resumed; nothing runs."""
    return State(PAUSED, "Suspended", SUSPENDED_ITSELF, message)


def timed_out(message: str) -> State:
    """FAILED because it ran longer than its timeout."""
    return State(FAILED, "TimedOut", "TimedOut", message)
