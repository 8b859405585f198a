"""The feed of changes for all readers of this process: one query every 250 ms however many there are, none without readers.

A reader subscribes, reads what it wants to follow, and then gets every batch of changes that is committed afterwards. One that is
too slow gets a batch with `reset` in place of those it did not fetch.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from mintaka_history.database import DatabaseAway
from mintaka_history.queries import changes

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from mintaka_history.database import Database
    from mintaka_history.queries.changes import Changes, Position
    from mintaka_history.queries.names import Names

logger = logging.getLogger("mintaka.api")

_INTERVAL_SECONDS = 0.25
#: The number of batches that wait for a reader.
_MAILBOX = 64


class Subscription:
    """The batches of one reader."""

    def __init__(self) -> None:
        """Create an empty mailbox."""
        self._batches: deque[Changes] = deque()
        self._arrived = asyncio.Event()

    def put(self, batch: Changes) -> None:
        """Add a batch; if there are too many, the reader gets a reset instead."""
        if len(self._batches) >= _MAILBOX:
            self._batches.clear()
            batch = batch._replace(items=[], reset=True)
        self._batches.append(batch)
        self._arrived.set()

    async def next(self, seconds: float | None = None) -> Changes | None:
        """The next batch; None if there is none within `seconds` (None: wait for it)."""
        try:
            async with asyncio.timeout(seconds):
                await self._arrived.wait()
        except TimeoutError:
            return None
        batch = self._batches.popleft()
        if not self._batches:
            self._arrived.clear()
        return batch


class ChangeFeed:
    """Polls the database while there are subscriptions."""

    def __init__(self, database: Database, names: Names, *, interval_seconds: float = _INTERVAL_SECONDS) -> None:
        """Prepare a feed; it reads nothing yet."""
        self._database, self._names, self._interval = database, names, interval_seconds
        self._subscriptions: set[Subscription] = set()
        self._poller: asyncio.Task[None] | None = None
        self._begun = asyncio.Event()

    @asynccontextmanager
    async def subscribe(self) -> AsyncIterator[Subscription]:
        """All batches that are committed from now on. Waits until the database answers."""
        subscription = Subscription()
        self._subscriptions.add(subscription)
        try:
            if self._poller is None or self._poller.done():
                self._begun.clear()
                self._poller = asyncio.create_task(self._poll(), name="change-feed")
            await self._begun.wait()
            yield subscription
        finally:
            self._subscriptions.discard(subscription)
            if not self._subscriptions and self._poller is not None:
                self._poller.cancel()
                self._poller = None

    async def _poll(self) -> None:
        position: Position | None = None
        while True:
            more = False
            try:
                if position is None:
                    position = await self._database.read(changes.newest)
                    self._begun.set()
                else:
                    batch = await self._database.read(changes.after, self._names, position)
                    position, more = batch.position, batch.more
                    if batch.items or batch.reset:
                        for subscription in self._subscriptions:
                            subscription.put(batch)
            except DatabaseAway as away:
                logger.warning("the feed of changes waits: %s", away)
            await asyncio.sleep(0 if more else self._interval)
