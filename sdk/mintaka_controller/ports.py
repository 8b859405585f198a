"""The interfaces through which the controller accesses the outside, and their errors.

    PortError
    ├── Missing        there is no such object
    ├── Exists         there is an object of that name already
    ├── Conflict       the object is not the version on which the decision was based
    ├── Unavailable    no answer, or a transient refusal: the same request may succeed later
    │   └── NodeUnavailable  the workload's node does not answer: requests for its other workloads would fail too
    ├── Rejected       a refusal that a retry does not change
    └── CreateRefused  no workload can be created now; carries the CreateError that says why

Every method of a port is idempotent.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from mintaka_core.errors import MintakaError
from mintaka_core.workloads import NO_REVISION, RevisionCode, Workload

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from datetime import datetime

    from mintaka_core.json_schema import Violation
    from mintaka_core.reconciling.deployments import Problem
    from mintaka_core.resources import (
        FlowDeployment,
        FlowDeploymentStatus,
        FlowRun,
        FlowRunStatus,
        FlowTemplate,
        OrchestrationRule,
        OrchestrationRuleStatus,
    )
    from mintaka_core.resources.runs import TransitionStatus
    from mintaka_core.revisions import Revision, SourceVersion
    from mintaka_core.user_rules import Expressions
    from mintaka_core.workloads import CreateError, StartIssue

#: A resource as JSON.
type Document = dict[str, Any]

#: (namespace, name).
type Name = tuple[str, str]


class PortError(MintakaError):
    """A request to the outside failed."""


class Missing(PortError):
    """There is no such object."""


class Exists(PortError):
    """There is an object of that name already."""


class Conflict(PortError):
    """The object is not the version on which the decision was based: read it and decide again."""


class Unavailable(PortError):
    """No answer, or a transient refusal. `retry_after` is the wait in seconds that the other side requests, None if it requests none."""

    def __init__(self, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class NodeUnavailable(Unavailable):
    """The node of a workload does not answer: requests for its other workloads would wait as long."""


class Rejected(PortError):
    """A refusal that a retry does not change: not permitted, too large, not valid."""


class CreateRefused(PortError):
    """No workload can be created now."""

    def __init__(self, error: CreateError) -> None:
        super().__init__(f"{error.reason}: {error.message}")
        self.error = error


@dataclass(frozen=True, slots=True)
class ObjectProblem:
    """Why a resource cannot be processed as it is: `reason` is one CamelCase word (`TooDeep`), `message` names limit and remedy."""

    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One version of a resource. With a `problem`, `document` has no usable `spec`."""

    document: Document
    problem: ObjectProblem | None = None


@dataclass(frozen=True, slots=True)
class OwnedWorkload:
    """A workload, the flow run that owns it and the version in which it was seen.

    `watched` is False if neither lists nor watches show it, because another tool has removed our label: only reads do.
    """

    run: Name
    owner_uid: str
    version: int
    workload: Workload
    watched: bool = True


class Listed(NamedTuple):
    """One object of a listing."""

    key: Name
    version: int


class ListedRevision(NamedTuple):
    """A revision in a listing, without its content; `deployment` is the label that names its deployment."""

    key: Name
    uid: str
    deployment: str
    number: int
    created: datetime


class Resources(Protocol):
    """Flow deployments and flow runs. Any method may raise Unavailable or Rejected."""

    async def read_run(self, key: Name) -> Snapshot:
        """The newest version. Raises Missing."""

    async def read_deployment(self, key: Name) -> Snapshot:
        """The newest version. Raises Missing."""

    async def create_run(self, manifest: Document) -> Snapshot:
        """Create a flow run. Raises Exists."""

    async def write_run_status(self, run: FlowRun, version: str, status: FlowRunStatus) -> Snapshot:
        """Replace the status, if the run still has resource version `version`. Raises Conflict, Missing."""

    async def write_deployment_status(self, deployment: FlowDeployment, version: str, status: FlowDeploymentStatus) -> Snapshot:
        """Replace the status, if the deployment still has resource version `version`. Raises Conflict, Missing."""

    async def write_finalizers(self, run: FlowRun, version: str, finalizers: tuple[str, ...]) -> Snapshot | None:
        """Replace a run's finalizers, if it still has version `version`; None if that removed the run. Raises Conflict, Missing."""

    async def cancel_run(self, key: Name, uid: str) -> Snapshot:
        """Set `spec.cancel` of the run with that uid. Raises Conflict, Missing."""

    async def delete_run(self, key: Name, uid: str, version: int) -> Snapshot | None:
        """Delete the run with that uid and version; None if it is gone. Raises Conflict, Missing."""

    async def write_tombstone(self, key: Name, uid: str, document: Document) -> None:
        """Store the last state of a run for the mirror."""


