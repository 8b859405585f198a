"""Keeping the pod store true: list, watch from there, list again when the watch is lost.

kopf hears of our own resources; pods come through here, because each costs seven to nine events and kopf spends fifteen
to forty times the CPU of this loop on each (measured).
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from typing import TYPE_CHECKING

from mintaka_core.names import LABEL_MANAGED_BY, MANAGED_BY
from mintaka_operator import metrics, paths
from mintaka_operator.cluster import ApiError, Cluster, sleep_after
from mintaka_operator.stores import Name, PodStore, name_of, version_of

if TYPE_CHECKING:
    from collections.abc import Callable

_logger = logging.getLogger(__name__)

OUR_PODS = f"{LABEL_MANAGED_BY}={MANAGED_BY}"
_GONE = 410
#: Bookmarks arrive about once a minute; a stream that has been silent for longer hears nothing.
DEAF_SECONDS = 150.0


class PodInformer:
    """Watches the pods of one namespace (None: of all) and tells which runs they matter to, and as of which resource version."""

    def __init__(self, cluster: Cluster, store: PodStore, namespace: str | None, tell: Callable[[Name, int], None]) -> None:
        self._cluster = cluster
        self._store = store
        self._path = paths.pods(namespace)
        self._namespace = namespace
        self._tell = tell
        self._version = ""
        self.synced = asyncio.Event()
        self.heard_time = time.monotonic()

    @property
    def deaf(self) -> bool:
        """True where neither an event nor a bookmark came for too long."""
        return self.synced.is_set() and time.monotonic() - self.heard_time > DEAF_SECONDS

    async def run(self) -> None:
        """List and watch until cancelled."""
        failures = 0
        while True:
            try:
                if not self._version:
                    await self._list()
                await self._watch()
                failures = 0
            except ApiError as error:
                if error.code == _GONE:
                    self._version = ""
                    continue
                _logger.warning("watching pods failed: %s", error)
                await sleep_after(error, failures)
                failures += 1
            metrics.WATCH_RESTARTS.labels("pods").inc()

    async def _list(self) -> None:
        seen = set()
        version = ""
        async for pods, version in self._cluster.pages(self._path, labelSelector=OUR_PODS):  # noqa: B007 - the last one counts
            for pod in pods:
                seen.add(name_of(pod))
                self._put(pod)
        for key in self._store.names():
            if key not in seen and self._namespace in {None, key[0]}:
                self._remove(key)
        self._version = version
        self.heard_time = time.monotonic()
        self.synced.set()

    async def _watch(self) -> None:
        seconds = 300 + random.randrange(300)  # noqa: S311 - spreads the load of many replicas
        async for event in self._cluster.events(self._path, self._version, seconds=seconds, labelSelector=OUR_PODS):
            self.heard_time = time.monotonic()
            pod = event["object"]
            match event["type"]:
                case "ADDED" | "MODIFIED":
                    self._put(pod)
                case "DELETED":
                    self._remove(name_of(pod), pod["metadata"].get("uid"))
                case "ERROR":
                    raise ApiError(pod.get("code") or 500, pod.get("reason") or "", pod.get("message") or "watch error")
            self._version = pod["metadata"]["resourceVersion"]

    def _put(self, pod: dict[str, object]) -> None:
        run = self._store.put(pod)
        if run:
            self._tell(run, version_of(pod))

    def _remove(self, key: Name, uid: str | None = None) -> None:
        run = self._store.remove(key, uid)
        if run:
            self._tell(run, 0)
