"""States as a flow's author makes and reads them."""

from __future__ import annotations

import pickle
from datetime import UTC, datetime
from typing import Any

import pytest

from mintaka import Completed, Failed, flow, states, task
from mintaka.exceptions import CancelledRun, CrashedRun, FailedRun, PausedRun, UnfinishedRun
from mintaka.states import State, StateType
from mintaka.testing import recorded
from mintaka_core.states import FAILED

WHEN = datetime(2026, 11, 22, tzinfo=UTC)

MADE: dict[str, tuple[State, StateType, str]] = {
    "Scheduled": (states.Scheduled(scheduled_time=WHEN), StateType.SCHEDULED, "is_scheduled"),
    "AwaitingRetry": (states.AwaitingRetry(scheduled_time=WHEN), StateType.SCHEDULED, "is_scheduled"),
    "Pending": (states.Pending(), StateType.PENDING, "is_pending"),
    "Running": (states.Running(), StateType.RUNNING, "is_running"),
    "Retrying": (states.Retrying(), StateType.RUNNING, "is_running"),
    "Completed": (states.Completed(data=5), StateType.COMPLETED, "is_completed"),
    "Failed": (states.Failed(message="no"), StateType.FAILED, "is_failed"),
    "Crashed": (states.Crashed(message="no"), StateType.CRASHED, "is_crashed"),
    "Paused": (states.Paused(), StateType.PAUSED, "is_paused"),
    "Suspended": (states.Suspended(), StateType.PAUSED, "is_paused"),
    "Cancelling": (states.Cancelling(), StateType.CANCELLING, "is_cancelling"),
    "Cancelled": (states.Cancelled(), StateType.CANCELLED, "is_cancelled"),
}
PREDICATES = {predicate for _, _, predicate in MADE.values()}


@pytest.mark.parametrize("name", MADE)
def test_each_constructor_makes_its_type_and_name_and_exactly_one_predicate_holds(name: str) -> None:
    state, kind, predicate = MADE[name]
    assert (state.type, state.name) == (kind, name)
    assert {other for other in PREDICATES if getattr(state, other)()} == {predicate}
    assert state.is_final() == state.type.is_terminal


def test_every_type_has_a_constructor() -> None:
    assert {kind for _, kind, _ in MADE.values()} == set(StateType)


RAISED: dict[str, tuple[State, type[Exception]]] = {
    "a failed state raises FailedRun": (states.Failed(), FailedRun),
    "a crashed one CrashedRun": (states.Crashed(), CrashedRun),
    "a cancelled one CancelledRun": (states.Cancelled(), CancelledRun),
    "one with an exception raises that": (states.Failed(data=KeyError("k")), KeyError),
    "a paused one PausedRun": (states.Paused(), PausedRun),
    "one that runs UnfinishedRun": (states.Running(), UnfinishedRun),
}


@pytest.mark.parametrize(("state", "raised"), RAISED.values(), ids=RAISED)
def test_the_result_of_a_state_without_one(state: State, raised: type[Exception]) -> None:
    with pytest.raises(raised):
        state.result()
    if state.is_final():
        assert isinstance(state.result(raise_on_failure=False), raised)


def test_the_result_of_a_completed_state_is_its_data() -> None:
    assert states.Completed(data=[1], name="Skipped").result() == [1]


@pytest.mark.parametrize(
    ("state", "shown"),
    [
        (states.Completed(), "Completed()"),
        (states.Completed(message="nothing new", name="Skipped"), "Skipped('nothing new', type=COMPLETED)"),
        (states.Failed(message="no rows", reason="ValueError"), "Failed('ValueError: no rows')"),
        (states.Failed(message="too long", name="TimedOut", reason="TimedOut"), "TimedOut('too long', type=FAILED)"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_state_shows_a_person_its_name_and_why(state: State, shown: str) -> None:
    assert str(state) == shown


def test_a_state_can_be_pickled_with_its_result() -> None:
    state: Any = pickle.loads(pickle.dumps(states.Completed(data={"a": 1})))  # noqa: S301 - our own
    assert state.result() == {"a": 1}


@pytest.mark.parametrize(
    ("given", "told"),
    [(ValueError("no rows"), "no rows"), (5, "5"), (None, ""), (b"x", "b'x'")],
    ids=["an exception", "a number", "None", "bytes"],
)
def test_what_is_no_text_is_made_one_and_the_run_ends_with_its_state(given: Any, told: str) -> None:
    @task
    def ends() -> Any:
        return Failed(message=given, reason=given)

    with recorded() as history:
        state = flow(lambda: [ends(return_state=True), Completed(name=given)])(return_state=True)
    assert history.states_of("ends-0") == ["Pending", "Running", "Failed"]
    assert history.run("ends-0").history[-1].message == told
    assert state.type == FAILED


def test_a_type_may_be_given_by_its_name() -> None:
    assert State("COMPLETED").type is StateType.COMPLETED  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="'DONE' is not a valid StateType"):
        State("DONE")  # type: ignore[arg-type]
