"""Healing missed events: from time to time, compare what exists with what we know.

Only metadata is listed, so that thousands of objects cost little; what differs is read whole. A difference counts as
missed when it is still there two seconds after the list: until then its event may be on the way. Differences in two
rounds running mean that a watch is deaf, which liveness reports.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

from mintaka_operator import metrics, paths
from mintaka_operator.cluster import ApiError
from mintaka_operator.informing import OUR_PODS
from mintaka_operator.stores import name_of, version_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from mintaka_operator.stores import Name, PodStore, ResourceStore
    from mintaka_operator.world import World

_logger = logging.getLogger(__name__)

_ON_THE_WAY_SECONDS = 2.0
_NOT_FOUND = 404
_DEAF_ROUNDS = 2
#: Rounds until every run that has a pod has been looked at: five minutes by default.
_TURNS = 15


class Relister:
    """Compares and heals; `observe(plural, type, object)` is told what had been missed, as if a watch had."""

    def __init__(self, world: World, observe: Callable[[str, str | None, dict[str, Any]], None], wake: Callable[[Name], None]) -> None:
        self._world = world
        self._observe = observe
        self._wake = wake
        self._deaf_rounds = 0
        self._turn = 0

    @property
    def deaf(self) -> bool:
        """True where each of the last rounds found what no watch had told."""
        return self._deaf_rounds >= _DEAF_ROUNDS

    async def run(self) -> None:
        """Compare once per period until cancelled."""
        while True:
            await asyncio.sleep(self._world.settings.relist.total_seconds())
            try:
                missed = await self.heal()
            except ApiError as error:
                _logger.warning("relisting failed: %s", error)
                continue
            self._deaf_rounds = self._deaf_rounds + 1 if missed else 0
            self._sweep()

    async def heal(self) -> int:
        """One round; how many changes no watch had told of."""
        missed = 0
        for plural in ("flowdeployments", "flowruns", "pods"):
            suspects = await self._differences(plural)
            if not suspects:
                continue
            await asyncio.sleep(_ON_THE_WAY_SECONDS)
            for key, listed in suspects.items():
                if self._differs(plural, key, listed) and await self._heal(plural, key):
                    missed += 1
                    metrics.MISSED_EVENTS.labels(plural).inc()
        if missed:
            _logger.warning("%d changes had been missed by the watches and were read again", missed)
        return missed

    def _sweep(self) -> None:
        """A finished run must have no pod that lives. The others are looked at in turns: reconciling ten thousand healthy
        runs each round would keep a sixth of a core busy with nothing (measured).
        """
        for index, run in enumerate(self._world.pods.runs()):
            if index % _TURNS == self._turn or self._outlived(run):
                self._wake(run)
        self._turn = (self._turn + 1) % _TURNS

    def _outlived(self, run: Name) -> bool:
        entry = self._world.runs.get(run)
        return (entry is None or entry.finished) and any(pod.alive for pod in self._world.pods.of_run(run).values())

    async def _differences(self, plural: str) -> dict[Name, int]:
        """Keys whose listed version is not the known one; 0 for what is known and not listed."""
        query = {"labelSelector": OUR_PODS} if plural == "pods" else {}
        listed: dict[Name, int] = {}
        for namespace in self._world.settings.namespaces or (None,):
            async for items, _ in self._world.cluster.pages(_collection(plural, namespace), metadata_only=True, **query):
                listed |= {name_of(item): version_of(item) for item in items}
        missing = dict.fromkeys((key for key in self._store(plural).names() if key not in listed), 0)
        return {key: version for key, version in (listed | missing).items() if self._differs(plural, key, version)}

    def _store(self, plural: str) -> ResourceStore | PodStore:
        world = self._world
        stores: dict[str, ResourceStore | PodStore] = {"pods": world.pods, "flowruns": world.runs, "flowdeployments": world.deployments}
        return stores[plural]

    def _differs(self, plural: str, key: Name, listed: int) -> bool:
        known = self._store(plural).get(key)
        if listed == 0:
            return known is not None
        return known is None or known.version < listed

    async def _heal(self, plural: str, key: Name) -> bool:
        """Read one object; True where that taught us something."""
        namespace, name = key
        try:
            found = await self._world.cluster.get(f"{_collection(plural, namespace)}/{name}")
        except ApiError as error:
            if error.code != _NOT_FOUND:
                raise
            self._observe(plural, "DELETED", {"metadata": {"namespace": namespace, "name": name}})
            return True
        if not self._differs(plural, key, version_of(found)):
            return False
        if plural == "pods" and not _is_a_flow_runs(found):
            return False
        self._observe(plural, "MODIFIED", found)
        return True


def _is_a_flow_runs(pod: dict[str, Any]) -> bool:
    return any(owner.get("kind") == "FlowRun" for owner in pod["metadata"].get("ownerReferences") or [])


def _collection(plural: str, namespace: str | None) -> str:
    return {"pods": paths.pods, "flowruns": paths.flow_runs, "flowdeployments": paths.flow_deployments}[plural](namespace)
