"""FlowDeployments and FlowRuns of a Kubernetes cluster: the controller's port `Resources`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson

from mintaka_controller.ports import Conflict, ObjectProblem, Rejected, Snapshot
from mintaka_core import names
from mintaka_kubernetes.resources import CONFIG_MAPS, FLOW_DEPLOYMENTS, FLOW_RUNS
from mintaka_operator.cluster import JSON_PATCH, ApiError, Unreadable
from mintaka_operator.port_errors import port_error, port_errors

if TYPE_CHECKING:
    from mintaka_controller.ports import Document, Name
    from mintaka_core.resources import FlowDeployment, FlowDeploymentStatus, FlowRun, FlowRunStatus
    from mintaka_core.resources.model import Model
    from mintaka_kubernetes.decoding import Decoded
    from mintaka_operator.cluster import Cluster

_INVALID = 422
#: A ConfigMap can have at most 1 MiB (Kubernetes, "ConfigMaps").
_TOMBSTONE_LIMIT_BYTES = 1_000_000


def snapshot_of(decoded: Decoded) -> Snapshot:
    """A decoded object as a snapshot for the controller."""
    if isinstance(decoded, Unreadable):
        return Snapshot(decoded.document, ObjectProblem(decoded.reason, decoded.message))
    return Snapshot(decoded)


class KubernetesResources:
    """Reads and writes them by path; tombstones are created in `release_namespace`."""

    def __init__(self, cluster: Cluster, release_namespace: str) -> None:
        self._cluster = cluster
        self._release_namespace = release_namespace

    async def read_run(self, key: Name) -> Snapshot:
        """The newest version. Raises Missing."""
        with port_errors():
            return snapshot_of(await self._cluster.read(FLOW_RUNS.path(*key)))

    async def read_deployment(self, key: Name) -> Snapshot:
        """The newest version. Raises Missing."""
        with port_errors():
            return snapshot_of(await self._cluster.read(FLOW_DEPLOYMENTS.path(*key)))

    async def create_run(self, manifest: Document) -> Snapshot:
        """Create a flow run. Raises Exists."""
        with port_errors():
            return Snapshot(await self._cluster.create(FLOW_RUNS.path(manifest["metadata"]["namespace"]), manifest))

    async def write_run_status(self, run: FlowRun, version: str, status: FlowRunStatus) -> Snapshot:
        """Replace the status, if the run still has resource version `version`. Raises Conflict, Missing."""
        return await self._write_status(FLOW_RUNS.path(run.metadata.namespace, run.metadata.name) + "/status", run, version, status)

    async def write_deployment_status(self, deployment: FlowDeployment, version: str, status: FlowDeploymentStatus) -> Snapshot:
        """Replace the status, if the deployment still has resource version `version`. Raises Conflict, Missing."""
        path = FLOW_DEPLOYMENTS.path(deployment.metadata.namespace, deployment.metadata.name) + "/status"
        return await self._write_status(path, deployment, version, status)

    async def _write_status(self, path: str, resource: FlowRun | FlowDeployment, version: str, status: Model) -> Snapshot:
        """Replace the status: replacing it costs the API server a quarter less than patching it (measured)."""
        metadata = resource.metadata
        body = {
            "apiVersion": names.API_VERSION,
            "kind": resource.kind,
            "metadata": {"name": metadata.name, "namespace": metadata.namespace, "uid": metadata.uid, "resourceVersion": version},
            "status": status.to_wire(),
        }
        with port_errors():
            return Snapshot(await self._cluster.replace(path, body))

    async def write_finalizers(self, run: FlowRun, version: str, finalizers: tuple[str, ...]) -> Snapshot | None:
        """Replace a run's finalizers, if it still has version `version`; None if that removed the run. Raises Conflict, Missing."""
        metadata = run.metadata
        patch: list[dict[str, Any]] = [
            {"op": "test", "path": "/metadata/resourceVersion", "value": version},
            {"op": "add", "path": "/metadata/finalizers", "value": list(finalizers)},
        ]
        try:
            changed = await self._cluster.patch(FLOW_RUNS.path(metadata.namespace, metadata.name), patch, JSON_PATCH)
        except ApiError as error:
            if error.code == _INVALID:  # the answer to a failed test
                raise Conflict(str(error)) from error
            raise port_error(error) from error
        gone = changed["metadata"].get("deletionTimestamp") and not changed["metadata"].get("finalizers")
        return None if gone else Snapshot(changed)

    async def cancel_run(self, key: Name, uid: str) -> Snapshot:
        """Set `spec.cancel` of the run with that uid. Raises Conflict, Missing."""
        patch: list[dict[str, Any]] = [
            {"op": "test", "path": "/metadata/uid", "value": uid},
            {"op": "add", "path": "/spec/cancel", "value": True},
        ]
        try:
            return Snapshot(await self._cluster.patch(FLOW_RUNS.path(*key), patch, JSON_PATCH))
        except ApiError as error:
            if error.code == _INVALID and not error.causes:  # the answer to a failed `test` operation
                raise Conflict(str(error)) from error
            raise port_error(error) from error

    async def delete_run(self, key: Name, uid: str, version: int) -> Snapshot | None:
        """Delete the run with that uid and version; None if it is gone. Raises Conflict, Missing."""
        options = {"preconditions": {"uid": uid, "resourceVersion": str(version)}, "propagationPolicy": "Background"}
        with port_errors():
            answer = await self._cluster.delete(FLOW_RUNS.path(*key), options)
        return Snapshot(answer) if answer.get("kind") == "FlowRun" else None

    async def write_tombstone(self, key: Name, uid: str, document: Document) -> None:
        """Store the last state of a run in a ConfigMap of the release's namespace. Raises Exists, Rejected."""
        text = orjson.dumps(document).decode()
        if len(text) > _TOMBSTONE_LIMIT_BYTES:
            message = f"it takes {len(text)} bytes, a ConfigMap at most {_TOMBSTONE_LIMIT_BYTES}"
            raise Rejected(message)
        tombstone = {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {
                "name": names.shortened(f"mintaka-tombstone-{uid}", "", names.NAME_LIMIT),
                "namespace": self._release_namespace,
                "labels": {
                    names.LABEL_TOMBSTONE: "true",
                    names.LABEL_MANAGED_BY: names.MANAGED_BY,
                    names.LABEL_NAMESPACE: names.label_value(key[0]),
                },
            },
            "data": {"flowrun": text},
        }
        with port_errors():
            await self._cluster.create(CONFIG_MAPS.path(self._release_namespace), tombstone)
