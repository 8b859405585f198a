"""What reconciling asks for: effects that may each be done twice without harm, then one status."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from mintaka_core.resources.deployments import FlowDeploymentStatus
from mintaka_core.resources.runs import FlowRunStatus, TransitionStatus


@dataclass(frozen=True, slots=True)
class CreateWorkload:
    """Start the pod or process of `attempt`; that it exists already means done."""

    attempt: int


@dataclass(frozen=True, slots=True)
class StopWorkload:
    """Ask the workload to stop, giving it its grace period; `force` gives it none and forgets it."""

    name: str
    uid: str
    why: str
    force: bool = False


@dataclass(frozen=True, slots=True)
class ReleaseWorkload:
    """Take our hold off a deleted workload whose end is recorded, so that it may go. Its log is copied into the run's log first,
    if `copy_log_until` is set; after that moment it goes without.
    """

    name: str
    uid: str
    attempt: int
    copy_log_until: datetime | None = None


@dataclass(frozen=True, slots=True)
class RemoveWorkload:
    """Delete an ended workload whose retention is over; `copy_log_until` as for ReleaseWorkload."""

    name: str
    uid: str
    attempt: int
    copy_log_until: datetime | None = None


@dataclass(frozen=True, slots=True)
class AddFinalizer:
    """Hold the run in the cluster until the mirror has its history."""


@dataclass(frozen=True, slots=True)
class ReleaseRun:
    """Let go of a deleted run without the mirror's word, leaving a tombstone with its last state."""

    tombstone: bool


@dataclass(frozen=True, slots=True)
class DeleteRun:
    """Take a finished run out of the cluster."""

    namespace: str
    name: str
    uid: str
    why: str


type RunEffect = CreateWorkload | StopWorkload | ReleaseWorkload | RemoveWorkload | AddFinalizer | ReleaseRun | DeleteRun


@dataclass(frozen=True, slots=True)
class RunPlan:
    """What to do about a flow run: create what is to be created, write `status` (None: leave it), then the other effects in
    order; look again at `due`.
    """

    effects: tuple[RunEffect, ...] = ()
    status: FlowRunStatus | None = None
    due: datetime | None = None
    transitions: tuple[TransitionStatus, ...] = ()


@dataclass(frozen=True, slots=True)
class CreateRun:
    """Create a scheduled run; that it exists already means done."""

    name: str
    schedule: str
    nominal_time: datetime
    parameters: dict[str, Any] | None


@dataclass(frozen=True, slots=True)
class DeploymentWarning:
    """What the owner of a deployment should know, for an Event: a reason for programs and a sentence."""

    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class DeploymentPlan:
    """What to do about a flow deployment: create, then write `status` (None: leave it), then retire; reconcile again at `due`."""

    create: tuple[CreateRun, ...] = ()
    retire: tuple[DeleteRun, ...] = ()
    status: FlowDeploymentStatus | None = None
    due: datetime | None = None
    warnings: tuple[DeploymentWarning, ...] = ()