class Workloads(Protocol):
    """Pods or processes, one per attempt. Any method may raise Unavailable."""

    async def create(
        self, run: FlowRun, template: FlowTemplate, attempt: int, resumed_from: str, code: RevisionCode = NO_REVISION
    ) -> OwnedWorkload:
        """Start the workload of an attempt. Raises CreateRefused; Exists for a workload of that name."""

    async def read(self, namespace: str, name: str) -> OwnedWorkload | None:
        """One workload; None if the name is unknown or it has no owner."""

    async def stop(self, namespace: str, name: str, uid: str, *, force: bool) -> OwnedWorkload | None:
        """Ask it to stop, or stop waiting for it (`force`); return what is left of it, None if it is gone."""

    async def release(self, namespace: str, name: str, uid: str) -> None:
        """Remove our finalizer from an ended workload, so that it can be deleted."""

    async def remove(self, namespace: str, name: str, uid: str) -> None:
        """Release an ended workload and delete it."""

    async def find_start_issue(self, namespace: str, workload: Workload) -> StartIssue | None:
        """Why a workload does not start whose own status does not say why."""

    async def copy_log(self, namespace: str, run_uid: str, workload: Workload) -> None:
        """Copy the output of its process into the run's log. Raises Missing or Rejected if it can no longer be copied."""


class Sources(Protocol):
    """The source code of flows."""

    async def find_problem(self, namespace: str, template: FlowTemplate) -> Problem | None:
        """Why the code cannot be read; None if it can."""

    async def find_version(self, namespace: str, name: str) -> str:
        """The resource version of a ConfigMap. Raises Missing, Unavailable, Rejected."""

    async def read_files(self, namespace: str, name: str) -> SourceVersion:
        """The content of a ConfigMap. Raises Missing, Unavailable, Rejected."""


class Revisions(Protocol):
    """The stored revisions of flow deployments. Any method may raise Unavailable or Rejected."""

    async def read(self, key: Name) -> Revision:
        """One revision. Raises Missing."""

    async def create(self, run: FlowRun, revision: Revision) -> int:
        """Store a revision that `run` needs, in its namespace, under the next number; return that. Raises Exists."""

    async def delete(self, key: Name, uid: str) -> None:
        """Delete the revision with that uid; success if it is gone."""

    def list_all(self) -> AsyncIterator[list[ListedRevision]]:
        """Every revision, page by page."""


class Schemas(Protocol):
    """JSON Schema validation, off the event loop and with a deadline."""

    async def violations(self, schema: dict[str, Any], value: Any, name: str, *, namespace: str) -> list[Violation]:
        """The places of `value` that are not valid. Raises InvalidSchema, CheckUnavailable."""


class EventRecorder(Protocol):
    """Records events for owners of resources. Never raises: a lost event must not stop anything."""

    async def record_transition(self, run: FlowRun, transition: TransitionStatus) -> None:
        """Record a decision about a run: a state it entered, or a proposal that waits or was refused."""

    async def record_warning(self, resource: FlowRun | FlowDeployment, reason: str, message: str) -> None:
        """Record something that is wrong with a resource."""


class Inventory(Protocol):
    """Lists the existing objects without their contents."""

    def list_versions(self, kind: str) -> AsyncIterator[list[Listed]]:
        """Every object of a kind (`run`, `deployment`, `workload`) with its version, page by page. Raises Unavailable, Rejected."""

    def list_strays(self) -> AsyncIterator[list[Listed]]:
        """The workloads that our finalizer holds and that `list_versions` does not show, page by page. Raises Unavailable, Rejected."""


class Telemetry(Protocol):
    """Measurements of the controller."""

    def waited_in_queue(self, seconds: float) -> None:
        """A key waited this long for a worker."""

    def reconciled(self, kind: str, seconds: float) -> None:
        """A key was reconciled in this many seconds."""

    def failed(self, kind: str) -> None:
        """Reconciling a key failed and is retried."""

    def transitioned(self, to: str, reason: str) -> None:
        """A flow run made a transition."""

    def missed(self, kind: str, count: int) -> None:
        """A listing showed changes that no watch had reported."""

    def resynced(self, seconds: float) -> None:
        """Comparing the caches with the cluster took so many seconds, the waits for late events not counted."""


class Rules(Protocol):
    """Orchestration rules: their conditions and their status. Methods may raise Unavailable or Rejected."""

    @property
    def expressions(self) -> Expressions:
        """Compiles and evaluates conditions."""

    async def write_status(self, rule: OrchestrationRule, status: OrchestrationRuleStatus) -> Document:
        """Replace the status, if the rule still has the version of `rule`. Raises Conflict, Missing."""


class Clock(Protocol):
    """The time of day."""

    def now(self) -> datetime:
        """The current time, aware, in UTC."""


@dataclass(frozen=True, slots=True)
class Ports:
    """All ports."""

    resources: Resources
    workloads: Workloads
    sources: Sources
    revisions: Revisions
    schemas: Schemas
    events: EventRecorder
    inventory: Inventory
    telemetry: Telemetry
    clock: Clock
    rules: Rules
