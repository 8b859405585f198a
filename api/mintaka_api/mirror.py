"""The mirror: every state of every flow run in the cluster, in the database, gap-free.

Informers put what they see into a backlog; one writer takes batches from it, each committed in one transaction; only
then is the cluster told that it may forget a finished run. While the database is away the backlog keeps everything;
while the cluster is away the database keeps answering. Whatever is repeated or comes out of order changes nothing, so
several replicas may mirror the same cluster.
"""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING

from mintaka_api.backlog import Backlog, Batch
from mintaka_api.cluster import CONFIG_MAPS, FLOW_DEPLOYMENTS, FLOW_RUNS
from mintaka_api.event_handlers import FlowDeploymentHandler, FlowRunHandler, TombstoneHandler
from mintaka_api.finalizers import ReleaseQueue
from mintaka_api.informer import Informer
from mintaka_api.queries import mirrored
from mintaka_api.row_mapping import deployment_row, run_rows, words_of_run
from mintaka_core.names import LABEL_TOMBSTONE
from mintaka_history.codes import NameKind
from mintaka_history.database import DatabaseAway, DatabaseRefusal

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy import Connection

    from mintaka_api.cluster import Cluster
    from mintaka_api.metrics import Metrics
    from mintaka_history.database import Database
    from mintaka_history.queries.names import Names

logger = logging.getLogger("mintaka.api.mirror")

_BATCH = 500
_HEAD_START_SECONDS = 10.0
_LONGEST_WAIT_SECONDS = 5.0


