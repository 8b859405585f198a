"""Reconciling a flow deployment: create due runs, retire old ones, update its status."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from mintaka_core.errors import InvalidSchedule
from mintaka_core.names import scheduled_run_name
from mintaka_core.reconciling.cleanup import LATE_REQUEST
from mintaka_core.reconciling.plans import CreateRun, DeleteRun, DeploymentPlan, DeploymentWarning
from mintaka_core.reconciling.schedule_times import advance
from mintaka_core.resources.deployments import FlowDeployment, FlowDeploymentStatus, ScheduleStatus
from mintaka_core.resources.model import Condition, set_condition
from mintaka_core.time_zones import advice

if TYPE_CHECKING:
    from mintaka_core.resources.schedules import Schedule

#: Ends of a run that mean that the deployment itself is at fault, so that its next run would end the same way.
FAULTS_OF_THE_DEPLOYMENT = frozenset({
    "EntrypointNotFound", "SourceUnreadable", "PodRejected", "PodTooLarge", "AdmissionDenied", "ResourcesRequired",
    "LimitRangeViolated", "ServiceAccountNotFound", "PriorityClassNotFound", "RuntimeClassNotFound", "ImagePullBackOff", "InvalidImageName",
    "ErrImageNeverPull", "ImageInspectError", "SignatureValidationFailed", "CreateContainerConfigError", "CreateContainerError",
    "RunContainerError", "StartError",
})  # fmt: skip

#: The maximum length of a condition's message in characters.
_MESSAGE = 1024
#: How soon to check again for what a deployment lacks: no event reports that a ConfigMap was created.
_LOOK_AGAIN = timedelta(seconds=30)


@dataclass(frozen=True, slots=True)
class FinishedRun:
    """A finished run of the deployment, for retention."""

    name: str
    uid: str
    end_time: datetime


@dataclass(frozen=True, slots=True)
class Problem:
    """Why runs of the deployment cannot start, from the deployment or its latest run."""

    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class DeploymentObservation:
    """All input of the reconciler about a deployment.

    `excess` are finished runs beyond the history limit, oldest first; there may be more, which a later pass gets. `problem`
    is an evident fault of the deployment; `last_end` is how and when its latest finished run ended.
    """

    deployment: FlowDeployment
    active_runs: int = 0
    excess: tuple[FinishedRun, ...] = ()
    problem: Problem | None = None
    last_end: tuple[datetime, Problem] | None = None


def reconcile(seen: DeploymentObservation, now: datetime) -> DeploymentPlan:
    """What to do about the deployment at `now` (aware, UTC)."""
    deployment = seen.deployment
    if deployment.metadata.deletion_timestamp is not None:
        return DeploymentPlan()
    create: list[CreateRun] = []
    entries: list[ScheduleStatus] = []
    missed: list[DeploymentWarning] = []
    invalid: list[str] = []
    more = False
    for schedule in _active_schedules(deployment):
        known = next((entry for entry in deployment.status.schedules if entry.name == schedule.name), None)
        try:
            done = advance(schedule, known, now)
        except InvalidSchedule as error:
            invalid.append(f"schedule {schedule.name!r}: {error}")
            continue
        entries.append(done.entry)
        missed += [DeploymentWarning("MissedSchedule", done.missed)] if done.missed else []
        create += [_scheduled_run(deployment, schedule, time) for time in done.due]
        more = more or done.more
    problem = Problem("InvalidSchedule", "; ".join(invalid)) if invalid else seen.problem or _fault_of_last_run(seen)
    status = _status(seen, tuple(entries), create, problem, now)
    moments = [entry.next_time for entry in entries if entry.next_time]
    moments += [now] if more else []
    moments += [now + _LOOK_AGAIN] if seen.problem else []
    moments += filter(None, (_retained_until(deployment, run, now) for run in seen.excess))
    due = min(moments, default=None)
    warnings = (*missed, *_new_problem(deployment, problem))
    return DeploymentPlan(tuple(create), _retired(seen, create, now), status if status != deployment.status else None, due, warnings)


def _active_schedules(deployment: FlowDeployment) -> tuple[Schedule, ...]:
    """The schedules that create runs. The others lose their entry, so that their series restarts on resume and no time is made up for."""
    return () if deployment.spec.suspend else tuple(schedule for schedule in deployment.spec.schedules if not schedule.suspend)


def _scheduled_run(deployment: FlowDeployment, schedule: Schedule, nominal_time: datetime) -> CreateRun:
    name = scheduled_run_name(deployment.metadata.name, schedule.name, nominal_time)
    return CreateRun(name, schedule.name, nominal_time, schedule.parameters)


def _new_problem(deployment: FlowDeployment, problem: Problem | None) -> tuple[DeploymentWarning, ...]:
    """The problem, unless the deployment has it already; another schedule that is invalid is another problem."""
    ready = _ready(deployment)
    if problem is None:
        return ()
    if ready is not None and ready.status == "False" and ready.reason == problem.reason:
        known = problem.reason != "InvalidSchedule" or ready.message == problem.message[:_MESSAGE]
        return () if known else (DeploymentWarning(problem.reason, problem.message),)
    return (DeploymentWarning(problem.reason, problem.message),)


def _fault_of_last_run(seen: DeploymentObservation) -> Problem | None:
    """A fault of the deployment shown by its latest run, unless the deployment was changed since."""
    ready = _ready(seen.deployment)
    if seen.last_end is None or ready is None or ready.observed_generation != seen.deployment.metadata.generation:
        return None
    end_time, problem = seen.last_end
    if problem.reason not in FAULTS_OF_THE_DEPLOYMENT:
        return None
    stands = ready.status == "False" and ready.reason == problem.reason
    return problem if stands or end_time >= ready.last_transition_time else None


def _ready(deployment: FlowDeployment) -> Condition | None:
    return next((condition for condition in deployment.status.conditions if condition.type == "Ready"), None)


def _status(
    seen: DeploymentObservation, entries: tuple[ScheduleStatus, ...], create: list[CreateRun], problem: Problem | None, now: datetime
) -> FlowDeploymentStatus:
    old = seen.deployment.status
    generation = seen.deployment.metadata.generation
    ready = Condition(
        type="Ready",
        status="False" if problem else "True",
        reason=problem.reason if problem else "Ready",
        message=problem.message[:_MESSAGE] if problem else _advice(seen.deployment),
        last_transition_time=now,
        observed_generation=generation,
    )
    known = _ready(seen.deployment)
    # A changed deployment is judged again: what ended before the change says nothing about it.
    conditions = set_condition(old.conditions if known and known.observed_generation == generation else (), ready)
    return old.model_copy(
        update={
            "observed_generation": generation,
            "conditions": conditions,
            "last_schedule_time": max(
                [*(run.nominal_time for run in create), *([old.last_schedule_time] if old.last_schedule_time else [])], default=None
            ),
            "next_schedule_time": min((entry.next_time for entry in entries if entry.next_time), default=None),
            "active_runs": seen.active_runs,
            "schedules": entries,
        }
    )


def _advice(deployment: FlowDeployment) -> str:
    """Common surprises of the schedules' time zones."""
    names = dict.fromkeys(schedule.time_zone for schedule in _active_schedules(deployment))
    return " ".join(filter(None, map(advice, names)))[:_MESSAGE]


def _retained_until(deployment: FlowDeployment, run: FinishedRun, now: datetime) -> datetime | None:
    """The time until which a run beyond the history limit is retained; None if it may be deleted."""
    until = run.end_time + LATE_REQUEST
    return until if deployment.spec.schedules and until > now else None


def _retired(seen: DeploymentObservation, create: list[CreateRun], now: datetime) -> tuple[DeleteRun, ...]:
    """The finished runs beyond the history limit.

    A run that is about to be created again, because the status that records it could not be written, must still exist: the
    creation then fails with AlreadyExists.
    """
    due = {run.name for run in create}
    namespace = seen.deployment.metadata.namespace
    return tuple(
        DeleteRun(namespace, run.name, run.uid, "the history limit is exceeded")
        for run in seen.excess
        if run.name not in due and _retained_until(seen.deployment, run, now) is None
    )
