"""Backoff: exponential, bounded, jittered."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mintaka_core.backoff import NEVER_RAN, Backoff, Budget

DRAWS = st.floats(0, 1, exclude_max=True)
BACKOFFS = st.builds(
    Backoff,
    delay_seconds=st.floats(0, 86400),
    factor=st.floats(1, 100),
    max_seconds=st.floats(0, 604800),
    jitter=st.floats(0, 1),
)


@pytest.mark.parametrize(
    ("retry", "seconds"),
    [(0, 10), (1, 20), (2, 40), (5, 320), (6, 600), (7, 600), (10_000, 600)],
    ids=str,
)
def test_waits_double_until_the_ceiling(retry: int, seconds: int) -> None:
    """The defaults wait 10 s, then twice as long each time, and never more than ten minutes."""
    assert Backoff().delay(retry, 0) == timedelta(seconds=seconds)


def test_a_factor_of_one_keeps_the_wait_constant() -> None:
    """The hundredth wait is as long as the first."""
    backoff = Backoff(delay_seconds=7, factor=1, jitter=0)
    assert {backoff.delay(retry, 0.9) for retry in range(100)} == {timedelta(seconds=7)}


def test_a_power_beyond_all_numbers_is_the_ceiling() -> None:
    """A float overflows at 1e308; a run with that many retries waits the longest wait, and does not fail."""
    assert Backoff(1, 100, 3600, 0).delay(10**6, 0) == timedelta(hours=1)


def test_no_delay_stays_no_delay_however_often() -> None:
    """Zero times infinity is still at once."""
    assert {Backoff(0, 100, 3600, 0).delay(retry, 0) for retry in (0, 1, 50, 10**6)} == {timedelta(0)}


@given(BACKOFFS, st.integers(0, 5000), DRAWS)
def test_every_wait_lies_between_its_jittered_least_and_its_ceiling(backoff: Backoff, retry: int, draw: float) -> None:
    """Jitter takes away at most its share, and never adds."""
    most = backoff.delay(retry, 0)
    least = most * (1 - backoff.jitter) - timedelta(microseconds=2)
    assert timedelta(0) <= least + timedelta(microseconds=2)
    assert least <= backoff.delay(retry, draw) <= most <= timedelta(seconds=backoff.max_seconds + 1e-6)


@given(BACKOFFS, st.integers(0, 200), DRAWS)
def test_waits_never_become_shorter(backoff: Backoff, retry: int, draw: float) -> None:
    """With the same draw, the next wait is at least as long."""
    assert backoff.delay(retry, draw) <= backoff.delay(retry + 1, draw)


@pytest.mark.parametrize(
    ("reasons", "reason", "covered"),
    [
        (set(), "OOMKilled", True),
        (set(), "", True),
        ({"Evicted"}, "Evicted", True),
        ({"Evicted", "Drained"}, "Drained", True),
        ({"Evicted"}, "OOMKilled", False),
        ({"Evicted"}, "", False),
    ],
)
def test_a_budget_covers_the_reasons_it_names_or_all(reasons: set[str], reason: str, *, covered: bool) -> None:
    """No reason named means that every reason may draw on it."""
    assert Budget(1, reasons=frozenset(reasons)).covers(reason) is covered


def test_being_turned_away_is_tried_a_few_times_within_minutes() -> None:
    """A draining node refuses pods nine times a second: five tries, seconds apart, about two minutes in all."""
    waits = [NEVER_RAN.backoff.delay(retry, 0) for retry in range(NEVER_RAN.limit)]
    assert waits == [timedelta(seconds=seconds) for seconds in (2, 4, 8, 16, 32)]
