"""When a schedule fires next: a pure function of the schedule and the instant asked from.

Cron follows Debian's cron(8): a fixed local time fires exactly once per nominal time, at the first instant after a
spring gap and on the first pass of an autumn fold; `*` and steps follow real time. cronsim implements that; it is
guarded here, because asked from inside the second pass of a fold it can return an instant in the past.
Intervals of hours, minutes and seconds are elapsed time; of whole days, wall-clock time in the schedule's zone.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cronsim import CronSim, CronSimError

from mintaka_core.errors import InvalidSchedule

MACROS = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}

#: Anchor of intervals that name none.
EPOCH = datetime(2020, 1, 1, tzinfo=UTC)

_DAY = timedelta(days=1)
#: How far into a fold the guard looks for an instant that lies ahead; a fold is an hour, at most three in the tz database.
_FOLD = timedelta(hours=3)


def next_cron(expression: str, zone: str, after: datetime) -> datetime:
    """The first instant (UTC) strictly after `after` (aware) at which `expression` fires in time zone `zone`."""
    local = after.astimezone(_zone(zone))
    probe = local
    while True:
        try:
            found: datetime = next(CronSim(MACROS.get(expression, expression), probe))
        except (CronSimError, StopIteration) as error:
            message = f"cron expression {expression!r} is not valid or never fires: use five fields, such as '0 6 * * MON-FRI'"
            raise InvalidSchedule(message) from error
        instant = found.astimezone(UTC)
        if instant > after:
            return instant
        probe = max(probe, found) + timedelta(minutes=1)
        if probe - local > _FOLD:
            message = f"cron expression {expression!r} makes no progress after {after.isoformat()} in {zone}"
            raise InvalidSchedule(message)


def next_interval(interval: timedelta, anchor: datetime | None, zone: str, after: datetime) -> datetime:
    """The first instant (UTC) strictly after `after` that lies a whole number of intervals from `anchor`."""
    if interval <= timedelta(0):
        message = f"an interval must be positive, not {interval}"
        raise InvalidSchedule(message)
    start = anchor or EPOCH
    if interval % _DAY:
        steps = (after - start) // interval + 1
        return (start + steps * interval).astimezone(UTC)
    local_start = start.astimezone(_zone(zone))
    steps = (after - start) // interval - 1
    while True:
        # Arithmetic on an aware local time keeps the wall clock; the offset before a gap is used in it (fold=0).
        instant = (local_start + steps * interval).astimezone(UTC)
        if instant > after:
            return instant
        steps += 1


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        message = f"time zone {name!r} is unknown: use a name of the tz database, such as 'Europe/Berlin'"
        raise InvalidSchedule(message) from error
