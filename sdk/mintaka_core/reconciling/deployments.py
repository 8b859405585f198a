"""Reconciling a flow deployment: runs for what is due, old runs out, and what to say of itself."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from mintaka_core.errors import InvalidSchedule
from mintaka_core.names import scheduled_run_name
from mintaka_core.reconciling.plans import CreateRun, DeleteRun, DeploymentPlan
from mintaka_core.resources.deployments import FlowDeployment, FlowDeploymentStatus, Schedule, ScheduleStatus
from mintaka_core.resources.model import Condition, set_condition

#: Ends of a run that say that the deployment itself is at fault, so that its next run would end the same way.
FAULTS_OF_THE_DEPLOYMENT = frozenset({
    "EntrypointNotFound", "SourceUnreadable", "PodRejected", "ImagePullBackOff", "InvalidImageName",
    "ErrImageNeverPull", "ImageInspectError", "SignatureValidationFailed", "CreateContainerConfigError", "CreateContainerError",
    "RunContainerError", "StartError",
})  # fmt: skip

#: How soon to look again for what a deployment lacks: nobody tells when a ConfigMap appears.
_LOOK_AGAIN = timedelta(seconds=30)
#: How many missed times are counted one by one; a schedule of every second, away for a month, has millions.
_COUNTED = 1000
_CLOSE = timedelta(milliseconds=1)


@dataclass(frozen=True, slots=True)
class FinishedRun:
    """A finished run of the deployment, as retention sees it."""

    name: str
    uid: str
    end_time: datetime


@dataclass(frozen=True, slots=True)
class Problem:
    """Why runs of the deployment cannot start, from what can be seen of it or of its latest run."""

    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class DeploymentObservation:
    """Everything the reconciler may know about a deployment.

    `problem` is what is wrong with it at a glance; `last_end` is how its latest finished run ended, and when.
    """

    deployment: FlowDeployment
    active_runs: int = 0
    finished: tuple[FinishedRun, ...] = ()
    problem: Problem | None = None
    last_end: tuple[datetime, Problem] | None = None


def reconcile(seen: DeploymentObservation, now: datetime) -> DeploymentPlan:
    """What to do about the deployment at `now` (aware, UTC)."""
    deployment = seen.deployment
    if deployment.metadata.deletion_timestamp is not None:
        return DeploymentPlan()
    create: list[CreateRun] = []
    entries: list[ScheduleStatus] = []
    missed: list[str] = []
    problem = seen.problem or _fault_of_last_run(seen)
    for schedule in () if deployment.spec.suspend else deployment.spec.schedules:
        if schedule.suspend:
            continue  # without an entry, the series starts anew when it is resumed: nothing is made up for
        try:
            entry, run, skipped = _advance(deployment, schedule, now)
        except InvalidSchedule as error:
            problem = Problem("InvalidSchedule", f"schedule {schedule.name!r}: {error}")
            continue
        entries.append(entry)
        missed += skipped
        if run:
            create.append(run)
    status = _status(seen, tuple(entries), create, problem, now)
    moments = [entry.next_time for entry in entries if entry.next_time]
    due = min([*moments, now + _LOOK_AGAIN] if seen.problem else moments, default=None)
    return DeploymentPlan(tuple(create), _retired(seen, create), status if status != deployment.status else None, due, tuple(missed))


def _advance(deployment: FlowDeployment, schedule: Schedule, now: datetime) -> tuple[ScheduleStatus, CreateRun | None, list[str]]:
    """The schedule's new entry, the run that is due (the latest, where several were missed), and what is to be said of the rest."""
    known = next((entry for entry in deployment.status.schedules if entry.name == schedule.name), None)
    if known is None or known.definition != schedule.definition:
        return (
            ScheduleStatus(name=schedule.name, definition=schedule.definition, last_time=now, next_time=schedule.next_time(now)),
            None,
            [],
        )
    latest, passed, upcoming = _missed(schedule, known.last_time, now)
    if latest is None:
        return known.model_copy(update={"next_time": upcoming}), None, []
    entry = known.model_copy(update={"last_time": latest, "next_time": upcoming})
    many = f"{passed}" if passed < _COUNTED else f"more than {_COUNTED}"
    said = [f"schedule {schedule.name!r} made up for the latest of {many} missed times"] if passed > 1 else []
    deadline = schedule.starting_deadline_seconds
    if deadline is not None and now > latest + timedelta(seconds=deadline):
        said.append(f"schedule {schedule.name!r} skipped {latest:%Y-%m-%dT%H:%M:%SZ}: it was missed by more than {deadline} s")
        return entry, None, said
    name = scheduled_run_name(deployment.metadata.name, deployment.metadata.uid, schedule.name, latest)
    return entry, CreateRun(name, schedule.name, latest, schedule.parameters), said


def _missed(schedule: Schedule, since: datetime, now: datetime) -> tuple[datetime | None, int, datetime]:
    """The latest time in (since, now], how many there are (counted up to a bound), and the next one after `now`."""
    latest, passed = None, 0
    upcoming = schedule.next_time(since)
    while upcoming <= now:
        latest, passed = upcoming, passed + 1
        upcoming = schedule.next_time(latest)
        if passed == _COUNTED and upcoming <= now:
            return _latest(schedule, latest, now), passed, schedule.next_time(now)
    return latest, passed, upcoming


def _latest(schedule: Schedule, low: datetime, now: datetime) -> datetime:
    """The latest time in (low, now], where one exists: halving, because what is asked from any instant is the same series."""
    latest, high = schedule.next_time(low), now
    while high - latest > _CLOSE:
        middle = latest + (high - latest) / 2
        found = schedule.next_time(middle)
        if found <= now:
            latest = found
        else:
            high = middle
    return latest


def _fault_of_last_run(seen: DeploymentObservation) -> Problem | None:
    """What the latest run says against the deployment, unless the deployment was changed after it."""
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
        message=problem.message[:1024] if problem else "",
        last_transition_time=now,
        observed_generation=generation,
    )
    known = _ready(seen.deployment)
    # A changed deployment is judged anew: what ended before the change says nothing about it.
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


def _retired(seen: DeploymentObservation, create: list[CreateRun]) -> tuple[DeleteRun, ...]:
    """The finished runs beyond the history limit, oldest first.

    A run that is created once more, because the status that says so could not be written, must still be there to be met.
    """
    due = {run.name for run in create}
    newest_first = sorted(seen.finished, key=lambda run: (run.end_time, run.name), reverse=True)
    namespace = seen.deployment.metadata.namespace
    beyond = [run for run in newest_first[seen.deployment.spec.history.limit :] if run.name not in due]
    return tuple(DeleteRun(namespace, run.name, run.uid, "the history limit is passed") for run in reversed(beyond))
