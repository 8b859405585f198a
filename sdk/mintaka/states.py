"""States as a flow's author sees them: the core's, with the result or the exception in them.

Return one from a flow or task to choose how it ends: `return Completed(message="nothing to do", name="Skipped")`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, Literal, overload

from mintaka.calling.dual_functions import dual
from mintaka.exceptions import CancelledRun, CrashedRun, FailedRun, PausedRun, UnfinishedRun, message_of
from mintaka.results import ResultRecord
from mintaka_core import states as core
from mintaka_core.states import StateType

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from datetime import datetime

    from typing_extensions import TypeVar

    R_co = TypeVar("R_co", covariant=True, default=Any)
else:
    from typing import TypeVar

    R_co = TypeVar("R_co", covariant=True)  # its default, for those who write `State` alone, is a matter of type checkers until Python 3.13


@dataclass(frozen=True, slots=True)
class State(core.State, Generic[R_co]):  # noqa: UP046 - a type parameter with a default
    """What a run is in, with `data` (its result) and `error` (the exception that ended it), each None where there is none.

    Where the result is persisted, `data` is the reference to it, a `mintaka.results.ResultRecord`.
    """

    data: Any = field(default=None, compare=False, repr=False)
    error: BaseException | None = field(default=None, compare=False, repr=False)

    def __post_init__(self) -> None:
        """Texts are made of what is none, such as `Failed(message=error)`: a run ends with its state, whatever its author put there."""
        if type(self.type) is not StateType:
            object.__setattr__(self, "type", StateType(self.type))
        for word in ("name", "reason", "message"):
            given = getattr(self, word)
            if not isinstance(given, str):
                text = "" if given is None else message_of(given)
                object.__setattr__(self, word, text)
        core.State.__post_init__(self)

    def __str__(self) -> str:
        """What a person wants to know: `Failed('ValueError: no rows')`, with the type where the name is not the type's own."""
        told = ": ".join(part for part in (self.reason if self.reason != self.name else "", self.message) if part)
        named = [] if self.name.upper() == self.type else [f"type={self.type}"]
        return f"{self.name}({', '.join(([repr(told)] if told else []) + named)})"

    @property
    def timestamp(self) -> datetime | None:
        """When the state began (aware, UTC); None while it is only proposed."""
        return self.time

    @overload
    async def aresult(self, raise_on_failure: Literal[True] = True) -> R_co: ...
    @overload
    async def aresult(self, raise_on_failure: bool) -> R_co | Exception: ...
    async def aresult(self, raise_on_failure: bool = True) -> R_co | Exception:
        """`result` for `await`; a persisted one is read without blocking the event loop."""
        if not isinstance(self.data, ResultRecord):
            return self.result(raise_on_failure, _sync=True)
        from mintaka.waiting.drivers import apart  # noqa: PLC0415 - would be a cycle

        return await apart(lambda: self.result(raise_on_failure, _sync=True))

    @overload
    def result(self, raise_on_failure: Literal[True] = True, *, _sync: Literal[True] | None = None) -> R_co: ...
    @overload
    def result(self, raise_on_failure: bool, *, _sync: Literal[True] | None = None) -> R_co | Exception: ...
    @overload
    def result(self, raise_on_failure: bool = True, *, _sync: Literal[False]) -> Coroutine[Any, Any, R_co | Exception]: ...
    @dual(aresult)
    def result(self, raise_on_failure: bool = True) -> R_co | Exception:
        """The run's result; raises its exception where it failed (or returns that exception, or the states that made it fail).

        In async code it is awaited (`mintaka.calling.dual_functions`).

        Raises:
            UnfinishedRun: the state is not terminal.
            PausedRun: the run waits to be resumed.
            FailedRun, CrashedRun, CancelledRun: the run ended so without an exception of its own.
        """
        if self.type == core.COMPLETED:
            value: R_co = self.data.result if isinstance(self.data, ResultRecord) else self.data
            return value
        if self.type == core.PAUSED:
            message = f"the run is {self.name}, so it has no result until it is resumed: {self.message}".rstrip(": ")
            raise PausedRun(message)
        if not self.is_terminal:
            message = f"the run is {self.name}, so it has no result yet: wait for it"
            raise UnfinishedRun(message)
        error = self.exception()
        if raise_on_failure:
            raise error
        return self.data if _are_states(self.data) else error

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

    def is_paused(self) -> bool:
        """True while the run waits to be resumed."""
        return self.type == core.PAUSED

    def is_cancelling(self) -> bool:
        """True while the run is being cancelled."""
        return self.type == core.CANCELLING

    def is_final(self) -> bool:
        """True where the run is over."""
        return self.is_terminal


