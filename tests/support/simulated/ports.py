"""The controller's ports over the API server in memory; each call goes through the operator's connection, which may fail."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from mintaka_controller.ports import Document, Listed, ListedRevision, Missing, Name, OwnedWorkload, Ports, Snapshot
from mintaka_core.reconciling.deployments import Problem
from mintaka_core.resources import FlowRun
from mintaka_core.revisions import Revision, SourceVersion, source_version
from mintaka_core.workloads import NO_REVISION, RevisionCode, StartIssue
from mintaka_validation.rule_expressions import RuleExpressions
from simulated.server import Stored

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from datetime import datetime

    from mintaka_core.json_schema import Violation
    from mintaka_core.resources import (
        FlowDeployment,
        FlowDeploymentStatus,
        FlowRunStatus,
        FlowTemplate,
        OrchestrationRule,
        OrchestrationRuleStatus,
    )
    from mintaka_core.resources.runs import TransitionStatus
    from mintaka_core.workloads import Workload
    from simulated.cluster import Cluster
    from simulated.connection import Connection

_PAGE = 3


class MemoryResources:
    """Flow deployments and flow runs of the server."""

    def __init__(self, cluster: Cluster, connection: Connection) -> None:
        self._server, self._connection = cluster.server, connection

    async def read_run(self, key: Name) -> Snapshot:
        """The newest version. Raises Missing."""
        return await self._connection.call("read_run", lambda: self._server.read_run(key).snapshot)

    async def read_deployment(self, key: Name) -> Snapshot:
        """The newest version. Raises Missing."""
        return await self._connection.call("read_deployment", lambda: self._server.read_deployment(key).snapshot)

    async def create_run(self, manifest: Document) -> Snapshot:
        """Create a flow run. Raises Exists."""
        return await self._connection.call("create_run", lambda: self._create_run(manifest))

    def _create_run(self, manifest: Document) -> Snapshot:
        owner = manifest["metadata"]["ownerReferences"][0]["uid"]
        now = self._server.agenda.now
        metadata = {
            **manifest["metadata"],
            "uid": f"run-{self._server.next_version()}",
            "generation": 1,
            "creationTimestamp": now.replace(microsecond=0),
        }
        return self._server.create_run(Stored(FlowRun.model_validate({**manifest, "metadata": metadata}), owner_uid=owner)).snapshot

    async def write_run_status(self, run: FlowRun, version: str, status: FlowRunStatus) -> Snapshot:
        """Replace the status. Raises Conflict, Missing, Rejected."""
        key = _key(run)
        return await self._connection.write(
            "write_run_status", run.metadata.uid, lambda: self._server.write_run_status(key, int(version), status).snapshot
        )

    async def write_deployment_status(self, deployment: FlowDeployment, version: str, status: FlowDeploymentStatus) -> Snapshot:
        """Replace the status. Raises Conflict, Missing."""
        key = _key(deployment)
        return await self._connection.call(
            "write_deployment_status", lambda: self._server.write_deployment_status(key, int(version), status).snapshot
        )

    async def write_finalizers(self, run: FlowRun, version: str, finalizers: tuple[str, ...]) -> Snapshot | None:
        """Replace a run's finalizers. Raises Conflict, Missing."""
        key = _key(run)
        left = await self._connection.write(
            "write_finalizers", run.metadata.uid, lambda: self._server.write_finalizers(key, int(version), finalizers)
        )
        return left.snapshot if left else None

    async def cancel_run(self, key: Name, uid: str) -> Snapshot:
        """Set spec.cancel of a run. Raises Conflict, Missing."""
        return await self._connection.write("cancel_run", uid, lambda: self._server.cancel_run(key, uid).snapshot)

    async def delete_run(self, key: Name, uid: str, version: int) -> Snapshot | None:
        """Delete a run. Raises Conflict, Missing."""
        left = await self._connection.write("delete_run", uid, lambda: self._server.delete_run(key, uid, version))
        return left.snapshot if left else None

    async def write_tombstone(self, key: Name, uid: str, document: Document) -> None:  # noqa: ARG002 - the signature of the port
        """Keep the last state of a run. Raises Exists, Rejected."""
        await self._connection.write("write_tombstone", uid, lambda: self._server.write_tombstone(uid, document))


