"""Durations in seconds, capped before they are added to a date or given to the operating system.

A `datetime` ends with the year 9999, a `timedelta` after 2.7 million years, a lock's timeout after 292 years, and a float
overflows at 1e308. Delays come from users and from powers, so they are capped where they enter.
"""

from __future__ import annotations

import math
from typing import SupportsFloat, SupportsIndex

#: Some 31 years: longer than any run waits, and within every clock's range.
LONGEST_SECONDS = 1e9


def cap_seconds(seconds: SupportsFloat | SupportsIndex) -> float:
    """`seconds` between 0 and LONGEST_SECONDS, which infinity and integers beyond a float become too.

    Raises:
        ValueError: it is not a number (NaN).
    """
    try:
        number = float(seconds)
    except OverflowError:
        return LONGEST_SECONDS if seconds > 0 else 0.0  # type: ignore[operator]
    if math.isnan(number):
        message = f"{seconds!r} is not a number of seconds"
        raise ValueError(message)
    return min(max(number, 0.0), LONGEST_SECONDS)
