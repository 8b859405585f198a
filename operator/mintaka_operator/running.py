"""The operator as a whole: wait for leadership, learn what is there, then reconcile until told to stop."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
from functools import partial
from typing import TYPE_CHECKING, Any

from mintaka_kubernetes import Leadership, LeaseLost
from mintaka_operator import metrics, paths
from mintaka_operator.cluster import Cluster
from mintaka_operator.handlers import KopfThread
from mintaka_operator.informing import OUR_PODS, Informer
from mintaka_operator.queueing import WorkQueue
from mintaka_operator.relisting import Relister
from mintaka_operator.serving import serve
from mintaka_operator.stores import name_of, version_of
from mintaka_operator.working import Key, Worker
from mintaka_operator.world import World

if TYPE_CHECKING:
    from mintaka_operator.settings import Settings
    from mintaka_operator.stores import Name

_logger = logging.getLogger(__name__)

_OK, _LOST = 0, 1


class Operator:
    """One replica."""

    def __init__(self, world: World, leadership: Leadership) -> None:
        self._world = world
        self._leadership = leadership
        self._queue: WorkQueue[Key] = WorkQueue()
        world.wrote = self._wrote
        self._loop = asyncio.get_running_loop()
        self._relister = Relister(world, self.observe, self._wake_run)
        self._informers = [self._pod_informer(namespace) for namespace in world.settings.namespaces or (None,)]
        self._run_informers = [self._run_informer(namespace) for namespace in world.settings.namespaces or (None,)]
        self._kopf: KopfThread | None = None
        self._leading = False

    def _pod_informer(self, namespace: str | None) -> Informer:
        return Informer(self._world.cluster, paths.pods, namespace, self._world.pods, partial(self.observe, "pods"), labelSelector=OUR_PODS)

    def _run_informer(self, namespace: str | None) -> Informer:
        return Informer(self._world.cluster, paths.flow_runs, namespace, self._world.runs, partial(self.observe, "flowruns"))

    def health(self) -> dict[str, str]:
        """What must be well for the process to be worth keeping."""
        return {
            "pods": "the pod watch is deaf" if any(informer.deaf for informer in self._informers) else "",
            "runs": "the flow run watch is deaf" if any(informer.deaf for informer in self._run_informers) else "",
            "resources": "the resource watch is deaf: relisting finds what it missed" if self._relister.deaf else "",
        }

    def ready(self) -> dict[str, str]:
        """A standby is ready to take over; a leader is, once it knows its pods."""
        synced = all(informer.synced.is_set() for informer in self._informers)
        watching = self._kopf is not None and self._kopf.ready.is_set()
        return {
            "pods": "" if synced or not self._leading else "still listing",
            "resources": "" if watching or not self._leading else "not watched yet",
        }

    def collect(self) -> None:
        """Bring gauges up to date."""
        metrics.QUEUE_DEPTH.set(len(self._queue))
        for state, count in self._world.runs.states.items():
            metrics.RUNS.labels(state or "new").set(count)

    def observe(self, plural: str, kind: str | None, resource: dict[str, Any]) -> None:
        """Take in what a watch or a relist says of an object."""
        key = name_of(resource)
        uid = resource["metadata"].get("uid")
        if plural == "pods":
            run = self._world.pods.remove(key, uid) if kind == "DELETED" else self._world.pods.put(resource)
            if run:
                self._wake_run(run, 0 if kind == "DELETED" else version_of(resource))
            return
        store = self._world.runs if plural == "flowruns" else self._world.deployments
        known = store.get(key)
        changed = store.remove(key, uid) if kind == "DELETED" else store.put(resource)
        if not changed:
            return
        if plural == "flowdeployments":
            self._queue.add(Key("deployment", *key))
            return
        self._wake_run(key, version_of(resource))
        if kind == "DELETED" and known and known.deployment:
            self._queue.add_after(Key("deployment", key[0], known.deployment), 5.0)

    def _observe_from_kopf(self, plural: str, kind: str | None, resource: dict[str, Any]) -> None:
        self._loop.call_soon_threadsafe(self.observe, plural, kind, resource)

    def _wake_run(self, run: Name, version: int = 0) -> None:
        self._queue.add(Key("run", *run), version)

    def _wrote(self, run: Name, version: int) -> None:
        self._queue.wrote(Key("run", *run), version)

    async def lead(self) -> None:
        """Acquire the Lease, then reconcile until cancelled. Raises LeaseLost."""
        await self._leadership.acquire()
        self._leading = True
        kopf = self._kopf = KopfThread(self._world.cluster.credentials, self._world.settings.namespaces, self._observe_from_kopf)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._leadership.keep())
                for informer in self._informers:
                    group.create_task(informer.run())
                for informer in self._informers:
                    await informer.synced.wait()
                # Pods first: a run is judged by its pods, so none may be looked at before they are known.
                for informer in self._run_informers:
                    group.create_task(informer.run())
                kopf.start()
                group.create_task(self._relister.run())
                group.create_task(self._queue.run(self._world.settings.workers, Worker(self._world, self._queue).work))
        finally:
            kopf.stop()


async def run(settings: Settings) -> int:
    """Run one replica until SIGTERM or SIGINT (exit code 0) or until its Lease is lost (1)."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with Cluster() as cluster:
        leadership = Leadership(
            cluster,
            namespace=settings.lease_namespace,
            name=settings.lease_name,
            identity=settings.identity,
            changed=metrics.LEADING.set,
        )
        operator = Operator(World(cluster, settings), leadership)
        runner = await serve(settings.http_host, settings.http_port, operator.health, operator.ready, operator.collect)
        leading = asyncio.create_task(operator.lead())
        stopping = asyncio.create_task(stop.wait())
        await asyncio.wait({leading, stopping}, return_when=asyncio.FIRST_COMPLETED)
        code = _OK if stop.is_set() else _LOST
        leading.cancel()
        stopping.cancel()
        try:
            with contextlib.suppress(asyncio.CancelledError):
                await leading
        except* LeaseLost as lost:
            _logger.error("%s; ending, so that nothing is done twice", lost.exceptions[0])  # noqa: TRY400 - no trace needed
            code = _LOST
        await leadership.release()
        await runner.cleanup()
    return code
