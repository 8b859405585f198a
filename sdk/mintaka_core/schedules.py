"""When a schedule fires next: a pure function of the schedule and a time.

Cron: see `mintaka_core.cron`. Intervals of hours, minutes and seconds are elapsed time; intervals of whole days are
wall-clock time in the schedule's zone, computed from the anchor so that they do not drift; in a gap the offset before it is
used.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from mintaka_core.cron import parse_cron
from mintaka_core.errors import InvalidSchedule
from mintaka_core.instants import FIRST, LAST, clamp
from mintaka_core.time_zones import zone_of

#: Anchor of intervals without one.
EPOCH = datetime(2020, 1, 1, tzinfo=UTC)

_DAY = timedelta(days=1)
#: No schedule fires later: until then a time can be expressed in every time zone.
_LATEST = datetime(9999, 12, 31, tzinfo=UTC)


def next_cron(expression: str, zone: str, after: datetime) -> datetime:
    """The first time (UTC) strictly after `after` (aware) at which `expression` fires in time zone `zone`."""
    try:
        found = parse_cron(expression).next_time(zone_of(zone), clamp(after, FIRST, LAST))
    except OverflowError:
        found = None
    if found is None or found > _LATEST:
        message = f"cron expression {expression!r} never fires in {zone} after {after:%Y-%m-%d}: such a day or time does not exist"
        raise InvalidSchedule(message)
    return found


def next_interval(interval: timedelta, anchor: datetime | None, zone: str, after: datetime) -> datetime:
    """The first time (UTC) strictly after `after` that is a whole number of intervals from `anchor`."""
    if interval <= timedelta(0):
        message = f"an interval must be positive, not {interval}"
        raise InvalidSchedule(message)
    # Between two times of one zone Python uses the wall clock; in UTC, elapsed time.
    start, after = clamp(anchor or EPOCH, FIRST, LAST), clamp(after, FIRST, LAST)
    steps = (after - start) // interval
    try:
        days = not interval % _DAY
        found = _next_days(interval, start.astimezone(zone_of(zone)), steps, after) if days else start + (steps + 1) * interval
    except OverflowError:
        found = LAST
    if found > _LATEST:
        message = f"an interval of {interval} from {start.isoformat()} never comes round again"
        raise InvalidSchedule(message)
    return found


def _next_days(interval: timedelta, start: datetime, steps: int, after: datetime) -> datetime:
    """Count whole days by the wall clock; the count by elapsed time may be a day off either way."""
    for step in range(steps - 1, steps + 4):
        # Arithmetic on an aware local time keeps the wall clock; in a gap the offset before it is used (fold=0).
        instant = (start + step * interval).astimezone(UTC)
        if instant > after:
            return instant
    raise OverflowError
