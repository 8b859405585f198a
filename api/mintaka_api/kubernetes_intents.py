"""Writes intents to Kubernetes: the adapter behind `RunControl` in a cluster."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import chain
from typing import TYPE_CHECKING, Any

from mintaka_api.cluster_problems import of_refusal
from mintaka_api.json_schema_checks import check_parameters
from mintaka_api.problems import Problem
from mintaka_api.row_mapping import read_run, read_valid_deployment, read_valid_run
from mintaka_core import limits
from mintaka_core.instants import format_time
from mintaka_core.names import (
    ANNOTATION_CALLED_IN,
    ANNOTATION_RUN_NAME,
    API_VERSION,
    LABEL_CALLED_BY,
    LABEL_DEPLOYMENT,
    MIRROR_FINALIZER,
    label_value,
)
from mintaka_core.secret_parameters import SecretParameters, masked_run
from mintaka_core.states import SUSPENDED_ITSELF
from mintaka_core.stop_reasons import StopReason, stop_reason
from mintaka_history.queries.flow_runs import RunKey
from mintaka_kubernetes import FLOW_DEPLOYMENTS, FLOW_RUNS, ClusterRefusal, Unreadable

if TYPE_CHECKING:
    from mintaka_api.cluster import Cluster
    from mintaka_api.intents import RunRequest
    from mintaka_controller.schema_validation import SchemaValidator
    from mintaka_core.resources import FlowDeployment, FlowRun

#: One operation of a JSON Patch (RFC 6902).
type _Operation = dict[str, Any]

_NOT_FOUND = 404
_LEFT = "left-the-cluster"
_CHANGED = frozenset({409, 422})


class KubernetesRunControl:
    """Controls flow runs through the kube-apiserver."""

    def __init__(self, cluster: Cluster, validator: SchemaValidator) -> None:
        """Use `cluster`, and `validator` for parameters."""
        self._cluster = cluster
        self._validator = validator

    async def create(self, namespace: str, deployment: str, request: RunRequest) -> dict[str, Any]:
        """Create the FlowRun after checking its parameters against the deployment's schema; return it without its secrets."""
        if (excess := limits.check_parameters(request.parameters)) is not None:
            raise Problem("malformed" if excess.reason == "NotJson" else "too-large", excess.message, reason=excess.reason)
        owner = await self._deployment(namespace, deployment)
        if (schema := owner.spec.schema_of_merged(request.parameters)) is not None:
            await check_parameters(self._validator, schema, owner.spec.merged_parameters(request.parameters), namespace)
        created = await self._cluster.create(FLOW_RUNS, namespace, run_manifest(namespace, deployment, owner.metadata.uid, request))
        return masked_run(created, SecretParameters(owner.spec.parameter_schema))

    async def read(self, namespace: str, name: str) -> dict[str, Any] | None:
        """The run's document in the cluster; one that cannot be decoded has no usable spec."""
        try:
            found = await self._cluster.get(FLOW_RUNS, namespace, name)
        except ClusterRefusal as refusal:
            if refusal.code == _NOT_FOUND:
                return None
            raise
        return found.document if isinstance(found, Unreadable) else found

    async def run_again(self, run: FlowRun, called_in: str) -> None:
        """Increment `spec.reruns`, and record for which try of the caller."""
        metadata = run.metadata
        key = RunKey(0, metadata.uid, metadata.namespace, metadata.name, 0, 0, terminal=True, deleted=False, of_a_script=False)
        noted = "/metadata/annotations/" + ANNOTATION_CALLED_IN.replace("/", "~1")
        before = metadata.annotations.get(ANNOTATION_CALLED_IN)
        recorded: list[_Operation] = [{"op": "test", "path": noted, "value": before}, {"op": "add", "path": noted, "value": called_in}]
        await self._patch(key, _raised_reruns(key, run), recorded)

    async def _deployment(self, namespace: str, name: str) -> FlowDeployment:
        """The deployment's current state in the cluster."""
        try:
            found = await self._cluster.get(FLOW_DEPLOYMENTS, namespace, name)
        except ClusterRefusal as refusal:
            if refusal.code == _NOT_FOUND:
                raise Problem("not-found", f"there is no flow deployment {namespace}/{name}") from refusal
            raise
        if isinstance(found, Unreadable):
            raise Problem("invalid-resource", f"flow deployment {namespace}/{name} cannot be run: {found.message}", reason=found.reason)
        return read_valid_deployment(found)

    async def cancel(self, run: RunKey) -> None:
        """Set `spec.cancel`."""
        await self._require_unfinished(run)
        await self._patch(run, _set("/spec/cancel", value=True))

    async def suspend(self, run: RunKey) -> None:
        """Set `spec.suspend`."""
        await self._require_unfinished(run)
        await self._patch(run, _set("/spec/suspend", value=True))

    async def resume(self, run: RunKey, *, suspended_in: int | None = None) -> bool:
        """Set `spec.suspend` to false, increment `spec.reruns`, or both in one patch; False if this was done before."""
        current = await self._current(run, valid=True)
        state, held = current.status.state, current.spec.suspend
        waits = state is not None and (state.type.is_terminal or state.reason == SUSPENDED_ITSELF)
        if not waits and not held and suspended_in is None:
            detail = f"flow run {run.namespace}/{run.name} is {state.name if state else 'new'}: it is not suspended, nor over"
            raise Problem("not-paused", detail)
        asked = current.rerun_wanted or (suspended_in is not None and current.status.attempt > suspended_in)
        changes = [_set("/spec/suspend", value=False)] if held else []
        if (waits or suspended_in is not None) and not asked:
            changes.append(_raised_reruns(run, current))
        if changes:
            await self._patch(run, *changes)
        return bool(changes)

    async def rerun(self, run: RunKey) -> None:
        """Increment `spec.reruns`."""
        await self._patch(run, _raised_reruns(run, await self._current(run, valid=True)))

    async def delete(self, run: RunKey) -> None:
        """Delete the FlowRun; its finalizer keeps it until its end is recorded."""
        if run.deleted:
            raise _left_problem(run)
        try:
            await self._cluster.delete(FLOW_RUNS, run.namespace, run.name, run.uid)
        except ClusterRefusal as refusal:
            if refusal.code in {_NOT_FOUND, 409}:
                raise _left_problem(run) from refusal
            raise

    async def stop_reason(self, run: RunKey, attempt: int) -> StopReason:
        """The reason why an attempt is requested to stop; cancelled if its run has left the cluster."""
        try:
            current = await self._current(run)
        except Problem as problem:
            if problem.name == _LEFT:
                return StopReason.CANCELLED
            raise
        return stop_reason(current, attempt, datetime.now(UTC))

    async def _require_unfinished(self, run: RunKey) -> None:
        """Raise a Problem if the run has ended or is gone. This reads from the cluster, since the mirror may be behind."""
        if (await self._current(run)).status.is_terminal:
            raise Problem("already-ended", f"flow run {run.namespace}/{run.name} has already ended")

    async def _current(self, run: RunKey, *, valid: bool = False) -> FlowRun:
        """The run's current state in the cluster. An unreadable spec is left out, or is an error if `valid` is set."""
        try:
            found = await self._cluster.get(FLOW_RUNS, run.namespace, run.name)
        except ClusterRefusal as refusal:
            if refusal.code == _NOT_FOUND:
                raise _left_problem(run) from refusal
            raise
        if valid and isinstance(found, Unreadable):
            detail = f"flow run {run.namespace}/{run.name} cannot be started again: {found.message}"
            raise Problem("invalid-resource", detail, reason=found.reason)
        document = found.document if isinstance(found, Unreadable) else found
        current = read_valid_run(document) if valid else read_run(document)
        if current.metadata.uid != run.uid:
            raise _left_problem(run)
        return current

    async def _patch(self, run: RunKey, *changes: list[_Operation]) -> None:
        """Apply all changes or none; the `test` operations make them conditional on the state they were computed from."""
        operations = [{"op": "test", "path": "/metadata/uid", "value": run.uid}, *chain.from_iterable(changes)]
        try:
            await self._cluster.patch(FLOW_RUNS, run.namespace, run.name, operations)
        except ClusterRefusal as refusal:
            if refusal.code == _NOT_FOUND:
                raise _left_problem(run) from refusal
            if refusal.code in _CHANGED and not refusal.causes:
                raise Problem("conflict", refusal.message) from refusal
            raise of_refusal(refusal) from refusal


