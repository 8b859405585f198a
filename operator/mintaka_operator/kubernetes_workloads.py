"""Pods of flow runs: the controller's port `Workloads`."""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from mintaka_controller.ports import CreateRefused, Exists, OwnedWorkload
from mintaka_controller.run_cache import version_of
from mintaka_core.names import LABEL_FLOW_RUN, POD_FINALIZER
from mintaka_core.workloads import NO_REVISION, StartIssue
from mintaka_kubernetes.resources import EVENTS, PODS
from mintaka_operator.cluster import JSON_PATCH, ApiError
from mintaka_operator.create_errors import create_error_of
from mintaka_operator.diagnosis import diagnose
from mintaka_operator.pods import build_pod, template_fault
from mintaka_operator.port_errors import port_error, port_errors

if TYPE_CHECKING:
    from collections.abc import Callable

    from mintaka_controller.ports import Document
    from mintaka_core.resources import FlowRun, FlowTemplate
    from mintaka_core.workloads import RevisionCode, Workload
    from mintaka_operator.cluster import Cluster
    from mintaka_operator.container_logs import ContainerLogs
    from mintaka_operator.pods import PodDefaults

_logger = logging.getLogger(__name__)

_NOT_FOUND, _CONFLICT, _INVALID = 404, 409, 422
_UNREACHABLE = 0


def owned_workload(pod: Document, is_gone: Callable[[str], bool] = lambda _node: False) -> OwnedWorkload | None:
    """A pod as a workload for the controller, None for a pod that never belonged to a flow run. `is_gone` says which nodes are gone.

    A pod whose owner reference was removed (orphaned) still has its run in its name, but belongs to no run: its owner is
    "".
    """
    metadata = pod["metadata"]
    if not belongs_to_run(metadata):
        return None
    owner = _owner(metadata)
    run = owner["name"] if owner else metadata["name"].rpartition("-")[0]
    node_gone = is_gone((pod.get("spec") or {}).get("nodeName") or "")
    key = metadata.get("namespace", ""), run
    watched = LABEL_FLOW_RUN in (metadata.get("labels") or ())
    return OwnedWorkload(key, owner["uid"] if owner else "", version_of(pod), diagnose(pod, node_gone=node_gone), watched)


def belongs_to_run(metadata: Document) -> bool:
    """Whether a pod with this metadata belongs to a flow run, or did: it has one as its owner, or our finalizer."""
    return _owner(metadata) is not None or POD_FINALIZER in (metadata.get("finalizers") or ())


def _owner(metadata: Document) -> Document | None:
    return next((owner for owner in metadata.get("ownerReferences") or () if owner.get("kind") == "FlowRun"), None)


