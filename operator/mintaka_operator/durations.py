"""Kubernetes durations as Python's; an out-of-range value is clamped, never an error.

Grace periods may be any 64-bit number of seconds (seen: the API server admits a terminationGracePeriodSeconds of 2^63 - 1).
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

LONGEST = timedelta(days=3650)


def parse_seconds(value: Any) -> timedelta:
    """A number of seconds as a duration between zero and ten years; zero if it is not a number."""
    if isinstance(value, bool) or not isinstance(value, int | float) or value != value:  # noqa: PLR0124 - not a number
        return timedelta(0)
    return timedelta(seconds=min(max(value, 0), LONGEST.total_seconds()))
