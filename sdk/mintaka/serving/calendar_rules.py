"""Recurrence rules (RFC 5545) that a cron expression or an interval can express.

Schedules of a FlowDeployment are cron expressions and intervals. Most rules in use, such as "the second Friday of each
month", are equivalent to one of these; the other parts (an end, exceptions, weeks of the year) are refused by name. Without
a DTSTART a rule counts from 2020-01-01T00:00 in its time zone, as in Prefect.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from mintaka.exceptions import InvalidSettingError
from mintaka_core.time_zones import zone_of

_START = datetime(2020, 1, 1)  # noqa: DTZ001 - a wall-clock time, in the zone of the rule
_WEEKDAYS = ("MO", "TU", "WE", "TH", "FR", "SA", "SU")
_CRON_DAYS = ("MON", "TUE", "WED", "THU", "FRI", "SAT", "SUN")
#: The same as cron numbers them, for `5L`: the last Friday.
_CRON_NUMBERS = (1, 2, 3, 4, 5, 6, 0)
_FREQUENCIES = ("SECONDLY", "MINUTELY", "HOURLY", "DAILY", "WEEKLY", "MONTHLY", "YEARLY")
_NUMBERS = {"BYMINUTE": (0, 59), "BYHOUR": (0, 23), "BYMONTHDAY": (-31, 31), "BYMONTH": (1, 12), "BYSECOND": (0, 59)}
_KNOWN = {"FREQ", "INTERVAL", "WKST", "BYDAY", *_NUMBERS}
_DAY = re.compile(r"([+-]?\d+)?(MO|TU|WE|TH|FR|SA|SU)")
_HOURS, _MINUTES, _MONTHS, _LONGEST_WEEK = 24, 60, 12, 5


class _Inexpressible(Exception):
    """A part of a rule that neither a cron expression nor an interval can express."""


@dataclass(frozen=True, slots=True)
class _Rule:
    """A rule's parts: `days` as (which of the month, 0 for all; weekday, 0 for Monday), `numbers` by the names of their parts."""

    frequency: str
    interval: int
    start: datetime
    days: tuple[tuple[int, int], ...]
    numbers: dict[str, tuple[int, ...]]
    week_start: int

    def of(self, part: str, default: int) -> tuple[int, ...]:
        """The numbers of a part, in order; `default` if the rule has none."""
        return self.numbers.get(part) or (default,)


def calendar_schedule(text: str, zone: str, now: datetime) -> dict[str, Any]:
    """The rule as `cron`, or `interval` with `anchor`, and `timeZone`, of a schedule of a FlowDeployment.

    Raises:
        InvalidSettingError: it cannot be read, or neither can express it.
    """
    try:
        rule, zone = _read(text, zone)
        by_interval = _by_interval(rule)
        if by_interval is not None:
            every, anchor = by_interval
            return {"interval": every, "anchor": instant_text(_instant(anchor, zone)), "timeZone": zone}
        return {"cron": _cron(rule, has_begun=_instant(rule.start, zone) <= now), "timeZone": zone}
    except _Inexpressible as error:
        message = f"rrule {text!r} has no counterpart among cron expressions and intervals because of {error}: use one of these, or several"
        raise InvalidSettingError(message) from None
    except (ValueError, OverflowError) as error:
        message = f"rrule {text!r} is not valid: {error}"
        raise InvalidSettingError(message) from error