class KubernetesWorkloads:
    """Creates, reads, stops and removes pods."""

    def __init__(
        self, cluster: Cluster, defaults: PodDefaults, logs: ContainerLogs, is_gone: Callable[[str], bool] = lambda _node: False
    ) -> None:
        self._is_gone = is_gone
        self._cluster = cluster
        self._defaults = defaults
        self._logs = logs

    async def create(
        self, run: FlowRun, template: FlowTemplate, attempt: int, resumed_from: str, code: RevisionCode = NO_REVISION
    ) -> OwnedWorkload:
        """Create the pod of an attempt. Raises CreateRefused; Exists for a pod of that name."""
        if (fault := template_fault(template, self._defaults, code)) is not None:
            raise CreateRefused(fault)
        pod = build_pod(run, template, attempt, self._defaults, resumed_from, code)
        try:
            created = await self._cluster.create(PODS.path(run.metadata.namespace), pod)
        except ApiError as error:
            if error.code == _CONFLICT and error.reason == "AlreadyExists":
                raise Exists(str(error)) from error
            if error.code == _UNREACHABLE:
                raise port_error(error) from error
            raise CreateRefused(create_error_of(error, pod)) from error
        owned = owned_workload(created)
        if owned is None:
            raise CreateRefused(
                create_error_of(ApiError(_INVALID, "Invalid", "the pod was created without its owner: a webhook took it away"))
            )
        if not owned.watched:
            place = f"{run.metadata.namespace}/{owned.workload.name}"
            _logger.warning(
                "pod %s was created without its label %s: a webhook removed it, so its end is noticed late", place, LABEL_FLOW_RUN
            )
        return owned

    async def read(self, namespace: str, name: str) -> OwnedWorkload | None:
        """One pod; None if no pod has that name or it does not belong to a flow run."""
        try:
            return owned_workload(await self._cluster.get(PODS.path(namespace, name)), self._is_gone)
        except ApiError as error:
            if error.code == _NOT_FOUND:
                return None
            raise port_error(error) from error

    async def stop(self, namespace: str, name: str, uid: str, *, force: bool) -> OwnedWorkload | None:
        """Delete a pod, with its grace period or (`force`) without; return what is left of it, None if it is gone."""
        options: dict[str, Any] = {"preconditions": {"uid": uid}}
        if force:
            options["gracePeriodSeconds"] = 0
        try:
            answer = await self._cluster.delete(PODS.path(namespace, name), options)
        except ApiError as error:
            if error.code in {_NOT_FOUND, _CONFLICT}:
                return None
            raise port_error(error) from error
        if answer.get("kind") == "Pod" and answer["metadata"].get("finalizers"):
            return owned_workload(answer, self._is_gone)
        return await self._left(namespace, name, uid)

    async def _left(self, namespace: str, name: str, uid: str) -> OwnedWorkload | None:
        """What a deletion left, if its answer does not say."""
        owned = await self.read(namespace, name)
        return owned if owned and owned.workload.uid == uid else None

    async def release(self, namespace: str, name: str, uid: str) -> None:
        """Remove our finalizer from a pod; success if the pod is gone, or if another pod has its name."""
        path = PODS.path(namespace, name)
        try:
            await self._cluster.patch(path, _removal(uid, 0), JSON_PATCH)
        except ApiError as error:
            if error.code not in {_NOT_FOUND, _CONFLICT, _INVALID}:
                raise port_error(error) from error
            if error.code != _NOT_FOUND:
                await self._release_elsewhere(path, uid)

    async def _release_elsewhere(self, path: str, uid: str) -> None:
        """Find and remove our finalizer if it is not the first one."""
        try:
            metadata = (await self._cluster.get(path))["metadata"]
            finalizers = metadata.get("finalizers") or []
            if metadata.get("uid") == uid and POD_FINALIZER in finalizers:
                await self._cluster.patch(path, _removal(uid, finalizers.index(POD_FINALIZER)), JSON_PATCH)
        except ApiError as error:
            if error.code != _NOT_FOUND:
                raise port_error(error) from error

    async def remove(self, namespace: str, name: str, uid: str) -> None:
        """Delete an ended pod and release it; if interrupted in between, it is a deleted pod that waits for its release."""
        try:
            await self._cluster.delete(PODS.path(namespace, name), {"preconditions": {"uid": uid}})
        except ApiError as error:
            if error.code in {_NOT_FOUND, _CONFLICT}:
                return
            raise port_error(error) from error
        await self.release(namespace, name, uid)

    async def find_start_issue(self, namespace: str, workload: Workload) -> StartIssue | None:
        """The pod's last warning event."""
        selector = f"involvedObject.name={workload.name},involvedObject.uid={workload.uid},type=Warning"
        with port_errors():
            events = await self._cluster.list(EVENTS.path(namespace), fieldSelector=selector)
        if not events:
            return None
        last = max(events, key=lambda event: event.get("lastTimestamp") or event.get("eventTime") or "")
        return StartIssue(last.get("reason") or "PendingTimeout", last.get("message") or "", timedelta(0))

    async def copy_log(self, namespace: str, run_uid: str, workload: Workload) -> None:
        """Copy the log of the flow's container into the run's log. Raises Missing or Rejected if it can no longer be copied."""
        await self._logs.copy(namespace, run_uid, workload)


def _removal(uid: str, index: int) -> list[dict[str, Any]]:
    """The JSON Patch that removes our finalizer from exactly that pod (RFC 6902)."""
    path = f"/metadata/finalizers/{index}"
    return [
        {"op": "test", "path": "/metadata/uid", "value": uid},
        {"op": "test", "path": path, "value": POD_FINALIZER},
        {"op": "remove", "path": path},
    ]
