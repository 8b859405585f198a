"""FlowDeployment: a flow that is ready to be run, manually or on schedules."""

from __future__ import annotations

from pydantic import Field

from mintaka_core.resources.concurrency import HIGHEST_PRIORITY, LOWEST_PRIORITY, Concurrency
from mintaka_core.resources.model import Condition, LocalTime, Metadata, Model, PlannedTime
from mintaka_core.resources.schedules import Schedule  # noqa: TC001 - pydantic reads it
from mintaka_core.resources.template import FlowTemplate

#: How many of its next times the status of a schedule shows.
NEXT_TIMES = 5


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
