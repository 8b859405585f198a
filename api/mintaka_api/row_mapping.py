"""Maps Kubernetes resources that the mirror saw to database rows. Pure.

Objects are read leniently (`mintaka_core.resources`). If a run's spec cannot be read, its metadata and status are still
stored: its history is complete and its finalizer is removed as usual. An object that cannot be read at all raises
`InvalidResource`.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import orjson
from pydantic import ValidationError

from mintaka_api.decisions import Attempt, Decision
from mintaka_api.queries.mirrored import MirroredRun
from mintaka_api.queries.mirrored_calls import Call
from mintaka_api.queries.vanished import vanished_state, vanished_transition
from mintaka_api.status_rows import attempt_row, clean, condition_columns, transition_row
from mintaka_core.errors import InvalidResource
from mintaka_core.names import GROUP
from mintaka_core.reports import storable
from mintaka_core.resources import FlowDeployment, FlowRun
from mintaka_core.resources.model import Metadata
from mintaka_core.secret_parameters import NO_SECRETS, UNKNOWN, UNKNOWN_SCHEMA, SecretParameters, masked_template
from mintaka_core.states import SCHEDULED
from mintaka_history.enum_codes import STATE_CODES, TERMINAL_CODES, NameKind, RunKind, stored_name
from mintaka_history.json_text import encode_storable
from mintaka_history.timestamps import optional_microseconds, to_microseconds

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mintaka_history.writing.names import Name
    from mintaka_kubernetes import Document

_LATEST_ACCEPTED = 2**31 - 1
#: On ControllerRevisions: the uid of the flow deployment.
_DEPLOYMENT_UID = f"{GROUP}/deployment-uid"
#: The fields that are read from a spec that is not valid as a whole: those by which the run is found.
_KEPT_OF_SPEC = ("deployment",)
#: Replaces a deployment's spec that cannot be read: any parameter of its runs may be secret.
UNREADABLE_SPEC: dict[str, Any] = {"parameterSchema": UNKNOWN_SCHEMA}


@dataclass(frozen=True, slots=True)
class Inherited:
    """What a run inherits from its flow deployment: tags and secret parameters (UNKNOWN if the deployment is not known)."""

    tags: tuple[str, ...] = ()
    secrets: SecretParameters = UNKNOWN


@dataclass(frozen=True, slots=True)
class ObservedRun:
    """A flow run to write, with every transition and attempt seen since it was last written.

    `gone_time` is when it left the cluster (None: it has not, or that is not known).
    """

    run: FlowRun
    transitions: dict[int, Decision]
    gone_time: int | None = None
    attempts: dict[int, Attempt] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class DeploymentVersion:
    """One version of a flow deployment, from a ControllerRevision: `revision` is its name, `generation` grows with each version."""

    deployment: str
    namespace: str
    revision: str
    generation: int
    created: int
    spec: dict[str, Any]


def read_run(document: Document) -> FlowRun:
    """The flow run in `document`, without its spec if that is not valid. Raises InvalidResource."""
    try:
        return read_valid_run(document)
    except InvalidResource as invalid:
        try:
            return FlowRun.model_validate({**document, "spec": _kept_of_spec(document)})
        except ValidationError:
            raise invalid from None


def read_valid_run(document: Document) -> FlowRun:
    """The flow run in `document`. Raises InvalidResource if any part of it is not valid."""
    try:
        return FlowRun.model_validate(document)
    except ValidationError as error:
        raise InvalidResource(_complaint(document, error)) from error


def read_run_json(raw: bytes) -> FlowRun:
    """The flow run in `raw` JSON, like `read_run`."""
    try:
        return FlowRun.model_validate_json(raw)
    except ValidationError:
        return read_run(orjson.loads(raw))


def read_deployment(document: Document) -> FlowDeployment:
    """The flow deployment in `document`, without its spec if that is not valid. Raises InvalidResource."""
    try:
        return read_valid_deployment(document)
    except InvalidResource as invalid:
        try:
            return FlowDeployment.model_validate({**document, "spec": UNREADABLE_SPEC})
        except ValidationError:
            raise invalid from None


def read_valid_deployment(document: Document) -> FlowDeployment:
    """The flow deployment in `document`. Raises InvalidResource if any part of it is not valid."""
    try:
        return FlowDeployment.model_validate(document)
    except ValidationError as error:
        raise InvalidResource(_complaint(document, error)) from error


def read_version(document: Document) -> DeploymentVersion:
    """The version of a flow deployment in a ControllerRevision. Raises InvalidResource."""
    try:
        metadata = document["metadata"]
        found = Metadata.model_validate(metadata)
        created = found.creation_timestamp
        # A deployment that was deleted is not an owner any more, while its runs still are.
        owners = [owner["uid"] for owner in metadata.get("ownerReferences") or () if owner["kind"] == "FlowDeployment"]
        uid = str(uuid.UUID(found.annotations.get(_DEPLOYMENT_UID) or owners[0]))
        spec, generation = document["data"]["spec"], int(document["revision"])
    except (ValidationError, LookupError, TypeError, ValueError, AttributeError) as error:
        message = f"{name_of(document)} is not a version of a flow deployment: {type(error).__name__}: {error}"
        raise InvalidResource(message) from error
    if not isinstance(spec, dict):
        message = f"{name_of(document)} is not a version of a flow deployment: data.spec is not an object"
        raise InvalidResource(message)
    return DeploymentVersion(uid, metadata["namespace"], metadata["name"], generation, optional_microseconds(created) or 0, spec)


def _kept_of_spec(document: Document) -> Document:
    spec = document.get("spec")
    return {name: spec[name] for name in _KEPT_OF_SPEC if isinstance(spec.get(name), str)} if isinstance(spec, dict) else {}


def inherited_from(deployment: FlowDeployment) -> Inherited:
    """What the runs of a deployment inherit from it."""
    # A schema takes memory; one without secrets is not needed.
    return Inherited(deployment.spec.tags, SecretParameters(deployment.spec.parameter_schema) or NO_SECRETS)


def names_of_run(observed: ObservedRun, inherited: Inherited) -> set[Name]:
    """The names that the rows of a run refer to."""
    run = observed.run
    wanted = {(NameKind.NAMESPACE, run.metadata.namespace), *((NameKind.TAG, tag) for tag in tags_of(run, inherited.tags))}
    return wanted | {(NameKind.DEPLOYMENT, run.spec.deployment)} if run.spec.deployment else wanted


def tags_of(run: FlowRun, deployment_tags: tuple[str, ...]) -> tuple[str, ...]:
    """The tags a run can be found by: its own, its template's, its deployment's."""
    template = run.spec.template.tags if run.spec.template else ()
    return tuple(dict.fromkeys(storable(tag) for tag in (*run.spec.tags, *template, *deployment_tags)))


def run_rows(observed: ObservedRun, ids: Mapping[Name, int], inherited: Inherited, cluster: int) -> MirroredRun:
    """The rows of a run of the cluster with id `cluster`; `ids` must contain `names_of_run`."""
    run, metadata, status = observed.run, observed.run.metadata, observed.run.status
    tags = tags_of(run, inherited.tags)
    parameters = shown_parameters(run, inherited.secrets)
    created = optional_microseconds(metadata.creation_timestamp) or 0
    state = status.state
    state_time = to_microseconds(state.time) if state else created
    # Not before the state that it ends: the clocks of API and cluster differ.
    gone_time = None if observed.gone_time is None else max(observed.gone_time, state_time)
    row: dict[str, Any] = {
        "uid": metadata.uid,
        "created": created,
        "scheduled": optional_microseconds(run.spec.scheduled_time),
        "started": optional_microseconds(status.start_time),
        "ended": optional_microseconds(status.end_time),
        "deleted": gone_time,
        "state_time": state_time,
        "next_time": optional_microseconds(status.next_time),
        "resource_version": resource_version(metadata.resource_version),
        "cluster": cluster,
        "ns": ids[NameKind.NAMESPACE, metadata.namespace],
        "deployment": ids[NameKind.DEPLOYMENT, run.spec.deployment] if run.spec.deployment else None,
        "sequence": min(status.sequence, _LATEST_ACCEPTED),
        "attempt": status.attempt,
        "failures": status.failures,
        "crashes": status.crashes,
        "state": STATE_CODES[state.type if state else SCHEDULED],
        "kind": int(RunKind.DEPLOYED),
        "gap": False,
        **condition_columns(status.conditions),
        "name": metadata.name,
        "state_name": stored_name(state.type, state.name) if state else None,
        "reason": clean(state.reason) if state else None,
        "message": clean(state.message) if state else None,
        "pod": status.pod_name,
        "revision": clean(status.revision),
        "tags": encode_storable(tags) if tags else None,
        "parameters": encode_storable(parameters) if parameters else None,
    }
    transitions = [transition_row(observed.transitions[sequence]) for sequence in sorted(observed.transitions)]
    if gone_time is not None and row["state"] not in TERMINAL_CODES:
        transitions.append(vanished_transition(row["sequence"], row["state"], row["attempt"], gone_time))
        row.update(sequence=row["sequence"] + 1, **vanished_state(gone_time))
    attempts = [mapped for number in sorted(observed.attempts) if (mapped := attempt_row(observed.attempts[number])) is not None]
    return MirroredRun(row, transitions, [ids[NameKind.TAG, tag] for tag in tags], attempts, _call_of(run))


def _call_of(run: FlowRun) -> Call | None:
    """The caller of a run; None if it was not called, or its caller does not count as its parent."""
    called_by = run.spec.called_by
    if called_by is None or called_by.detached:
        return None
    try:
        root = str(uuid.UUID(called_by.uid))
        caller = str(uuid.UUID(called_by.flow_run)) if called_by.flow_run else root
        return Call(caller, called_by.task_run, root, final=run.status.is_terminal)
    except ValueError:
        return None


def shown_parameters(run: FlowRun, inherited: SecretParameters) -> dict[str, Any] | None:
    """The run's own parameters without their secrets.

    None while the run is active and it is not known which parameters are secret: the first value written is final. Once the
    run has ended, they are always written.
    """
    if run.spec.template is not None:
        inherited = SecretParameters(run.spec.template.parameter_schema)
    if inherited is UNKNOWN and not run.status.is_terminal:
        return None
    shown: dict[str, Any] | None = inherited.masked(run.spec.parameters)
    return shown


def deployment_row(deployment: FlowDeployment, namespace: int, gone_time: int | None, cluster: int) -> dict[str, Any]:
    """The row of a flow deployment in the namespace with id `namespace` of the cluster with id `cluster`."""
    metadata = deployment.metadata
    return {
        "uid": metadata.uid,
        "cluster": cluster,
        "ns": namespace,
        "name": metadata.name,
        "resource_version": resource_version(metadata.resource_version),
        "created": optional_microseconds(metadata.creation_timestamp) or 0,
        "deleted": gone_time,
        "generation": metadata.generation,
        "tags": encode_storable(deployment.spec.tags) if deployment.spec.tags else None,
        "spec": encode_storable(masked_template(deployment.spec.to_wire())),
        "status": encode_storable(deployment.status.to_wire()),
    }


def resource_version(text: str) -> int:
    """A resourceVersion as a number, since etcd counts; 0 if a server uses another format."""
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 18 else 0  # noqa: PLR2004 - digits of a bigint


def version_row(version: DeploymentVersion) -> dict[str, Any]:
    """The row of a version of a flow deployment."""
    return {
        "deployment": version.deployment,
        "created": version.created,
        "generation": version.generation,
        "revision": version.revision,
        "spec": encode_storable(masked_template(version.spec)),
    }


def name_of(document: Mapping[str, Any]) -> str:
    """An object's name, for messages."""
    metadata = document.get("metadata") if isinstance(document, dict) else None
    return f"{metadata.get('namespace')}/{metadata.get('name')}" if isinstance(metadata, dict) else "an object without metadata"


def _complaint(document: Mapping[str, Any], error: ValidationError) -> str:
    first = error.errors(include_url=False)[0]
    return f"{name_of(document)} cannot be read: {'.'.join(map(str, first['loc']))}: {first['msg']}"
