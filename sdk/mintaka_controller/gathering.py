"""Gather: all input of the core about one run or one deployment.

The caches are used if they are enough; the ports if absence must be certain. Information without cost is gathered in every
state, because one pass may take a run from its end through a retry to its next attempt.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from mintaka_controller.create_checks import find_create_error
from mintaka_controller.ports import Rejected
from mintaka_controller.reading import parse_run, read_deployment, read_run
from mintaka_controller.resume_source import find_resume_source
from mintaka_controller.rule_facts import policy_of
from mintaka_controller.run_template import RunTemplate, find_template, may_start
from mintaka_core import names
from mintaka_core.reconciling.deployments import FAULTS_OF_THE_DEPLOYMENT, DeploymentObservation, FinishedRun, Problem
from mintaka_core.reconciling.observation import Retention, RunObservation
from mintaka_core.run_overrides import with_overrides
from mintaka_core.states import FAILED, PENDING, State, StateType
from mintaka_core.workloads import CreateError, CreateErrorKind

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mintaka_controller.context import Context
    from mintaka_controller.ports import Name, ObjectProblem
    from mintaka_core.resources import FlowDeployment, FlowRun, FlowTemplate
    from mintaka_core.workloads import StartIssue, Workload

#: The number of finished runs that one pass over a deployment retires.
_RETIRED_AT_ONCE = 50
_DEFAULT_TTL = timedelta(days=7)
#: How soon a run whose key is not allowed is reconciled again, if its deployment does not change.
_KEY_CHECKS = timedelta(minutes=5)


async def reread_doubtful(context: Context, run: Name) -> None:
    """Read the workloads of a run whose cached version may be incomplete, whatever state the run is in, even if it is gone."""
    for owned in context.workloads.doubtful_of(run):
        key = run[0], owned.workload.name
        context.workloads.trust(key)
        try:
            found = await context.ports.workloads.read(*key)
        except Exception:
            context.workloads.doubt(key)
            raise
        if found is None or found.workload.uid != owned.workload.uid:
            context.workloads.remove(key, owned.workload.uid)
            context.log_copies.forget(owned.workload.uid)
        if found is not None:
            context.workloads.replace(found)


async def gather_run(context: Context, key: Name, create_error: CreateError | None = None) -> RunObservation | None:
    """The observation of a run, None if the run is gone; `create_error` is the error of a creation in the same pass."""
    entry = context.runs.get(key)
    known = await read_run(context, key, entry) if entry else None
    if known is None:
        return None
    run, problem = known
    if run.status.is_terminal and not run.rerun_wanted:
        return _observation(context, run, None, context.workloads.of_run(key, run.metadata.uid))
    workloads = await _workloads(context, run)
    found = RunTemplate(None, _unusable(problem)) if problem else await find_template(context, run, workloads)
    if found.template is not None:
        found = found._replace(template=with_overrides(found.template, run.spec.overrides))
    workloads = _judged(workloads, found.template)
    resumed_from, unresolved = ("", None) if problem else await find_resume_source(context, run)
    create_error = create_error or found.error or unresolved or _forbidden_key(context, run)
    if create_error is None and may_start(run):
        create_error = await find_create_error(context, run, found.template, source_found=found.source_found)
    seen = _observation(context, run, found.template, workloads, create_error, resumed_from)
    called, rules = context.runs.called, await policy_of(context, run, found.template)
    return replace(
        seen,
        policy=rules.policy,
        live=rules.live,
        journal=rules.journal,
        revision=found.revision,
        caller_cancelled=bool(entry and entry.caller) and called.is_cancelled(entry.caller if entry else ""),
        called_go_on=called.goes_on(run.metadata.uid),
    )


def _forbidden_key(context: Context, run: FlowRun) -> CreateError | None:
    """The error of a run whose deployment names a key that its namespace may not use; it waits until one of the two is changed."""
    namespace, deployment = run.metadata.namespace, run.spec.deployment
    entry = context.deployments.get((namespace, deployment)) if deployment else None
    problem = context.slots.keys.problem_of(namespace, deployment or "", entry.concurrency if entry else None)
    if problem is None:
        return None
    again = context.ports.clock.now() + _KEY_CHECKS
    return CreateError(*problem, FAILED, patience=None, retry_time=again)


async def know_deployments(context: Context) -> None:
    """Read the deployments of unfinished runs that are not known yet, since their runs may hold slots. Raises Unavailable."""
    for name in tuple(context.slots.keys.unknown):
        if name not in context.slots.keys.unknown:
            continue
        try:
            found = await read_deployment(context, name)
        except Rejected:  # it cannot be read now; its runs use the key that they recorded
            found = None
        if found is None:
            context.slots.keys.miss(name)


def _observation(
    context: Context,
    run: FlowRun,
    template: FlowTemplate | None,
    workloads: Mapping[int, Workload],
    create_error: CreateError | None = None,
    resumed_from: str = "",
) -> RunObservation:
    settings = context.settings
    return RunObservation(
        run,
        template,
        workloads,
        create_error,
        resumed_from,
        ttl=ttl_of(context, run.metadata.namespace, run.spec.deployment or ""),
        mirrored=settings.mirrored,
        mirror_patience=settings.mirror_patience,
        retention=_retention(context, run),
        local=settings.local,
    )


def ttl_of(context: Context, namespace: str, deployment: str) -> timedelta:
    """How long finished runs of a deployment stay ("": of none)."""
    entry = context.deployments.get((namespace, deployment)) if deployment else None
    return entry.ttl if entry else _DEFAULT_TTL


def _retention(context: Context, run: FlowRun) -> Retention | None:
    """How long its workloads stay: the deployment's or template's setting, or else this controller's."""
    default = context.settings.retention
    entry = context.deployments.get((run.metadata.namespace, run.spec.deployment)) if run.spec.deployment else None
    own = entry.pod_retention if entry else run.spec.template.pod_retention if run.spec.template else None
    if default is None or own is None:
        return default
    completed, failed = own.completed_seconds, own.failed_seconds
    return replace(
        default,
        completed=default.completed if completed is None else timedelta(seconds=completed),
        failed=default.failed if failed is None else timedelta(seconds=failed),
    )


