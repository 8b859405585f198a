"""Kubernetes timestamps and durations as Python's; an out-of-range value is clamped, never an error.

Grace periods may be any 64-bit number of seconds (seen: the API server admits a terminationGracePeriodSeconds of 2^63 - 1),
so times may be outside the range of a datetime.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any

#: Far enough from both ends of the range of a datetime that anything added or subtracted later still fits.
EARLIEST, LATEST = datetime(1971, 1, 1, tzinfo=UTC), datetime(9000, 1, 1, tzinfo=UTC)
LONGEST = timedelta(days=3650)

#: The zero times that container runtimes write for "never".
_ZEROS = ("1970-", "0001-")
_BEYOND_A_DATETIME = re.compile(r"\d{5,}-")


def parse_time(text: Any) -> datetime | None:
    """A Kubernetes timestamp as an aware datetime; None if it is missing, zero or not a timestamp."""
    if not isinstance(text, str) or text.startswith(_ZEROS):
        return None
    if _BEYOND_A_DATETIME.match(text):
        return LATEST
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        return None
    return min(max(time if time.tzinfo else time.replace(tzinfo=UTC), EARLIEST), LATEST)


def parse_seconds(value: Any) -> timedelta:
    """A number of seconds as a duration between zero and ten years; zero if it is not a number."""
    if isinstance(value, bool) or not isinstance(value, int | float) or value != value:  # noqa: PLR0124 - not a number
        return timedelta(0)
    return timedelta(seconds=min(max(value, 0), LONGEST.total_seconds()))
