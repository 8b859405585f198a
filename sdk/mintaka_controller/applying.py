"""Apply: carry out a plan through the ports; each effect is idempotent."""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import TYPE_CHECKING

import orjson

from mintaka_controller.ports import Conflict, CreateRefused, Exists, Missing, Rejected
from mintaka_controller.reading import parse_run, read_deployment
from mintaka_controller.run_cache import name_of, version_of
from mintaka_controller.run_template import find_code
from mintaka_core import names
from mintaka_core.instants import format_time
from mintaka_core.reconciling.plans import CreateWorkload, DeleteRun, ReleaseRun, ReleaseWorkload, RemoveWorkload, StopWorkload
from mintaka_core.resources.model import Condition, set_condition
from mintaka_core.secret_parameters import UNKNOWN, SecretParameters, masked_run
from mintaka_core.states import CRASHED
from mintaka_core.workloads import CreateError, Phase

if TYPE_CHECKING:
    from datetime import datetime

    from mintaka_controller.context import Context
    from mintaka_controller.log_copies import LogCopy
    from mintaka_controller.ports import Document, Name, OwnedWorkload, Snapshot
    from mintaka_core.reconciling.observation import RunObservation
    from mintaka_core.reconciling.plans import CreateRun, RunEffect
    from mintaka_core.resources import FlowDeployment, FlowDeploymentStatus, FlowRun, FlowRunStatus

_logger = logging.getLogger(__name__)

_NAME_PATIENCE = timedelta(minutes=5)
_LOGS_KEPT = "LogsKept"
_MESSAGE_LIMIT = 1024


async def create_workload(context: Context, seen: RunObservation, effect: CreateWorkload) -> CreateError | None:
    """Create the workload of an attempt; return why it cannot be created, or None. Raises Conflict, Unavailable."""
    run = seen.run
    if seen.template is None:
        return CreateError("InvalidTemplate", "it is not known what to run", CRASHED)
    try:
        code = await find_code(context, run, seen.template, effect.revision, newest=seen.revision == effect.revision)
        if isinstance(code, CreateError):
            return code
        resumed_from = seen.resumed_from or run.status.resumed_from
        owned = await context.ports.workloads.create(run, seen.template, effect.attempt, resumed_from, code)
    except Exists:
        return await _adopt(context, run, effect)
    except CreateRefused as refused:
        return refused.error
    _observe_created(context, run, owned)
    return None


def _observe_created(context: Context, run: FlowRun, owned: OwnedWorkload) -> None:
    """Cache a workload that an attempt has now. The plan writes PENDING for it: one that has begun, or that waits
    for something from its creation on (a scheduling gate), is reconciled again: no event of it has to follow.
    """
    key = run.metadata.namespace, run.metadata.name
    context.workloads.put(owned)
    if owned.workload.phase is Phase.PENDING and owned.workload.start_issue is None:
        context.wrote(key, owned.version)
    else:
        context.wake(key)


async def _adopt(context: Context, run: FlowRun, effect: CreateWorkload) -> CreateError | None:
    """Adopt the existing workload of that name: it is ours from before a restart, or another owner's.

    Raises Conflict if it runs another revision than the one decided on: decide again, knowing it.
    """
    namespace, name = run.metadata.namespace, names.pod_name(run.metadata.name, effect.attempt)
    owned = await context.ports.workloads.read(namespace, name)
    if owned is not None and owned.owner_uid == run.metadata.uid:
        _observe_created(context, run, owned)
        if owned.workload.revision and owned.workload.revision != effect.revision:
            message = f"pod {namespace}/{name} runs revision {owned.workload.revision!r} already"
            raise Conflict(message)
        return None
    if owned is None and context.workloads.remove((namespace, name)) is not None:
        message = f"pod {namespace}/{name} went meanwhile"
        raise Conflict(message)
    return name_taken(name)


def name_taken(name: str) -> CreateError:
    """The error if a workload that belongs to no attempt of this run has the name of one."""
    message = f"a pod named {name} exists that does not belong to this run: delete it or wait until it is gone"
    return CreateError("PodNameTaken", message, CRASHED, _NAME_PATIENCE)


