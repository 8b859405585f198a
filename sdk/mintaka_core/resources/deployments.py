"""FlowDeployment: a flow that is ready to be run, manually or on schedules."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from pydantic import ConfigDict, Field

from mintaka_core import schedules
from mintaka_core.errors import InvalidSchedule
from mintaka_core.resources.concurrency import HIGHEST_PRIORITY, LOWEST_PRIORITY, Concurrency
from mintaka_core.resources.model import AnyObject, Condition, LocalTime, Metadata, Model, PlannedTime, Time, cel, validations
from mintaka_core.resources.template import FlowTemplate
from mintaka_core.time_zones import zone_of

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

_DURATION = re.compile(r"([0-9]+(?:\.[0-9]+)?)(h|ms|m|s)")
_UNIT_SECONDS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}

#: How many of its next times the status of a schedule shows.
NEXT_TIMES = 5

CRON_PATTERN = r"^(@(yearly|annually|monthly|weekly|daily|midnight|hourly)|\S+ +\S+ +\S+ +\S+ +\S+)$"


def parse_duration(text: str) -> timedelta:
    """A duration as Go and CEL write it (`90s`, `1h30m`); raises InvalidSchedule on anything else."""
    parts = _DURATION.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        message = f"duration {text!r} is not valid: write hours, minutes and seconds such as 1h30m or 90s"
        raise InvalidSchedule(message)
    try:
        return timedelta(seconds=sum(float(number) * _UNIT_SECONDS[unit] for number, unit in parts))
    except OverflowError as error:
        message = f"duration {text!r} is too long"
        raise InvalidSchedule(message) from error


_SCHEDULE_RULES = validations(
    cel("has(self.cron) != has(self.interval)", "a schedule has exactly one of cron and interval"),
    cel(
        f"!has(self.cron) || self.cron.matches(r'''{CRON_PATTERN}''')",
        "cron takes five fields, such as '0 6 * * MON-FRI', or a macro such as @daily",
        field_path=".cron",
    ),
    cel(
        "!has(self.interval) || self.interval.matches('^([0-9]+(\\\\.[0-9]+)?(h|m|s|ms))+$') && duration(self.interval) >= duration('1s')",
        "interval is a duration of at least one second, such as 15m or 24h",
        field_path=".interval",
    ),
    cel("!has(self.anchor) || has(self.interval)", "anchor belongs to an interval; a cron schedule has none"),
)


class Schedule(Model):
    """When to create runs: exactly one of cron and interval."""

    model_config = ConfigDict(json_schema_extra=_SCHEDULE_RULES)

    name: str = Field(min_length=1, max_length=63, pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$")
    """Name of the schedule, unique in the deployment; part of the names of its runs."""
    cron: str | None = Field(default=None, min_length=1, max_length=200)
    """Five fields (minute hour day-of-month month day-of-week, names allowed) or a macro such as @daily. A fixed local time
    fires once a day even when clocks change; steps and stars follow real time.
    """
    interval: str | None = Field(default=None, min_length=2, max_length=32)
    """Time between runs, such as 15m or 24h. Whole days keep their wall-clock time when clocks change."""
    anchor: Time | None = None
    """The time from which intervals are counted; absent: 2020-01-01T00:00:00Z."""
    time_zone: str = Field(default="UTC", max_length=64, pattern=r"^[A-Za-z0-9_+\-/]+$")
    """Name in the tz database, such as Europe/Berlin."""
    parameters: AnyObject | None = None
    """Parameters of the runs this schedule creates, over those of the deployment."""
    suspend: bool = False
    """True: the schedule creates no runs; times that pass meanwhile are not made up for."""
    starting_deadline_seconds: int | None = Field(default=None, ge=1, le=31536000)
    """A time missed by more than this many seconds (because the operator was down) is skipped; absent: the latest missed
    time is always made up for.
    """

    def next_time(self, after: datetime) -> datetime:
        """The first time (UTC) strictly after `after`; raises InvalidSchedule if the schedule never fires again."""
        if self.cron is not None:
            return schedules.next_cron(self.cron, self.time_zone, after)
        if self.interval is None:
            message = f"schedule {self.name!r} has neither cron nor interval"
            raise InvalidSchedule(message)
        return schedules.next_interval(parse_duration(self.interval), self.anchor, self.time_zone, after)

    def time_after(self, time: datetime) -> datetime | None:
        """The first time after `time`, None if it never fires again; for a schedule with at least one known time."""
        try:
            return self.next_time(time)
        except InvalidSchedule:
            return None

    @property
    def zone(self) -> ZoneInfo:
        """The schedule's time zone; raises InvalidSchedule."""
        return zone_of(self.time_zone)

    @property
    def definition(self) -> str:
        """Identifies the series of times; another definition starts a new series."""
        return f"{self.cron or self.interval} {self.time_zone} {self.anchor.isoformat() if self.anchor else ''}".strip()


