"""Keeping a store true: list, watch from there, list again when the watch is lost.

kopf hears of flow deployments; flow runs and pods come through here, because each run costs a dozen events and kopf spends
fifteen to forty times the CPU of this loop on each (measured).
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from typing import TYPE_CHECKING, Any

from mintaka_core.names import LABEL_MANAGED_BY, MANAGED_BY
from mintaka_operator import metrics
from mintaka_operator.cluster import ApiError, Cluster, sleep_after
from mintaka_operator.stores import PodStore, ResourceStore, name_of

if TYPE_CHECKING:
    from collections.abc import Callable

_logger = logging.getLogger(__name__)

OUR_PODS = f"{LABEL_MANAGED_BY}={MANAGED_BY}"
_GONE = 410
#: Bookmarks arrive about once a minute; a stream that has been silent for longer hears nothing.
DEAF_SECONDS = 150.0


class Informer:
    """Watches a collection of one namespace (None: of all) and keeps its store true through `observe(event type, object)`."""

    def __init__(
        self,
        cluster: Cluster,
        collection: Callable[[str | None], str],
        namespace: str | None,
        store: ResourceStore | PodStore,
        observe: Callable[[str | None, dict[str, Any]], None],
        **query: str,
    ) -> None:
        self._cluster = cluster
        self._path = collection(namespace)
        self._namespace = namespace
        self._store = store
        self._observe = observe
        self._query = query
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
                _logger.warning("watching %s failed: %s", self._path, error)
                await sleep_after(error, failures)
                failures += 1
            metrics.WATCH_RESTARTS.labels(self._path.rsplit("/", 1)[1]).inc()

    async def _list(self) -> None:
        seen = set()
        version = ""
        async for page, version in self._cluster.pages(self._path, metadata_only=False, **self._query):  # noqa: B007 - the last one counts
            for found in page:
                seen.add(name_of(found))
                self._observe(None, found)
        for namespace, name in self._store.names():
            if (namespace, name) not in seen and self._namespace in {None, namespace}:
                self._observe("DELETED", {"metadata": {"namespace": namespace, "name": name}})
        self._version = version
        self.heard_time = time.monotonic()
        self.synced.set()

    async def _watch(self) -> None:
        seconds = 300 + random.randrange(300)  # noqa: S311 - spreads the load of many replicas
        async for event in self._cluster.events(self._path, self._version, seconds=seconds, **self._query):
            self.heard_time = time.monotonic()
            found = event["object"]
            match event["type"]:
                case "ADDED" | "MODIFIED" | "DELETED":
                    self._observe(event["type"], found)
                case "ERROR":
                    raise ApiError(found.get("code") or 500, found.get("reason") or "", found.get("message") or "watch error")
            self._version = found["metadata"]["resourceVersion"]
