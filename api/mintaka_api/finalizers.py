"""Releases finished runs from the cluster once they are committed: removes the mirror's finalizer and deletes tombstones.

The finalizer is removed with a JSON Patch whose `test` operations pin the uid, the finalizer's index and the committed
sequence. If a test fails, the object has changed, and its next commit decides again whether it may leave.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mintaka_core.names import MIRROR_FINALIZER
from mintaka_kubernetes import CONFIG_MAPS, FLOW_RUNS, ClusterAway, ClusterRefusal, NoCluster
from mintaka_kubernetes.client import LONGEST_RETRY_AFTER_SECONDS

if TYPE_CHECKING:
    from mintaka_api.cluster import Cluster
    from mintaka_api.metrics import Metrics
    from mintaka_api.row_mapping import ObservedRun

logger = logging.getLogger("mintaka.api.mirror")

_AT_ONCE = 16
_FIRST_WAIT_SECONDS = 0.2
_LONGEST_WAIT_SECONDS = 30.0
_NOT_FOUND = 404


@dataclass(frozen=True, slots=True)
class Release:
    """A committed run that may leave the cluster: remove the finalizer at index `position` or, if set, delete `tombstone`.

    `tombstone` is the namespace, name and uid of a ConfigMap.
    """

    uid: str
    namespace: str
    name: str
    sequence: int
    position: int = 0
    tombstone: tuple[str, str, str] | None = None

    def patch(self) -> list[dict[str, Any]]:
        """The JSON Patch that removes the mirror's finalizer only from the version that was committed."""
        path = f"/metadata/finalizers/{self.position}"
        return [
            {"op": "test", "path": "/metadata/uid", "value": self.uid},
            {"op": "test", "path": "/status/sequence", "value": self.sequence},
            {"op": "test", "path": path, "value": MIRROR_FINALIZER},
            {"op": "remove", "path": path},
        ]


def release_of(observed: ObservedRun, tombstone: tuple[str, str, str] | None) -> Release | None:
    """The release that follows from the commit of a run; None if there is nothing to release."""
    metadata, status = observed.run.metadata, observed.run.status
    if tombstone is not None:
        return Release(metadata.uid, metadata.namespace, metadata.name, status.sequence, tombstone=tombstone)
    leaving = metadata.deletion_timestamp is not None and status.is_terminal and observed.gone_time is None
    if not leaving or MIRROR_FINALIZER not in metadata.finalizers:
        return None
    return Release(metadata.uid, metadata.namespace, metadata.name, status.sequence, metadata.finalizers.index(MIRROR_FINALIZER))


class ReleaseQueue:
    """Releases committed runs. A refused release is retried with its own backoff and does not delay the others."""

    def __init__(self, cluster: Cluster, metrics: Metrics) -> None:
        """Start with nothing to release."""
        self._cluster = cluster
        self._metrics = metrics
        self._waiting: dict[str, Release] = {}
        self._failures: dict[str, int] = {}
        self._scheduled: set[str] = set()
        self._due: asyncio.Queue[str] = asyncio.Queue()
        self._away = 0

    def __len__(self) -> int:
        """The number of runs that wait to be released."""
        return len(self._waiting)

    def add(self, release: Release) -> None:
        """Add a committed run that may leave the cluster; a newer commit of the same run replaces an older one."""
        self._waiting[release.uid] = release
        if release.uid not in self._scheduled:
            self._scheduled.add(release.uid)
            self._due.put_nowait(release.uid)

    def discard(self, uid: str) -> None:
        """Remove a run that may not leave the cluster, or has left it, according to its newest commit."""
        self._waiting.pop(uid, None)

    def clear(self) -> None:
        """Forget everything: another replica may have released it since."""
        self._waiting.clear()
        self._failures.clear()

    async def run(self) -> None:
        """Release runs until cancelled."""
        self._due = asyncio.Queue()
        self._scheduled = set(self._waiting)
        for uid in self._waiting:
            self._due.put_nowait(uid)
        async with asyncio.TaskGroup() as workers:
            for _ in range(_AT_ONCE):
                workers.create_task(self._work())

    async def _work(self) -> None:
        while True:
            uid = await self._due.get()
            release = self._waiting.get(uid)
            wait = await self._attempt(release) if release is not None else None
            if wait is not None:
                asyncio.get_running_loop().call_later(wait, self._due.put_nowait, uid)
            elif self._waiting.get(uid) is not release:
                self._due.put_nowait(uid)
            else:
                self._waiting.pop(uid, None)
                self._scheduled.discard(uid)
                self._failures.pop(uid, None)

    async def _attempt(self, release: Release) -> float | None:
        """Release one run; return the seconds until the next attempt, None if none is needed."""
        try:
            await self._send(release)
        except (ClusterAway, NoCluster) as error:
            # No other request would succeed either, so this worker waits.
            if not self._away:
                logger.warning("finished runs cannot leave the cluster: %s", error)
            self._away += 1
            await asyncio.sleep(_wait(self._away))
            return 0
        except Exception as error:  # noqa: BLE001 - the other releases must not wait for this one
            return self._put_off(release, error)
        self._away = 0
        return None

    async def _send(self, release: Release) -> None:
        try:
            if release.tombstone:
                await self._cluster.delete(CONFIG_MAPS, *release.tombstone)
            else:
                await self._cluster.patch(FLOW_RUNS, release.namespace, release.name, release.patch())
        except ClusterRefusal as refusal:
            if refusal.code != _NOT_FOUND:
                raise
            return
        self._metrics.mirror_acknowledged.inc()

    def _put_off(self, release: Release, error: Exception) -> float:
        failures = self._failures[release.uid] = self._failures.get(release.uid, 0) + 1
        if failures == 1:
            trace = None if isinstance(error, ClusterRefusal) else error
            logger.warning("%s/%s cannot leave the cluster yet: %s", release.namespace, release.name, error, exc_info=trace)
        wanted = error.retry_after if isinstance(error, ClusterRefusal) else None
        return min(wanted or _wait(failures), LONGEST_RETRY_AFTER_SECONDS)


def _wait(failures: int) -> float:
    return float(min(_FIRST_WAIT_SECONDS * 2 ** min(failures - 1, 10), _LONGEST_WAIT_SECONDS))