def _set(path: str, *, value: bool | int, before: int | None = None) -> list[_Operation]:
    """Set one field if it still has the value `before` (None: unconditionally)."""
    tested = [{"op": "test", "path": path, "value": before}] if before is not None else []
    return [*tested, {"op": "add", "path": path, "value": value}]


def _raised_reruns(run: RunKey, current: FlowRun) -> list[_Operation]:
    if current.spec.cancel:
        detail = f"flow run {run.namespace}/{run.name} is cancelled for good: create another run that resumes from it"
        raise Problem("already-ended", detail)
    reruns = current.spec.reruns
    return _set("/spec/reruns", value=reruns + 1, before=reruns)


def run_manifest(namespace: str, deployment: str, deployment_uid: str, request: RunRequest) -> dict[str, Any]:
    """The manifest of the requested FlowRun, owned by its deployment and protected by the mirror's finalizer."""
    labels, annotations = {LABEL_DEPLOYMENT: label_value(deployment)}, {}
    spec: dict[str, Any] = {"deployment": deployment}
    if request.parameters:
        spec["parameters"] = request.parameters
    if request.scheduled_time is not None:
        spec["scheduledTime"] = format_time(request.scheduled_time)
    if request.resume_from is not None:
        spec["resumeFrom"] = request.resume_from
    if request.tags:
        spec["tags"] = list(request.tags)
    if request.overrides is not None:
        spec["overrides"] = request.overrides.to_wire()
    if request.called_by is not None:
        spec["calledBy"] = request.called_by.to_wire()
        labels[LABEL_CALLED_BY] = request.called_by.uid
        annotations[ANNOTATION_CALLED_IN] = request.called_in
    if request.flow_run_name:
        annotations[ANNOTATION_RUN_NAME] = request.flow_run_name
    owner = {"apiVersion": API_VERSION, "kind": "FlowDeployment", "name": deployment, "uid": deployment_uid, "controller": True}
    return {
        "apiVersion": API_VERSION,
        "kind": "FlowRun",
        "metadata": {
            "name": request.name,
            "namespace": namespace,
            "labels": labels,
            **({"annotations": annotations} if annotations else {}),
            "finalizers": [MIRROR_FINALIZER],
            "ownerReferences": [owner],
        },
        "spec": spec,
    }


def _left_problem(run: RunKey) -> Problem:
    return Problem(_LEFT, f"flow run {run.namespace}/{run.name} is no longer in the cluster; only its history is left")
