"""What ends of runs mean where Mintaka and Prefect 3 differ on purpose: the questions the engine asks, and both sets of answers.

`MINTAKA_SEMANTICS`, or `@flow(semantics=…)`, chooses one for a flow run and all inside of it. The engine asks the object and
never for its name, so nothing else of it knows that there are two.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from mintaka.annotations import Annotation, opaque, quote
from mintaka.calling.dependencies import LEAVES, parts_of, resolved
from mintaka.exceptions import ConfigurationError
from mintaka.futures import Future, resolve_futures_to_states
from mintaka.states import State
from mintaka_core.states import CANCELLED, COMPLETED, FAILED

if TYPE_CHECKING:
    from mintaka.context import FlowContext

VARIABLE = "MINTAKA_SEMANTICS"


@dataclass(frozen=True, slots=True)
class Semantics:
    """One set of answers.

    `value_of_flow` and `value_of_task` say what a value that a body returned amounts to: an ordinary value (a `StateAsValue` if
    that is a state), or the State that the run ends in (a `ReturnedState` if its caller gets something else than that says).
    """

    name: str
    #: Does a submitted run that failed fail its flow, if no code read how it ended?
    unobserved_failures_count: bool
    #: When a flow's body is over, is what still waits in the queue of a bounded task runner cancelled?
    queued_runs_are_cancelled: bool
    #: The name of a completed run whose result could not be persisted.
    not_persisted_name: str
    #: Are its `on_rollback` hooks called?
    not_persisted_is_undone: bool
    value_of_flow: Callable[[Any], Any]
    value_of_task: Callable[[Any], Any]


@dataclass(frozen=True, slots=True)
class ReturnedState(State):
    """A state that ends a run whose direct call gives `given`, whatever the state is."""

    given: Any = field(default=None, compare=False, repr=False)


class StateAsValue:
    """A state that is the value of a run which completed."""

    __slots__ = ("state",)

    def __init__(self, state: State) -> None:
        self.state = state


def states_in(value: Any) -> list[State]:
    """The states of every future, and every state, in `value`, however deep; the failures of these futures have been read."""
    return [part.state if isinstance(part, Future) else part for part in _ends_in(value)]


def futures_in(value: Any) -> tuple[Future[Any], ...]:
    """Every future in `value`, however deep."""
    return tuple(part for part in _ends_in(value) if isinstance(part, Future))


def _ends_in(value: Any) -> list[Future[Any] | State]:
    """Each container is looked into once: it may contain itself."""
    found: list[Future[Any] | State] = []
    seen, left = set(), [value]
    while left:
        part = left.pop()
        kind = type(part)
        if kind in LEAVES or kind is quote:
            continue
        if kind is State or kind is Future:
            found.append(part)
        elif isinstance(part, Annotation):
            if kind is not opaque or isinstance(part.value, (Future, State)):
                left.append(part.value)
        elif id(part) not in seen and (parts := parts_of(part, kind)) is not None:
            seen.add(id(part))
            left.extend(reversed(list(parts)))
    return found


def sum_up(kind: Any, bad: list[State], what: str) -> State:
    """The state that states which are not COMPLETED add up to."""
    first = bad[0]
    description = ": ".join(part for part in (first.reason, first.message) if part)
    return State(kind, reason=first.reason, message=f"{what}: {description}".rstrip(": "), error=first.exception())


# -- Mintaka's answers ----------------------------------------------------------------------------------------------------


def _results(value: Any) -> Any:
    """Futures and states become results; one that did not complete, however deep, decides."""
    if type(value) is State:
        return value
    states = states_in(value)
    if not states:
        return value
    return _refused(states) or resolved(value)


def _refused(states: list[State]) -> State | None:
    bad = [state for state in states if state.type != COMPLETED]
    if not bad:
        return None
    return sum_up(_kind(bad), bad, f"{len(bad)} of {len(states)} returned states did not complete")


def _kind(bad: list[State]) -> Any:
    return CANCELLED if any(state.type == CANCELLED for state in bad) else FAILED


def _as_it_is(value: Any) -> Any:
    return value


# -- Prefect's answers ----------------------------------------------------------------------------------------------------


def _flow_states(value: Any) -> Any:
    """Futures become states. A state, or a collection of nothing but states, decides, and is what the caller gets; one of
    another run is the value, one made by the flow itself the end.
    """
    if futures_in(value):
        value = resolve_futures_to_states(value)
    if not isinstance(value, State):
        return _collection(value)
    if _made_by_hand(value):
        return value
    return StateAsValue(value) if value.type == COMPLETED else _end_by(value)


def _task_states(value: Any) -> Any:
    """The same for a task, whose call gives any state that it returns."""
    if not isinstance(value, State):
        return _collection(value)
    if not _made_by_hand(value):
        return StateAsValue(value) if value.type == COMPLETED else _returned(_end_by(value), value)
    return _returned(value, value) if value.is_terminal else value


def _collection(value: Any) -> Any:
    if not isinstance(value, (list, tuple, set)) or not value or not all(type(part) is State for part in value):
        return value
    refused = _refused(list(value))
    return value if refused is None else _returned(refused, value, data=value)


def _made_by_hand(state: State) -> bool:
    """Only states that a run was in have a time."""
    return state.time is None


def _end_by(state: State) -> State:
    return State(_kind([state]), reason=state.reason, message=state.message, data=state, error=state.exception())


def _returned(state: State, given: Any, data: Any = None) -> ReturnedState:
    data = state.data if data is None else data
    return ReturnedState(state.type, state.name, state.reason, state.message, data=data, error=state.error, given=given)


MINTAKA = Semantics(
    "mintaka",
    unobserved_failures_count=True,
    queued_runs_are_cancelled=False,
    not_persisted_name="NotPersisted",
    not_persisted_is_undone=False,
    value_of_flow=_results,
    value_of_task=_as_it_is,
)
PREFECT3 = Semantics(
    "prefect3",
    unobserved_failures_count=False,
    queued_runs_are_cancelled=True,
    not_persisted_name="Completed",
    not_persisted_is_undone=True,
    value_of_flow=_flow_states,
    value_of_task=_task_states,
)
_BY_NAME = {each.name: each for each in (MINTAKA, PREFECT3)}


def semantics_named(name: str | None, around: Semantics | None = None) -> Semantics:
    """Those of that name; None: those of the flow `around`, else what the environment says.

    Raises:
        ConfigurationError: MINTAKA_SEMANTICS names none.
    """
    if name is not None:
        return _BY_NAME[name]
    return around or semantics_of_environment()


def semantics_of_environment() -> Semantics:
    """What MINTAKA_SEMANTICS says; Mintaka's own if it is not set.

    Raises:
        ConfigurationError: it names none.
    """
    name = os.environ.get(VARIABLE) or MINTAKA.name
    if name not in _BY_NAME:
        message = f"{VARIABLE} should be {' or '.join(_BY_NAME)}, not {name!r}"
        raise ConfigurationError(message)
    return _BY_NAME[name]


def semantics_of(flow: FlowContext | None) -> Semantics:
    """Those of a flow run; of a task outside of flows (None), what the environment says."""
    return flow.semantics if flow is not None else semantics_of_environment()
