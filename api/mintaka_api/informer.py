"""List and watch one kind of object, for as long as the process lives.

A list gives the state, a watch what changes after it. The watch is taken up again from the last resourceVersion seen
(bookmarks keep it young); where the server no longer has it (410 Gone) everything is listed anew, and what is missing
from the list has vanished meanwhile. Whom to tell is a `Sink`: before a list it is asked what it knows, so that "known
before, not listed now" is never true of an object that appeared in between.
"""

from __future__ import annotations

import asyncio
import logging
import random
from typing import TYPE_CHECKING, Any, Protocol

from mintaka_api.cluster import OPENED
from mintaka_kubernetes import ClusterAway, ClusterRefusal, NoCluster

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from mintaka_api.cluster import Resource

logger = logging.getLogger("mintaka.api.informer")

_PAGE = "500"
_GONE = 410
_FIRST_WAIT_SECONDS = 0.2
_LONGEST_WAIT_SECONDS = 30.0


class Source(Protocol):
    """What an informer reads from: the two calls of `Cluster` that it needs."""

    async def list_page(self, resource: Resource, namespace: str | None, query: Mapping[str, str]) -> dict[str, Any]:
        """One page of a collection."""

    def watch(self, resource: Resource, namespace: str | None, query: Mapping[str, str]) -> AsyncIterator[dict[str, Any]]:
        """The events of a watch."""


class Sink(Protocol):
    """Whom an informer tells."""

    async def known(self) -> set[str]:
        """The uids that are thought to be in the cluster; asked before a list. May wait until it can be told."""

    def present(self, document: dict[str, Any]) -> None:
        """An object that is in the cluster, new or changed or as before."""

    def gone(self, document: dict[str, Any]) -> None:
        """The last state of an object that left the cluster."""

    def vanished(self, uids: set[str]) -> None:
        """Objects that left the cluster unseen."""


class Informer:
    """Keeps a sink told about one resource in one namespace (None: in all)."""

    def __init__(self, source: Source, resource: Resource, namespace: str | None, sink: Sink, *, selector: str = "") -> None:
        """Prepare; `run` does the work. `selector` is a label selector."""
        self._source = source
        self._resource = resource
        self._namespace = namespace
        self._sink = sink
        self._query = {"labelSelector": selector} if selector else {}
        self._version: str | None = None
        self.synced = asyncio.Event()
        self.problem = "not listed yet"

    def forget(self) -> None:
        """Begin with a list the next time."""
        self._version = None
        self.synced.clear()
        self.problem = "not listed yet"

    async def run(self) -> None:
        """List and watch for ever; errors are waited out with growing patience."""
        wait = _FIRST_WAIT_SECONDS
        while True:
            try:
                if self._version is None:
                    await self._list()
                    wait = _FIRST_WAIT_SECONDS
                await self._watch()
                wait = _FIRST_WAIT_SECONDS
                await asyncio.sleep(wait)  # a server that ends every watch at once is not asked in a tight loop
            except (ClusterAway, ClusterRefusal, NoCluster) as error:
                if isinstance(error, ClusterRefusal) and error.code == _GONE:
                    logger.info("the watch of %s expired; listing anew", self._resource.plural)
                    self._version = None
                else:
                    self.problem = str(error)
                    logger.warning("%s of namespace %s: %s", self._resource.plural, self._namespace or "*", error)
                await asyncio.sleep(wait * random.uniform(0.8, 1.2))  # noqa: S311 - spreads retries, keeps no secret
                wait = min(wait * 2, _LONGEST_WAIT_SECONDS)

    async def _list(self) -> None:
        known = await self._sink.known()
        query = {**self._query, "limit": _PAGE}
        while True:
            page = await self._source.list_page(self._resource, self._namespace, query)
            for document in page.get("items") or ():
                known.discard(document["metadata"]["uid"])
                self._sink.present(document)
            metadata = page.get("metadata") or {}
            if not metadata.get("continue"):
                break
            query["continue"] = metadata["continue"]
        if known:
            self._sink.vanished(known)
        self._version = metadata.get("resourceVersion") or "0"
        self.problem = ""
        self.synced.set()

    async def _watch(self) -> None:
        query = {**self._query, "resourceVersion": self._version or "0"}
        async for event in self._source.watch(self._resource, self._namespace, query):
            self.problem = ""
            if event["type"] == OPENED:
                continue
            document = event["object"]
            match event["type"]:
                case "ADDED" | "MODIFIED":
                    self._sink.present(document)
                case "DELETED":
                    self._sink.gone(document)
                case "ERROR":
                    raise ClusterRefusal(
                        document.get("code") or 500, document.get("reason") or "", document.get("message") or "watch error"
                    )
                case _:
                    pass
            self._version = document["metadata"]["resourceVersion"]
