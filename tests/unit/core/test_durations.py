"""Durations are capped before they become dates."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest

from mintaka_core.backoff import Backoff
from mintaka_core.durations import LONGEST_SECONDS, cap_seconds
from mintaka_core.instants import later

SECONDS = {
    "an ordinary number is unchanged": (1.5, 1.5),
    "a Decimal is a number": (Decimal("2.5"), 2.5),
    "a Fraction is a number": (Fraction(1, 4), 0.25),
    "infinity is the longest": (float("inf"), LONGEST_SECONDS),
    "an integer beyond a float is the longest": (10**400, LONGEST_SECONDS),
    "a Decimal beyond a float is the longest": (Decimal("1e999"), LONGEST_SECONDS),
    "the largest float is the longest": (1.7e308, LONGEST_SECONDS),
    "a negative number is no time": (-3, 0.0),
    "minus infinity is no time": (float("-inf"), 0.0),
    "a negative integer beyond a float is no time": (-(10**400), 0.0),
}


@pytest.mark.parametrize(("given", "capped"), SECONDS.values(), ids=SECONDS)
def test_seconds_are_capped(given: Any, capped: float) -> None:
    assert cap_seconds(given) == capped
    assert datetime.now(UTC) + timedelta(seconds=cap_seconds(given)) < datetime(9000, 1, 1, tzinfo=UTC)


def test_what_is_not_a_number_is_refused() -> None:
    with pytest.raises(ValueError, match="nan is not a number of seconds"):
        cap_seconds(float("nan"))


BACKOFFS = {
    "an endless maximum": Backoff(10, 2, float("inf"), 0),
    "an endless factor": Backoff(10, float("inf"), 1e300, 0),
    "an endless delay": Backoff(float("inf"), 1, float("inf"), 0),
    "no delay and an endless factor": Backoff(0, float("inf"), float("inf"), 0),
}


@pytest.mark.parametrize("backoff", BACKOFFS.values(), ids=BACKOFFS)
@pytest.mark.parametrize("retry", [0, 1, 36, 10**6])
def test_every_wait_can_be_added_to_a_date(backoff: Backoff, retry: int) -> None:
    assert backoff.delay(retry, 0.5) <= timedelta(seconds=LONGEST_SECONDS)
    assert later(datetime.now(UTC), backoff.delay(retry, 0.5)).year < 9000
