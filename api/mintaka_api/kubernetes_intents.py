"""Writes intents to Kubernetes: the adapter behind `RunControl` in a cluster."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import chain
from typing import TYPE_CHECKING, Any

from mintaka_api.cluster_problems import of_refusal
from mintaka_api.intent_changes import (
    CANCEL,
    LEFT,
    SUSPEND,
    Change,
    change_to_rerun,
    changes_to_resume,
    check_size,
    deployment_of,
    left_problem,
    require_unfinished,
    run_manifest,
    secrets_of,
)
from mintaka_api.json_schema_checks import check_parameters
from mintaka_api.problems import Problem
from mintaka_api.row_mapping import read_run, read_valid_deployment, read_valid_run
from mintaka_core.names import ANNOTATION_CALLED_IN
from mintaka_core.secret_parameters import SecretParameters, masked_run
from mintaka_core.stop_reasons import StopReason, stop_reason
from mintaka_history.queries.flow_runs import RunKey
from mintaka_kubernetes import FLOW_DEPLOYMENTS, FLOW_RUNS, ClusterRefusal, Unreadable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mintaka_api.cluster import Cluster
    from mintaka_api.intents import RunRequest
    from mintaka_controller.schema_validation import SchemaValidator
    from mintaka_core.resources import FlowDeployment, FlowRun
    from mintaka_kubernetes import Resource

#: One operation of a JSON Patch (RFC 6902).
type _Operation = dict[str, Any]

_NOT_FOUND = 404
_CHANGED = frozenset({409, 422})


class KubernetesRunControl:
    """Controls flow runs through the kube-apiserver."""

    def __init__(self, cluster: Cluster, validator: SchemaValidator) -> None:
        """Use `cluster`, and `validator` for parameters."""
        self._cluster = cluster
        self._validator = validator

    async def create(self, namespace: str, deployment: str, request: RunRequest) -> dict[str, Any]:
        """Create the FlowRun after checking its parameters against the deployment's schema; return it without its secrets."""
        check_size(request)
        owner = await self._deployment(namespace, deployment)
        await check_parameters(self._validator, owner, request.parameters, namespace)
        try:
            created = await self._cluster.create(FLOW_RUNS, namespace, run_manifest(namespace, deployment, owner.metadata.uid, request))
        except ClusterRefusal as refusal:
            raise of_refusal(refusal) from refusal
        return masked_run(created, SecretParameters(owner.spec.parameter_schema))

    async def read(self, namespace: str, name: str) -> dict[str, Any] | None:
        """The run's document in the cluster without its secrets; one that cannot be decoded has no usable spec."""
        document = await self._document(FLOW_RUNS, namespace, name)
        if document is None:
            return None
        deployment = deployment_of(document)
        owner = await self._document(FLOW_DEPLOYMENTS, namespace, deployment) if deployment else None
        return masked_run(document, secrets_of(owner))

    async def run_again(self, run: FlowRun, called_in: str) -> None:
        """Increment `spec.reruns`, and record the caller's try that requested it."""
        metadata = run.metadata
        key = RunKey(0, metadata.uid, metadata.namespace, metadata.name, 0, 0, terminal=True, deleted=False, of_a_script=False)
        noted = "/metadata/annotations/" + ANNOTATION_CALLED_IN.replace("/", "~1")
        before = metadata.annotations.get(ANNOTATION_CALLED_IN)
        recorded: list[_Operation] = [{"op": "test", "path": noted, "value": before}, {"op": "add", "path": noted, "value": called_in}]
        await self._patch(key, change_to_rerun(key, run), noted=recorded)

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

    async def _document(self, resource: Resource, namespace: str, name: str) -> dict[str, Any] | None:
        """An object of the cluster; None if it is missing."""
        try:
            found = await self._cluster.get(resource, namespace, name)
        except ClusterRefusal as refusal:
            if refusal.code == _NOT_FOUND:
                return None
            raise
        return found.document if isinstance(found, Unreadable) else found

    async def cancel(self, run: RunKey) -> None:
        """Set `spec.cancel`."""
        await self._require_unfinished(run)
        await self._patch(run, CANCEL)

    async def suspend(self, run: RunKey) -> None:
        """Set `spec.suspend`."""
        await self._require_unfinished(run)
        await self._patch(run, SUSPEND)

    async def resume(self, run: RunKey, *, suspended_in: int | None = None) -> bool:
        """Set `spec.suspend` to false, increment `spec.reruns`, or both in one patch; False if this was done before."""
        changes = changes_to_resume(run, await self._current(run, valid=True), suspended_in)
        if changes:
            await self._patch(run, *changes)
        return bool(changes)

    async def rerun(self, run: RunKey) -> None:
        """Increment `spec.reruns`."""
        await self._patch(run, change_to_rerun(run, await self._current(run, valid=True)))

    async def delete(self, run: RunKey) -> None:
        """Delete the FlowRun; its finalizer keeps it until its end is recorded."""
        if run.deleted:
            raise left_problem(run)
        try:
            await self._cluster.delete(FLOW_RUNS, run.namespace, run.name, run.uid)
        except ClusterRefusal as refusal:
            if refusal.code in {_NOT_FOUND, 409}:
                raise left_problem(run) from refusal
            raise

    async def stop_reason(self, run: RunKey, attempt: int) -> StopReason:
        """The reason why an attempt is requested to stop; cancelled if its run has left the cluster."""
        try:
            current = await self._current(run)
        except Problem as problem:
            if problem.name == LEFT:
                return StopReason.CANCELLED
            raise
        return stop_reason(current, attempt, datetime.now(UTC))

    async def _require_unfinished(self, run: RunKey) -> None:
        """Raise a Problem if the run has ended or is gone. This reads from the cluster, since the mirror may be behind."""
        require_unfinished(run, await self._current(run))

    async def _current(self, run: RunKey, *, valid: bool = False) -> FlowRun:
        """The run's current state in the cluster. An unreadable spec is left out, or is an error if `valid` is set."""
        try:
            found = await self._cluster.get(FLOW_RUNS, run.namespace, run.name)
        except ClusterRefusal as refusal:
            if refusal.code == _NOT_FOUND:
                raise left_problem(run) from refusal
            raise
        if valid and isinstance(found, Unreadable):
            detail = f"flow run {run.namespace}/{run.name} cannot be started again: {found.message}"
            raise Problem("invalid-resource", detail, reason=found.reason)
        document = found.document if isinstance(found, Unreadable) else found
        current = read_valid_run(document) if valid else read_run(document)
        if current.metadata.uid != run.uid:
            raise left_problem(run)
        return current

    async def _patch(self, run: RunKey, *changes: Change, noted: Sequence[_Operation] = ()) -> None:
        """Apply all changes and the operations in `noted`, or none; `test` operations make them conditional on what they were
        computed from.
        """
        changed = chain.from_iterable(map(_operations, changes))
        operations = [{"op": "test", "path": "/metadata/uid", "value": run.uid}, *changed, *noted]
        try:
            await self._cluster.patch(FLOW_RUNS, run.namespace, run.name, operations)
        except ClusterRefusal as refusal:
            if refusal.code == _NOT_FOUND:
                raise left_problem(run) from refusal
            if refusal.code in _CHANGED and not refusal.causes:
                raise Problem("conflict", refusal.message) from refusal
            raise of_refusal(refusal) from refusal


def _operations(change: Change) -> list[_Operation]:
    path = f"/spec/{change.field}"
    tested = [{"op": "test", "path": path, "value": change.before}] if change.before is not None else []
    return [*tested, {"op": "add", "path": path, "value": change.value}]
