"""Schedules of FlowDeployments: when runs are created automatically."""

from __future__ import annotations

import hashlib
from contextlib import suppress
from enum import StrEnum
from typing import TYPE_CHECKING

from pydantic import ConfigDict, Field

from mintaka_core import schedules
from mintaka_core.errors import InvalidSchedule, ScheduleEnded
from mintaka_core.intervals import GO_PATTERN, ISO_PATTERN, ISO_SECOND_PATTERN, parse_interval
from mintaka_core.resources.model import AnyObject, Model, Time, cel, validations
from mintaka_core.time_zones import zone_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime
    from zoneinfo import ZoneInfo

CRON_PATTERN = r"^(@(yearly|annually|monthly|weekly|daily|midnight|hourly)|\S+ +\S+ +\S+ +\S+ +\S+)$"
_RULE_PATTERN = r"(?i)(^|[\s:;])(FREQ=(SECONDLY|MINUTELY|HOURLY|DAILY|WEEKLY|MONTHLY|YEARLY)([;\s]|$)|RDATE[:;])"
_NO_INTERVAL_PATTERN = r"(?i)INTERVAL=[-+]?0*([;\s]|$)"
#: A longer recurrence rule is identified by a digest.
_LONGEST_DEFINITION = 100

_SCHEDULE_RULES = validations(
    cel(
        "(has(self.cron) ? 1 : 0) + (has(self.interval) ? 1 : 0) + (has(self.rrule) ? 1 : 0) == 1",
        "a schedule has exactly one of cron, interval and rrule",
    ),
    cel(
        f"!has(self.cron) || self.cron.matches(r'''{CRON_PATTERN}''')",
        "cron takes five fields, such as '0 6 * * MON-FRI', or a macro such as @daily",
        field_path=".cron",
    ),
    cel(
        f"!has(self.interval) || (self.interval.startsWith('P')"
        f" ? self.interval.matches('{ISO_PATTERN}') && self.interval.matches('{ISO_SECOND_PATTERN}') && !self.interval.endsWith('T')"
        f" : self.interval.matches('{GO_PATTERN}') && duration(self.interval) >= duration('1s'))",
        "interval is a duration of at least one second, such as 15m or 24h, or P1D or PT15M (ISO 8601)",
        field_path=".interval",
    ),
    cel(
        f"!has(self.rrule) || self.rrule.matches(r'''{_RULE_PATTERN}''')",
        "rrule takes rules of RFC 5545, such as FREQ=MONTHLY;BYDAY=2FR;BYHOUR=9",
        field_path=".rrule",
    ),
    cel(
        f"!has(self.rrule) || !self.rrule.matches(r'''{_NO_INTERVAL_PATTERN}''')",
        "INTERVAL of a rule is 1 or more",
        field_path=".rrule",
    ),
    cel("!has(self.anchor) || has(self.interval)", "anchor belongs to an interval; the others have none"),
    cel(
        "!has(self.catchUpLimit) || (has(self.catchUp) && self.catchUp == 'All')",
        "catchUpLimit belongs to catchUp: All; the others create at most one run",
    ),
)


class CatchUp(StrEnum):
    """Which of the times that passed while no run could be created are made up for."""

    NONE = "None"
    LATEST = "Latest"
    ALL = "All"


class Schedule(Model):
    """When to create runs: exactly one of cron, interval and rrule."""

    model_config = ConfigDict(json_schema_extra=_SCHEDULE_RULES)

    name: str = Field(min_length=1, max_length=63, pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$")
    """Name of the schedule, unique in the deployment; part of the names of its runs."""
    cron: str | None = Field(default=None, min_length=1, max_length=200)
    """Five fields (minute hour day-of-month month day-of-week, names allowed) or a macro such as @daily. A fixed local time
    fires once a day even when clocks change; steps and stars follow real time.
    """
    interval: str | None = Field(default=None, min_length=2, max_length=32)
    """Time between runs, such as 15m or 24h (whole days keep their wall-clock time when clocks change), or in ISO 8601: P1D, P2W,
    P1M, P1Y keep their wall-clock time, PT15M, PT24H are elapsed time.
    """
    rrule: str | None = Field(default=None, min_length=1, max_length=4000)
    """A recurrence set of RFC 5545: lines DTSTART, RRULE, RDATE, EXDATE, or a rule alone, such as FREQ=MONTHLY;BYDAY=2FR;BYHOUR=9. Times
    without Z are by the clock of timeZone; without DTSTART it starts at 2020-01-01T00:00.
    """
    anchor: Time | None = None
    """The time from which intervals are counted; absent: 2020-01-01T00:00:00Z."""
    time_zone: str = Field(default="UTC", max_length=64, pattern=r"^[A-Za-z0-9_+\-/]+$")
    """Name in the tz database, such as Europe/Berlin."""
    parameters: AnyObject | None = None
    """Parameters of the runs this schedule creates, over those of the deployment."""
    suspend: bool = False
    """True: the schedule creates no runs; times that pass meanwhile are not made up for."""
    starting_deadline_seconds: int | None = Field(default=None, ge=1, le=31536000)
    """A time missed by more than this many seconds (because the operator was down) is skipped. Absent: there is no such limit,
    but one of 60 seconds with catchUp None.
    """
    catch_up: CatchUp = CatchUp.LATEST
    """Which times that were missed are made up for: None, the Latest, or All of them in order."""
    catch_up_limit: int | None = Field(default=None, ge=1, le=10000)
    """How many of the latest missed times All makes up for; older ones are skipped. Absent: 100."""

    def next_time(self, after: datetime) -> datetime:
        """The first time (UTC) strictly after `after`; raises InvalidSchedule if the schedule never fires again."""
        if self.cron is not None:
            return schedules.next_cron(self.cron, self.time_zone, after)
        if self.rrule is not None:
            return schedules.next_recurrence(self.rrule, self.time_zone, after)
        if self.interval is None:
            message = f"schedule {self.name!r} has neither cron nor interval nor rrule"
            raise InvalidSchedule(message)
        return schedules.next_interval(parse_interval(self.interval), self.anchor, self.time_zone, after)

    def time_after(self, time: datetime) -> datetime | None:
        """The first time (UTC) strictly after `time`; None if the schedule has ended. Raises InvalidSchedule if it is not valid."""
        try:
            return self.next_time(time)
        except ScheduleEnded:
            return None

    def times_after(self, time: datetime) -> Iterator[datetime]:
        """The times (UTC) after `time`; they end if it never fires again, for whatever reason."""
        with suppress(InvalidSchedule):
            while True:
                time = self.next_time(time)
                yield time

    @property
    def zone(self) -> ZoneInfo:
        """The schedule's time zone; raises InvalidSchedule."""
        return zone_of(self.time_zone)

    @property
    def definition(self) -> str:
        """Identifies the series of times; another definition starts a new series."""
        times = self.cron or self.interval or self.rrule or ""
        if len(times) > _LONGEST_DEFINITION and self.rrule:
            times = f"rrule sha256:{hashlib.sha256(times.encode()).hexdigest()[:32]}"
        return f"{times} {self.time_zone} {self.anchor.isoformat() if self.anchor else ''}".strip()
