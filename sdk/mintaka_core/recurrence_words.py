"""A recurrence set in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mintaka_core.recurrence_rules import Frequency

if TYPE_CHECKING:
    from collections.abc import Iterable

    from mintaka_core.recurrence_rules import RecurrenceRule
    from mintaka_core.recurrence_sets import RecurrenceSet

_UNITS = {
    Frequency.YEARLY: "year", Frequency.MONTHLY: "month", Frequency.WEEKLY: "week", Frequency.DAILY: "day", Frequency.HOURLY: "hour",
    Frequency.MINUTELY: "minute", Frequency.SECONDLY: "second",
}  # fmt: skip
_MONTHS = ("January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November", "December")
_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_ORDINALS = {1: "first", 2: "second", 3: "third", 4: "fourth", 5: "fifth", -1: "last", -2: "second to last"}
#: More times of day are not listed.
_TIMES = 6


def sentence_of_recurrence(times: RecurrenceSet) -> str:
    """When it fires, without the time zone."""
    parts = [_sentence(rule) for rule in times.rules]
    if times.added:
        parts.append(f"{'also ' if parts else 'On '}{len(times.added)} time{'s' if len(times.added) > 1 else ''} of its own (RDATE)")
    if times.excluded:
        parts.append(f"without {len(times.excluded)} exception{'s' if len(times.excluded) > 1 else ''} (EXDATE)")
    return "; ".join(parts)


def _sentence(rule: RecurrenceRule) -> str:
    unit = _UNITS[rule.frequency]
    words = [f"Every {unit}" if rule.interval == 1 else f"Every {rule.interval} {unit}s"]
    words += [f"in {_listed(_MONTHS[month - 1] for month in sorted(rule.months))}"] if rule.months else []
    words += [f"in week {_listed(map(str, sorted(rule.week_numbers)))} of the year"] if rule.week_numbers else []
    words += [f"on day {_listed(map(_ordered, sorted(rule.year_days)))} of the year"] if rule.year_days else []
    words += [f"on day {_listed(map(_ordered, sorted(rule.month_days)))} of the month"] if rule.month_days else []
    if rule.weekdays:
        days = sorted(rule.weekdays, key=lambda day: (day[1], day[0]))
        words.append(f"on {_listed(f'the {_ordinal(which)} {_DAYS[day]}' if which else _DAYS[day] for which, day in days)}")
    words += [_times(rule)]
    words += [f"of which number {_listed(map(str, sorted(rule.positions)))}"] if rule.positions else []
    words += [f"from {rule.start:%Y-%m-%d %H:%M}"] if rule.interval > 1 or rule.count else []
    words += [f"until {rule.until:%Y-%m-%d %H:%M}"] if rule.until else []
    words += [f"{rule.count} times"] if rule.count else []
    return " ".join(filter(None, words))


def _times(rule: RecurrenceRule) -> str:
    hours, minutes, seconds = rule.hours, rule.minutes, rule.seconds
    if hours is not None and minutes is not None and seconds is not None:
        found = [
            f"{hour:02}:{minute:02}" + (f":{second:02}" if second else "") for hour in hours for minute in minutes for second in seconds
        ]
        if len(found) <= _TIMES:
            return f"at {_listed(found)}"
    parts = ((hours, "hour"), (minutes, "minute"), (tuple(seconds) if seconds and any(seconds) else None, "second"))
    named = [f"{unit} {_listed(map(str, numbers))}" for numbers, unit in parts if numbers is not None]
    return f"at {' and '.join(named)}" if named else ""


def _ordinal(which: int) -> str:
    return _ORDINALS.get(which, f"{which}th" if which > 0 else f"{-which}th to last")


def _ordered(number: int) -> str:
    return str(number) if number > 0 else f"{-number} from the end" if number < -1 else "the last"


def _listed(words: Iterable[str]) -> str:
    found = list(words)
    return ", ".join(found[:-1]) + f" and {found[-1]}" if len(found) > 1 else "".join(found)
