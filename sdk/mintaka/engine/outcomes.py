"""How a run ended, with the value or the exception that its record does not hold."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mintaka.states import State
from mintaka_core.states import COMPLETED

if TYPE_CHECKING:
    from mintaka.engine.runs import Run
    from mintaka.results import ResultRecord


@dataclass(frozen=True, slots=True)
class Interrupted:
    """What an interruption of a whole flow run amounts to: the state of the flow run, and that of its task runs that were not over.

    `hooks` is False where nobody can say what happened: then no hook is called, rather than a wrong one.
    """

    flow: State
    tasks: State
    hooks: bool = True

    @classmethod
    def all(cls, state: State) -> Interrupted:
        """The flow run and its task runs end in the same state."""
        return cls(state, state)


class Outcome:
    """The end of `run`: its `value` where it is `ok` (COMPLETED), else the `error` behind it (None: there is no exception)."""

    __slots__ = ("error", "ok", "run", "value")

    def __init__(self, run: Run, value: Any = None, error: BaseException | None = None, *, ok: bool = False) -> None:
        self.run = run
        self.value = value
        self.error = error
        self.ok = ok

    @property
    def state(self) -> State:
        """The run's state with the value or exception in it."""
        bare = self.run.state
        return State(bare.type, bare.name, bare.reason, bare.message, bare.time, data=self.value, error=self.error)

    def called(self) -> Any:
        """What a call of it gives: the value; where the run did not complete, its exception is raised."""
        return self.value if self.ok else self.result()

    def result(self, *, raise_on_failure: bool = True) -> Any:
        """The value; where the run did not complete, its exception is raised (or returned)."""
        if self.ok:
            return self.value
        if self.error is not None and self.run.state.type == COMPLETED:
            raise self.error  # a hook's, that is no `Exception`: it came after the end
        return self.state.result(raise_on_failure=raise_on_failure, _sync=True)


class ReturnedOutcome(Outcome):
    """The end of a run whose call gives `given`, whatever that end is."""

    __slots__ = ("given",)

    def __init__(self, outcome: Outcome, given: Any) -> None:
        super().__init__(outcome.run, outcome.value, outcome.error, ok=outcome.ok)
        self.given = given

    def called(self) -> Any:
        """What a call of it gives."""
        return self.given


class KeptOutcome(Outcome):
    """The end of a run that completed and whose result is persisted: the state holds the reference to it."""

    __slots__ = ("record",)

    def __init__(self, run: Run, record: ResultRecord) -> None:
        self.run = run
        self.error = None
        self.ok = True
        self.record = record

    @property
    def value(self) -> Any:
        """The result; see `ResultRecord.result`."""
        return self.record.result

    @property
    def state(self) -> State:
        """The run's state with the reference in it."""
        bare = self.run.state
        return State(bare.type, bare.name, bare.reason, bare.message, bare.time, data=self.record)
