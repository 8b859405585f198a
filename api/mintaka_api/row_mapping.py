"""What the mirror saw, as rows: from resources of Kubernetes to columns. Pure.

Objects are read leniently (`mintaka_core.resources`); what cannot be read at all raises `InvalidResource`, which the
mirror counts and passes over, so that one strange object cannot hold up all others.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec
from pydantic import ValidationError

from mintaka_api.queries.mirrored import MirroredRun, vanished_state, vanished_transition
from mintaka_core.errors import InvalidResource
from mintaka_core.names import MIRROR_FINALIZER
from mintaka_core.resources import FlowDeployment, FlowRun
from mintaka_core.resources.runs import TransitionStatus
from mintaka_core.states import SCHEDULED
from mintaka_history.codes import STATE_CODES, TERMINAL_CODES, NameKind, stored_name
from mintaka_history.instants import optional_microseconds, to_microseconds

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mintaka_history.writing.words import Word

_LATEST_ACCEPTED = 2**31 - 1


@dataclass(slots=True)
class RunSnapshot:
    """A flow run as it was last seen, with every transition seen since it was last written.

    `received` is when it was seen (monotonic seconds), `gone_time` when it left the cluster (None: it is there, or that is
    not known), `tombstone` the name and uid of the ConfigMap it was read from.
    """

    run: FlowRun
    transitions: dict[int, TransitionStatus]
    received: float
    gone_time: int | None = None
    tombstone: tuple[str, str] | None = None

    @property
    def uid(self) -> str:
        """The uid of the run."""
        return self.run.metadata.uid

    @property
    def acknowledgeable(self) -> bool:
        """True where, once this is committed, the cluster may let go of the run."""
        metadata = self.run.metadata
        return (
            metadata.deletion_timestamp is not None
            and self.run.status.is_terminal
            and MIRROR_FINALIZER in metadata.finalizers
            and self.gone_time is None
        )

    def merged(self, older: RunSnapshot) -> RunSnapshot:
        """This snapshot with the transitions of one that was not written in time."""
        newest = self if self._order >= older._order else older
        gone_time = self.gone_time if self.gone_time is not None else older.gone_time
        return RunSnapshot(newest.run, older.transitions | self.transitions, older.received, gone_time, self.tombstone or older.tombstone)

    @property
    def _order(self) -> tuple[int, int]:
        return self.run.status.sequence, resource_version(self.run.metadata.resource_version)


def read_run(document: Mapping[str, Any], received: float) -> RunSnapshot:
    """The snapshot of the flow run in `document`."""
    try:
        run = FlowRun.model_validate(document)
    except ValidationError as error:
        raise InvalidResource(_complaint(document, error)) from error
    return RunSnapshot(run, {transition.sequence: transition for transition in run.status.transitions}, received)


def read_deployment(document: Mapping[str, Any]) -> FlowDeployment:
    """The flow deployment in `document`."""
    try:
        return FlowDeployment.model_validate(document)
    except ValidationError as error:
        raise InvalidResource(_complaint(document, error)) from error


def words_of_run(snapshot: RunSnapshot, deployment_tags: tuple[str, ...]) -> set[Word]:
    """The words that the rows of a run refer to."""
    run = snapshot.run
    words = {(NameKind.NAMESPACE, run.metadata.namespace), *((NameKind.TAG, tag) for tag in tags_of(run, deployment_tags))}
    return words | {(NameKind.DEPLOYMENT, run.spec.deployment)} if run.spec.deployment else words


def tags_of(run: FlowRun, deployment_tags: tuple[str, ...]) -> tuple[str, ...]:
    """The tags a run can be found by: its own, its template's, its deployment's."""
    template = run.spec.template.tags if run.spec.template else ()
    return tuple(dict.fromkeys((*run.spec.tags, *template, *deployment_tags)))


def run_rows(snapshot: RunSnapshot, ids: Mapping[Word, int], deployment_tags: tuple[str, ...]) -> MirroredRun:
    """The rows of a run; `ids` knows `words_of_run`."""
    run, metadata, status = snapshot.run, snapshot.run.metadata, snapshot.run.status
    tags = tags_of(run, deployment_tags)
    created = optional_microseconds(metadata.creation_timestamp) or 0
    state = status.state
    history = next((condition.status for condition in status.conditions if condition.type == "HistoryComplete"), None)
    row: dict[str, Any] = {
        "uid": metadata.uid,
        "created": created,
        "scheduled": optional_microseconds(run.spec.scheduled_time),
        "started": optional_microseconds(status.start_time),
        "ended": optional_microseconds(status.end_time),
        "deleted": snapshot.gone_time,
        "state_time": to_microseconds(state.time) if state else created,
        "resource_version": resource_version(metadata.resource_version),
        "ns": ids[NameKind.NAMESPACE, metadata.namespace],
        "deployment": ids[NameKind.DEPLOYMENT, run.spec.deployment] if run.spec.deployment else None,
        "sequence": min(status.sequence, _LATEST_ACCEPTED),
        "attempt": status.attempt,
        "failures": status.failures,
        "crashes": status.crashes,
        "state": STATE_CODES[state.type if state else SCHEDULED],
        "gap": False,
        "history_condition": None if history is None else history != "False",
        "name": metadata.name,
        "state_name": stored_name(state.type, state.name) if state else None,
        "reason": clean(state.reason) if state else None,
        "message": clean(state.message) if state else None,
        "pod": status.pod_name,
        "tags": encoded(tags) if tags else None,
        "parameters": encoded(run.spec.parameters) if run.spec.parameters else None,
    }
    transitions = [_transition_row(snapshot.transitions[sequence]) for sequence in sorted(snapshot.transitions)]
    if snapshot.gone_time is not None and row["state"] not in TERMINAL_CODES:
        transitions.append(vanished_transition(row["sequence"], row["state"], row["attempt"], snapshot.gone_time))
        row.update(sequence=row["sequence"] + 1, **vanished_state(snapshot.gone_time))
    return MirroredRun(row, transitions, [ids[NameKind.TAG, tag] for tag in tags])


def deployment_row(deployment: FlowDeployment, namespace: int, gone_time: int | None) -> dict[str, Any]:
    """The row of a flow deployment in the namespace with id `namespace`."""
    metadata = deployment.metadata
    return {
        "uid": metadata.uid,
        "ns": namespace,
        "name": metadata.name,
        "resource_version": resource_version(metadata.resource_version),
        "created": optional_microseconds(metadata.creation_timestamp) or 0,
        "deleted": gone_time,
        "generation": metadata.generation,
        "tags": encoded(deployment.spec.tags) if deployment.spec.tags else None,
        "spec": encoded(deployment.spec.to_wire()),
        "status": encoded(deployment.status.to_wire()),
    }


def resource_version(text: str) -> int:
    """A resourceVersion as a number, since etcd counts; 0 where a server writes something else."""
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 18 else 0  # noqa: PLR2004 - digits of a bigint


def clean(text: str) -> str | None:
    """Text as the database takes it: without NUL, None for empty."""
    return text.replace("\0", "\N{REPLACEMENT CHARACTER}") or None


def encoded(value: Any) -> str:
    """JSON text without NUL, which PostgreSQL cannot keep."""
    return msgspec.json.encode(value).decode().replace("\\u0000", "\\ufffd")


def _transition_row(transition: TransitionStatus) -> dict[str, Any]:
    return {
        "seq": transition.sequence,
        "at": to_microseconds(transition.time),
        "attempt": transition.attempt,
        "from_state": STATE_CODES[transition.from_type] if transition.from_type else None,
        "to_state": STATE_CODES[transition.to],
        "proposed": STATE_CODES[transition.proposed],
        "name": stored_name(transition.to, transition.name),
        "rule": transition.rule or None,
        "verdict": transition.verdict,
        "reason": clean(transition.reason),
        "message": clean(transition.message),
    }


def _complaint(document: Mapping[str, Any], error: ValidationError) -> str:
    metadata = document.get("metadata") if isinstance(document, dict) else None
    name = f"{metadata.get('namespace')}/{metadata.get('name')}" if isinstance(metadata, dict) else "an object without metadata"
    first = error.errors(include_url=False)[0]
    return f"{name} cannot be read: {'.'.join(map(str, first['loc']))}: {first['msg']}"
