"""An API server in memory, as far as flow runs and flow deployments need one: the truth of the simulation.

Every write gets a higher resource version and is reported to the watchers; writes carry preconditions and meet conflicts; deletion
waits for finalizers; what belongs to an owner that is gone is collected. Pods are in `pods`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import orjson

from mintaka_controller.ports import Conflict, Exists, Listed, Missing, Name, ObjectProblem, Rejected, Snapshot
from mintaka_core.resources import FlowDeployment, FlowRun
from mintaka_core.workloads import CreateError
from simulated.agenda import Agenda
from simulated.events import Event, Watcher
from simulated.pods import Pods
from simulated.revisions import Revisions

if TYPE_CHECKING:
    from mintaka_core.resources import FlowDeploymentStatus, FlowRunStatus
    from mintaka_core.resources.model import Metadata

_COLLECTION_SECONDS = 2.0
_TERMINATION_SECONDS = 5.0


@dataclass(slots=True)
class Stored[Model: (FlowRun, FlowDeployment)]:
    """One version of a resource, never changed. `model` is what the simulation sees of it, without a spec if that cannot be decoded;
    `spec` replaces the spec that readers get, for what the models refuse. `filler` are bytes that count for its size only.
    """

    model: Model
    problem: ObjectProblem | None = None
    spec: dict[str, Any] | None = None
    owner_uid: str = ""
    filler: int = 0
    _raw: bytes = b""

    @property
    def snapshot(self) -> Snapshot:
        """A copy for a reader."""
        if not self._raw:
            document = self.model.to_wire()
            self._raw = orjson.dumps(document if self.spec is None else {**document, "spec": self.spec})
        return Snapshot(orjson.loads(self._raw), self.problem)

    @property
    def version(self) -> int:
        """The resource version."""
        return int(self.model.metadata.resource_version)

    def with_model(self, model: Model) -> Stored[Model]:
        """The next version."""
        return Stored(model, self.problem, self.spec, self.owner_uid, self.filler)


@dataclass(slots=True)
class Namespace:
    """What refuses pods in a namespace: `quota` is how many may be there that have not ended (None: any number), `limits` a LimitRange
    that no pod obeys, `webhook` what an admission webhook that is down makes of requests.
    """

    quota: int | None = None
    limits: bool = False
    webhook: CreateError | None = None
    terminating: bool = False


@dataclass(slots=True)
class Limits:
    """What the server refuses: statuses that make a run larger than `run_bytes`, tombstones."""

    run_bytes: int = 1_500_000
    refuse_tombstones: bool = False


@dataclass(slots=True)
class Server:
    """Objects, versions, watchers."""

    agenda: Agenda
    runs: dict[Name, Stored[FlowRun]] = field(default_factory=dict)
    deployments: dict[Name, Stored[FlowDeployment]] = field(default_factory=dict)
    namespaces: dict[str, Namespace] = field(default_factory=dict)
    tombstones: dict[str, dict[str, Any]] = field(default_factory=dict)
    watchers: list[Watcher] = field(default_factory=list)
    limits: Limits = field(default_factory=Limits)
    #: The uids of the runs that operators cancelled.
    cancelled: list[str] = field(default_factory=list)
    pods: Pods = field(init=False)
    revisions: Revisions = field(init=False)
    _version: int = 0

    def __post_init__(self) -> None:
        self.pods = Pods(self)
        self.revisions = Revisions(self)

    def next_version(self) -> int:
        """Versions are those of the whole server."""
        self._version += 1
        return self._version

    def namespace(self, name: str) -> Namespace:
        """A namespace's rules."""
        return self.namespaces.setdefault(name, Namespace())

    def report(self, event: Event) -> None:
        """Let the watchers know."""
        for watcher in tuple(self.watchers):
            watcher(event)

    def list_versions(self, kind: str) -> list[Listed]:
        """What a listing shows."""
        if kind == "workload":
            return [Listed(key, pod.version) for key, pod in self.pods.by_key.items()]
        stored: dict[Name, Any] = self.runs if kind == "run" else self.deployments
        return [Listed(key, found.version) for key, found in stored.items()]

    # Runs.

    def read_run(self, key: Name) -> Stored[FlowRun]:
        """The newest version."""
        if key not in self.runs:
            raise Missing(str(key))
        return self.runs[key]

    def create_run(self, stored: Stored[FlowRun]) -> Stored[FlowRun]:
        """A new run."""
        key = _key(stored.model.metadata)
        if self.namespace(key[0]).terminating:
            message = f"namespace {key[0]} is being terminated"
            raise Rejected(message)
        if key in self.runs:
            raise Exists(str(key))
        made = self._put_run(stored)
        if stored.owner_uid:
            self.agenda.after(_COLLECTION_SECONDS, lambda: self._collect_runs(stored.owner_uid))
        return made

    def change_spec(self, key: Name, **fields: Any) -> None:
        """What a user does; the generation counts it."""
        stored = self.runs[key]
        spec = stored.model.spec.model_copy(update=fields)
        if spec != stored.model.spec and stored.problem is None and stored.spec is None:
            metadata = stored.model.metadata.model_copy(update={"generation": stored.model.metadata.generation + 1})
            self._put_run(stored.with_model(stored.model.model_copy(update={"spec": spec, "metadata": metadata})))

    def cancel_run(self, key: Name, uid: str) -> Stored[FlowRun]:
        """Cancel a run whose caller was cancelled, or that another one replaces, as an operator does."""
        if self.read_run(key).model.metadata.uid != uid:
            raise Conflict(str(key))
        self.cancelled.append(uid)
        self.change_spec(key, cancel=True)
        return self.runs[key]

    def fill_run(self, key: Name, filler: int) -> None:
        """Make a run larger or smaller by what is in its annotations."""
        stored = self.runs.get(key)
        if stored is not None:
            self._put_run(Stored(stored.model, stored.problem, stored.spec, stored.owner_uid, filler))

    def write_run_status(self, key: Name, version: int, status: FlowRunStatus) -> Stored[FlowRun]:
        """Replace the status of a run that still has that version."""
        stored = self._checked(key, version)
        size = len(orjson.dumps(status.to_wire())) + stored.filler
        if size > self.limits.run_bytes:
            message = f"etcdserver: request is too large: {size} bytes"
            raise Rejected(message)
        if status == stored.model.status:
            return stored
        return self._put_run(stored.with_model(stored.model.model_copy(update={"status": status})))

    def write_finalizers(self, key: Name, version: int, finalizers: tuple[str, ...]) -> Stored[FlowRun] | None:
        """Replace the finalizers of a run that still has that version; None if that let it go."""
        stored = self._checked(key, version)
        metadata = stored.model.metadata.model_copy(update={"finalizers": finalizers})
        if metadata.deletion_timestamp is not None and not finalizers:
            self._vanish(key)
            return None
        return self._put_run(stored.with_model(stored.model.model_copy(update={"metadata": metadata})))

    def delete_run(self, key: Name, uid: str, version: int | None = None) -> Stored[FlowRun] | None:
        """Mark a run as deleted, or let it go if nothing holds it; `version` None: whichever it has."""
        stored = self.runs.get(key)
        if stored is None or stored.model.metadata.uid != uid:
            raise Missing(str(key))
        if version is not None and stored.version != version:
            raise Conflict(str(key))
        metadata = stored.model.metadata
        if not metadata.finalizers:
            self._vanish(key)
            return None
        if metadata.deletion_timestamp is not None:
            return stored
        metadata = metadata.model_copy(
            update={"deletion_timestamp": self.agenda.now.replace(microsecond=0), "generation": metadata.generation + 1}
        )
        return self._put_run(stored.with_model(stored.model.model_copy(update={"metadata": metadata})))

    def write_tombstone(self, uid: str, document: dict[str, Any]) -> None:
        """Keep the last state of a run. Raises Exists, Rejected."""
        if self.limits.refuse_tombstones:
            message = "configmaps is forbidden"
            raise Rejected(message)
        if uid in self.tombstones:
            raise Exists(uid)
        self.tombstones[uid] = document

    def _checked(self, key: Name, version: int) -> Stored[FlowRun]:
        stored = self.read_run(key)
        if stored.version != version:
            raise Conflict(str(key))
        return stored

    def _put_run(self, stored: Stored[FlowRun]) -> Stored[FlowRun]:
        key = _key(stored.model.metadata)
        metadata = stored.model.metadata.model_copy(update={"resource_version": str(self.next_version())})
        stored = stored.with_model(stored.model.model_copy(update={"metadata": metadata}))
        self.runs[key] = stored
        self.report(Event("run", key, metadata.uid, stored))
        return stored

    def _vanish(self, key: Name) -> None:
        uid = self.runs.pop(key).model.metadata.uid
        self.report(Event("run", key, uid))
        self.agenda.after(_COLLECTION_SECONDS, lambda: self.pods.collect(uid))
        self.agenda.after(_COLLECTION_SECONDS, self._collect_revisions)

    def has_run(self, uid: str) -> bool:
        """True if there is a run of that uid."""
        return any(stored.model.metadata.uid == uid for stored in self.runs.values())

    # Deployments.

    def read_deployment(self, key: Name) -> Stored[FlowDeployment]:
        """The newest version."""
        if key not in self.deployments:
            raise Missing(str(key))
        return self.deployments[key]

    def apply_deployment(self, stored: Stored[FlowDeployment]) -> None:
        """Create a deployment, or give the existing one another spec; the generation counts it."""
        key = _key(stored.model.metadata)
        if self.namespace(key[0]).terminating:
            return
        known = self.deployments.get(key)
        if known is not None:
            metadata = known.model.metadata.model_copy(update={"generation": known.model.metadata.generation + 1})
            stored = stored.with_model(stored.model.model_copy(update={"metadata": metadata, "status": known.model.status}))
        self._put_deployment(stored)

    def write_deployment_status(self, key: Name, version: int, status: FlowDeploymentStatus) -> Stored[FlowDeployment]:
        """Replace the status of a deployment that still has that version."""
        stored = self.read_deployment(key)
        if stored.version != version:
            raise Conflict(str(key))
        if status == stored.model.status:
            return stored
        return self._put_deployment(stored.with_model(stored.model.model_copy(update={"status": status})))

    def delete_deployment(self, key: Name) -> None:
        """It goes at once; the runs it owns are collected."""
        stored = self.deployments.pop(key, None)
        if stored is not None:
            uid = stored.model.metadata.uid
            self.report(Event("deployment", key, uid))
            self.agenda.after(_COLLECTION_SECONDS, lambda: self._collect_runs(uid))
            self.agenda.after(_COLLECTION_SECONDS, self._collect_revisions)

    def _put_deployment(self, stored: Stored[FlowDeployment]) -> Stored[FlowDeployment]:
        key = _key(stored.model.metadata)
        metadata = stored.model.metadata.model_copy(update={"resource_version": str(self.next_version())})
        stored = stored.with_model(stored.model.model_copy(update={"metadata": metadata}))
        self.deployments[key] = stored
        self.report(Event("deployment", key, metadata.uid, stored))
        return stored

    def _collect_revisions(self) -> None:
        self.revisions.collect({stored.model.metadata.uid for stored in (*self.runs.values(), *self.deployments.values())})

    def _collect_runs(self, owner_uid: str) -> None:
        if any(stored.model.metadata.uid == owner_uid for stored in self.deployments.values()):
            return
        for key, stored in list(self.runs.items()):
            if stored.owner_uid == owner_uid:
                self.delete_run(key, stored.model.metadata.uid)

    # Namespaces.

    def terminate(self, namespace: str) -> None:
        """Delete a namespace: nothing can be created in it any more, and all of it is deleted, again and again until it is gone."""
        self.namespace(namespace).terminating = True
        for key in [key for key in self.deployments if key[0] == namespace]:
            self.delete_deployment(key)
        for key, stored in [(key, stored) for key, stored in self.runs.items() if key[0] == namespace]:
            self.delete_run(key, stored.model.metadata.uid)
        for key, pod in [(key, pod) for key, pod in self.pods.by_key.items() if key[0] == namespace]:
            self.pods.delete(key, pod.workload.uid)
        if any(key[0] == namespace for key in (*self.runs, *self.pods.by_key)):
            self.agenda.after(_TERMINATION_SECONDS, lambda: self.terminate(namespace))

    def change_capacity(self, namespace: str, **fields: Any) -> None:
        """Change the quota or the LimitRange of a namespace."""
        for name, value in fields.items():
            setattr(self.namespace(namespace), name, value)
        self.report(Event("capacity", (namespace, ""), ""))


def _key(metadata: Metadata) -> Name:
    return metadata.namespace, metadata.name