class MemoryWorkloads:
    """Pods of the server."""

    def __init__(self, cluster: Cluster, connection: Connection) -> None:
        self._cluster, self._pods, self._connection = cluster, cluster.server.pods, connection

    async def create(
        self, run: FlowRun, template: FlowTemplate, attempt: int, resumed_from: str, code: RevisionCode = NO_REVISION
    ) -> OwnedWorkload:
        """Create the pod of an attempt. Raises CreateRefused, Exists."""
        reports = template.entrypoint is not None
        return await self._connection.write(
            "create",
            run.metadata.uid,
            lambda: self._pods.create(run, attempt, resumed_from, reports=reports, revision=code.revision).owned,
        )

    async def read(self, namespace: str, name: str) -> OwnedWorkload | None:
        """One pod."""
        found = await self._connection.call("read", lambda: self._pods.by_key.get((namespace, name)))
        return found.owned if found else None

    async def stop(self, namespace: str, name: str, uid: str, *, force: bool) -> OwnedWorkload | None:
        """Delete a pod."""
        try:
            left = await self._connection.write(
                "stop(force)" if force else "stop",
                self._owner(namespace, name),
                lambda: self._pods.delete((namespace, name), uid, force=force),
            )
        except Missing:
            return None
        return left.owned if left else None

    async def release(self, namespace: str, name: str, uid: str) -> None:
        """Take our finalizer off a pod."""
        await self._release("release", namespace, name, uid)

    async def remove(self, namespace: str, name: str, uid: str) -> None:
        """Delete an ended pod and release it."""
        await self._connection.write("remove", self._owner(namespace, name), lambda: self._delete(namespace, name, uid))
        await self._release("remove", namespace, name, uid)

    def _delete(self, namespace: str, name: str, uid: str) -> None:
        if self._pods.find((namespace, name), uid) is not None:
            self._pods.delete((namespace, name), uid)

    async def _release(self, what: str, namespace: str, name: str, uid: str) -> None:
        try:
            await self._connection.write(what, self._owner(namespace, name), lambda: self._pods.release((namespace, name), uid))
        except Missing:
            return

    def _owner(self, namespace: str, name: str) -> str:
        """Whose writes it counts among."""
        pod = self._pods.by_key.get((namespace, name))
        return pod.owner_uid if pod else ""

    async def find_start_issue(self, namespace: str, workload: Workload) -> StartIssue | None:  # noqa: ARG002 - the signature of the port
        """The pod's last warning event; every second pod has one."""
        found = StartIssue("FailedMount", "there is no such volume", timedelta(0)) if workload.uid[-1] in "02468" else None
        return await self._connection.call("find_start_issue", lambda: found)

    async def copy_log(self, namespace: str, run_uid: str, workload: Workload) -> None:
        """Copy a pod's log. Raises Missing."""
        await self._connection.call("copy_log", lambda: self._cluster.api.copy_log(namespace, run_uid, workload))


class MemorySources:
    """ConfigMaps with code that exist or not."""

    def __init__(self, cluster: Cluster, connection: Connection) -> None:
        self._cluster, self._connection = cluster, connection

    async def find_problem(self, namespace: str, template: FlowTemplate) -> Problem | None:
        """That there is no such ConfigMap."""
        source = template.source
        if source is None or source.config_map is None:
            return None
        key = namespace, source.config_map.name
        found = await self._connection.call("find_problem", lambda: key in self._cluster.config_maps)
        return None if found else Problem("ConfigMapNotFound", f"there is no ConfigMap {key[1]!r}")

    async def find_version(self, namespace: str, name: str) -> str:
        """Its content never changes. Raises Missing."""
        if not await self._connection.call("find_version", lambda: (namespace, name) in self._cluster.config_maps):
            raise Missing(name)
        return "1"

    async def read_files(self, namespace: str, name: str) -> SourceVersion:
        """The same code in all of them. Raises Missing."""
        version = await self.find_version(namespace, name)
        return source_version(name, version, {"flow.py": "def main(): ..."}, {})


