"""Times as stored: whole microseconds since 1970-01-01T00:00:00Z, so that both databases sort them alike.

A time that is out of range is clamped, when it is written and when it is read: one row must not fail a page of others.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)

#: 9999-12-31T00:00:00Z, the last day that RFC 3339 and Python can represent.
LATEST_MICROSECONDS = 253_402_214_400_000_000
#: 0001-01-02T00:00:00Z, a day after the first one, so that either can be expressed in every time zone.
EARLIEST_MICROSECONDS = -62_135_510_400_000_000


def to_microseconds(instant: datetime) -> int:
    """Microseconds since the epoch of an aware datetime, clamped; a naive one counts as UTC."""
    if instant.tzinfo is None:
        instant = instant.replace(tzinfo=UTC)
    return _clamped((instant - EPOCH) // _MICROSECOND)


def optional_microseconds(instant: datetime | None) -> int | None:
    """`to_microseconds`, or None for None."""
    return None if instant is None else to_microseconds(instant)


def from_microseconds(microseconds: int) -> datetime:
    """The aware UTC datetime of a stored time, clamped."""
    return EPOCH + timedelta(microseconds=_clamped(microseconds))


def optional_datetime(microseconds: int | None) -> datetime | None:
    """`from_microseconds`, or None for None."""
    return None if microseconds is None else from_microseconds(microseconds)


def now_microseconds() -> int:
    """The current time."""
    return time.time_ns() // 1000


def _clamped(microseconds: int) -> int:
    return min(max(microseconds, EARLIEST_MICROSECONDS), LATEST_MICROSECONDS)