def _are_states(data: Any) -> bool:
    parts = data if isinstance(data, (list, tuple, set)) else (data,)
    return bool(parts) and all(isinstance(part, State) for part in parts)


def Completed[T](*, message: str = "", name: str = "Completed", data: T = None) -> State[T]:  # type: ignore[assignment]  # noqa: N802 - Orion's name
    """An end that is good."""
    return State(StateType.COMPLETED, name, message=message, data=data)


def Failed(*, message: str = "", name: str = "Failed", reason: str = "", data: Any = None) -> State[Any]:  # noqa: N802 - Orion's name
    """An end that is the code's fault; `data` may be the exception."""
    return _ended_by(StateType.FAILED, name, reason, message, data)


def Crashed(*, message: str = "", name: str = "Crashed", reason: str = "", data: Any = None) -> State[Any]:  # noqa: N802 - Orion's name
    """An end that is not the code's fault; `data` may be the exception."""
    return _ended_by(StateType.CRASHED, name, reason, message, data)


def Cancelled(*, message: str = "", name: str = "Cancelled", reason: str = "", data: Any = None) -> State[Any]:  # noqa: N802 - Orion's name
    """An end that somebody asked for."""
    return _ended_by(StateType.CANCELLED, name, reason, message, data)


def _ended_by(kind: StateType, name: str, reason: str, message: str, data: Any) -> State[Any]:
    error = data if isinstance(data, BaseException) else None
    reason = reason or (type(error).__name__ if error else "")
    return State(kind, name, reason, message or (message_of(error) if error else ""), data=data, error=error)


def Scheduled(*, message: str = "", name: str = "Scheduled", scheduled_time: datetime | None = None) -> State[Any]:  # noqa: N802 - Orion's name
    """Due at `scheduled_time` (aware; None: at once)."""
    return State(StateType.SCHEDULED, name, message=message, scheduled_time=scheduled_time)


def AwaitingRetry(*, message: str = "", scheduled_time: datetime | None = None) -> State[Any]:  # noqa: N802 - Orion's name
    """To be tried again at `scheduled_time` (aware; None: at once)."""
    return Scheduled(message=message, name="AwaitingRetry", scheduled_time=scheduled_time)


def Late(*, message: str = "", scheduled_time: datetime | None = None) -> State[Any]:  # noqa: N802 - Orion's name
    """Due, and not begun for longer than usual."""
    return Scheduled(message=message, name="Late", scheduled_time=scheduled_time)


def AwaitingConcurrencySlot(*, message: str = "", scheduled_time: datetime | None = None) -> State[Any]:  # noqa: N802 - Orion's name
    """Due, and waiting for others to end."""
    return Scheduled(message=message, name="AwaitingConcurrencySlot", scheduled_time=scheduled_time)


def Pending(*, message: str = "", name: str = "Pending") -> State[Any]:  # noqa: N802 - Orion's name
    """Made, and not begun."""
    return State(StateType.PENDING, name, message=message)


def Running(*, message: str = "", name: str = "Running") -> State[Any]:  # noqa: N802 - Orion's name
    """The code runs."""
    return State(StateType.RUNNING, name, message=message)


def Retrying(*, message: str = "") -> State[Any]:  # noqa: N802 - Orion's name
    """The code runs once more."""
    return Running(message=message, name="Retrying")


def Paused(*, message: str = "", name: str = "Paused") -> State[Any]:  # noqa: N802 - Orion's name
    """Waiting to be resumed."""
    return State(StateType.PAUSED, name, name, message)


def Suspended(*, message: str = "") -> State[Any]:  # noqa: N802 - Orion's name
    """Waiting to be resumed, with nothing running meanwhile."""
    return Paused(message=message, name="Suspended")


def Cancelling(*, message: str = "", name: str = "Cancelling") -> State[Any]:  # noqa: N802 - Orion's name
    """Asked to end."""
    return State(StateType.CANCELLING, name, message=message)


__all__ = [
    "AwaitingConcurrencySlot",
    "AwaitingRetry",
    "Cancelled",
    "Cancelling",
    "Completed",
    "Crashed",
    "Failed",
    "Late",
    "Paused",
    "Pending",
    "Retrying",
    "Running",
    "Scheduled",
    "State",
    "StateType",
    "Suspended",
]