class Mirror:
    """Mirrors the flow deployments and flow runs of some namespaces (none named: of all) into a database."""

    def __init__(self, database: Database, names: Names, cluster: Cluster, namespaces: tuple[str, ...], metrics: Metrics) -> None:
        """Prepare; `run` does the work."""
        self._database = database
        self._names = names
        self._metrics = metrics
        self._backlog = Backlog()
        self._wake = asyncio.Event()
        self._releases = ReleaseQueue(cluster, metrics)
        self._problem = ""
        self._deployments: list[Informer] = []
        self._tombstones: list[Informer] = []
        self._runs: list[Informer] = []
        self._deployment_handlers: list[FlowDeploymentHandler] = []
        wake = self._wake.set
        for namespace in namespaces or (None,):
            deployments = FlowDeploymentHandler(self._backlog, wake, self._stored(mirrored.live_deployments, namespace), metrics)
            self._deployment_handlers.append(deployments)
            self._deployments.append(Informer(cluster, FLOW_DEPLOYMENTS, namespace, deployments))
            tombstones = TombstoneHandler(self._backlog, wake, metrics)
            self._tombstones.append(Informer(cluster, CONFIG_MAPS, namespace, tombstones, selector=f"{LABEL_TOMBSTONE}=true"))
            runs = FlowRunHandler(self._backlog, wake, self._stored(mirrored.live_runs, namespace), metrics)
            self._runs.append(Informer(cluster, FLOW_RUNS, namespace, runs))

    def problem(self) -> str:
        """What is not well, in a sentence; "" where the mirror is up to date."""
        informers = (*self._deployments, *self._tombstones, *self._runs)
        return self._problem or next((informer.problem for informer in informers if informer.problem), "")

    async def run(self) -> None:
        """Mirror for ever, and begin anew where a part of it fails in a way that nobody foresaw: nothing seen is lost.

        Deployments come first, since runs inherit their tags, and tombstones, since they say how vanished runs ended.
        """
        while True:
            try:
                await self._run()
            except Exception as error:
                self._problem = f"it failed and begins anew: {error!r}"
                logger.exception("the mirror failed and begins anew")
                await asyncio.sleep(_LONGEST_WAIT_SECONDS)

    async def _run(self) -> None:
        for informer in (*self._deployments, *self._tombstones, *self._runs):
            informer.forget()
        self._wake.set()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._write_batches())
            tasks.create_task(self._releases.run())
            first = (*self._deployments, *self._tombstones)
            for informer in first:
                tasks.create_task(informer.run())
            await asyncio.wait([asyncio.ensure_future(informer.synced.wait()) for informer in first], timeout=_HEAD_START_SECONDS)
            for informer in self._runs:
                tasks.create_task(informer.run())

    def observe(self) -> None:
        """Bring the gauges up to date."""
        oldest = self._backlog.oldest
        self._metrics.mirror_backlog.set(len(self._backlog))
        self._metrics.mirror_oldest_seconds.set(0 if oldest is None else time.monotonic() - oldest)

    async def _write_batches(self) -> None:
        wait = 0.1
        while True:
            await self._wake.wait()
            self._wake.clear()
            while batch := self._backlog.take(_BATCH):
                try:
                    await self._write(batch)
                    self._problem = ""
                    wait = 0.1
                except DatabaseAway as away:
                    self._backlog.put_back(batch)
                    self._names.forget()
                    self._metrics.mirror_errors.inc()
                    self._problem = str(away)
                    logger.warning("%d objects wait to be written: %s", len(self._backlog), away)
                    await asyncio.sleep(wait)
                    wait = min(wait * 2, _LONGEST_WAIT_SECONDS)
                except BaseException:
                    self._backlog.put_back(batch)
                    raise

    async def _write(self, batch: Batch) -> None:
        """Commit `batch`, without those of its objects that the database does not take."""
        try:
            written = await self._database.in_writer(self._commit, batch)
        except DatabaseRefusal as refusal:
            if len(batch) == 1:
                self._metrics.mirror_unreadable.inc()
                logger.error("an object cannot be written: %s: %s", refusal, batch)  # noqa: TRY400 - the message says it all
                return
            for half in batch.halves():
                await self._write(half)
            return
        self._metrics.mirror_transitions.inc(written.transitions)
        self._metrics.mirror_gaps.inc(written.gaps)
        now = time.monotonic()
        for snapshot in batch.runs:
            self._metrics.mirror_lag_seconds.observe(now - snapshot.received)
            self._releases.add(snapshot)

    def _commit(self, batch: Batch) -> mirrored.Written:
        """Write `batch` in one transaction (in a writer's thread)."""
        tags = [self._deployment_tags(snapshot.run.metadata.namespace, snapshot.run.spec.deployment) for snapshot in batch.runs]
        words = {word for snapshot, inherited in zip(batch.runs, tags, strict=True) for word in words_of_run(snapshot, inherited)}
        words |= {(NameKind.NAMESPACE, deployment.metadata.namespace) for deployment, _ in batch.deployments.values()}
        ids = self._names.given(self._database, words)
        runs = [run_rows(snapshot, ids, inherited) for snapshot, inherited in zip(batch.runs, tags, strict=True)]
        deployments = [
            deployment_row(deployment, ids[NameKind.NAMESPACE, deployment.metadata.namespace], gone_time)
            for deployment, gone_time in batch.deployments.values()
        ]
        with self._database.writing() as connection:
            if deployments:
                mirrored.write_deployments(connection, deployments)
            written = mirrored.write_runs(connection, runs) if runs else mirrored.Written(0, 0)
            _vanish(connection, batch)
        return written

    def _deployment_tags(self, namespace: str, deployment: str | None) -> tuple[str, ...]:
        if deployment is None:
            return ()
        return next((tags for handler in self._deployment_handlers if (tags := handler.tags.get((namespace, deployment)))), ())

    def _stored(self, query: Callable[[Connection, int | None], set[str]], namespace: str | None) -> Callable[[], asyncio.Future[set[str]]]:
        """A question to the database that is asked until it is answered."""

        async def ask() -> set[str]:
            while True:
                try:
                    number = None
                    if namespace is not None:
                        word = (NameKind.NAMESPACE, namespace)
                        number = (await self._database.in_writer(self._names.given, self._database, {word}))[word]
                    return await self._database.read(query, number)
                except DatabaseAway as away:
                    self._problem = str(away)
                    await asyncio.sleep(1)

        return lambda: asyncio.ensure_future(ask())


def _vanish(connection: Connection, batch: Batch) -> None:
    for uids, vanish in ((batch.vanished_runs, mirrored.vanish_runs), (batch.vanished_deployments, mirrored.vanish_deployments)):
        if uids:
            vanish(connection, uids, max(uids.values()))
