"""States as a flow's author sees them: the core's, with the result or the exception in them.

Return one from a flow or task to choose how it ends: `return Completed(message="nothing to do", name="Skipped")`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from mintaka.errors import CancelledRun, CrashedRun, FailedRun, UnfinishedRun
from mintaka_core import states as core
from mintaka_core.states import StateType


@dataclass(frozen=True, slots=True)
class State(core.State):
    """What a run is in, with `data` (its result) and `error` (the exception that ended it), each None where there is none."""

    data: Any = field(default=None, compare=False, repr=False)
    error: BaseException | None = field(default=None, compare=False, repr=False)

    def result(self, *, raise_on_failure: bool = True) -> Any:
        """The run's result; raises its exception where it failed (or returns that exception).

        Raises:
            UnfinishedRun: the state is not terminal.
            FailedRun, CrashedRun, CancelledRun: the run ended so without an exception of its own.
        """
        if self.type == core.COMPLETED:
            return self.data
        if not self.is_terminal:
            message = f"the run is {self.name}, so it has no result yet: wait for it"
            raise UnfinishedRun(message)
        error = self.exception()
        if raise_on_failure:
            raise error
        return error

    def exception(self) -> Exception:
        """The exception that tells how the run ended; only for terminal states other than COMPLETED."""
        if isinstance(self.error, Exception):
            return self.error
        kind = {core.CRASHED: CrashedRun, core.CANCELLED: CancelledRun}.get(self.type, FailedRun)
        error = kind(": ".join(part for part in (self.name, self.reason if self.reason != self.name else "", self.message) if part))
        error.__cause__ = self.error
        return error

    def is_completed(self) -> bool:
        """True where the run ended well."""
        return self.type == core.COMPLETED

    def is_failed(self) -> bool:
        """True where the code failed."""
        return self.type == core.FAILED

    def is_crashed(self) -> bool:
        """True where something other than the code ended the run."""
        return self.type == core.CRASHED

    def is_cancelled(self) -> bool:
        """True where the run was cancelled."""
        return self.type == core.CANCELLED

    def is_pending(self) -> bool:
        """True where the run has not begun."""
        return self.type == core.PENDING

    def is_running(self) -> bool:
        """True while the code runs."""
        return self.type == core.RUNNING

    def is_scheduled(self) -> bool:
        """True while the run waits for its time."""
        return self.type == core.SCHEDULED

    def is_final(self) -> bool:
        """True where the run is over."""
        return self.is_terminal


def Completed(*, message: str = "", name: str = "Completed", data: Any = None) -> State:  # noqa: N802 - Orion's name
    """An end that is good."""
    return State(StateType.COMPLETED, name, message=message, data=data)


def Failed(*, message: str = "", name: str = "Failed", reason: str = "", data: Any = None) -> State:  # noqa: N802 - Orion's name
    """An end that is the code's fault; `data` may be the exception."""
    error = data if isinstance(data, BaseException) else None
    reason = reason or (type(error).__name__ if error else "")
    return State(StateType.FAILED, name, reason, message or (str(error) if error else ""), data=data, error=error)


def Crashed(*, message: str = "", name: str = "Crashed", reason: str = "") -> State:  # noqa: N802 - Orion's name
    """An end that is not the code's fault."""
    return State(StateType.CRASHED, name, reason, message)


def Cancelled(*, message: str = "", name: str = "Cancelled", reason: str = "") -> State:  # noqa: N802 - Orion's name
    """An end that somebody asked for."""
    return State(StateType.CANCELLED, name, reason, message)


__all__ = ["Cancelled", "Completed", "Crashed", "Failed", "State", "StateType"]
