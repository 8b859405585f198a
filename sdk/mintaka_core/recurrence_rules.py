"""Recurrence rules of RFC 5545: the wall-clock times of one rule, from any time on, in bounded time.

A rule is evaluated period by period (a year, month, week, day, or for shorter frequencies an hour, minute or second). The period is
computed from the start of the rule, not by counting through all before it, so that the next time costs the same however old the rule
is. Each search ends after 50 years or a number of periods. The meaning of the parts is that of python-dateutil, which the tests
compare; dateutil itself counts from the start and, for a rule that never matches, on to the year 9999.
"""

from __future__ import annotations

from calendar import monthrange
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from enum import IntEnum
from functools import lru_cache
from itertools import islice
from typing import TYPE_CHECKING

from mintaka_core.wall_clocks import DAY, HORIZON_YEARS

if TYPE_CHECKING:
    from collections.abc import Iterator

#: How many periods one search checks; more take a tenth of a second.
_PERIODS = 40_000
_MONTHS, _WEEK = 12, 7
_THURSDAY = 3
_LAST_YEAR = 9998


class Frequency(IntEnum):
    """FREQ, from the longest period to the shortest."""

    YEARLY = 0
    MONTHLY = 1
    WEEKLY = 2
    DAILY = 3
    HOURLY = 4
    MINUTELY = 5
    SECONDLY = 6


_UNITS = {Frequency.WEEKLY: DAY * 7, Frequency.DAILY: DAY, Frequency.HOURLY: timedelta(hours=1), Frequency.MINUTELY: timedelta(minutes=1),
          Frequency.SECONDLY: timedelta(seconds=1)}  # fmt: skip


