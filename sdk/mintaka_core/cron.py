"""Cron expressions, and the times at which they fire in a time zone with all its gaps and folds.

The behaviour is that of Debian's cron(8). A *fixed* expression (neither minute nor hour begins with `*`) names local times
of a day: each fires once, on the first pass of an autumn fold, and at the first instant after a spring gap that contains
it; a local day that does not exist (Pacific/Apia in 2011) fires nothing. Any other expression *walks* through real time and
fires whenever the wall clock shows a matching time, in both passes of a fold and never for a time that did not exist.

cronsim parses the fields; the search is ours, because cronsim's can return the past from inside a fold, invents times on
the day of a gap at midnight, misses times after a shift of half an hour, and makes up for a day that did not exist.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from functools import lru_cache
from typing import TYPE_CHECKING

from cronsim import CronSim, CronSimError

from mintaka_core.errors import InvalidSchedule
from mintaka_core.wall_clocks import DAY, HORIZON_YEARS, first_pass, gap_of, is_skipped_day, next_by_real_time, wall_time

if TYPE_CHECKING:
    from collections.abc import Iterator
    from zoneinfo import ZoneInfo

MACROS = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}

_FIELDS = 5
_DECEMBER = 12


@dataclass(frozen=True, slots=True)
class Cron:
    """A parsed expression: days by cronsim's rules, and the times of day on each of them."""

    days: CronSim
    times: tuple[time, ...]
    fixed: bool

    def wall_times(self, start: datetime) -> Iterator[datetime]:
        """The matching local times (naive) from `start` on, as if no clock ever changed; they end after the horizon."""
        day, skipped = start.date(), bisect_left(self.times, start.time())
        while day.year <= start.year + HORIZON_YEARS:
            if day.month not in self.days.months:
                day, skipped = _next_month(day), 0
                continue
            if self.days.match_day(day):
                for moment in self.times[skipped:]:
                    yield datetime.combine(day, moment)
            day, skipped = day + DAY, 0

    def next_time(self, zone: ZoneInfo, after: datetime) -> datetime | None:
        """The first time (UTC) strictly after `after` at which this fires in `zone`; None if it never does."""
        after = after.astimezone(UTC)
        return _next_fixed(self, zone, after) if self.fixed else next_by_real_time(self.wall_times, zone, after)


@lru_cache(maxsize=1024)
def parse_cron(expression: str) -> Cron:
    """Parse five fields or a macro; raises InvalidSchedule."""
    fields = MACROS.get(expression, expression).split()
    message = f"cron expression {expression!r} is not valid: use five fields, such as '0 6 * * MON-FRI', that name days which exist"
    if len(fields) != _FIELDS:
        raise InvalidSchedule(message)
    try:
        parsed = CronSim(" ".join(fields), datetime(2000, 1, 1, tzinfo=UTC))
    except (CronSimError, ValueError, AssertionError) as error:
        raise InvalidSchedule(message) from error
    times = tuple(time(hour, minute) for hour in sorted(parsed.hours) for minute in sorted(parsed.minutes))
    return Cron(parsed, times, fixed=not fields[0].startswith("*") and not fields[1].startswith("*"))


def _next_fixed(cron: Cron, zone: ZoneInfo, after: datetime) -> datetime | None:
    # Earlier wall times never map to later instants, so those before the current one can be skipped.
    for nominal in cron.wall_times(wall_time(after, zone)):
        instant = _fixed_instant(nominal, zone)
        if instant is not None and instant > after:
            return instant
    return None


def _fixed_instant(nominal: datetime, zone: ZoneInfo) -> datetime | None:
    """The instant of a local time: on its first pass, or right after the gap that contains it; None in a day that does not exist."""
    gap = gap_of(nominal, zone)
    if gap is None:
        return first_pass(nominal, zone)
    return None if is_skipped_day(nominal, gap, zone) else gap


def _next_month(day: date) -> date:
    return date(day.year + 1, 1, 1) if day.month == _DECEMBER else date(day.year, day.month + 1, 1)