def _read(text: str, zone: str) -> tuple[_Rule, str]:
    start, parts = _START, ""
    for line in re.split(r"\s+", text.strip()):
        name, _, value = line.upper().rpartition(":")
        if name.startswith("DTSTART"):
            zoned = re.search(r"TZID=([^;:]+)", line, re.IGNORECASE)
            zone = zoned[1] if zoned else "UTC" if value.endswith("Z") else zone
            start = datetime.strptime(value.removesuffix("Z"), "%Y%m%dT%H%M%S" if "T" in value else "%Y%m%d")  # noqa: DTZ007 - in `zone`
        elif name in ("", "RRULE") and not parts:
            parts = value
        else:
            raise _Inexpressible("several rules" if name in ("", "RRULE") else name)
    fields = dict(part.split("=", 1) for part in parts.strip(";").split(";")) if "=" in parts else {}
    frequency = fields.get("FREQ", "")
    if frequency not in _FREQUENCIES:
        message = f"FREQ is one of {', '.join(_FREQUENCIES)}"
        raise ValueError(message)
    for part in fields:
        if part not in _KNOWN:
            raise _Inexpressible(part)
    numbers = {name: _numbers(name, fields[name]) for name in _NUMBERS if name in fields}
    interval = int(fields.get("INTERVAL", "1"))
    if interval < 1:
        message = f"INTERVAL is 1 or more, not {interval}"
        raise ValueError(message)
    days, week_start = _days(fields.get("BYDAY", "")), _WEEKDAYS.index(fields.get("WKST", "MO"))
    if frequency not in ("MONTHLY", "YEARLY") and any(which for which, _ in days):
        message = f"BYDAY with a number requires FREQ=MONTHLY or YEARLY, not {frequency}"
        raise ValueError(message)
    return _Rule(frequency, interval, start, days, numbers, week_start), zone


def _numbers(name: str, text: str) -> tuple[int, ...]:
    low, high = _NUMBERS[name]
    found = tuple(sorted({int(number) for number in text.split(",")}))
    if any(not low <= number <= high or (number == 0 and low < 0) for number in found):
        message = f"{name} is between {low} and {high}, not {text}"
        raise ValueError(message)
    return found


def _days(text: str) -> tuple[tuple[int, int], ...]:
    found = []
    for day in text.split(",") if text else ():
        matched = _DAY.fullmatch(day)
        if matched is None:
            message = f"BYDAY {day!r} is not a weekday such as MO or 2FR"
            raise ValueError(message)
        found.append((int(matched[1] or 0), _WEEKDAYS.index(matched[2])))
    return tuple(dict.fromkeys(found))


def _by_interval(rule: _Rule) -> tuple[str, datetime] | None:
    """The rule as an interval and its first time; None if a cron expression can express it."""
    every, start, hours = rule.interval, rule.start, 0
    if rule.frequency == "SECONDLY":
        if rule.days or rule.numbers:
            message = "FREQ=SECONDLY together with BY…"
            raise _Inexpressible(message)
        return f"{every}s", start
    if rule.frequency == "MINUTELY" and _MINUTES % every and not (rule.days or rule.numbers):
        return f"{every}m", start
    if rule.frequency == "HOURLY" and _HOURS % every and set(rule.numbers) <= {"BYMINUTE"} and not rule.days:
        hours = every
    elif rule.frequency == "DAILY" and every > 1 and set(rule.numbers) <= {"BYHOUR", "BYMINUTE"} and not rule.days:
        hours = every * _HOURS
    elif rule.frequency == "WEEKLY" and every > 1 and set(rule.numbers) <= {"BYHOUR", "BYMINUTE"} and len(rule.days) <= 1:
        hours = every * 7 * _HOURS
    if not hours or any(len(rule.of(part, 0)) > 1 for part in ("BYHOUR", "BYMINUTE")):
        return None
    first = start.replace(hour=rule.of("BYHOUR", start.hour)[0], minute=rule.of("BYMINUTE", start.minute)[0])
    if rule.frequency == "WEEKLY" and rule.days:
        into_week = (start.weekday() - rule.week_start) % 7
        first += timedelta(days=(rule.days[0][1] - rule.week_start) % 7 - into_week)
    return f"{hours}h", first if first >= start else first + timedelta(hours=hours)


def _cron(rule: _Rule, *, has_begun: bool) -> str:
    if not has_begun:
        message = "its DTSTART, which is in the future"
        raise _Inexpressible(message)
    if rule.start.second or any(rule.of("BYSECOND", 0)):
        message = "its seconds"
        raise _Inexpressible(message)
    minutes = _steps(rule, "MINUTELY", "BYMINUTE", rule.start.minute, _MINUTES)
    every_hour = rule.frequency == "MINUTELY" and "BYHOUR" not in rule.numbers
    hours = "*" if every_hour else _steps(rule, "HOURLY", "BYHOUR", rule.start.hour, _HOURS)
    if rule.frequency in ("DAILY", "WEEKLY", "YEARLY") and rule.interval > 1:
        message = f"INTERVAL={rule.interval} with FREQ={rule.frequency} and its other parts"
        raise _Inexpressible(message)
    months = _months(rule) if rule.frequency in ("MONTHLY", "YEARLY") else _listed(rule.numbers.get("BYMONTH", ())) or "*"
    day, weekday = _day_fields(rule)
    return f"{minutes} {hours} {day} {months} {weekday}"


