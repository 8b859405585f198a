"""The mirror: records every state of every flow run of the cluster in the database, without gaps.

Informers add what they observe to a backlog; one writer takes batches from it and commits each in one transaction; only
then may a finished run leave the cluster. While the database is unavailable, the backlog collects changes and lists wait;
while the cluster is unavailable, the database still answers. Repeated and out-of-order events change nothing, so several
replicas may mirror the same cluster.
"""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING, NamedTuple

from mintaka_api.backlog import Backlog, Batch
from mintaka_api.event_handlers import FlowDeploymentHandler, FlowRunHandler, Intake, TombstoneHandler
from mintaka_api.finalizers import Release, ReleaseQueue, release_of
from mintaka_api.queries import flow_deployments, mirrored
from mintaka_api.row_mapping import Inherited, ObservedRun, deployment_row, names_of_run, run_rows
from mintaka_api.stored_parameters import StoredParameters
from mintaka_core.errors import InvalidResource
from mintaka_core.names import LABEL_TOMBSTONE
from mintaka_core.secret_parameters import SecretParameters
from mintaka_history.database import DatabaseAway, DatabaseRefusal
from mintaka_history.enum_codes import NameKind
from mintaka_kubernetes import CONFIG_MAPS, FLOW_DEPLOYMENTS, FLOW_RUNS, Informer

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from sqlalchemy import Connection

    from mintaka_api.cluster import Cluster
    from mintaka_api.metrics import Metrics
    from mintaka_api.settings import Settings
    from mintaka_history.database import Database
    from mintaka_history.queries.names import Names
    from mintaka_kubernetes import EventHandler, Resource

logger = logging.getLogger("mintaka.api.mirror")

_BATCH = 500
#: Lists pause while more than this many objects wait to be written.
_BACKLOG_MARK = 2000
#: Between two batches, so that under load several versions of a run, and several runs, share a transaction.
_PAUSE_SECONDS = 0.1
_PAGE_SIZE = 500
_HEAD_START_SECONDS = 10.0
_LONGEST_WAIT_SECONDS = 5.0
#: If this many objects fail and none can be written, the fault is taken for ours.
_SUSPICIOUS = 10


class _Fault(NamedTuple):
    """Why an object cannot be written; `name` is what messages call it."""

    name: str
    error: Exception


class _Commit(NamedTuple):
    """The result of a batch: rows written, runs that may now leave the cluster, and errors of runs that cannot be read."""

    written: mirrored.Written
    releases: list[Release]
    faults: list[str]


