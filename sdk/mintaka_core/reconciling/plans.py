"""The plans that reconciling returns: idempotent effects, then one status."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from mintaka_core.resources.deployments import FlowDeploymentStatus
from mintaka_core.resources.runs import FlowRunStatus, TransitionStatus


@dataclass(frozen=True, slots=True)
class CreateWorkload:
    """Start the pod or process of `attempt`; if it exists already, this is done. `revision` is what it runs ("": not stored)."""

    attempt: int
    revision: str = ""


@dataclass(frozen=True, slots=True)
class CreateRevision:
    """Store the revision of that name, which the run needs from now on; if it exists already, this is done."""

    name: str


@dataclass(frozen=True, slots=True)
class StopWorkload:
    """Ask the workload to stop within its grace period; `force` deletes it without one and does not wait."""

    name: str
    uid: str
    why: str
    force: bool = False


@dataclass(frozen=True, slots=True)
class ReleaseWorkload:
    """Remove our finalizer from a deleted workload whose end is recorded. Its log is copied into the run's log first if
    `copy_log_until` is set; after that time it is released without the copy.
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
    """Add the finalizer that holds the run in the cluster until the mirror has its history."""


@dataclass(frozen=True, slots=True)
class ReleaseRun:
    """Release a deleted run without the mirror's confirmation, leaving a tombstone with its last state."""

    tombstone: bool


@dataclass(frozen=True, slots=True)
class DeleteRun:
    """Delete a finished run from the cluster."""

    namespace: str
    name: str
    uid: str
    why: str


@dataclass(frozen=True, slots=True)
class CancelRun:
    """Set `spec.cancel` of another run of the namespace, which this one replaces."""

    name: str


type RunEffect = (
    CancelRun | CreateWorkload | CreateRevision | StopWorkload | ReleaseWorkload | RemoveWorkload | AddFinalizer | ReleaseRun | DeleteRun
)


@dataclass(frozen=True, slots=True)
class RunPlan:
    """What to do about a flow run: creations first, then write `status` (None: unchanged), then the other effects in order;
    reconcile again at `due`. `transitions` are the records that are new in `status`; `noted` those of decisions that are not
    worth a write: the next observation passes them back, so that they are written along with the next change.
    """

    effects: tuple[RunEffect, ...] = ()
    status: FlowRunStatus | None = None
    due: datetime | None = None
    transitions: tuple[TransitionStatus, ...] = ()
    noted: tuple[TransitionStatus, ...] = ()


@dataclass(frozen=True, slots=True)
class CreateRun:
    """Create a scheduled run; if it exists already, this is done."""

    name: str
    schedule: str
    nominal_time: datetime
    parameters: dict[str, Any] | None


@dataclass(frozen=True, slots=True)
class DeploymentWarning:
    """A warning for the owner of a deployment, for an Event: a reason for programs and a sentence."""

    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class DeploymentPlan:
    """What to do about a flow deployment: create, then write `status` (None: unchanged), then retire; reconcile again at `due`."""

    create: tuple[CreateRun, ...] = ()
    retire: tuple[DeleteRun, ...] = ()
    status: FlowDeploymentStatus | None = None
    due: datetime | None = None
    warnings: tuple[DeploymentWarning, ...] = ()
