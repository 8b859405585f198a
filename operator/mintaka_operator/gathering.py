"""Gather: everything the core wants to know about one run or one deployment.

From the stores where they are enough; from the API server where absence must be certain before it is believed.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import orjson
from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError

from mintaka_core import names
from mintaka_core.limits import PARAMETERS_LIMIT_BYTES
from mintaka_core.reconciling.deployments import FAULTS_OF_THE_DEPLOYMENT, DeploymentObservation, FinishedRun, Problem
from mintaka_core.reconciling.passes import RunObservation
from mintaka_core.resources import FlowDeployment, FlowRun
from mintaka_core.states import CRASHED, FAILED, PAUSED, PENDING, SCHEDULED
from mintaka_core.workloads import CreateError, StartIssue, Workload
from mintaka_operator import paths
from mintaka_operator.cluster import ApiError
from mintaka_operator.diagnosis import overridden
from mintaka_operator.resuming import resolved

if TYPE_CHECKING:
    from mintaka_core.resources import FlowTemplate
    from mintaka_operator.stores import Name
    from mintaka_operator.world import World

_NOT_FOUND = 404
#: A run and its deployment or ConfigMap may be applied together, in any order.
_SOON = timedelta(seconds=10)


async def gather_run(world: World, key: Name, create_error: CreateError | None = None) -> RunObservation | None:
    """The observation of a run, None where the run is gone; `create_error` is what creating its pod just met."""
    entry = world.runs.get(key)
    if entry is None:
        return None
    run = FlowRun.model_validate_json(entry.raw)
    if run.status.is_terminal and not run.rerun_wanted:
        return _observation(world, run, None, world.pods.of_run(key, run.metadata.uid), None)
    template, missing = await _template(world, run)
    workloads = await _workloads(world, run, template)
    state = run.status.state.type if run.status.state else None
    resumed_from = ""
    if state in {None, SCHEDULED, PAUSED} or run.rerun_wanted:
        resumed_from, unresolved = await resolved(world, run)
        create_error = create_error or missing or unresolved or await _create_error(world, run, template)
    return _observation(world, run, template, workloads, create_error, resumed_from)


def _observation(
    world: World,
    run: FlowRun,
    template: FlowTemplate | None,
    workloads: dict[int, Workload],
    create_error: CreateError | None,
    resumed_from: str = "",
) -> RunObservation:
    settings = world.settings
    return RunObservation(
        run,
        template,
        workloads,
        create_error,
        resumed_from,
        ttl=_ttl(world, run),
        mirrored=settings.mirrored,
        mirror_patience=settings.mirror_patience,
    )


def _ttl(world: World, run: FlowRun) -> timedelta:
    entry = world.deployments.get((run.metadata.namespace, run.spec.deployment)) if run.spec.deployment else None
    if entry is None:
        return timedelta(days=7)
    history = (orjson.loads(entry.raw)["spec"]).get("history") or {}
    return timedelta(seconds=history.get("ttlSecondsAfterFinished", 604800))


async def _template(world: World, run: FlowRun) -> tuple[FlowTemplate | None, CreateError | None]:
    if run.spec.deployment is None:
        return run.spec.template, None
    key = (run.metadata.namespace, run.spec.deployment)
    if world.deployments.get(key) is None:
        try:
            world.deployments.put(await world.cluster.get(paths.flow_deployments(*key)))
        except ApiError as error:
            if error.code != _NOT_FOUND:
                raise
            message = f"there is no FlowDeployment {key[1]!r} in namespace {key[0]!r}: apply it, then create the run again"
            return None, CreateError("DeploymentNotFound", message, FAILED, _SOON)
    entry = world.deployments.get(key)
    return (FlowDeployment.model_validate_json(entry.raw).spec if entry else None), None


async def _workloads(world: World, run: FlowRun, template: FlowTemplate | None) -> dict[int, Workload]:
    key = (run.metadata.namespace, run.metadata.name)
    status = run.status
    known = world.pods.of_run(key, run.metadata.uid)
    # In every state, also while it waits: a pod that was asked to stop, or whose creation was never answered, may live on.
    if status.attempt and status.attempt not in known:
        await _look_for_pod(world, (key[0], names.pod_name(key[1], status.attempt)))
        known = world.pods.of_run(key, run.metadata.uid)
    verdicts = template.verdicts if template else None
    workloads = {attempt: replace(seen, end=overridden(seen.end, verdicts)) if verdicts else seen for attempt, seen in known.items()}
    current = workloads.get(status.attempt)
    if current is not None and _starts_too_slowly(run, current):
        workloads[status.attempt] = replace(current, start_issue=await _start_issue_from_events(world, key[0], current))
    return workloads


async def _look_for_pod(world: World, pod: Name) -> None:
    """A pod that the store lacks is only gone when the API server says so."""
    try:
        world.pods.put(await world.cluster.get(paths.pods(*pod)))
    except ApiError as error:
        if error.code != _NOT_FOUND:
            raise


def _starts_too_slowly(run: FlowRun, workload: Workload) -> bool:
    """Overdue, and nothing in the pod says why: stuck in ContainerCreating."""
    status = run.status
    if status.state is None or status.state.type != PENDING or workload.start_issue or workload.started_time or workload.end:
        return False
    return not status.state.reason and status.next_time is not None and datetime.now(UTC) >= status.next_time


async def _start_issue_from_events(world: World, namespace: str, workload: Workload) -> StartIssue | None:
    selector = f"involvedObject.name={workload.name},involvedObject.uid={workload.uid},type=Warning"
    events, _ = await world.cluster.list(paths.events(namespace), fieldSelector=selector)
    if not events:
        return None
    last = max(events, key=lambda event: event.get("lastTimestamp") or event.get("eventTime") or "")
    return StartIssue(last.get("reason") or "PendingTimeout", last.get("message") or "", timedelta(0))


async def _create_error(world: World, run: FlowRun, template: FlowTemplate | None) -> CreateError | None:
    """What would make it pointless to create a pod."""
    if template is None:
        return CreateError("InvalidTemplate", "the run says neither which deployment nor what to run", FAILED)
    parameters = template.merged_parameters(run.spec.parameters)
    size = len(orjson.dumps(parameters))
    if size > PARAMETERS_LIMIT_BYTES:
        message = f"parameters take {size} bytes of JSON, {PARAMETERS_LIMIT_BYTES} are allowed: put large inputs into a file or an object store and pass its address"
        return CreateError("ParametersTooLarge", message, FAILED)
    if schema := template.schema_of_merged(run.spec.parameters):
        complaint = parameter_complaint(schema, parameters)
        if complaint:
            return CreateError("InvalidParameters", complaint, FAILED)
    if template.source and template.source.config_map:
        problem = await _config_map_problem(world, run.metadata.namespace, template.source.config_map.name)
        if problem:
            return CreateError(problem.reason, problem.message, CRASHED, _SOON)
    return None


def parameter_complaint(schema: dict[str, Any], parameters: dict[str, Any]) -> str:
    """What is wrong with `parameters` by `schema` (JSON Schema 2020-12), "" where nothing is."""
    try:
        errors = sorted(_validator(orjson.dumps(schema)).iter_errors(parameters), key=lambda error: list(map(str, error.path)))
    except SchemaError as error:
        return f"spec.parameterSchema is no JSON Schema: {error.message}"
    return "; ".join(f"{'.'.join(map(str, error.path)) or 'parameters'}: {error.message}" for error in errors[:5])


@lru_cache(maxsize=256)
def _validator(schema: bytes) -> Draft202012Validator:
    parsed = orjson.loads(schema)
    Draft202012Validator.check_schema(parsed)
    return Draft202012Validator(parsed)


async def _config_map_problem(world: World, namespace: str, name: str) -> Problem | None:
    try:
        await world.cluster.get(paths.config_maps(namespace, name))
    except ApiError as error:
        if error.code != _NOT_FOUND:
            raise
        return Problem("ConfigMapNotFound", f"there is no ConfigMap {name!r} in namespace {namespace!r}, which spec.source.configMap names")
    return None


async def gather_deployment(world: World, key: Name) -> DeploymentObservation | None:
    """The observation of a deployment, None where it is gone."""
    entry = world.deployments.get(key)
    if entry is None:
        return None
    deployment = FlowDeployment.model_validate_json(entry.raw)
    runs = world.runs.of_deployment(key)
    ended = [(name, run) for name, run in runs if run.finished and run.end_time]
    finished = tuple(FinishedRun(name[1], run.uid, run.end_time) for name, run in ended if run.end_time)
    problem = None
    if deployment.spec.source and deployment.spec.source.config_map:
        problem = await _config_map_problem(world, key[0], deployment.spec.source.config_map.name)
    return DeploymentObservation(deployment, len(runs) - len(ended), finished, problem, _last_end(ended))


def _last_end(ended: list[tuple[Name, Any]]) -> tuple[datetime, Problem] | None:
    if not ended:
        return None
    (_, name), entry = max(ended, key=lambda item: item[1].end_time)
    message = ""
    if entry.end_reason in FAULTS_OF_THE_DEPLOYMENT:
        state = FlowRun.model_validate_json(entry.raw).status.state
        message = f"flow run {name} ended {entry.state}: {state.message if state else ''}"
    return entry.end_time, Problem(entry.end_reason or entry.state, message)
