"""States: closed types, open names."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from mintaka_core.states import (
    CANCELLED,
    COMPLETED,
    CRASHED,
    DEFAULT_NAMES,
    FAILED,
    TERMINAL,
    State,
    StateType,
    awaiting_retry,
    scheduled,
    suspended,
    timed_out,
)

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize("state_type", list(StateType))
def test_a_state_without_a_name_takes_that_of_its_type(state_type: StateType) -> None:
    """Every type has a default name, and it is the type's own word."""
    assert State(state_type).name == DEFAULT_NAMES[state_type] == state_type.value.capitalize()


@pytest.mark.parametrize("state_type", list(StateType))
def test_exactly_four_types_end_a_run(state_type: StateType) -> None:
    """COMPLETED, FAILED, CRASHED and CANCELLED are terminal, the other five are not."""
    expected = state_type in {COMPLETED, FAILED, CRASHED, CANCELLED}
    assert state_type.is_terminal == State(state_type).is_terminal == (state_type in TERMINAL) == expected


def test_a_state_keeps_all_but_its_time_when_it_begins() -> None:
    """`at` stamps a proposal and changes nothing else."""
    proposal = State(FAILED, "Broken", "ValueError", "no such file")
    begun = proposal.at(NOW)
    assert begun == State(FAILED, "Broken", "ValueError", "no such file", NOW)
    assert proposal.time is None


def test_the_named_states_say_what_they_are() -> None:
    """Each constructor gives the type, name and reason that the rules and people rely on."""
    assert (scheduled(NOW).name, scheduled(NOW).scheduled_time) == ("Scheduled", NOW)
    assert (awaiting_retry(NOW, reason="Evicted").name, awaiting_retry(NOW, reason="Evicted").reason) == ("AwaitingRetry", "Evicted")
    assert (suspended().name, suspended().reason) == ("Suspended", "Suspended")
    assert (timed_out("x").type, timed_out("x").name, timed_out("x").reason) == (FAILED, "TimedOut", "TimedOut")