async def apply_effect(context: Context, seen: RunObservation, effect: RunEffect) -> datetime | None:
    """Carry out one effect other than a creation; return when to reconcile again because of it. Raises Conflict, Unavailable."""
    now = context.ports.clock.now()
    match effect:
        case StopWorkload():
            return now if await _stop_workload(context, seen.run.metadata.namespace, effect) else None
        case ReleaseWorkload() | RemoveWorkload():
            await _let_go(context, seen, effect)
            return None
        case ReleaseRun(tombstone):
            await _release_run(context, seen.run, tombstone=tombstone)
            return None
        case DeleteRun():
            return now if await delete_run(context, effect) else None
        case _:
            message = f"{effect} is carried out elsewhere"
            raise TypeError(message)


async def _stop_workload(context: Context, namespace: str, effect: StopWorkload) -> bool:
    """True if nothing of it is alive any more: the watch will report only what is known by then."""
    left = await context.ports.workloads.stop(namespace, effect.name, effect.uid, force=effect.force)
    if left is None:
        context.workloads.remove((namespace, effect.name), effect.uid)
        return True
    context.workloads.put(left)
    return not left.workload.alive


async def _let_go(context: Context, seen: RunObservation, effect: ReleaseWorkload | RemoveWorkload) -> None:
    """Release or remove a workload whose end is recorded; if its log must be copied first, the run is woken once that is settled."""
    if effect.copy_log_until is not None and not await _copy_log(context, seen, effect, effect.copy_log_until):
        return
    workloads, namespace = context.ports.workloads, seen.run.metadata.namespace
    let_go = workloads.release if isinstance(effect, ReleaseWorkload) else workloads.remove
    await let_go(namespace, effect.name, effect.uid)
    context.workloads.remove((namespace, effect.name), effect.uid)
    context.log_copies.forget(effect.uid)


async def _copy_log(context: Context, seen: RunObservation, effect: ReleaseWorkload | RemoveWorkload, until: datetime) -> bool:
    """True once the workload's log is in the run's log, or can no longer be copied, which is recorded in the run."""
    workload, key = seen.workloads[effect.attempt], (seen.run.metadata.namespace, seen.run.metadata.name)
    copy = context.log_copies.request(key, seen.run.metadata.uid, workload, until)
    if copy.lost:
        await _record_lost_log(context, copy)
    return copy.done or bool(copy.lost)


async def _record_lost_log(context: Context, copy: LogCopy) -> None:
    """Record in a condition of the run whose log is missing; it is added to the newest known status, whatever that contains."""
    raw = context.runs.raw(copy.run)
    if raw is None:
        raise Conflict(copy.lost)  # read it first
    run, _ = parse_run(raw)
    known = next((condition for condition in run.status.conditions if condition.type == _LOGS_KEPT), None)
    if known and known.status == "False" and f"/{copy.workload.name} " in known.message:
        return
    _logger.warning("flow run %s/%s: %s", *copy.run, copy.lost)
    lost = Condition(
        type=_LOGS_KEPT,
        status="False",
        reason="LogLost",
        message=(f"{copy.lost}; {known.message}" if known and known.status == "False" else copy.lost)[:_MESSAGE_LIMIT],
        last_transition_time=context.ports.clock.now(),
        observed_generation=run.metadata.generation,
    )
    status = run.status.model_copy(update={"conditions": set_condition(run.status.conditions, lost)})
    await write_run_status(context, run, run.metadata.resource_version, status)


async def add_finalizer(context: Context, run: FlowRun) -> str:
    """Add the mirror's finalizer to a run; return the resulting version. Raises Conflict, Missing."""
    finalizers = (*run.metadata.finalizers, names.MIRROR_FINALIZER)
    written = await context.ports.resources.write_finalizers(run, run.metadata.resource_version, finalizers)
    if written is None:
        raise Missing(run.metadata.name)
    return _wrote(context, written)


async def _release_run(context: Context, run: FlowRun, *, tombstone: bool) -> None:
    metadata = run.metadata
    key = (metadata.namespace, metadata.name)
    if tombstone:
        await _write_tombstone(context, run)
    finalizers = tuple(finalizer for finalizer in metadata.finalizers if finalizer != names.MIRROR_FINALIZER)
    try:
        left = await context.ports.resources.write_finalizers(run, metadata.resource_version, finalizers)
    except Missing:
        left = None
    if left is None:
        context.runs.remove(key, metadata.uid)
    else:
        _wrote(context, left)


