"""Letting go: once a finished run is committed, the cluster may forget it.

The finalizer is removed by a JSON Patch whose `test` operations pin the uid, the finalizer's place and the sequence that
was committed. Where a test fails the object has changed: its next event brings it here again after its next commit.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

from mintaka_api.cluster import CONFIG_MAPS, FLOW_RUNS
from mintaka_core.names import MIRROR_FINALIZER
from mintaka_kubernetes import ClusterAway, ClusterRefusal, NoCluster

if TYPE_CHECKING:
    from mintaka_api.cluster import Cluster
    from mintaka_api.metrics import Metrics
    from mintaka_api.row_mapping import RunSnapshot

logger = logging.getLogger("mintaka.api.mirror")

_AT_ONCE = 16
_LONGEST_WAIT_SECONDS = 30.0
_CHANGED = frozenset({404, 409, 422})


class ReleaseQueue:
    """Removes the mirror's finalizer from committed runs and deletes tombstones that were taken in."""

    def __init__(self, cluster: Cluster, metrics: Metrics) -> None:
        """Nothing to let go of yet."""
        self._cluster = cluster
        self._metrics = metrics
        self._committed: dict[str, RunSnapshot] = {}
        self._wake = asyncio.Event()

    def __len__(self) -> int:
        """How many runs wait to be let go of."""
        return len(self._committed)

    def add(self, snapshot: RunSnapshot) -> None:
        """Take in a run that is committed."""
        if snapshot.acknowledgeable or snapshot.tombstone:
            self._committed[snapshot.uid] = snapshot
            self._wake.set()

    async def run(self) -> None:
        """Let go of what is committed, for ever; while the cluster is away, try again with growing patience."""
        wait = 0.2
        while True:
            await self._wake.wait()
            self._wake.clear()
            places = asyncio.Semaphore(_AT_ONCE)
            done = await asyncio.gather(*(self._let_go(snapshot, places) for snapshot in list(self._committed.values())))
            if all(done):
                wait = 0.2
            else:
                await asyncio.sleep(wait)
                wait = min(wait * 2, _LONGEST_WAIT_SECONDS)
                self._wake.set()

    async def _let_go(self, snapshot: RunSnapshot, places: asyncio.Semaphore) -> bool:
        metadata = snapshot.run.metadata
        async with places:
            try:
                if snapshot.tombstone:
                    name, uid = snapshot.tombstone
                    await self._cluster.delete(CONFIG_MAPS, metadata.namespace, name, uid)
                else:
                    await self._cluster.patch(FLOW_RUNS, metadata.namespace, metadata.name, release(snapshot))
                self._metrics.mirror_acknowledged.inc()
            except ClusterRefusal as refusal:
                if refusal.code not in _CHANGED:
                    logger.warning("%s/%s cannot be let go of: %s", metadata.namespace, metadata.name, refusal)
                    return False
            except (ClusterAway, NoCluster) as error:
                logger.warning("%s/%s cannot be let go of yet: %s", metadata.namespace, metadata.name, error)
                return False
        if self._committed.get(snapshot.uid) is snapshot:
            del self._committed[snapshot.uid]
        return True


def release(snapshot: RunSnapshot) -> list[dict[str, Any]]:
    """The JSON Patch that takes the mirror's finalizer off exactly what was committed."""
    metadata = snapshot.run.metadata
    path = f"/metadata/finalizers/{metadata.finalizers.index(MIRROR_FINALIZER)}"
    return [
        {"op": "test", "path": "/metadata/uid", "value": metadata.uid},
        {"op": "test", "path": "/status/sequence", "value": snapshot.run.status.sequence},
        {"op": "test", "path": path, "value": MIRROR_FINALIZER},
        {"op": "remove", "path": path},
    ]
