"""Writes batches of what the mirror saw, each in one transaction, without the objects that cannot be written.

Only the leader writes. A replica that was frozen while another took over finds out before it commits, and writes nothing.
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, NamedTuple

from mintaka_api.finalizers import Release, release_of
from mintaka_api.leader import NotLeading
from mintaka_api.queries import flow_deployments, mirrored, mirrored_deployments, vanished
from mintaka_api.row_mapping import Inherited, ObservedRun, deployment_row, names_of_run, run_rows, version_row
from mintaka_api.stored_parameters import StoredParameters
from mintaka_core.errors import InvalidResource
from mintaka_core.secret_parameters import SecretParameters
from mintaka_history.database import DatabaseAway, DatabaseRefusal
from mintaka_history.enum_codes import NameKind

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from mintaka_api.backlog import Batch
    from mintaka_api.finalizers import ReleaseQueue
    from mintaka_api.leader import Leader
    from mintaka_api.metrics import Metrics
    from mintaka_history.database import Connection, Database
    from mintaka_history.queries.names import Names
    from mintaka_history.writing.names import Name

logger = logging.getLogger("mintaka.api.mirror")

#: If this many objects fail and none can be written, the fault is taken for ours.
_SUSPICIOUS = 10
_NAMED_AT_MOST = 3


class _Fault(NamedTuple):
    """Why an object cannot be written; `name` is what messages call it."""

    name: str
    error: Exception


class _Commit(NamedTuple):
    """The result of a batch: rows written, runs that may now leave the cluster, and errors of runs that cannot be read."""

    written: mirrored.Written
    releases: list[Release]
    faults: list[str]


class BatchWriter:
    """Writes batches into a database. `cluster_key` must be set before the first one.

    `inherited` looks up what the runs of a deployment of the cluster inherit, by namespace and name.
    """

    def __init__(
        self,
        database: Database,
        names: Names,
        leader: Leader,
        metrics: Metrics,
        releases: ReleaseQueue,
        inherited: Callable[[tuple[str, str]], Inherited | None],
    ) -> None:
        self.cluster_key = ""
        #: The uid and resource version of the run that was written last; None before.
        self.last_written: tuple[str, int] | None = None
        self._database = database
        self._names = names
        self._leader = leader
        self._metrics = metrics
        self._releases = releases
        self._inherited = inherited
        self.masking = StoredParameters(database, names)

    async def write(self, batch: Batch) -> None:
        """Write `batch` without the objects that cannot be written; raise the fault if it seems to concern every object.

        An object that is left out stays in the cluster, held by its finalizer, and is presented again by the next list.
        """
        faults: list[_Fault] = []
        await self._write_parts(batch, faults)
        unforeseen = [fault.error for fault in faults if not isinstance(fault.error, DatabaseRefusal)]
        if unforeseen and len(faults) == len(batch) >= _SUSPICIOUS:
            raise unforeseen[0]
        for name, error in faults:
            self._metrics.mirror_unreadable.inc()
            trace = None if isinstance(error, DatabaseRefusal) else error
            logger.error("an object cannot be written: %s: %s", error, name, exc_info=trace)

    async def _write_parts(self, batch: Batch, faults: list[_Fault]) -> None:
        """Commit `batch`; if that fails, its halves, down to single objects, whose faults are added to `faults`."""
        try:
            self._leader.check()
            await self.masking.mask(deployment for deployment, gone_time in batch.deployments.values() if gone_time is None)
            commit = await self._database.in_writer(self.commit, batch)
        except (DatabaseAway, NotLeading):
            raise
        except Exception as error:  # noqa: BLE001 - an error in one object must not stop the others
            if len(batch) == 1:
                faults.append(_Fault(", ".join(batch.names()), error))
                return
            for half in batch.halves():
                await self._write_parts(half, faults)
            return
        self._note(batch, commit)

    def _note(self, batch: Batch, commit: _Commit) -> None:
        """Update the metrics, and queue the runs that may now leave the cluster."""
        written = commit.written
        self._metrics.mirror_transitions.inc(written.transitions)
        self._metrics.mirror_gaps.inc(written.gaps)
        self._metrics.mirror_taken_over.inc(len(written.taken_over))
        if written.taken_over:
            logger.warning("%d flow runs of another cluster are now mirrored from this one: %s", *_some(written.taken_over))
        if written.left_alone:
            logger.warning("%d flow runs are mirrored from another cluster, where they are further: %s", *_some(written.left_alone))
        for fault in commit.faults:
            self._metrics.mirror_unreadable.inc()
            logger.error("a flow run is not mirrored: %s", fault)
        gone = (uid for uid, (_, gone_time) in batch.deployments.items() if gone_time is not None)
        self.masking.forget((*gone, *batch.vanished_deployments))
        now = time.monotonic()
        for snapshot in batch.runs:
            self._metrics.mirror_lag_seconds.observe(now - snapshot.received)
            self._releases.discard(snapshot.uid)
        for release in commit.releases:
            self._releases.add(release)

    def commit(self, batch: Batch) -> _Commit:
        """Write `batch` in one transaction (in a writer's thread)."""
        epoch = self._database.epoch
        observed, releases, faults = _parse(batch)
        inheritances = self._inheritances(observed)
        word = NameKind.CLUSTER, self.cluster_key
        wanted = {name for each, inherited in zip(observed, inheritances, strict=True) for name in names_of_run(each, inherited)}
        wanted |= {(NameKind.NAMESPACE, deployment.metadata.namespace) for deployment, _ in batch.deployments.values()} | {word}
        ids = self._names.ids_of(self._database, wanted)
        cluster = ids[word]
        runs = [run_rows(each, ids, inherited, cluster) for each, inherited in zip(observed, inheritances, strict=True)]
        with self._database.writing(epoch=epoch) as connection:
            _write_deployments(connection, batch, ids, cluster)
            written = mirrored.write_runs(connection, runs) if runs else mirrored.Written()
            _vanish(connection, batch, cluster)
            self._leader.check()
        if runs:
            self.last_written = runs[-1].row["uid"], runs[-1].row["resource_version"]
        return _Commit(written, releases, faults)

    def _inheritances(self, runs: list[ObservedRun]) -> list[Inherited]:
        """What each run inherits: from its deployment in the cluster, or from the last deployment of that name."""
        keys = [(each.run.metadata.namespace, each.run.spec.deployment or "") for each in runs]
        known = {key: found for key in set(keys) if (found := self._inherited(key)) is not None}
        unknown = {key for key in keys if key[1] and key not in known}
        if unknown:
            with self._database.writing() as connection:
                for namespace, name in unknown:
                    schema = flow_deployments.last_schema(connection, self._names, namespace, name)
                    known[namespace, name] = Inherited() if schema is None else Inherited(secrets=SecretParameters(schema))
        return [known.get(key, Inherited()) for key in keys]


def _some(names: tuple[str, ...]) -> tuple[int, str]:
    return len(names), ", ".join(names[:_NAMED_AT_MOST]) + (", …" if len(names) > _NAMED_AT_MOST else "")


def _parse(batch: Batch) -> tuple[list[ObservedRun], list[Release], list[str]]:
    """The runs of a batch; what may leave the cluster once they are committed; the errors of those that cannot be read."""
    runs, releases, faults = [], [], []
    for snapshot in batch.runs:
        try:
            observed = snapshot.parsed()
        except InvalidResource as error:
            faults.append(str(error))
            continue
        runs.append(observed)
        if (release := release_of(observed, snapshot.tombstone)) is not None:
            releases.append(release)
    return runs, releases, faults


def _write_deployments(connection: Connection, batch: Batch, ids: Mapping[Name, int], cluster: int) -> None:
    if batch.deployments:
        rows = [
            deployment_row(deployment, ids[NameKind.NAMESPACE, deployment.metadata.namespace], gone_time, cluster)
            for deployment, gone_time in batch.deployments.values()
        ]
        mirrored_deployments.write_deployments(connection, rows)
    if batch.versions:
        mirrored_deployments.write_versions(connection, [version_row(version) for version in batch.versions.values()])


def _vanish(connection: Connection, batch: Batch, cluster: int) -> None:
    if batch.vanished_runs:
        vanished.vanish_runs(connection, batch.vanished_runs, max(batch.vanished_runs.values()), cluster)
    if batch.vanished_deployments:
        uids = batch.vanished_deployments
        mirrored_deployments.vanish_deployments(connection, uids, max(uids.values()), cluster)
