"""Instants from outside: converted to UTC once, when they enter, so that no later arithmetic overflows.

RFC 3339 can write instants that have no UTC form: `9999-12-31T23:59:59-12:00` is in the year 10000, and Go accepts the year
0000. Python raises OverflowError only when it converts them. What a user wants is refused; what a program recorded is clamped,
because the rest of the record still counts.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any

#: The range of what is recorded: far enough from the ends of a datetime's range that any timeout or retention still fits.
EARLIEST, LATEST = datetime(1970, 1, 1, tzinfo=UTC), datetime(9000, 1, 1, tzinfo=UTC)
#: The ends of a datetime's range.
FIRST, LAST = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)

#: The zero times that container runtimes write for "never".
_ZEROS = ("1970-", "0001-")
_BEYOND_A_DATETIME = re.compile(r"\d{5,}-")


def to_utc(instant: datetime) -> datetime:
    """`instant` in UTC; a naive one counts as UTC. Raises ValueError with a sentence if UTC cannot express it."""
    if instant.tzinfo is None:
        return instant.replace(tzinfo=UTC)
    try:
        return instant.astimezone(UTC)
    except OverflowError as error:
        message = "in UTC it is outside the years 1 to 9999: write an earlier or later time"
        raise ValueError(message) from error


def clamp(instant: datetime, earliest: datetime = EARLIEST, latest: datetime = LATEST) -> datetime:
    """The instant between `earliest` and `latest` (both in UTC) that is nearest to `instant`, in UTC; a naive one counts as UTC."""
    if instant.tzinfo is None:
        instant = instant.replace(tzinfo=UTC)
    # Comparing aware datetimes does not overflow, converting them does.
    if instant <= earliest:
        return earliest
    return latest if instant >= latest else instant.astimezone(UTC)


def parse_time(text: Any) -> datetime | None:
    """A Kubernetes timestamp, clamped, in UTC; None if it is missing, zero or not a timestamp."""
    if not isinstance(text, str) or text.startswith(_ZEROS):
        return None
    if _BEYOND_A_DATETIME.match(text):
        return LATEST
    try:
        return clamp(datetime.fromisoformat(text))
    except ValueError:
        return None


def later(instant: datetime, by: timedelta) -> datetime:
    """`instant + by`, clamped."""
    try:
        return clamp(instant + by)
    except OverflowError:
        return LATEST if by > timedelta(0) else EARLIEST


def format_time(time: datetime) -> str:
    """RFC 3339 in UTC with microseconds, as Kubernetes writes a MicroTime."""
    return time.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"
