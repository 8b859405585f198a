"""Checks before a workload is requested: limits, parameters that violate their schema, missing source code."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import orjson

from mintaka_controller.create_backoff import Place
from mintaka_controller.ports import Conflict
from mintaka_controller.run_template import SOON, has_copy
from mintaka_controller.schema_lane import CheckUnavailable
from mintaka_core.json_schema import InvalidSchema, summary
from mintaka_core.limits import DEPTH_LIMIT, RESOURCE_LIMIT_BYTES, check_parameters, check_resource
from mintaka_core.states import CRASHED, FAILED
from mintaka_core.workloads import CreateError

if TYPE_CHECKING:
    from mintaka_controller.context import Context
    from mintaka_core.resources import FlowRun, FlowTemplate

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def place_of(context: Context, run: FlowRun) -> Place:
    """The run's place among those of its namespace that wait for a workload."""
    metadata, spec = run.metadata, run.spec
    key = (metadata.namespace, metadata.name)
    entry = context.runs.get(key)
    since = spec.scheduled_time or metadata.creation_timestamp or _EPOCH
    return Place(since, entry.first_version if entry else 0, key, spec.deployment or _lane_of_template(spec.template))


def _lane_of_template(template: FlowTemplate | None) -> str:
    """Runs with the same pod template make the same request: one digest for all of them."""
    pod = template.pod_template if template else None
    return f"template/{hashlib.sha256(orjson.dumps(pod, option=orjson.OPT_SORT_KEYS)).hexdigest()[:12]}"


async def find_create_error(
    context: Context, run: FlowRun, template: FlowTemplate | None, *, source_found: bool = False
) -> CreateError | None:
    """Why no workload can be created; None if there is no known reason. `source_found`: its ConfigMap is known to exist."""
    if template is None:
        return CreateError("InvalidTemplate", "the run says neither which deployment nor what to run", FAILED)
    return (
        _exceeded_limit(context, run, template)
        or await _invalid_parameters(context, run, template)
        or (None if source_found else await _missing_source(context, run, template))
    )


def _exceeded_limit(context: Context, run: FlowRun, template: FlowTemplate) -> CreateError | None:
    if run.status.state is not None:
        return None  # it was checked before; neither its spec nor its size has changed since
    raw = context.runs.raw((run.metadata.namespace, run.metadata.name))
    if raw is None:
        message = f"flow run {run.metadata.namespace}/{run.metadata.name} is cached no longer"
        raise Conflict(message)  # read it first
    excess = None if is_small(raw) else check_resource(orjson.loads(raw), received_bytes=len(raw))
    excess = excess or check_parameters(template.merged_parameters(run.spec.parameters))
    return CreateError(excess.reason, excess.message, FAILED) if excess else None


def is_small(raw: bytes) -> bool:
    """True for a resource that cannot exceed a limit of size or depth, whatever it contains."""
    return 0 < len(raw) <= RESOURCE_LIMIT_BYTES and raw.count(b"{") + raw.count(b"[") <= DEPTH_LIMIT


async def _invalid_parameters(context: Context, run: FlowRun, template: FlowTemplate) -> CreateError | None:
    schema = template.schema_of_merged(run.spec.parameters)
    if not schema:
        return None
    namespace, uid = run.metadata.namespace, run.metadata.uid
    entry = context.deployments.get((namespace, run.spec.deployment)) if run.spec.deployment else None
    version = entry.version if entry else 0
    verdict = context.validated.get(uid, version)
    if verdict is None:
        parameters = template.merged_parameters(run.spec.parameters)
        try:
            verdict = summary(await context.ports.schemas.violations(schema, parameters, "parameters", namespace=namespace))
        except CheckUnavailable as error:
            return CreateError("ParametersNotChecked", str(error), FAILED, patience=None)
        except InvalidSchema as error:
            verdict = f"spec.parameterSchema cannot be used: {error}"
        context.validated.put(uid, version, verdict)
    return CreateError("InvalidParameters", verdict, FAILED) if verdict else None


async def _missing_source(context: Context, run: FlowRun, template: FlowTemplate) -> CreateError | None:
    problem = await context.ports.sources.find_problem(run.metadata.namespace, template)
    if problem is None or await has_copy(context, run, run.status.revision):
        return None
    return CreateError(problem.reason, problem.message, CRASHED, SOON)
