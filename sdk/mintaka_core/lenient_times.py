"""Times that other people wrote, read without errors: whatever is out of range is clamped.

The API server admits times that Python cannot calculate with: of the year 0, or of the year 9999 in a time zone west of UTC.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any

#: Far enough from both ends of the range of a datetime that anything added or subtracted later still fits.
EARLIEST, LATEST = datetime(1971, 1, 1, tzinfo=UTC), datetime(9000, 1, 1, tzinfo=UTC)

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
    return clamped(time if time.tzinfo else time.replace(tzinfo=UTC))


def clamped(time: datetime) -> datetime:
    """The time itself, or the end of the range that is nearer to it."""
    return min(max(time, EARLIEST), LATEST)


def later(time: datetime, by: timedelta) -> datetime:
    """`time + by`, clamped."""
    try:
        return clamped(time + by)
    except OverflowError:
        return LATEST if by > timedelta(0) else EARLIEST
