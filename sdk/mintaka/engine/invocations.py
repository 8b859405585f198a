"""One call of a task or flow: what is called, with what, and which run it is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from mintaka.calling.dependencies import resolved

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Generator

    from mintaka.calling.dependencies import Dependencies
    from mintaka.context import FlowContext, RunContext
    from mintaka.engine.outcomes import Outcome
    from mintaka.engine.retries import RetryPlan
    from mintaka.engine.runs import Ledger, Run
    from mintaka.exceptions import TimedOut
    from mintaka.states import State


class Definition(Protocol):
    """What the engine asks of a task or flow. `body` is called where `fn` would hand out items with nobody to take them."""

    fn: Callable[..., Any]
    body: Callable[..., Any]
    running_hooks: tuple[Callable[..., Any], ...]
    retry_plan: RetryPlan
    #: Whether another try can help, called with the definition, the run and the state that the last try proposes; None: it can.
    retry_condition_fn: Callable[..., Any] | None
    name: str
    timeout_seconds: float | None

    def prepare(self, invocation: Invocation) -> Awaitable[None] | None:
        """Last touches once every input is there: validation, the run's name. What it raises fails the run for good; what it
        returns, if anything, has to be awaited first.
        """

    def hooks_for(self, state: State) -> tuple[Callable[..., Any], ...]:
        """What is called when a run ends in `state`."""


class Keeping(Protocol):
    """What keeps a run's result, or finds one that stands in for it; the engine has none for runs nobody asked it for.

    Its generators yield the engine's steps.
    """

    def begin(self, invocation: Invocation) -> Generator[Any, Any, Outcome | None]:
        """Before the run starts: its outcome where a kept result ended it, None where the body is to run."""

    def complete(self, invocation: Invocation, value: Any) -> Generator[Any, Any, Outcome]:
        """The body returned `value`: keep it and end the run."""

    def ended(self, *, ok: bool) -> Generator[Any, Any, None]:
        """The run ended in a state that it returned, or without completing (not `ok`)."""

    def forget(self, outcome: Outcome) -> None:
        """The outcome goes into a future, which may live long: hold no value where none is wanted in memory."""

    def release(self) -> None:
        """The run is over, however it ended: let go of what others wait for. Does not block or raise."""


class Invocation:
    """See the module's docstring. `child` is the context of the flow run this is (None: a task). `handed_out` is true if
    the caller has items of this run that another try would make again; `facts` are what the rules read before the run starts (None:
    nothing unusual); `late` is what its own timeout raises, last time, and
    `overdue` says that this ended its last try.
    """

    __slots__ = (
        "args",
        "child",
        "context",
        "definition",
        "dependencies",
        "facts",
        "handed_out",
        "keeping",
        "kwargs",
        "late",
        "ledger",
        "needs_preparing",
        "overdue",
        "run",
    )

    def __init__(
        self,
        definition: Definition,
        run: Run,
        ledger: Ledger,
        context: RunContext,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        dependencies: Dependencies | None,
        child: FlowContext | None = None,
        *,
        needs_preparing: bool = False,
        keeping: Keeping | None = None,
    ) -> None:
        self.definition = definition
        self.run = run
        self.ledger = ledger
        self.context = context
        self.args = args
        self.kwargs = kwargs
        self.dependencies = dependencies
        self.child = child
        self.handed_out = False
        self.facts: dict[str, Any] | None = None
        self.late: TimedOut | None = None
        self.overdue = False
        self.needs_preparing = needs_preparing
        self.keeping = keeping

    def note(self, **facts: Any) -> None:
        """Add facts for the decision whether the run starts: fields of the transition."""
        self.facts = {**(self.facts or {}), **facts}

    def resolve(self) -> None:
        """Put results in the place of futures."""
        self.args = resolved_arguments(self.args)
        self.kwargs = {key: resolved(value) for key, value in self.kwargs.items()}
        self.context.args, self.context.kwargs = self.args, self.kwargs


def resolved_arguments(args: tuple[Any, ...]) -> tuple[Any, ...]:
    """The same arguments with results in the place of futures."""
    return tuple(resolved(value) for value in args)