@dataclass(frozen=True, slots=True)
class RecurrenceRule:
    """One RRULE, with the parts that it leaves out taken from `start` (naive).

    `weekdays` are (which in the month or year, 0 for every; weekday, 0 for Monday); `hours`, `minutes` and `seconds` are None if
    every one matches. `until` (naive) is the last time; `count` how many times there are from the start.
    """

    frequency: Frequency
    start: datetime
    interval: int = 1
    until: datetime | None = None
    count: int | None = None
    week_start: int = 0
    months: frozenset[int] = frozenset()
    week_numbers: frozenset[int] = frozenset()
    year_days: frozenset[int] = frozenset()
    month_days: frozenset[int] = frozenset()
    weekdays: frozenset[tuple[int, int]] = frozenset()
    hours: tuple[int, ...] | None = None
    minutes: tuple[int, ...] | None = None
    seconds: tuple[int, ...] | None = None
    positions: frozenset[int] = frozenset()
    single_weekdays: frozenset[int] = field(init=False, default=frozenset(), compare=False)
    _names_days: bool = field(init=False, default=True, compare=False)
    _origin: datetime = field(init=False, default=datetime.min, compare=False)  # noqa: DTZ901 - wall-clock time
    _step: timedelta = field(init=False, default=timedelta(0), compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "single_weekdays", frozenset(day for which, day in self.weekdays if not which))
        object.__setattr__(self, "_names_days", bool(self.weekdays or self.month_days or self.year_days or self.week_numbers))
        object.__setattr__(self, "_origin", self._first_begin())
        object.__setattr__(self, "_step", self.interval * _UNITS.get(self.frequency, DAY))

    @property
    def follows_real_time(self) -> bool:
        """Whether its periods are shorter than a day."""
        return self.frequency > Frequency.DAILY

    def wall_times(self, start: datetime) -> Iterator[datetime]:
        """Its times from `start` (naive) on, ascending, as if no clock ever changed; they end after the horizon."""
        last = self.until
        if self.count is not None:
            counted = _last_counted(self)
            last = counted if last is None or counted is None else min(last, counted)
            if last is None:
                return
        for found in self._uncounted(max(start, self.start)):
            if last is not None and found > last:
                return
            yield found

    def _uncounted(self, start: datetime) -> Iterator[datetime]:
        horizon = min(start.year + HORIZON_YEARS, _LAST_YEAR)
        position = self._position(start)
        for _ in range(_PERIODS):
            begin = self._begin(position)
            if begin is None or begin.year > horizon:
                return
            if self.frequency >= Frequency.DAILY and (later := self._no_match_before(begin)) is not None:
                position = max(position + 1, self._position(later - timedelta(microseconds=1)) + 1)
                continue
            for found in self._selected(begin):
                if found >= start:
                    yield found
            position += 1

    def _position(self, time: datetime) -> int:
        """The number of the last period that begins at or before `time`."""
        if self.frequency == Frequency.YEARLY:
            return (time.year - self.start.year) // self.interval
        if self.frequency == Frequency.MONTHLY:
            return ((time.year - self.start.year) * _MONTHS + time.month - self.start.month) // self.interval
        return (time - self._origin) // self._step

    def _begin(self, position: int) -> datetime | None:
        """The begin of a period; None beyond the calendar."""
        try:
            if self.frequency == Frequency.YEARLY:
                return datetime(self.start.year + position * self.interval, 1, 1)  # noqa: DTZ001 - wall-clock time
            if self.frequency == Frequency.MONTHLY:
                months = self.start.year * _MONTHS + self.start.month - 1 + position * self.interval
                return datetime(months // _MONTHS, months % _MONTHS + 1, 1)  # noqa: DTZ001 - wall-clock time
            return self._origin + position * self._step
        except (OverflowError, ValueError):
            return None

    def _first_begin(self) -> datetime:
        midnight = datetime.combine(self.start.date(), time())
        match self.frequency:
            case Frequency.WEEKLY:
                return midnight - DAY * ((midnight.weekday() - self.week_start) % _WEEK)
            case Frequency.DAILY:
                return midnight
            case Frequency.HOURLY:
                return self.start.replace(minute=0, second=0)
            case Frequency.MINUTELY:
                return self.start.replace(second=0)
            case _:
                return self.start

    def _no_match_before(self, begin: datetime) -> datetime | None:
        """If nothing matches in this period (of a day or less), a time before which nothing else does either."""
        if self.months and begin.month not in self.months:
            return datetime(begin.year + begin.month // _MONTHS, begin.month % _MONTHS + 1, 1)  # noqa: DTZ001 - wall-clock time
        if self._names_days and not self._matches(begin.date()):
            return datetime.combine(begin.date(), time()) + DAY
        if self.frequency >= Frequency.HOURLY and self.hours is not None and begin.hour not in self.hours:
            midnight = datetime.combine(begin.date(), time())
            return _next_of(midnight, begin, self.hours, timedelta(hours=1)) or midnight + DAY
        if self.frequency >= Frequency.MINUTELY and self.minutes is not None and begin.minute not in self.minutes:
            hour = begin.replace(minute=0, second=0)
            return _next_of(hour, begin, self.minutes, timedelta(minutes=1)) or hour + timedelta(hours=1)
        if self.frequency == Frequency.SECONDLY and self.seconds is not None and begin.second not in self.seconds:
            minute = begin.replace(second=0)
            return _next_of(minute, begin, self.seconds, timedelta(seconds=1)) or minute + timedelta(minutes=1)
        return None

    def _selected(self, begin: datetime) -> Iterator[datetime]:
        """The times of one period, of which BYSETPOS selects some."""
        if not self.positions:
            yield from self._times(begin)
            return
        found = list(self._times(begin))
        chosen = {position - 1 if position > 0 else len(found) + position for position in self.positions}
        yield from (found[position] for position in sorted(chosen) if 0 <= position < len(found))

    def _times(self, begin: datetime) -> Iterator[datetime]:
        every = self.frequency
        if every == Frequency.SECONDLY:
            yield begin
            return
        hours = (begin.hour,) if every >= Frequency.HOURLY else self.hours or ()
        minutes = (begin.minute,) if every >= Frequency.MINUTELY else self.minutes or ()
        seconds = self.seconds or ()
        days = (begin.date(),) if every >= Frequency.DAILY else _days(self, begin.date())
        for day in days:
            for hour in hours:
                for minute in minutes:
                    for second in seconds:
                        yield datetime.combine(day, time(hour, minute, second))

    def _matches(self, day: date) -> bool:
        """Whether all parts about days match."""
        if self.months and day.month not in self.months:
            return False
        length = monthrange(day.year, day.month)[1]
        if self.month_days and day.day not in self.month_days and day.day - length - 1 not in self.month_days:
            return False
        if self.weekdays and day.weekday() not in self.single_weekdays and not self._is_counted_weekday(day, length):
            return False
        if self.year_days:
            number, days = day.timetuple().tm_yday, _days_of_year(day.year)
            if number not in self.year_days and number - days - 1 not in self.year_days:
                return False
        if self.week_numbers:
            number, weeks = _week_of(day, self.week_start)
            return number in self.week_numbers or number - weeks - 1 in self.week_numbers
        return True

    def _is_counted_weekday(self, day: date, month_length: int) -> bool:
        """Whether it is such as the second Friday: of the month, or of the year if the rule is yearly and names no months."""
        if self.frequency == Frequency.YEARLY and not self.months:
            number, length = day.timetuple().tm_yday, _days_of_year(day.year)
        else:
            number, length = day.day, month_length
        forward, backward = (number - 1) // _WEEK + 1, -((length - number) // _WEEK) - 1
        return (forward, day.weekday()) in self.weekdays or (backward, day.weekday()) in self.weekdays


def _next_of(begin: datetime, time: datetime, numbers: tuple[int, ...], unit: timedelta) -> datetime | None:
    """The first of the listed units of `begin` after `time`."""
    return next((found for number in numbers if (found := begin + number * unit) > time), None)


@lru_cache(maxsize=4096)
def _days(rule: RecurrenceRule, begin: date) -> tuple[date, ...]:
    """The matching days of a year, month or week."""
    if rule.frequency == Frequency.WEEKLY:
        return tuple(day for offset in range(_WEEK) if rule._matches(day := begin + DAY * offset))  # noqa: SLF001 - it is of this module
    months = range(1, _MONTHS + 1) if rule.frequency == Frequency.YEARLY else (begin.month,)
    found: list[date] = []
    for month in months:
        if rule.months and month not in rule.months:
            continue
        length = monthrange(begin.year, month)[1]
        wanted = (day if day > 0 else length + day + 1 for day in rule.month_days) if rule.month_days else range(1, length + 1)
        days = (date(begin.year, month, day) for day in sorted(set(wanted)) if 1 <= day <= length)
        found += (day for day in days if rule._matches(day))  # noqa: SLF001
    return tuple(found)


@lru_cache(maxsize=256)
def _last_counted(rule: RecurrenceRule) -> datetime | None:
    """The time at which COUNT is reached; None if there is no time at all."""
    last = None
    for last in islice(rule._uncounted(rule.start), rule.count):  # noqa: B007, SLF001 - the last one counts
        pass
    return last


@lru_cache(maxsize=256)
def _days_of_year(year: int) -> int:
    return (date(year + 1, 1, 1) - date(year, 1, 1)).days


def _week_of(day: date, week_start: int) -> tuple[int, int]:
    """The number of a day's week, and how many its year has; a week belongs to the year that has four or more of its days."""
    middle = day - DAY * ((day.weekday() - week_start) % _WEEK) + DAY * _THURSDAY
    weeks = _first_week(middle.year + 1, week_start) - _first_week(middle.year, week_start)
    return (middle.timetuple().tm_yday - 1) // _WEEK + 1, weeks.days // _WEEK


@lru_cache(maxsize=256)
def _first_week(year: int, week_start: int) -> date:
    january_4 = date(year, 1, 4)
    return january_4 - DAY * ((january_4.weekday() - week_start) % _WEEK)