async def _write_tombstone(context: Context, run: FlowRun) -> None:
    """Write the transitions that the mirror has not seen into a tombstone; if that is refused, the run is released all the same."""
    metadata = run.metadata
    raw = context.runs.raw((metadata.namespace, metadata.name))
    key = (metadata.namespace, run.spec.deployment or "")
    found = await read_deployment(context, key) if context.deployments.get(key) else None
    secrets = SecretParameters(found[0].spec.parameter_schema) if found and not found[1] else UNKNOWN
    document = masked_run(orjson.loads(raw) if raw else run.to_wire(), secrets)
    try:
        await context.ports.resources.write_tombstone((metadata.namespace, metadata.name), metadata.uid, document)
    except Exists:
        pass
    except Rejected as error:
        message = (
            f"flow run {metadata.namespace}/{metadata.name} leaves without a tombstone, its last states are not in the database: {error}"
        )
        _logger.warning("%s", message)
        await context.ports.events.record_warning(run, "TombstoneRefused", message)


async def delete_run(context: Context, effect: DeleteRun) -> bool:
    """Delete a finished run; its workloads follow it. True if it was deleted: it must be reconciled, to be released in time.

    Raises Conflict if it has changed: a rerun may have been requested.
    """
    key = (effect.namespace, effect.name)
    entry = context.runs.get(key)
    if entry is None or entry.uid != effect.uid or entry.deleting:
        return False
    if not entry.finished:
        raise Conflict(effect.name)
    try:
        left = await context.ports.resources.delete_run(key, effect.uid, entry.version)
    except Missing:
        left = None
    except Conflict:
        context.observe_run(await context.ports.resources.read_run(key))
        raise
    if left is None:
        context.runs.remove(key, effect.uid)
    else:
        context.runs.put(left)
    return True


async def cancel_called(context: Context, run: FlowRun) -> bool:
    """Cancel a run because the one that called it was cancelled; False if that is refused. Raises Conflict, Unavailable."""
    key = (run.metadata.namespace, run.metadata.name)
    try:
        cancelled = await context.ports.resources.cancel_run(key, run.metadata.uid)
    except Rejected as error:  # the run is reconciled all the same
        _logger.error("flow run %s/%s cannot be cancelled along with the one that called it: %s", *key, error)  # noqa: TRY400
        return False
    context.observe_run(cancelled)
    return True


async def create_run(context: Context, deployment: FlowDeployment, effect: CreateRun) -> Name | None:
    """Create a scheduled run; None if it exists already."""
    try:
        created = await context.ports.resources.create_run(scheduled_run(deployment, effect, mirrored=context.settings.mirrored))
    except Exists:
        return None
    context.runs.put(created)
    return name_of(created.document)


def scheduled_run(deployment: FlowDeployment, effect: CreateRun, *, mirrored: bool) -> Document:
    """The manifest of a run that a schedule creates."""
    metadata = deployment.metadata
    labels = {names.LABEL_DEPLOYMENT: names.label_value(metadata.name), names.LABEL_SCHEDULE: names.label_value(effect.schedule)}
    owner = {
        "apiVersion": names.API_VERSION,
        "kind": "FlowDeployment",
        "name": metadata.name,
        "uid": metadata.uid,
        "controller": True,
        "blockOwnerDeletion": True,
    }
    spec = {"deployment": metadata.name, "scheduledTime": format_time(effect.nominal_time)}
    return {
        "apiVersion": names.API_VERSION,
        "kind": "FlowRun",
        "metadata": {
            "name": effect.name,
            "namespace": metadata.namespace,
            "labels": labels,
            "finalizers": [names.MIRROR_FINALIZER] if mirrored else [],
            "ownerReferences": [owner],
        },
        "spec": {**spec, **({"parameters": effect.parameters} if effect.parameters else {})},
    }


async def write_run_status(context: Context, run: FlowRun, version: str, status: FlowRunStatus) -> str:
    """Replace the status of a run; return the resulting version. Raises Conflict.

    `version` is the one the decision is based on, not the newest known: a newer version may lead to another decision.
    """
    return _wrote(context, await context.ports.resources.write_run_status(run, version, status))


def _wrote(context: Context, written: Snapshot) -> str:
    context.runs.put(written)
    context.wrote(name_of(written.document), version_of(written.document))
    return str(version_of(written.document))


async def write_deployment_status(context: Context, deployment: FlowDeployment, status: FlowDeploymentStatus) -> None:
    """Replace the status of a deployment. Raises Conflict."""
    version = deployment.metadata.resource_version
    context.deployments.put(await context.ports.resources.write_deployment_status(deployment, version, status))