class MemoryRevisions:
    """Revisions of the server."""

    def __init__(self, cluster: Cluster, connection: Connection) -> None:
        self._server, self._connection = cluster.server, connection

    async def read(self, key: Name) -> Revision:
        """One revision. Raises Missing."""
        return await self._connection.call("read_revision", lambda: self._server.revisions.read(key))

    async def create(self, run: FlowRun, revision: Revision) -> int:
        """Store a revision. Raises Exists, Rejected."""
        return await self._connection.call("create_revision", lambda: self._server.revisions.create(run, revision))

    async def delete(self, key: Name, uid: str) -> None:
        """Delete a revision."""
        await self._connection.call("delete_revision", lambda: self._server.revisions.delete(key, uid))

    async def list_all(self) -> AsyncIterator[list[ListedRevision]]:
        """Every revision."""
        yield await self._connection.call("list", self._server.revisions.list_all)


class MemorySchemas:
    """Every value obeys."""

    async def violations(self, schema: dict[str, Any], value: Any, name: str, *, namespace: str) -> list[Violation]:  # noqa: ARG002 - a port
        """None."""
        return []


class MemoryRules:
    """Orchestration rules of the server, with the real conditions."""

    expressions = RuleExpressions()

    def __init__(self, cluster: Cluster, connection: Connection) -> None:
        self._rules, self._connection = cluster.rules, connection

    async def write_status(self, rule: OrchestrationRule, status: OrchestrationRuleStatus) -> Document:
        """Replace the status. Raises Conflict, Missing."""
        return await self._connection.call("write_rule_status", lambda: self._rules.write_status(rule, status))


class MemoryEvents:
    """Remembers what was recorded, by run or deployment."""

    def __init__(self) -> None:
        self.transitions: list[tuple[Name, str]] = []
        self.warnings: list[tuple[Name, str, str]] = []

    async def record_transition(self, run: FlowRun, transition: TransitionStatus) -> None:
        """A transition of a run."""
        self.transitions.append((_key(run), transition.name))

    async def record_warning(self, resource: FlowRun | FlowDeployment, reason: str, message: str) -> None:
        """Something that is wrong with a resource."""
        self.warnings.append((_key(resource), reason, message))


class MemoryInventory:
    """Lists the server's objects in small pages."""

    def __init__(self, cluster: Cluster, connection: Connection) -> None:
        self._server, self._connection = cluster.server, connection

    async def list_versions(self, kind: str) -> AsyncIterator[list[Listed]]:
        """Every object of a kind, as it was when the listing began."""
        found = await self._connection.call("list", lambda: self._server.list_versions(kind))
        for first in range(0, len(found), _PAGE):
            if first:
                await self._connection.call("list", lambda: None)
            yield found[first : first + _PAGE]

    async def list_strays(self) -> AsyncIterator[list[Listed]]:
        """No tool removes labels in the simulation."""
        yield []


class MemoryTelemetry:
    """Forgets all measures."""

    def waited_in_queue(self, seconds: float) -> None:
        """A key waited for a worker."""

    def reconciled(self, kind: str, seconds: float) -> None:
        """A key was reconciled."""

    def failed(self, kind: str) -> None:
        """Reconciling a key failed."""

    def transitioned(self, to: str, reason: str) -> None:
        """A run made a transition."""

    def missed(self, kind: str, count: int) -> None:
        """A listing showed what no watch had reported."""

    def resynced(self, seconds: float) -> None:
        """A comparison with the cluster took so long."""


class SkewedClock:
    """The clock of an operator's node."""

    def __init__(self, now: Callable[[], datetime], skew: float) -> None:
        self._now, self._skew = now, timedelta(seconds=skew)

    def now(self) -> datetime:
        """The present instant."""
        return self._now() + self._skew


def make_ports(cluster: Cluster, connection: Connection, skew: float) -> Ports:
    """All ports of one operator."""
    return Ports(
        resources=MemoryResources(cluster, connection),
        workloads=MemoryWorkloads(cluster, connection),
        sources=MemorySources(cluster, connection),
        revisions=MemoryRevisions(cluster, connection),
        schemas=MemorySchemas(),
        events=MemoryEvents(),
        inventory=MemoryInventory(cluster, connection),
        telemetry=MemoryTelemetry(),
        clock=SkewedClock(lambda: cluster.agenda.now, skew),
        rules=MemoryRules(cluster, connection),
    )


def _key(resource: FlowRun | FlowDeployment) -> Name:
    return resource.metadata.namespace, resource.metadata.name
