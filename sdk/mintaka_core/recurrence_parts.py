"""The parts of one RRULE, such as `FREQ=MONTHLY;BYDAY=2FR`, read strictly: what is out of range or contradicts itself is refused."""

from __future__ import annotations

import re
from datetime import datetime, time
from typing import TYPE_CHECKING

from mintaka_core.recurrence_moments import parse_moment
from mintaka_core.recurrence_rules import Frequency, RecurrenceRule
from mintaka_core.wall_clocks import wall_time

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

WEEKDAYS = ("MO", "TU", "WE", "TH", "FR", "SA", "SU")
#: Least and greatest number; negative ones count from the end.
_RANGES = {
    "BYSECOND": (0, 59), "BYMINUTE": (0, 59), "BYHOUR": (0, 23), "BYMONTHDAY": (-31, 31), "BYYEARDAY": (-366, 366),
    "BYWEEKNO": (-53, 53), "BYMONTH": (1, 12), "BYSETPOS": (-366, 366),
}  # fmt: skip
_KNOWN = {"FREQ", "INTERVAL", "COUNT", "UNTIL", "WKST", "BYDAY", *_RANGES}
_DAY = re.compile(r"([+-]?[0-9]{1,2})?(MO|TU|WE|TH|FR|SA|SU)")
_NUMBER = re.compile(r"[+-]?[0-9]{1,9}")
_MOST_WEEKDAYS = 53
#: A rule's times are counted from its start.
COUNT_LIMIT = 10_000


def read_rule(text: str, start: datetime, zone: ZoneInfo) -> RecurrenceRule:
    """The rule, which starts at `start` (naive, in `zone`). Raises ValueError with what is wrong."""
    fields = _fields(text)
    try:
        frequency = Frequency[fields.get("FREQ", "").upper()]
    except KeyError:
        message = f"FREQ is one of {', '.join(Frequency.__members__)}"
        raise ValueError(message) from None
    numbers = {name: _numbers(name, fields[name]) for name in _RANGES if name in fields}
    weekdays = _weekdays(fields.get("BYDAY"), frequency)
    if frequency > Frequency.DAILY and "BYSETPOS" in numbers and not numbers.keys() & {"BYMINUTE", "BYSECOND"}:
        message = f"BYSETPOS selects from several times of one period, and FREQ={frequency.name} has one"
        raise ValueError(message)
    if "COUNT" in fields and "UNTIL" in fields:
        message = "it has both COUNT and UNTIL: use one of them"
        raise ValueError(message)
    months, month_days = numbers.get("BYMONTH"), numbers.get("BYMONTHDAY")
    if not (weekdays or numbers.keys() & {"BYWEEKNO", "BYYEARDAY", "BYMONTHDAY"}):
        if frequency == Frequency.YEARLY and months is None:
            months = (start.month,)
        if frequency in (Frequency.YEARLY, Frequency.MONTHLY):
            month_days = (start.day,)
        if frequency == Frequency.WEEKLY:
            weekdays = frozenset({(0, start.weekday())})
    week_start = fields.get("WKST", "MO").upper()
    if week_start not in WEEKDAYS:
        message = f"WKST is a weekday such as SU, not {week_start:.20}"
        raise ValueError(message)
    return RecurrenceRule(
        frequency,
        start,
        interval=_positive("INTERVAL", fields.get("INTERVAL", "1"), 1_000_000_000),
        until=_until(fields["UNTIL"], zone) if "UNTIL" in fields else None,
        count=_positive("COUNT", fields["COUNT"], COUNT_LIMIT) if "COUNT" in fields else None,
        week_start=WEEKDAYS.index(week_start),
        months=frozenset(months or ()),
        week_numbers=frozenset(numbers.get("BYWEEKNO", ())),
        year_days=frozenset(numbers.get("BYYEARDAY", ())),
        month_days=frozenset(month_days or ()),
        weekdays=weekdays,
        hours=numbers.get("BYHOUR") or (None if frequency >= Frequency.HOURLY else (start.hour,)),
        minutes=numbers.get("BYMINUTE") or (None if frequency >= Frequency.MINUTELY else (start.minute,)),
        seconds=numbers.get("BYSECOND") or (None if frequency >= Frequency.SECONDLY else (start.second,)),
        positions=frozenset(numbers.get("BYSETPOS", ())),
    )


def _fields(text: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for part in text.strip(";").split(";"):
        name, equals, value = part.partition("=")
        name = name.upper()
        if name not in _KNOWN or not equals or not value:
            message = f"{part!r:.60} is not a part of a rule; these are: {', '.join(sorted(_KNOWN))}"
            raise ValueError(message)
        if name in found:
            message = f"it has {name} twice"
            raise ValueError(message)
        found[name] = value
    return found


def _positive(name: str, text: str, most: int) -> int:
    if not _NUMBER.fullmatch(text) or not 1 <= int(text) <= most:
        message = f"{name} is between 1 and {most}, not {text:.20}"
        raise ValueError(message)
    return int(text)


def _numbers(name: str, text: str) -> tuple[int, ...]:
    low, high = _RANGES[name]
    found = []
    for number in text.split(","):
        if not _NUMBER.fullmatch(number) or not low <= int(number) <= high or (low < 0 and not int(number)):
            message = f"{name} is between {low} and {high}{' and not 0' if low < 0 else ''}, not {number:.20}"
            raise ValueError(message)
        found.append(int(number))
    return tuple(sorted(set(found)))


def _weekdays(text: str | None, frequency: Frequency) -> frozenset[tuple[int, int]]:
    found = []
    for day in text.upper().split(",") if text else ():
        matched = _DAY.fullmatch(day)
        which = int(matched[1] or 0) if matched else 0
        if matched is None or abs(which) > _MOST_WEEKDAYS or (matched[1] and not which):
            message = f"BYDAY {day!r:.20} is not a weekday such as MO, 2FR or -1SU"
            raise ValueError(message)
        if which and frequency not in (Frequency.YEARLY, Frequency.MONTHLY):
            message = f"BYDAY with a number requires FREQ=MONTHLY or YEARLY, not {frequency.name}"
            raise ValueError(message)
        found.append((which, WEEKDAYS.index(matched[2])))
    return frozenset(found)


def _until(text: str, zone: ZoneInfo) -> datetime:
    """The last possible wall-clock time; a date includes the whole day."""
    moment = parse_moment(text)
    if not isinstance(moment, datetime):
        return datetime.combine(moment, time.max)
    return wall_time(moment, zone) if moment.tzinfo else moment
