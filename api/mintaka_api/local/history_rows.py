"""Writes the history of flow runs and deployments from their documents, as the mirror of a cluster does from its watches.

It is written in the transaction that changes the documents, so nothing waits for it, nothing is missed, and a run that is removed before
it ended is recorded as such at once.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import orjson

from mintaka_api.queries import documents, flow_deployments, mirrored, mirrored_deployments, vanished
from mintaka_api.row_mapping import (
    Inherited,
    deployment_row,
    inherited_from,
    names_of_run,
    read_deployment,
    read_version,
    run_rows,
    version_row,
)
from mintaka_api.snapshots import snapshot_of
from mintaka_core.names import LABEL_DEPLOYMENT, LOCAL_CLUSTER
from mintaka_core.secret_parameters import SecretParameters
from mintaka_history.enum_codes import NameKind
from mintaka_history.queries.dialects import SqlalchemySession
from mintaka_history.timestamps import now_microseconds
from mintaka_history.writing.names import assign_ids

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from mintaka_api.local.document_transaction import Change
    from mintaka_api.row_mapping import DeploymentVersion, ObservedRun
    from mintaka_core.resources import FlowDeployment
    from mintaka_history.database import Connection
    from mintaka_history.queries.names import Names
    from mintaka_history.writing.names import Name as StoredName

#: In `flow_runs.cluster`: the resources of the local server that has this database.
CLUSTER_KEY = LOCAL_CLUSTER
#: The number of deployments for which the fields that runs inherit are cached.
_REMEMBERED = 10_000


class HistoryRows:
    """The rows of the history that follow from documents."""

    def __init__(self, names: Names) -> None:
        self._names = names
        #: What the runs of a deployment inherit, by its uid, with the generation that says so.
        self._inherited: dict[str, tuple[int, Inherited]] = {}

    def write(self, connection: Connection, changes: Sequence[Change]) -> None:
        """Write what follows from `changes`, in order."""
        now = now_microseconds()
        deployments = {one.metadata.uid: (one, gone) for one, gone in _deployments(changes, now)}
        versions = {(one.deployment, one.revision): one for one in _versions(changes)}
        runs = list(_runs(changes, now).values())
        inheritances = [self._inheritance(connection, run, changed=set(deployments)) for run in runs]
        wanted = {name for run, inherited in zip(runs, inheritances, strict=True) for name in names_of_run(run, inherited)}
        wanted |= {(NameKind.NAMESPACE, one.metadata.namespace) for one, _ in deployments.values()}
        if not (wanted or versions):
            return
        cluster = NameKind.CLUSTER, CLUSTER_KEY
        ids: Mapping[StoredName, int] = assign_ids(SqlalchemySession(connection), sorted({*wanted, cluster}))  # type: ignore[assignment]
        if deployments:
            rows = [
                deployment_row(one, ids[NameKind.NAMESPACE, one.metadata.namespace], gone, ids[cluster])
                for one, gone in deployments.values()
            ]
            mirrored_deployments.write_deployments(connection, rows)
        if versions:
            mirrored_deployments.write_versions(connection, [version_row(version) for version in versions.values()])
        if runs:
            rows_of_runs = [run_rows(run, ids, inherited, ids[cluster]) for run, inherited in zip(runs, inheritances, strict=True)]
            mirrored.write_runs(connection, rows_of_runs)

    def end_orphans(self, connection: Connection) -> None:
        """Record that runs without a document were deleted: such a row remains if a process reports after both were deleted."""
        cluster = NameKind.CLUSTER, CLUSTER_KEY
        number = assign_ids(SqlalchemySession(connection), [cluster])[cluster]
        live = set(vanished.live_runs(connection, number, None))
        vanished.vanish_runs(connection, live - documents.uids_of(connection, "FlowRun"), now_microseconds(), number)

    def _inheritance(self, connection: Connection, run: ObservedRun, changed: set[str]) -> Inherited:
        """What a run inherits from its deployment, or from the last one of that name.

        That of a deployment which this transaction has `changed` is not cached: the transaction may not be committed.
        """
        key = run.run.metadata.namespace, run.run.spec.deployment or ""
        if not key[1]:
            return Inherited()
        found = documents.generation_of(connection, "FlowDeployment", key)
        if found is None:
            schema = flow_deployments.last_schema(connection, self._names, *key)
            return Inherited() if schema is None else Inherited(secrets=SecretParameters(schema))
        uid, generation = found
        known = self._inherited.get(uid)
        if known is not None and known[0] == generation:
            return known[1]
        text = documents.read(connection, "FlowDeployment", key)
        inherited = inherited_from(read_deployment(orjson.loads(text or "")))
        if uid not in changed:
            if len(self._inherited) >= _REMEMBERED:
                self._inherited.clear()
            self._inherited[uid] = generation, inherited
        return inherited


def _deployments(changes: Iterable[Change], now: int) -> Iterable[tuple[FlowDeployment, int | None]]:
    """The flow deployments that changed, and when they were removed."""
    for kind, document, deleted in changes:
        if kind == "FlowDeployment":
            yield read_deployment(document), now if deleted else None


def _versions(changes: Iterable[Change]) -> Iterable[DeploymentVersion]:
    """The new versions of flow deployments."""
    for kind, document, deleted in changes:
        if kind == "ControllerRevision" and not deleted and LABEL_DEPLOYMENT in (document["metadata"].get("labels") or {}):
            yield read_version(document)


def _runs(changes: Iterable[Change], now: int) -> dict[str, ObservedRun]:
    """The flow runs that changed, by uid, with all decisions and attempts of the versions that they went through."""
    found: dict[str, ObservedRun] = {}
    for kind, document, deleted in changes:
        if kind != "FlowRun":
            continue
        snapshot = snapshot_of(document, 0.0)
        newest = (replace(snapshot, gone_time=now) if deleted else snapshot).parsed()
        earlier = found.get(snapshot.uid)
        if earlier is not None:
            newest = replace(newest, transitions=earlier.transitions | newest.transitions, attempts=earlier.attempts | newest.attempts)
        found[snapshot.uid] = newest
    return found
