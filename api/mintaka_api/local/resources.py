"""FlowDeployments and FlowRuns of the local server: the controller's port `Resources`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mintaka_controller.ports import Conflict, Rejected, Snapshot
from mintaka_validation import InvalidDocument

if TYPE_CHECKING:
    from mintaka_api.local.document_store import DocumentStore
    from mintaka_controller.ports import Document, Name
    from mintaka_core.resources import FlowDeployment, FlowDeploymentStatus, FlowRun, FlowRunStatus
    from mintaka_core.resources.model import Metadata

_DEPLOYMENT, _RUN = "FlowDeployment", "FlowRun"


class LocalResources:
    """Reads and writes them in the document store, which writes their history along with them."""

    def __init__(self, store: DocumentStore) -> None:
        self._store = store

    async def read_run(self, key: Name) -> Snapshot:
        """The newest version. Raises Missing."""
        return Snapshot(await self._store.read(_RUN, key))

    async def read_deployment(self, key: Name) -> Snapshot:
        """The newest version. Raises Missing."""
        return Snapshot(await self._store.read(_DEPLOYMENT, key))

    async def create_run(self, manifest: Document) -> Snapshot:
        """Create a flow run. Raises Exists; Rejected if it is not valid."""
        try:
            return Snapshot(await self._store.create(_RUN, manifest))
        except InvalidDocument as invalid:
            raise Rejected(str(invalid)) from invalid

    async def write_run_status(self, run: FlowRun, version: str, status: FlowRunStatus) -> Snapshot:
        """Replace the status, if the run still has resource version `version`. Raises Conflict, Missing."""
        return Snapshot(await self._store.write_status(_RUN, _key(run.metadata), version, status.to_wire()))

    async def write_deployment_status(self, deployment: FlowDeployment, version: str, status: FlowDeploymentStatus) -> Snapshot:
        """Replace the status, if the deployment still has resource version `version`. Raises Conflict, Missing."""
        return Snapshot(await self._store.write_status(_DEPLOYMENT, _key(deployment.metadata), version, status.to_wire()))

    async def write_finalizers(self, run: FlowRun, version: str, finalizers: tuple[str, ...]) -> Snapshot | None:
        """Replace a run's finalizers, if it still has version `version`; None if that removed the run. Raises Conflict, Missing."""
        left = await self._store.write_finalizers(_RUN, _key(run.metadata), version, finalizers)
        return None if left is None else Snapshot(left)

    async def cancel_run(self, key: Name, uid: str) -> Snapshot:
        """Set `spec.cancel` of the run with that uid. Raises Conflict, Missing."""
        document = await self._store.read(_RUN, key)
        if document["metadata"]["uid"] != uid:
            raise Conflict("/".join(key))
        return Snapshot(await self._store.patch(_RUN, key, {"spec": {"cancel": True}}, version=document["metadata"]["resourceVersion"]))

    async def delete_run(self, key: Name, uid: str, version: int) -> Snapshot | None:
        """Delete the run with that uid and version; None if it is gone. Raises Conflict, Missing."""
        left = await self._store.delete(_RUN, key, uid=uid, version=str(version))
        return None if left is None else Snapshot(left)

    async def write_tombstone(self, key: Name, uid: str, document: Document) -> None:
        """Nothing is left to write: the history has every state of the run, from the transactions that wrote those states."""


def _key(metadata: Metadata) -> Name:
    return metadata.namespace, metadata.name