class History(Model):
    """How long finished runs stay in the cluster; the API's database keeps them longer."""

    limit: int = Field(default=100, ge=0, le=10000)
    """How many finished runs of this deployment stay; the oldest are deleted first."""
    ttl_seconds_after_finished: int = Field(default=604800, ge=0, le=31536000)
    """How long a finished run stays, in seconds."""


class FlowDeploymentSpec(FlowTemplate):
    """A flow that is ready to be run."""

    schedules: tuple[Schedule, ...] = Field(
        default=(),
        max_length=50,
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
    )
    """When runs are created automatically."""
    suspend: bool = False
    """True: no schedule creates runs. Existing runs continue; runs can still be created manually."""
    concurrency: Concurrency | None = None
    """How many runs may be active at the same time; absent: any number. Changes apply to the runs that exist, too: no run is
    stopped for a lower limit.
    """
    priority: int | None = Field(default=None, ge=LOWEST_PRIORITY, le=HIGHEST_PRIORITY)
    """Priority of the runs that have none of their own: of the runs that wait for a slot, higher ones start first. Absent: 0."""
    history: History = History()
    """How long finished runs stay in the cluster."""
    version: str | None = Field(default=None, max_length=200)
    """Version of the flow's code, assigned by its author; recorded with each run."""
    description: str | None = Field(default=None, max_length=20000)
    """What the flow does, for people; Markdown."""


class ScheduleStatus(Model):
    """The last and next times of a schedule."""

    name: str
    """Name of the schedule in the spec."""
    definition: str
    """The series this entry belongs to; when it changes, the series restarts."""
    last_time: PlannedTime
    """The last nominal time that was handled, or when the schedule was first seen."""
    next_time: PlannedTime | None = None
    """The next nominal time."""
    next_times: tuple[LocalTime, ...] = Field(default=(), max_length=NEXT_TIMES)
    """The next nominal times, at most five, by the clock of the schedule's time zone; the first is nextTime."""


class FlowDeploymentStatus(Model):
    """The operator's view of a FlowDeployment."""

    observed_generation: int = 0
    """The `metadata.generation` this status is based on."""
    conditions: tuple[Condition, ...] = Field(
        default=(), max_length=10, json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]}
    )
    """Ready: runs can be created and started."""
    last_schedule_time: PlannedTime | None = None
    """The last nominal time for which a schedule created a run."""
    next_schedule_time: PlannedTime | None = None
    """The next nominal time for which a run will be created; absent when suspended or without schedules."""
    active_runs: int = 0
    """How many runs of this deployment are not finished."""
    schedules: tuple[ScheduleStatus, ...] = Field(
        default=(), max_length=50, json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]}
    )
    """Each schedule's last and next time."""


class FlowDeployment(Model):
    """A flow that is ready to be run, manually (create a FlowRun that names it) or on schedules."""

    api_version: str = "mintaka.dev/v1alpha1"
    kind: str = "FlowDeployment"
    metadata: Metadata
    spec: FlowDeploymentSpec
    status: FlowDeploymentStatus = FlowDeploymentStatus()
