"""Informs a handler about one collection: list it, watch it from there, list again when the watch is lost.

The watch is resumed from the last resource version seen, which bookmarks refresh; if the server no longer has it (410
Gone), the collection is listed again, and known objects that are not listed have vanished. An informer ends only when it is
cancelled: an exception of a handler concerns one object only, everything else is retried with growing delays.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, Literal, Protocol

from mintaka_core.errors import MintakaError
from mintaka_kubernetes.client import LONGEST_RETRY_AFTER_SECONDS, OPENED, ApiError, ClusterRefusal, MalformedAnswer
from mintaka_kubernetes.decoding import Unreadable

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Collection, Mapping

    from mintaka_kubernetes.decoding import Document, Page
    from mintaka_kubernetes.resources import Resource

_logger = logging.getLogger(__name__)

_FIRST_WAIT_SECONDS = 0.2
_LONGEST_WAIT_SECONDS = 10.0
#: For a namespace that is missing or in which listing is not permitted: until that changes.
_REFUSED_WAIT_SECONDS = 30.0
#: A watch that lasted this long was healthy: the next wait is the first again.
_STEADY_SECONDS = 5.0
#: Bookmarks arrive about once a minute: an informer that has received nothing for longer has stalled.
STALLED_SECONDS = 150.0
_GONE = 410
_REFUSALS = frozenset({403, 404})
#: Objects whose fault was logged, so that each is logged once and not with every event.
_LOGGED_AT_MOST = 1000
_MESSAGE_CHARACTERS = 1000


class Source(Protocol):
    """The source of an informer; `mintaka_kubernetes.Client` is one."""

    async def may_list(self, resource: Resource, namespace: str) -> bool:
        """Whether listing a resource in a namespace is permitted."""

    def list_pages(self, path: str, query: Mapping[str, str] | None = None, *, page_size: int, typed: bool = False) -> AsyncIterator[Page]:
        """A collection page by page."""

    def watch(
        self, path: str, version: str, *, seconds: int, query: Mapping[str, str] | None = None, typed: bool = False
    ) -> AsyncGenerator[dict[str, Any]]:
        """The events after a resource version."""


class EventHandler(Protocol):
    """Handles what an informer receives. The handler may store or change documents."""

    async def known(self) -> dict[str, str]:
        """Resource version by uid of the objects believed to exist, in a dict that the informer may modify. Called before
        each list; may wait.

        Objects with that version are not presented again, those not listed have vanished.
        """

    async def ready(self) -> None:
        """Wait until another page of a list can be handled."""

    def present(self, document: Document) -> None:
        """Handle an object that exists: it is new, changed or unchanged."""

    def gone(self, document: Document) -> None:
        """Handle the last state of an object that was deleted."""

    def vanished(self, uids: Collection[str]) -> None:
        """Handle objects that were deleted without an event."""

    def unreadable(self, found: Unreadable) -> None:
        """Handle an object that exists but cannot be processed as it is."""


class Informer:
    """List and watch a resource in one namespace (None: in all).

    In a named namespace it checks its permission before each list and watch: a missing namespace has no Role. `selector` is
    a label selector. `count` is called with `restart` when a watch is reopened, with `unreadable` for each unreadable
    object.
    """

    def __init__(
        self,
        source: Source,
        resource: Resource,
        namespace: str | None,
        handler: EventHandler,
        *,
        selector: str = "",
        page_size: int = 100,
        count: Callable[[Literal["restart", "unreadable"]], None] = lambda _what: None,
    ) -> None:
        self._source = source
        self._resource = resource
        self._namespace = namespace
        self._path = resource.path(namespace)
        self._handler = handler
        self._query = {"labelSelector": selector} if selector else {}
        self._page_size = page_size
        self._count = count
        self._version = ""
        self._heard_time = float("inf")
        self._opened_time = float("inf")
        self._waits = False
        self._reported = ""
        self._logged: set[str] = set()
        #: True while it may not list: the namespace or the permission is missing.
        self.refused = False
        #: Why the handler is not up to date, in a sentence; "" if it is.
        self.problem = "not listed yet"
        #: Set once the collection was listed completely.
        self.synced = asyncio.Event()
        #: Set once it was listed, or may not be: waiting longer may take forever.
        self.settled = asyncio.Event()

    @property
    def stalled(self) -> bool:
        """True if nothing was received for too long, neither a page of a list nor an event nor a bookmark, and the server
        did not refuse.
        """
        return not (self.refused or self._waits) and time.monotonic() - self._heard_time > STALLED_SECONDS

    def forget(self) -> None:
        """Begin with a list the next time."""
        self._version = ""
        self.synced.clear()
        self.settled.clear()
        self.refused = False
        self.problem = "not listed yet"

    async def run(self) -> None:
        """List and watch until cancelled."""
        self._heard_time = time.monotonic()
        wait = _FIRST_WAIT_SECONDS
        while True:
            wanted = None
            self._opened_time = float("inf")
            try:
                await self._check_right()
                if not self._version:
                    await self._list()
                await self._watch()
            except Exception as error:  # noqa: BLE001 - nothing but cancellation ends an informer
                wanted = self._note(error)
            if time.monotonic() - self._opened_time > _STEADY_SECONDS:
                wait = _FIRST_WAIT_SECONDS
                self._reported = ""
            await asyncio.sleep(wanted or wait * random.uniform(0.8, 1.2))  # noqa: S311 - spreads retries, protects no secret
            wait = min(wait * 2, _REFUSED_WAIT_SECONDS if self.refused else _LONGEST_WAIT_SECONDS)
            self._count("restart")

    def _note(self, error: Exception) -> float | None:
        """Record an error; return the wait in seconds that the server requests, None if it requests none."""
        if isinstance(error, ApiError) and error.code == _GONE:
            _logger.info("the watch of %s has expired: listing again", self._path)
            self._version = ""
            return error.retry_after
        unforeseen = not isinstance(error, MintakaError)
        if unforeseen or isinstance(error, MalformedAnswer):
            self._version = ""  # the same event would come again
        self.refused = isinstance(error, ApiError) and error.code in _REFUSALS
        if self.refused:
            self.settled.set()
        problem = f"{self._path} cannot be {'watched' if self._version else 'listed'}: {error if str(error) else repr(error)}"
        if problem != self._reported:
            _logger.warning("%s; trying again", problem, exc_info=error if unforeseen else None)
        self.problem = self._reported = problem
        return error.retry_after if isinstance(error, ApiError) else None

    async def _wait_for[Answer](self, answer: Awaitable[Answer]) -> Answer:
        """The handler's answer; the time it takes does not count as silence of the server."""
        started, self._waits = time.monotonic(), True
        try:
            return await answer
        finally:
            self._waits = False
            self._heard_time += time.monotonic() - started

    async def _check_right(self) -> None:
        """Raise ClusterRefusal if listing in a named namespace is not permitted; that may have changed since the last list or watch."""
        if self._namespace is not None and not await self._source.may_list(self._resource, self._namespace):
            message = f"there is no right to list {self._resource.plural} in namespace {self._namespace}, or no such namespace"
            raise ClusterRefusal(403, "Forbidden", message)

    async def _list(self) -> None:
        known = await self._wait_for(self._handler.known())
        version = ""
        async for page in self._source.list_pages(self._path, self._query, page_size=self._page_size, typed=self._resource.typed):
            self._heard_time = time.monotonic()
            for found in page.changed(known):
                self._deliver(found)
            version = page.version
            await self._wait_for(self._handler.ready())
        if known:
            self._handler.vanished(known.keys())
        self._version = version or "0"
        self.refused = False
        self.problem = ""
        self.synced.set()
        self.settled.set()

    async def _watch(self) -> None:
        seconds = 300 + random.randrange(300)  # noqa: S311 - spreads the load of many replicas
        watch = self._source.watch(self._path, self._version, seconds=seconds, query=self._query, typed=self._resource.typed)
        # Closed at once if an event ends it, not when the garbage collector finds it.
        async with aclosing(watch) as events:
            await self._hear(events)

    async def _hear(self, events: AsyncIterator[dict[str, Any]]) -> None:
        async for event in events:
            self._heard_time = time.monotonic()
            kind = event["type"]
            if kind == OPENED:
                self._opened_time = self._heard_time
                self.refused, self.problem = False, ""
                continue
            found = event["object"]
            document = found.document if isinstance(found, Unreadable) else found
            version = (document.get("metadata") or {}).get("resourceVersion")
            if kind in {"ADDED", "MODIFIED"}:
                self._deliver(found)
            elif kind == "DELETED":
                self._deliver_last(document)
            elif kind == "ERROR":
                raise _watch_error(document)
            if version:
                self._version = version

    def _deliver(self, found: Document | Unreadable) -> None:
        if isinstance(found, Unreadable):
            self._report(found)
            return
        try:
            self._handler.present(found)
        except Exception as error:  # noqa: BLE001 - one object is no reason to miss the others
            self._report(self._failed(found, error))

    def _deliver_last(self, document: Document) -> None:
        try:
            self._handler.gone(document)
        except Exception as error:  # noqa: BLE001 - as above
            self._log(self._failed(document, error))

    def _failed(self, document: Document, error: Exception) -> Unreadable:
        """The object whose handler raised, as unreadable."""
        if _name_of(document) not in self._logged:
            _logger.error("handling %s %s failed", self._path, _name_of(document), exc_info=error)
        return Unreadable.of(document, f"it cannot be processed: {type(error).__name__}: {error}"[:_MESSAGE_CHARACTERS])

    def _report(self, found: Unreadable) -> None:
        """Count, log and deliver an object that cannot be processed."""
        self._log(found)
        try:
            self._handler.unreadable(found)
        except Exception:
            _logger.exception("handling the unreadable object %s of %s failed", _name_of(found.document), self._path)

    def _log(self, found: Unreadable) -> None:
        self._count("unreadable")
        name = _name_of(found.document)
        if name not in self._logged:
            _logger.warning("%s of %s cannot be processed (%s): %s", name, self._path, found.reason, found.message)
        if len(self._logged) >= _LOGGED_AT_MOST:
            self._logged.clear()
        self._logged.add(name)


def _name_of(document: Document) -> str:
    metadata = document.get("metadata") or {}
    return f"{metadata.get('namespace', '')}/{metadata.get('name', '')}"


def _watch_error(status: Document) -> ClusterRefusal:
    seconds = (status.get("details") or {}).get("retryAfterSeconds")
    message = status.get("message") or "watch error"
    retry_after = float(min(seconds, LONGEST_RETRY_AFTER_SECONDS)) if isinstance(seconds, int | float) and seconds > 0 else None
    return ClusterRefusal(status.get("code") or 500, status.get("reason") or "", message, retry_after)