def _day_fields(rule: _Rule) -> tuple[str, str]:
    """The days of the month and of the week."""
    if rule.days and "BYMONTHDAY" in rule.numbers:
        message = "BYDAY together with BYMONTHDAY"
        raise _Inexpressible(message)
    if rule.days:
        return "*", ",".join(_weekday(which, number) for which, number in rule.days)
    if "BYMONTHDAY" in rule.numbers:
        return ",".join(_month_day(number) for number in rule.numbers["BYMONTHDAY"]), "*"
    if rule.frequency == "WEEKLY":
        return "*", _CRON_DAYS[rule.start.weekday()]
    return (str(rule.start.day) if rule.frequency in ("MONTHLY", "YEARLY") else "*"), "*"


def _steps(rule: _Rule, frequency: str, part: str, start: int, size: int) -> str:
    """The minutes of an hour, or hours of a day: listed in the rule, or at an interval from the start, or that of the start."""
    if rule.frequency != frequency:
        return _listed(rule.of(part, start))
    if size % rule.interval:
        message = f"INTERVAL={rule.interval}, which does not divide {size}, with FREQ={frequency} and BY…"
        raise _Inexpressible(message)
    steps = {(start + step) % size for step in range(0, size, rule.interval)}
    if part in rule.numbers:
        steps &= set(rule.numbers[part])
        if not steps:
            message = f"INTERVAL and {part} never meet"
            raise ValueError(message)
    return "*" if len(steps) == size else _listed(tuple(sorted(steps)))


def _months(rule: _Rule) -> str:
    """The months of a monthly or yearly rule."""
    given = set(rule.of("BYMONTH", 0)) if "BYMONTH" in rule.numbers else set(range(1, _MONTHS + 1))
    if rule.frequency == "YEARLY":
        if "BYMONTH" not in rule.numbers and not rule.days and "BYMONTHDAY" not in rule.numbers:
            given = {rule.start.month}
        elif "BYMONTH" not in rule.numbers and any(which for which, _ in rule.days):
            message = "BYDAY that counts weekdays of a year"
            raise _Inexpressible(message)
    elif _MONTHS % rule.interval:
        message = f"INTERVAL={rule.interval}, which does not divide 12, with FREQ=MONTHLY"
        raise _Inexpressible(message)
    else:
        given &= {(rule.start.month - 1 + step) % _MONTHS + 1 for step in range(0, _MONTHS, rule.interval)}
    if not given:
        message = "INTERVAL and BYMONTH never meet"
        raise ValueError(message)
    return "*" if len(given) == _MONTHS else _listed(tuple(sorted(given)))


def _weekday(which: int, number: int) -> str:
    if which == -1:
        return f"{_CRON_NUMBERS[number]}L"
    if which < 0 or which > _LONGEST_WEEK:
        message = f"BYDAY={which}{_WEEKDAYS[number]}"
        raise _Inexpressible(message)
    return f"{_CRON_DAYS[number]}#{which}" if which else _CRON_DAYS[number]


def _month_day(number: int) -> str:
    if number < -1:
        message = f"BYMONTHDAY={number}"
        raise _Inexpressible(message)
    return "L" if number == -1 else str(number)


def _listed(numbers: tuple[int, ...]) -> str:
    return ",".join(map(str, numbers))


def instant_text(instant: datetime) -> str:
    """An aware time as in manifests: RFC 3339 in UTC."""
    return instant.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _instant(wall: datetime, zone: str) -> datetime:
    return wall.replace(tzinfo=zone_of(zone)).astimezone(UTC)
