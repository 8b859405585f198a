"""Intervals between the times of a schedule: calendar time (years, months, weeks, days) and elapsed time.

There are two notations. In ISO 8601, `P1D` is a day by the wall clock and `PT24H` is 24 hours of elapsed time. In Go's notation
(`15m`, `24h`), whole days are by the wall clock, everything else is elapsed time.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache

from mintaka_core.errors import InvalidSchedule
from mintaka_core.wall_clocks import DAY

_GO = re.compile(r"([0-9]+(?:\.[0-9]+)?)(h|ms|m|s)")
_UNIT_SECONDS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}
_ISO = re.compile(
    r"P(?:([0-9]+)Y)?(?:([0-9]+)M)?(?:([0-9]+)W)?(?:([0-9]+)D)?(?:T(?=[0-9])(?:([0-9]+)H)?(?:([0-9]+)M)?(?:([0-9]+(?:\.[0-9]+)?)S)?)?"
)
_MONTHS = 12
#: The average length of a month in the Gregorian calendar, which repeats after 400 years.
_MONTH = timedelta(days=146097) / 4800

#: The two notations in RE2, for admission: what they look like, and that an ISO interval is a second or more.
GO_PATTERN = r"^([0-9]+([.][0-9]+)?(h|m|s|ms))+$"
ISO_PATTERN = r"^P([0-9]+Y)?([0-9]+M)?([0-9]+W)?([0-9]+D)?(T([0-9]+H)?([0-9]+M)?([0-9]+([.][0-9]+)?S)?)?$"
ISO_SECOND_PATTERN = r"[A-Z]0*[1-9][0-9]*([.][0-9]+)?[YMWDHS]"


@dataclass(frozen=True, slots=True)
class Interval:
    """Calendar time first, then elapsed time; `months` and `days` keep the wall clock."""

    months: int = 0
    days: int = 0
    elapsed: timedelta = timedelta(0)

    @property
    def average(self) -> timedelta:
        """Its average length."""
        return self.months * _MONTH + self.days * DAY + self.elapsed

    def time_of(self, step: int, anchor: datetime) -> datetime:
        """The time (UTC) that is `step` intervals after `anchor`, an aware time in the zone whose calendar counts.

        Months are counted from the anchor: a month after 31 January is the last day of February, two are 31 March. In a gap of the
        clocks the offset before it is used, in a fold the first pass. Raises OverflowError beyond the calendar.
        """
        local = _later_month(anchor, step * self.months) + step * self.days * DAY if self.months or self.days else anchor
        return local.astimezone(UTC) + step * self.elapsed

    def next_time(self, anchor: datetime, after: datetime) -> datetime:
        """The first time (UTC) strictly after `after`; raises OverflowError beyond the calendar."""
        # A count by average lengths may be a little off either way: months differ, and clocks change.
        step = (after - anchor.astimezone(UTC)) // self.average + 1
        found = self.time_of(step, anchor)
        while found > after and (earlier := self.time_of(step - 1, anchor)) > after:
            step, found = step - 1, earlier
        while found <= after:
            step += 1
            found = self.time_of(step, anchor)
        # Two times may be one instant, on a day that is skipped whole.
        return found


def parse_duration(text: str) -> timedelta:
    """A duration as Go and CEL write it (`90s`, `1h30m`); raises InvalidSchedule on anything else."""
    parts = _GO.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        message = f"duration {text!r} is not valid: write hours, minutes and seconds such as 1h30m or 90s"
        raise InvalidSchedule(message)
    try:
        return timedelta(seconds=sum(float(number) * _UNIT_SECONDS[unit] for number, unit in parts))
    except OverflowError as error:
        message = f"duration {text!r} is too long"
        raise InvalidSchedule(message) from error


def interval_of(duration: timedelta) -> Interval:
    """A duration in Go's notation as an interval: whole days are by the wall clock."""
    return Interval(elapsed=duration) if duration % DAY or not duration else Interval(days=duration // DAY)


@lru_cache(maxsize=1024)
def parse_interval(text: str) -> Interval:
    """An interval in one of the two notations; raises InvalidSchedule if it is not one, or not positive."""
    if not text.startswith("P"):
        found = interval_of(parse_duration(text))
    else:
        matched = _ISO.fullmatch(text)
        if matched is None:
            message = f"interval {text!r} is not valid: write P1D, P1M, P2W or PT15M (ISO 8601), or 15m"
            raise InvalidSchedule(message)
        years, months, weeks, days, hours, minutes, seconds = (float(part or 0) for part in matched.groups())
        try:
            elapsed = timedelta(hours=hours, minutes=minutes, seconds=seconds)
            found = Interval(int(years * _MONTHS + months), int(weeks * 7 + days), elapsed)
            found.average  # noqa: B018 - raises if it is too long
        except OverflowError as error:
            message = f"interval {text!r} is too long"
            raise InvalidSchedule(message) from error
    if found.average <= timedelta(0):
        message = f"an interval must be positive, not {text}"
        raise InvalidSchedule(message)
    return found


def _later_month(time: datetime, months: int) -> datetime:
    """The same day and wall-clock time so many months later, or the last day of that month."""
    if not months:
        return time
    count = time.year * _MONTHS + time.month - 1 + months
    try:
        first = time.replace(year=count // _MONTHS, month=count % _MONTHS + 1, day=1, fold=0)
    except ValueError as error:  # beyond the calendar
        raise OverflowError from error
    # 32 days after the first is in the next month.
    last = (first.replace(day=28) + 4 * DAY).replace(day=1) - DAY
    return first.replace(day=min(time.day, last.day))