class Mirror:
    """Mirrors the flow deployments and flow runs of some namespaces (by default all) into a database."""

    def __init__(self, database: Database, names: Names, cluster: Cluster, settings: Settings, metrics: Metrics) -> None:
        """Prepare the mirror; `run` does the work."""
        self._database = database
        self._names = names
        self._cluster = cluster
        self._metrics = metrics
        self._backlog = Backlog()
        self._wake = asyncio.Event()
        self._written = asyncio.Event()
        self._releases = ReleaseQueue(cluster, metrics)
        self._masking = StoredParameters(database, names)
        self._problem = ""
        intake = Intake(self._backlog, self._wake.set, self._room)
        tombstones = TombstoneHandler(intake)
        self._tombstones = self._informer(CONFIG_MAPS, settings.release_namespace, tombstones, selector=f"{LABEL_TOMBSTONE}=true")
        self._deployment_handlers: list[FlowDeploymentHandler] = []
        self._deployments: list[Informer] = []
        self._runs: list[Informer] = []
        for namespace in settings.namespaces or (None,):
            deployments = FlowDeploymentHandler(intake, self._stored(mirrored.live_deployments, namespace))
            self._deployment_handlers.append(deployments)
            self._deployments.append(self._informer(FLOW_DEPLOYMENTS, namespace, deployments))
            runs = FlowRunHandler(intake, self._stored(mirrored.live_runs, namespace))
            self._runs.append(self._informer(FLOW_RUNS, namespace, runs))

    def _informer(self, resource: Resource, namespace: str | None, handler: EventHandler, *, selector: str = "") -> Informer:
        def count(what: str) -> None:
            if what == "unreadable":
                self._metrics.mirror_unreadable.inc()

        return Informer(self._cluster, resource, namespace, handler, selector=selector, page_size=_PAGE_SIZE, count=count)

    @property
    def _informers(self) -> tuple[Informer, ...]:
        return (*self._deployments, self._tombstones, *self._runs)

    def problem(self) -> str:
        """What is wrong, in a sentence; "" if the mirror is up to date."""
        return self._problem or next((informer.problem for informer in self._informers if informer.problem), "")

    async def run(self) -> None:
        """Mirror forever; restart after an unexpected failure of any part. Nothing that was seen is lost.

        Deployments come first, since runs inherit from them, and tombstones, since they say how vanished runs ended.
        """
        while True:
            try:
                await self._run()
            except Exception as error:
                self._problem = f"it failed and begins anew: {error!r}"
                logger.exception("the mirror failed and begins anew")
                await asyncio.sleep(_LONGEST_WAIT_SECONDS)

    async def _run(self) -> None:
        for informer in self._informers:
            informer.forget()
        self._wake.set()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._write_batches())
            tasks.create_task(self._releases.run())
            first = (*self._deployments, self._tombstones)
            for informer in first:
                tasks.create_task(informer.run())
            await asyncio.wait([asyncio.ensure_future(informer.settled.wait()) for informer in first], timeout=_HEAD_START_SECONDS)
            for informer in self._runs:
                tasks.create_task(informer.run())

    def observe(self) -> None:
        """Update the gauges."""
        oldest = self._backlog.oldest
        self._metrics.mirror_backlog.set(len(self._backlog))
        self._metrics.mirror_oldest_seconds.set(0 if oldest is None else time.monotonic() - oldest)

    async def _room(self) -> None:
        """Wait until the backlog is small enough for another page."""
        while len(self._backlog) > _BACKLOG_MARK:
            self._written.clear()
            await self._written.wait()

    async def _write_batches(self) -> None:
        wait = 0.1
        while True:
            await self._wake.wait()
            self._wake.clear()
            while batch := self._backlog.take(_BATCH):
                try:
                    await self._write(batch)
                except DatabaseAway as away:
                    self._backlog.put_back()
                    self._names.forget()
                    self._metrics.mirror_errors.inc()
                    self._problem = str(away)
                    logger.warning("%d objects wait to be written: %s", len(self._backlog), away)
                    await asyncio.sleep(wait)
                    wait = min(wait * 2, _LONGEST_WAIT_SECONDS)
                    continue
                except BaseException:
                    self._backlog.put_back()
                    raise
                self._backlog.forget_taken()
                self._written.set()
                self._problem = ""
                wait = 0.1
                if len(self._backlog) < _BATCH:
                    await asyncio.sleep(_PAUSE_SECONDS)

    async def _write(self, batch: Batch) -> None:
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
            await self._masking.mask(deployment for deployment, gone_time in batch.deployments.values() if gone_time is None)
            commit = await self._database.in_writer(self._commit, batch)
        except DatabaseAway:
            raise
        except Exception as error:  # noqa: BLE001 - no object may stop the others, whatever is the matter with it
            if len(batch) == 1:
                faults.append(_Fault(", ".join(batch.names()), error))
                return
            for half in batch.halves():
                await self._write_parts(half, faults)
            return
        self._note(batch, commit)

    def _note(self, batch: Batch, commit: _Commit) -> None:
        """Update the metrics, and queue the runs that may now leave the cluster."""
        self._metrics.mirror_transitions.inc(commit.written.transitions)
        self._metrics.mirror_gaps.inc(commit.written.gaps)
        for fault in commit.faults:
            self._metrics.mirror_unreadable.inc()
            logger.error("a flow run is not mirrored: %s", fault)
        gone = (uid for uid, (_, gone_time) in batch.deployments.items() if gone_time is not None)
        self._masking.forget((*gone, *batch.vanished_deployments))
        now = time.monotonic()
        for snapshot in batch.runs:
            self._metrics.mirror_lag_seconds.observe(now - snapshot.received)
            self._releases.discard(snapshot.uid)
        for release in commit.releases:
            self._releases.add(release)

    def _commit(self, batch: Batch) -> _Commit:
        """Write `batch` in one transaction (in a writer's thread)."""
        observed, releases, faults = _parse(batch)
        inheritances = self._inheritances(observed)
        wanted = {name for each, inherited in zip(observed, inheritances, strict=True) for name in names_of_run(each, inherited)}
        wanted |= {(NameKind.NAMESPACE, deployment.metadata.namespace) for deployment, _ in batch.deployments.values()}
        ids = self._names.ids_of(self._database, wanted)
        runs = [run_rows(each, ids, inherited) for each, inherited in zip(observed, inheritances, strict=True)]
        deployments = [
            deployment_row(deployment, ids[NameKind.NAMESPACE, deployment.metadata.namespace], gone_time)
            for deployment, gone_time in batch.deployments.values()
        ]
        with self._database.writing() as connection:
            if deployments:
                mirrored.write_deployments(connection, deployments)
            written = mirrored.write_runs(connection, runs) if runs else mirrored.Written(0, 0)
            _vanish(connection, batch)
        return _Commit(written, releases, faults)

    def _inheritances(self, runs: list[ObservedRun]) -> list[Inherited]:
        """What each run inherits: from its deployment in the cluster, or from the last deployment of that name."""
        keys = [(each.run.metadata.namespace, each.run.spec.deployment or "") for each in runs]
        known = {key: found for key in set(keys) for handler in self._deployment_handlers if (found := handler.inherited.get(key))}
        unknown = {key for key in keys if key[1] and key not in known}
        if unknown:
            with self._database.writing() as connection:
                for namespace, name in unknown:
                    schema = flow_deployments.last_schema(connection, self._names, namespace, name)
                    known[namespace, name] = Inherited() if schema is None else Inherited(secrets=SecretParameters(schema))
        return [known.get(key, Inherited()) for key in keys]

    def _stored(
        self, query: Callable[[Connection, int | None], dict[str, str]], namespace: str | None
    ) -> Callable[[], Awaitable[dict[str, str]]]:
        """A database query that is retried until it succeeds."""

        async def ask() -> dict[str, str]:
            while True:
                try:
                    number = None
                    if namespace is not None:
                        word = (NameKind.NAMESPACE, namespace)
                        number = (await self._database.in_writer(self._names.ids_of, self._database, {word}))[word]
                    return await self._database.read(query, number)
                except DatabaseAway as away:
                    self._problem = str(away)
                    await asyncio.sleep(1)

        return ask


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


def _vanish(connection: Connection, batch: Batch) -> None:
    for uids, vanish in ((batch.vanished_runs, mirrored.vanish_runs), (batch.vanished_deployments, mirrored.vanish_deployments)):
        if uids:
            vanish(connection, uids, max(uids.values()))
