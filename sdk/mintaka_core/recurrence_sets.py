"""A recurrence set of RFC 5545 (lines DTSTART, RRULE, RDATE, EXDATE): read from its text, and its times in a time zone.

Rules of days or longer give one instant for each nominal time: in a gap the offset before it is used, in a fold the first pass
counts, and a local day that is skipped whole gives none. Rules of hours, minutes and seconds follow real time. Each instant
counts once.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from mintaka_core.errors import InvalidSchedule
from mintaka_core.recurrence_moments import parse_moment
from mintaka_core.recurrence_parts import read_rule
from mintaka_core.recurrence_rules import RecurrenceRule
from mintaka_core.time_zones import zone_of
from mintaka_core.wall_clocks import DAY, first_pass, gap_of, is_skipped_day, next_by_real_time, offset_at, wall_time

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Where rules without DTSTART start, by the clock of their zone.
START = datetime(2020, 1, 1)  # noqa: DTZ001 - wall-clock time
#: No zone's clocks are changed by more.
_LONGEST_GAP = DAY + timedelta(hours=1)
_RULES, _EXCEPTIONS = 10, 1000
_LINE = re.compile(r"(?:(DTSTART|RRULE|RDATE|EXDATE)(?:;([^:]*))?:)?(.+)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class RecurrenceSet:
    """The rules, and the instants (UTC, ascending) that are added and left out."""

    zone: ZoneInfo
    rules: tuple[RecurrenceRule, ...]
    added: tuple[datetime, ...]
    excluded: frozenset[datetime]

    @property
    def ends(self) -> bool:
        """Whether it has a last time."""
        return all(rule.until is not None or rule.count is not None for rule in self.rules)

    def next_time(self, after: datetime) -> datetime | None:
        """The first time (UTC) strictly after `after`; None if there is none."""
        after = after.astimezone(UTC)
        for _ in range(_EXCEPTIONS + 1):
            found = self._next(after)
            if found is None or found not in self.excluded:
                return found
            after = found
        return None

    def _next(self, after: datetime) -> datetime | None:
        found = [_next_of(rule, self.zone, after) for rule in self.rules]
        index = bisect_right(self.added, after)
        return min((time for time in (*found, *self.added[index : index + 1]) if time is not None), default=None)

    def wall_times(self, start: datetime) -> Iterator[datetime]:
        """The nominal local times of the first rule from `start` on; for notes on changes of clocks."""
        return self.rules[0].wall_times(start) if self.rules else iter(())


def _next_of(rule: RecurrenceRule, zone: ZoneInfo, after: datetime) -> datetime | None:
    if rule.follows_real_time:
        return next_by_real_time(rule.wall_times, zone, after)
    start = wall_time(after, zone)
    # The nominal times in a gap come after it, up to as long as the gap was.
    if offset_at(after, zone) != offset_at(after - _LONGEST_GAP, zone):
        start -= _LONGEST_GAP
    best: datetime | None = None
    for nominal in rule.wall_times(start):
        if best is not None and nominal > wall_time(best, zone):
            break
        gap = gap_of(nominal, zone)
        if gap is not None and is_skipped_day(nominal, gap, zone):
            continue
        instant = first_pass(nominal, zone)
        if instant > after and (best is None or instant < best):
            best = instant
        if best is not None and gap is None and instant >= best:
            break
    return best


@lru_cache(maxsize=512)
def parse_recurrence(text: str, zone_name: str) -> RecurrenceSet:
    """Read the lines of a recurrence set, which spaces may separate too; raises InvalidSchedule with what is wrong."""
    zone = zone_of(zone_name)
    try:
        return _read(text, zone, zone_name)
    except (ValueError, OverflowError) as error:
        message = f"rrule {' '.join(text.split())!r:.300} is not valid: {error}"
        raise InvalidSchedule(message) from error


def _read(text: str, zone: ZoneInfo, zone_name: str) -> RecurrenceSet:
    start, rules, added, excluded = START, [], set[datetime](), set[datetime]()
    for line in text.split():
        name, parameters, value = _fields(line)
        if name == "DTSTART":
            if (named := _zone_name(parameters)) and named != zone_name:
                message = f"DTSTART is in {named}, but timeZone is {zone_name}: write timeZone: {named}"
                raise ValueError(message)
            found = _times(value)[0]
            start = wall_time(found, zone) if isinstance(found, datetime) and found.tzinfo else _naive(found)
        elif name == "RRULE":
            rules.append(value)
        else:
            instants = {_instant(each, zone_of(_zone_name(parameters)) if _zone_name(parameters) else zone) for each in _times(value)}
            (added if name == "RDATE" else excluded).update(instants)
    if not rules and not added:
        message = "it has neither RRULE nor RDATE, such as FREQ=DAILY;BYHOUR=6"
        raise ValueError(message)
    if len(rules) > _RULES or len(excluded) > _EXCEPTIONS:
        message = f"it has more than {_RULES} rules or {_EXCEPTIONS} exceptions"
        raise ValueError(message)
    read = tuple(read_rule(rule, start.replace(microsecond=0), zone) for rule in rules)
    return RecurrenceSet(zone, read, tuple(sorted(added)), frozenset(excluded))


def _fields(line: str) -> tuple[str, str, str]:
    """A line's name, parameters and value; a line without a name is a rule."""
    matched = _LINE.fullmatch(line)
    if matched is None or (matched[1] is None and "=" not in line) or (matched[1] is None and ":" in line):
        message = f"{line!r:.60} is none of DTSTART, RRULE, RDATE and EXDATE"
        raise ValueError(message)
    return (matched[1] or "RRULE").upper(), matched[2] or "", matched[3]


def _zone_name(parameters: str) -> str:
    for parameter in parameters.split(";") if parameters else ():
        name, _, value = parameter.partition("=")
        if name.upper() == "TZID":
            return value
        if name.upper() != "VALUE" or value.upper() not in ("DATE", "DATE-TIME"):
            message = f"{parameter} is not supported: TZID and VALUE=DATE are"
            raise ValueError(message)
    return ""


def _times(value: str) -> list[datetime | date]:
    return [parse_moment(each) for each in value.split(",")]


def _naive(moment: datetime | date) -> datetime:
    return moment if isinstance(moment, datetime) else datetime.combine(moment, time())


def _instant(moment: datetime | date, zone: ZoneInfo) -> datetime:
    naive = _naive(moment)
    return naive if naive.tzinfo else first_pass(naive, zone)
