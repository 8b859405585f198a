"""What a schedule means: a sentence about it, and notes on its times for which clocks change."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice, takewhile
from typing import TYPE_CHECKING

from mintaka_core.cron import MACROS, parse_cron
from mintaka_core.intervals import parse_interval
from mintaka_core.recurrence_sets import parse_recurrence
from mintaka_core.recurrence_words import sentence_of_recurrence
from mintaka_core.schedules import EPOCH
from mintaka_core.wall_clocks import SECOND, transition, wall_time

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mintaka_core.intervals import Interval
    from mintaka_core.resources.schedules import Schedule

#: How many wall-clock times in one gap a note names.
_NAMED = 3
_FOLD = timedelta(hours=3)


@dataclass(frozen=True, slots=True)
class PreviewedTime:
    """A time of a schedule by the clock of its zone, and what is unusual about it ("": nothing)."""

    time: datetime
    note: str


def preview(schedule: Schedule, after: datetime, count: int) -> list[PreviewedTime]:
    """The next `count` times after `after`; fewer if the schedule ends. Raises InvalidSchedule if it is not valid."""
    schedule.time_after(after)
    found: list[PreviewedTime] = []
    previous = after
    for time in islice(schedule.times_after(after), count):
        found.append(PreviewedTime(time.astimezone(schedule.zone), _note(schedule, previous, time)))
        previous = time
    return found


def sentence_of(schedule: Schedule) -> str:
    """When the schedule fires, in words; raises InvalidSchedule."""
    zone = f"by the clock of {schedule.time_zone}"
    if schedule.cron is not None:
        return f"{_words_of_cron(schedule.cron)}, {zone}"
    if schedule.rrule is not None:
        return f"{sentence_of_recurrence(parse_recurrence(schedule.rrule, schedule.time_zone))}, {zone}"
    interval = parse_interval(schedule.interval or "")
    anchor = (schedule.anchor or EPOCH).astimezone(schedule.zone)
    kind = f"with its time of day {zone}" if interval.months or interval.days else "of elapsed time"
    return f"Every {_words_of_interval(interval)} {kind}, counted from {anchor:%Y-%m-%d %H:%M:%S%:z}"


def _words_of_cron(expression: str) -> str:
    cron = parse_cron(expression)
    words = cron.days.explain() if expression not in MACROS else f"{expression[1:].capitalize()} ({MACROS[expression]})"
    return words.rstrip(".")


def _words_of_interval(interval: Interval) -> str:
    years, months = divmod(interval.months, 12)
    weeks, days = divmod(interval.days, 7) if not interval.days % 7 else (0, interval.days)
    hours, rest = divmod(interval.elapsed, timedelta(hours=1))
    minutes, rest = divmod(rest, timedelta(minutes=1))
    parts = ((years, "year"), (months, "month"), (weeks, "week"), (days, "day"), (hours, "hour"), (minutes, "minute"))
    words = [f"{number} {unit}{'s' if number != 1 else ''}" for number, unit in parts if number]
    words += [f"{rest.total_seconds():g} seconds"] if rest else []
    return " and ".join(filter(None, (", ".join(words[:-1]), words[-1]))).removeprefix("1 ") if len(words) == 1 else " and ".join(words)


def _note(schedule: Schedule, previous: datetime, time: datetime) -> str:
    """What clocks do to this time, or to those between the previous one and it."""
    zone = schedule.zone
    before, local = previous.astimezone(zone), time.astimezone(zone)
    if local.replace(fold=1 - local.fold).utcoffset() != local.utcoffset() and wall_time(time, zone) in _shown_twice(time, schedule):
        which = "second" if local.fold else "first"
        only = "" if _follows_real_time(schedule) else ", and the only one that fires"
        return f"clocks go back: {local:%H:%M} comes twice; this is the {which} pass{only}"
    if (local.utcoffset() or timedelta(0)) <= (before.utcoffset() or timedelta(0)):
        return ""
    gap = transition(zone, previous, time)
    begin, end = wall_time(gap - SECOND, zone) + SECOND, wall_time(gap, zone)
    skipped = list(islice(takewhile(lambda nominal: nominal < end, _nominal_times(schedule, begin)), _NAMED + 1))
    if not skipped:
        return ""
    names = ", ".join(f"{nominal:%H:%M}" for nominal in skipped[:_NAMED]) + (", …" if len(skipped) > _NAMED else "")
    verb = "does" if len(skipped) == 1 else "do"
    what = "skipped" if _follows_real_time(schedule) or time > gap + (end - begin) else f"moved to {local:%H:%M}"
    return f"clocks go forward on {begin:%Y-%m-%d}: {names} {verb} not exist, {what}"


def _shown_twice(time: datetime, schedule: Schedule) -> tuple[datetime, ...]:
    """The wall-clock time, if clocks show it again, or showed it, within some hours."""
    zone = schedule.zone
    wall = wall_time(time, zone)
    passes = {wall.replace(tzinfo=zone, fold=fold).timestamp() for fold in (0, 1)}
    shown = all(wall_time(datetime.fromtimestamp(each, zone), zone) == wall for each in passes)
    return (wall,) if len(passes) > 1 and shown and max(passes) - min(passes) < _FOLD.total_seconds() else ()


def _follows_real_time(schedule: Schedule) -> bool:
    if schedule.cron is not None:
        return not parse_cron(schedule.cron).fixed
    if schedule.rrule is not None:
        return all(rule.follows_real_time for rule in parse_recurrence(schedule.rrule, schedule.time_zone).rules)
    interval = parse_interval(schedule.interval or "")
    return not interval.months and not interval.days


def _nominal_times(schedule: Schedule, start: datetime) -> Iterator[datetime]:
    """The wall-clock times (naive) from `start` on at which the schedule would fire if clocks did not change."""
    if schedule.cron is not None:
        return parse_cron(schedule.cron).wall_times(start)
    if schedule.rrule is not None:
        return parse_recurrence(schedule.rrule, schedule.time_zone).wall_times(start)
    if _follows_real_time(schedule):
        return iter(())
    anchor = wall_time(schedule.anchor or EPOCH, schedule.zone)
    nominal = datetime.combine(start.date(), anchor.time())
    return iter(() if nominal < start else (nominal,))
