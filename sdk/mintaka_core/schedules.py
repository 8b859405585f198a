"""When a schedule fires next: a pure function of the schedule and a time.

Cron: see `mintaka_core.cron`; recurrence rules: `mintaka_core.recurrence_sets`. Intervals of hours, minutes and seconds are elapsed
time; intervals of days, weeks, months and years are wall-clock time in the schedule's zone, computed from the anchor so that
they do not drift; in a gap the offset before it is used.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from mintaka_core.cron import parse_cron
from mintaka_core.errors import InvalidSchedule, ScheduleEnded
from mintaka_core.instants import EARLIEST, FIRST, LAST, clamp
from mintaka_core.intervals import Interval, interval_of
from mintaka_core.recurrence_sets import parse_recurrence
from mintaka_core.time_zones import zone_of

#: Anchor of intervals without one.
EPOCH = datetime(2020, 1, 1, tzinfo=UTC)

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


def next_interval(interval: Interval | timedelta, anchor: datetime | None, zone: str, after: datetime) -> datetime:
    """The first time (UTC) strictly after `after` that is a whole number of intervals from `anchor`; a timedelta of whole days
    keeps the wall clock.
    """
    if isinstance(interval, timedelta):
        interval = interval_of(interval)
    if interval.average <= timedelta(0):
        message = f"an interval must be positive, not {interval.average}"
        raise InvalidSchedule(message)
    start, after = clamp(anchor or EPOCH, FIRST, LAST), clamp(after, FIRST, LAST)
    try:
        found = interval.next_time(start.astimezone(zone_of(zone)), after)
    except OverflowError:
        found = LAST
    if found > _LATEST:
        message = f"an interval of {interval.average} from {start.isoformat()} never comes round again"
        raise InvalidSchedule(message)
    return found


def next_recurrence(text: str, zone: str, after: datetime) -> datetime:
    """The first time (UTC) strictly after `after` of the recurrence set `text` in time zone `zone`; raises ScheduleEnded after the last."""
    times = parse_recurrence(text, zone)
    try:
        found = times.next_time(clamp(after, FIRST, LAST))
    except OverflowError:
        found = None
    if found is not None and found <= _LATEST:
        return found
    name = f"rrule {' '.join(text.split())!r:.300}"
    if times.ends and times.next_time(EARLIEST) is not None:
        message = f"{name} has ended: it has no time after {after:%Y-%m-%d}"
        raise ScheduleEnded(message)
    message = f"{name} never fires in {zone} after {after:%Y-%m-%d}: such a day or time does not exist"
    raise InvalidSchedule(message)
