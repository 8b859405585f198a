"""Which replica of the API mirrors the cluster and maintains the database: the holder of a Lease. All replicas serve.

A leader that dies is replaced within 15 seconds, one that stops hands the Lease over. Work that only the leader may do is
cancelled when the Lease is lost, and begins again when it is won back. A replica that was frozen finds out at its next
write: `check` compares the clock with the time of the last renewal.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from mintaka_core.errors import MintakaError
from mintaka_kubernetes import Leadership, LeaseLost, LeaseTimes

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from mintaka_api.background_tasks import Part
    from mintaka_api.metrics import Metrics
    from mintaka_api.settings import Settings
    from mintaka_kubernetes import Client

logger = logging.getLogger("mintaka.api.leader")

#: A dead leader is replaced after at most 12 seconds.
_TIMES = LeaseTimes(duration=10, renew=6.0, retry=1.0)
_PAUSE_SECONDS = 1.0


class NotLeading(MintakaError):
    """This replica no longer leads: what it was about to write may be out of date, and was not written."""


class Leader:
    """This replica's claim to lead. Without a Lease (no cluster, SQLite, or only one process) it always leads."""

    def __init__(self, client: Client | None, settings: Settings, metrics: Metrics | None = None) -> None:
        """Prepare the claim; `run` makes it."""
        self._client = client if settings.lease_name else None
        self._settings = settings
        self._metrics = metrics
        self._claim: Leadership | None = None
        self._changed = asyncio.Event()
        self._leads = self._client is None
        self._report()

    @property
    def elected(self) -> bool:
        """Whether there is a Lease to be elected by."""
        return self._client is not None

    @property
    def leading(self) -> bool:
        """Whether this replica leads at this moment."""
        return self._leads and (self._claim is None or self._claim.valid)

    @property
    def note(self) -> str:
        """What a replica that does not lead does, in a sentence; "" for the leader."""
        if self._leads:
            return ""
        holder = self._claim.holder if self._claim is not None else ""
        return f"standing by: {holder or 'no replica'} leads"

    @property
    def problem(self) -> str:
        """Why it cannot be found out which replica leads, in a sentence; "" if it can."""
        return self._claim.problem if self._claim is not None else ""

    def check(self) -> None:
        """Raise NotLeading if this replica does not lead, or has not renewed its Lease in time."""
        if not self.leading:
            message = f"{self._settings.identity} does not hold the Lease {self._settings.release_namespace}/{self._settings.lease_name}"
            raise NotLeading(message)

    async def run(self, _part: Part) -> None:
        """Claim the Lease and renew it, again and again."""
        if self._client is None:
            return
        while True:
            claim = Leadership(
                self._client,
                namespace=self._settings.release_namespace,
                name=self._settings.lease_name,
                identity=self._settings.identity,
                changed=self._set,
                times=_TIMES,
            )
            async with claim as self._claim:
                try:
                    await claim.acquire()
                    await claim.keep()
                except LeaseLost as lost:
                    logger.warning("%s; another replica may lead", lost)
            await asyncio.sleep(_PAUSE_SECONDS)

    async def while_leading(self, work: Callable[[], Awaitable[None]]) -> None:
        """Run `work` while this replica leads: begin it whenever it does, and cancel it when it no longer does.

        Returns when `work` returns, and raises what it raises, except NotLeading.
        """
        while True:
            while not self._leads:
                await self._changed.wait()
            if await self._finished(work):
                return

    async def _finished(self, work: Callable[[], Awaitable[None]]) -> bool:
        """Run `work` until it ends (True) or this replica no longer leads (False)."""
        working = asyncio.ensure_future(work())
        try:
            while self._leads:
                changed = asyncio.ensure_future(self._changed.wait())
                try:
                    await asyncio.wait({working, changed}, return_when=asyncio.FIRST_COMPLETED)
                finally:
                    changed.cancel()
                if working.done():
                    working.result()
                    return True
        except NotLeading:
            # The renewal fails too, within a second, and reports it.
            await asyncio.sleep(_PAUSE_SECONDS)
        finally:
            working.cancel()
            await asyncio.gather(working, return_exceptions=True)
        return False

    def _set(self, leads: bool) -> None:
        self._leads = leads
        self._report()
        self._changed.set()
        self._changed = asyncio.Event()

    def _report(self) -> None:
        if self._metrics is not None:
            self._metrics.leading.set(self._leads)
