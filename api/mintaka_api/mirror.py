"""The mirror: records every state of every flow run of the cluster in the database, without gaps.

Informers add what they observe to a backlog; one writer takes batches from it and commits each in one transaction; only
then may a finished run leave the cluster. While the database is unavailable, the backlog collects changes and lists wait;
while the cluster is unavailable, the database still answers. Of several replicas the leader mirrors (`leader.py`). Repeated
and out-of-order events change nothing, so one that takes over begins with lists, of which it skips what is stored.
"""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING

from mintaka_api.backlog import Backlog
from mintaka_api.batch_writer import BatchWriter
from mintaka_api.cluster_key import UnknownCluster, read_cluster_key
from mintaka_api.event_handlers import FlowDeploymentHandler, FlowRunHandler, Intake, TombstoneHandler, VersionHandler
from mintaka_api.finalizers import ReleaseQueue
from mintaka_api.leader import Leader, NotLeading
from mintaka_api.queries import mirrored, mirrored_deployments, vanished
from mintaka_core.errors import MintakaError
from mintaka_core.names import LABEL_DEPLOYMENT, LABEL_TOMBSTONE
from mintaka_history.database import DatabaseAway
from mintaka_history.enum_codes import NameKind
from mintaka_kubernetes import CONFIG_MAPS, CONTROLLER_REVISIONS, FLOW_DEPLOYMENTS, FLOW_RUNS, Informer

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from mintaka_api.cluster import Cluster
    from mintaka_api.metrics import Metrics
    from mintaka_api.row_mapping import Inherited
    from mintaka_api.settings import Settings
    from mintaka_history.database import Connection, Database
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
#: How often it is checked whether the database still has what was written: after each loss of the connection, and otherwise.
_RECONNECTED_SECONDS, _CHECK_SECONDS = 1.0, 10.0


class DatabaseReplaced(MintakaError):
    """The database lacks what was written: a backup was restored, or a replica that was behind took over."""


