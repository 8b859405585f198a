"""Writes intents to the documents of the local server: the adapter behind `RunControl`."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

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
from mintaka_controller.ports import Conflict, Exists, Missing
from mintaka_core.errors import InvalidResource
from mintaka_core.names import ANNOTATION_CALLED_IN
from mintaka_core.secret_parameters import SecretParameters, masked_run
from mintaka_core.stop_reasons import StopReason, stop_reason
from mintaka_history.queries.flow_runs import RunKey

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from mintaka_api.intents import RunRequest
    from mintaka_api.local.document_store import DocumentStore
    from mintaka_controller.ports import Document
    from mintaka_controller.schema_validation import SchemaValidator
    from mintaka_core.resources import FlowDeployment, FlowRun

_DEPLOYMENT, _RUN = "FlowDeployment", "FlowRun"
#: The run may change between reading and writing; each further try begins with its new version.
_TRIES = 10


class LocalRunControl:
    """Controls flow runs through the document store."""

    def __init__(self, store: DocumentStore, validator: SchemaValidator) -> None:
        """Use `store`, and `validator` for parameters."""
        self._store = store
        self._validator = validator

    async def create(self, namespace: str, deployment: str, request: RunRequest) -> dict[str, Any]:
        """Create the FlowRun after checking its parameters against the deployment's schema; return it without its secrets."""
        check_size(request)
        owner = await self._deployment(namespace, deployment)
        await check_parameters(self._validator, owner, request.parameters, namespace)
        manifest = run_manifest(namespace, deployment, owner.metadata.uid, request)
        try:
            created = await self._store.create(_RUN, manifest)
        except Exists as exists:
            raise Problem("already-exists", f"there is a flow run {namespace}/{manifest['metadata']['name']} already") from exists
        return masked_run(created, SecretParameters(owner.spec.parameter_schema))

    async def read(self, namespace: str, name: str) -> dict[str, Any] | None:
        """The run's document without its secrets."""
        document = await self._document(_RUN, namespace, name)
        if document is None:
            return None
        deployment = deployment_of(document)
        owner = await self._document(_DEPLOYMENT, namespace, deployment) if deployment else None
        return masked_run(document, secrets_of(owner))

    async def run_again(self, run: FlowRun, called_in: str) -> None:
        """Increment `spec.reruns`, and record the caller's try that requested it."""
        metadata = run.metadata
        key = RunKey(0, metadata.uid, metadata.namespace, metadata.name, 0, 0, terminal=True, deleted=False, of_a_script=False)
        change = change_to_rerun(key, run)
        merge = {"metadata": {"annotations": {ANNOTATION_CALLED_IN: called_in}}, "spec": {change.field: change.value}}
        try:
            await self._store.patch(_RUN, (metadata.namespace, metadata.name), merge, version=metadata.resource_version)
        except Conflict as conflict:
            raise Problem("conflict", str(conflict)) from conflict
        except Missing as missing:
            raise left_problem(key) from missing

    async def _document(self, kind: str, namespace: str, name: str) -> Document | None:
        """A stored document; None if it is missing."""
        try:
            return await self._store.read(kind, (namespace, name))
        except Missing:
            return None

    async def _deployment(self, namespace: str, name: str) -> FlowDeployment:
        try:
            return read_valid_deployment(await self._store.read(_DEPLOYMENT, (namespace, name)))
        except Missing as missing:
            raise Problem("not-found", f"there is no flow deployment {namespace}/{name}") from missing

    async def cancel(self, run: RunKey) -> None:
        """Set `spec.cancel`."""
        await self._change(run, _if_unfinished(run, CANCEL))

    async def suspend(self, run: RunKey) -> None:
        """Set `spec.suspend`."""
        await self._change(run, _if_unfinished(run, SUSPEND))

    async def resume(self, run: RunKey, *, suspended_in: int | None = None) -> bool:
        """Set `spec.suspend` to false, increment `spec.reruns`, or both; False if this was done before."""
        return await self._change(run, lambda current: changes_to_resume(run, current, suspended_in), valid=True)

    async def rerun(self, run: RunKey) -> None:
        """Increment `spec.reruns`."""
        await self._change(run, lambda current: [change_to_rerun(run, current)], valid=True)

    async def delete(self, run: RunKey) -> None:
        """Delete the FlowRun; its finalizer keeps it until its end is recorded."""
        if run.deleted:
            raise left_problem(run)
        try:
            await self._store.delete(_RUN, (run.namespace, run.name), uid=run.uid)
        except (Missing, Conflict) as gone:
            raise left_problem(run) from gone

    async def stop_reason(self, run: RunKey, attempt: int) -> StopReason:
        """The reason why an attempt is requested to stop; cancelled if its run was deleted."""
        try:
            current = read_run(await self._current(run))
        except Problem as problem:
            if problem.name == LEFT:
                return StopReason.CANCELLED
            raise
        return stop_reason(current, attempt, datetime.now(UTC))

    async def _current(self, run: RunKey) -> Document:
        """The run's document."""
        try:
            document = await self._store.read(_RUN, (run.namespace, run.name))
        except Missing as missing:
            raise left_problem(run) from missing
        if document["metadata"]["uid"] != run.uid:
            raise left_problem(run)
        return document

    async def _change(self, run: RunKey, changes_to: Callable[[FlowRun], Sequence[Change]], *, valid: bool = False) -> bool:
        """Make the changes to the version of the run that they were computed from; False if there are no changes.

        An unreadable spec is ignored, or is an error if `valid` is set.
        """
        for _ in range(_TRIES):
            document = await self._current(run)
            try:
                changes = changes_to(read_valid_run(document) if valid else read_run(document))
            except InvalidResource as invalid:
                detail = f"flow run {run.namespace}/{run.name} cannot be started again: {invalid}"
                raise Problem("invalid-resource", detail) from invalid
            if not changes:
                return False
            merge = {"spec": {change.field: change.value for change in changes}}
            try:
                await self._store.patch(_RUN, (run.namespace, run.name), merge, version=document["metadata"]["resourceVersion"])
            except Conflict:
                continue
            except Missing as missing:
                raise left_problem(run) from missing
            return True
        raise Problem("conflict", f"flow run {run.namespace}/{run.name} changes faster than it can be updated; try again")


def _if_unfinished(run: RunKey, change: Change) -> Callable[[FlowRun], Sequence[Change]]:
    def changes(current: FlowRun) -> Sequence[Change]:
        require_unfinished(run, current)
        return [change]

    return changes