def _unusable(problem: ObjectProblem) -> CreateError:
    return CreateError(problem.reason, problem.message, FAILED)


async def _workloads(context: Context, run: FlowRun) -> dict[int, Workload]:
    key, status = (run.metadata.namespace, run.metadata.name), run.status
    known = context.workloads.of_run(key, run.metadata.uid)
    # In every state, even while it waits: a workload that was asked to stop, or whose creation was never answered, may still be alive.
    if status.attempt and status.attempt not in known:
        # A workload missing in the cache is only gone if a read confirms it.
        found = await context.ports.workloads.read(key[0], names.pod_name(key[1], status.attempt))
        if found is not None:
            context.workloads.put(found)
        known = context.workloads.of_run(key, run.metadata.uid)
    current = known.get(status.attempt)
    if current is not None and _starts_too_slowly(run, current, context.ports.clock.now()):
        known[status.attempt] = replace(current, start_issue=await _start_issue(context, key[0], current))
    return known


def _judged(workloads: dict[int, Workload], template: FlowTemplate | None) -> dict[int, Workload]:
    """The workloads with the ends that the template's verdicts result in."""
    if template is None or not template.verdicts:
        return workloads
    return {attempt: replace(seen, end=overridden(seen.end, template.verdicts)) for attempt, seen in workloads.items()}


def overridden(end: State | None, verdicts: Mapping[str, str] | None) -> State | None:
    """The end with its type replaced if the deployment overrides it for its reason."""
    if end is None or not verdicts or end.reason not in verdicts:
        return end
    return State(StateType(verdicts[end.reason]), reason=end.reason, message=end.message)


def _starts_too_slowly(run: FlowRun, workload: Workload, now: datetime) -> bool:
    """Overdue, and its own status does not say why: stuck in ContainerCreating."""
    status = run.status
    if status.state is None or status.state.type != PENDING or workload.start_issue or workload.started_time or workload.end:
        return False
    return not status.state.reason and status.next_time is not None and now >= status.next_time


async def _start_issue(context: Context, namespace: str, workload: Workload) -> StartIssue | None:
    return await context.ports.workloads.find_start_issue(namespace, workload)


async def gather_deployment(context: Context, key: Name) -> DeploymentObservation | None:
    """The observation of a deployment, None if it is gone."""
    found = await read_deployment(context, key) if context.deployments.get(key) else None
    if found is None:
        return None
    deployment, unusable = found
    if unusable:
        problem: Problem | None = Problem(unusable.reason, unusable.message)
    else:
        forbidden = context.slots.keys.problem_of(*key, deployment.spec.concurrency)
        source = await context.ports.sources.find_problem(key[0], deployment.spec)
        problem = source or (Problem(*forbidden) if forbidden else _waiting(context, key))
    return DeploymentObservation(
        deployment,
        context.runs.count_active(key),
        _excess(context, key, deployment),
        problem,
        _last_end(context, key),
    )


def _waiting(context: Context, key: Name) -> Problem | None:
    """Why runs of the deployment wait for a workload, if the deployment's owner should know the reason."""
    error = context.backoff.error_of(*key)
    return Problem(error.reason, error.message) if error and error.kind != CreateErrorKind.TRANSIENT else None


def _excess(context: Context, key: Name, deployment: FlowDeployment) -> tuple[FinishedRun, ...]:
    oldest = context.runs.oldest_finished(key, deployment.spec.history.limit, _RETIRED_AT_ONCE)
    entries = [(name, end, context.runs.get(name)) for name, end in oldest]
    return tuple(FinishedRun(name[1], entry.uid, end) for name, end, entry in entries if entry)


def _last_end(context: Context, key: Name) -> tuple[datetime, Problem] | None:
    name = context.runs.latest_finished(key)
    entry = context.runs.get(name) if name else None
    if name is None or entry is None or entry.end_time is None:
        return None
    message = ""
    raw = context.runs.raw(name)
    if entry.end_reason in FAULTS_OF_THE_DEPLOYMENT and raw is not None:
        state = parse_run(raw)[0].status.state
        message = f"flow run {name[1]} ended {entry.state}: {state.message if state else ''}"
    return entry.end_time.astimezone(UTC), Problem(entry.end_reason or entry.state, message)