class Mirror:
    """Mirrors the flow deployments and flow runs of some namespaces (by default all) into a database."""

    def __init__(
        self, database: Database, names: Names, cluster: Cluster, settings: Settings, metrics: Metrics, leader: Leader | None = None
    ) -> None:
        """Prepare the mirror; `run` does the work, if this replica is the `leader` (None: it is)."""
        self._database = database
        self._names = names
        self._cluster = cluster
        self._settings = settings
        self._metrics = metrics
        self._leader = leader or Leader(None, settings)
        self._backlog = Backlog()
        self._wake = asyncio.Event()
        self._written = asyncio.Event()
        self._releases = ReleaseQueue(cluster, metrics)
        self.writer = BatchWriter(database, names, self._leader, metrics, self._releases, self._inherited)
        self._problem = ""
        self._intake = Intake(self._backlog, self._wake.set, self._room)
        tombstones = TombstoneHandler(self._intake)
        self._tombstones = self._informer(CONFIG_MAPS, settings.release_namespace, tombstones, selector=f"{LABEL_TOMBSTONE}=true")
        self._deployment_handlers: list[FlowDeploymentHandler] = []
        self._deployments: list[Informer] = []
        self._versions: list[Informer] = []
        self._runs: list[Informer] = []
        for namespace in settings.namespaces or (None,):
            self._add_informers(namespace)

    def _add_informers(self, namespace: str | None) -> None:
        deployments = FlowDeploymentHandler(self._intake, self._stored(mirrored_deployments.live_deployments, namespace))
        self._deployment_handlers.append(deployments)
        self._deployments.append(self._informer(FLOW_DEPLOYMENTS, namespace, deployments))
        versions = VersionHandler(self._intake)
        self._versions.append(self._informer(CONTROLLER_REVISIONS, namespace, versions, selector=LABEL_DEPLOYMENT))
        runs = FlowRunHandler(self._intake, self._stored(vanished.live_runs, namespace, self._expect))
        self._runs.append(self._informer(FLOW_RUNS, namespace, runs))

    def _informer(self, resource: Resource, namespace: str | None, handler: EventHandler, *, selector: str = "") -> Informer:
        def count(what: str) -> None:
            if what == "unreadable":
                self._metrics.mirror_unreadable.inc()

        return Informer(self._cluster, resource, namespace, handler, selector=selector, page_size=_PAGE_SIZE, count=count)

    def _inherited(self, key: tuple[str, str]) -> Inherited | None:
        return next((found for handler in self._deployment_handlers if (found := handler.inherited.get(key)) is not None), None)

    @property
    def _informers(self) -> tuple[Informer, ...]:
        return (*self._deployments, *self._versions, self._tombstones, *self._runs)

    def problem(self) -> str:
        """What is wrong, in a sentence; "" if the mirror is up to date, or another replica mirrors.

        Without permission to read ControllerRevisions, versions of deployments are not stored, and all else is: that is logged.
        """
        if not self._leader.leading:
            return self._leader.problem
        unneeded = {id(informer) for informer in self._versions if informer.refused}
        return self._problem or next((one.problem for one in self._informers if one.problem and id(one) not in unneeded), "")

    async def run(self) -> None:
        """Mirror until cancelled; restart after an unexpected failure of any part. Nothing that was seen is lost.

        Deployments come first, since runs inherit from them, and tombstones, since they say how vanished runs ended. What an
        earlier call has seen is dropped: another replica may have mirrored since.
        """
        self._backlog.clear()
        self._releases.clear()
        await self._learn_key()
        while True:
            try:
                await self._run()
            except Exception as error:
                if isinstance(error, ExceptionGroup) and error.subgroup(DatabaseReplaced):
                    logger.warning("the database lacks what was written to it: everything is listed again")
                    self._names.forget()
                    continue
                self._problem = f"it failed and begins anew: {error!r}"
                logger.exception("the mirror failed and begins anew")
                await asyncio.sleep(_LONGEST_WAIT_SECONDS)

    async def _learn_key(self) -> None:
        """Find out which cluster this is, for as long as it takes."""
        wait = 0.2
        while not self.writer.cluster_key:
            try:
                self.writer.cluster_key = await read_cluster_key(self._cluster, self._settings)
            except UnknownCluster as unknown:
                if self._problem != str(unknown):
                    logger.warning("%s; trying again", unknown)
                self._problem = str(unknown)
                await asyncio.sleep(wait)
                wait = min(wait * 2, _LONGEST_WAIT_SECONDS)
        self._problem = ""

    async def _run(self) -> None:
        for informer in self._informers:
            informer.forget()
        self.writer.last_written = None
        self._wake.set()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._write_batches())
            tasks.create_task(self._check_database())
            tasks.create_task(self._releases.run())
            first = (*self._deployments, *self._versions, self._tombstones)
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
                    await self.writer.write(batch)
                except (DatabaseAway, NotLeading) as error:
                    self._backlog.put_back()
                    self._put_off(error)
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

    def _put_off(self, error: DatabaseAway | NotLeading) -> None:
        """Say why nothing was written. A replica that no longer leads is about to be cancelled."""
        if isinstance(error, DatabaseAway):
            self._names.forget()
            self._metrics.mirror_errors.inc()
            self._problem = str(error)
        logger.warning("%d objects wait to be written: %s", len(self._backlog), error)

    def _expect(self, known: dict[str, str]) -> None:
        """Note the newest of the stored runs: if the database lacks it later, it was replaced."""
        if known and self.writer.last_written is None:
            uid = max(known, key=lambda uid: int(known[uid]))
            self.writer.last_written = uid, int(known[uid])

    async def _check_database(self) -> None:
        """Raise DatabaseReplaced if the database lacks the run that was written last."""
        epoch, checked = self._database.epoch, time.monotonic()
        while True:
            await asyncio.sleep(_RECONNECTED_SECONDS)
            reconnected = self._database.epoch != epoch
            if not reconnected and time.monotonic() - checked < _CHECK_SECONDS:
                continue
            now, expected = self._database.epoch, self.writer.last_written
            try:
                found = await self._database.read(mirrored.resource_version_of, expected[0]) if expected else None
            except DatabaseAway:
                continue
            if (expected and (found is None or found < expected[1])) or (reconnected and not expected):
                raise DatabaseReplaced(self._database.url.database or "")
            epoch, checked = now, time.monotonic()

    def _stored(
        self,
        query: Callable[[Connection, int, int | None], dict[str, str]],
        namespace: str | None,
        note: Callable[[dict[str, str]], None] = lambda _known: None,
    ) -> Callable[[], Awaitable[dict[str, str]]]:
        """A query for what is stored of this cluster, retried until it succeeds; its result is given to `note` as well."""

        async def ask() -> dict[str, str]:
            while True:
                try:
                    known = await self._database.in_writer(self._ask, query, namespace)
                except DatabaseAway as away:
                    self._names.forget()
                    self._problem = str(away)
                    await asyncio.sleep(1)
                else:
                    note(known)
                    return known

        return ask

    def _ask(self, query: Callable[[Connection, int, int | None], dict[str, str]], namespace: str | None) -> dict[str, str]:
        epoch = self._database.epoch
        cluster = (NameKind.CLUSTER, self.writer.cluster_key)
        place = None if namespace is None else (NameKind.NAMESPACE, namespace)
        ids = self._names.ids_of(self._database, {cluster} if place is None else {cluster, place})
        with self._database.writing(epoch=epoch) as connection:
            return query(connection, ids[cluster], None if place is None else ids[place])
