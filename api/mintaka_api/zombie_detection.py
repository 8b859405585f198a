"""Records scripts that report over HTTP as crashed when they stop sending heartbeats.

Nothing supervises a script, and its process cannot be seen from here. It therefore sends a heartbeat every 15 s, and a run
whose process sends nothing for `MINTAKA_SILENCE_SECONDS` is considered dead. Only time in which the API could receive
counts: after an outage of the API or its database, every script gets that long to report again. If a process that was cut
off does report again, its run continues. A run that suspended itself has no process; it fails if it is not resumed in time.
Runs in a cluster are not checked here: the operator sees their pods. Runs that were called in the process of another one crash
when that is over and no end of them was reported, in a cluster or not.
"""

from __future__ import annotations

import asyncio
import logging
from time import monotonic
from typing import TYPE_CHECKING

from mintaka_history.database import DatabaseAway
from mintaka_history.queries.health import answers
from mintaka_history.queries.zombie_detection import (
    called_and_left,
    crash_left,
    crash_without_heartbeat,
    fail_overdue,
    overdue_runs,
    runs_without_heartbeat,
)
from mintaka_history.timestamps import now_microseconds

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from mintaka_api.background_tasks import Part
    from mintaka_history.database import Database

logger = logging.getLogger("mintaka.api")

#: The number of checks within the time that a process may send no heartbeat.
_CHECKS = 6


class ZombieDetection:
    """Ends runs outside of clusters whose process is gone, or that were not resumed in time."""

    def __init__(self, database: Database, silence_seconds: float) -> None:
        """A process may send no heartbeat for `silence_seconds`."""
        self._database = database
        self._silence_seconds = silence_seconds
        self._stuck: dict[int, str] = {}

    async def run(self, part: Part) -> None:
        """Check forever."""
        listening_since = monotonic()
        while True:
            await asyncio.sleep(self._silence_seconds / _CHECKS)
            try:
                if monotonic() - listening_since < self._silence_seconds:
                    await self._database.read(answers)
                else:
                    await self._check()
            except DatabaseAway:
                listening_since = monotonic()
            else:
                part.problem = self._problem()

    async def _check(self) -> None:
        before = now_microseconds() - round(self._silence_seconds * 1e6)
        lost, overdue = await self._database.read(runs_without_heartbeat, before), await self._database.read(overdue_runs)
        left = await self._database.read(called_and_left)
        self._stuck = {number: why for number, why in self._stuck.items() if number in {*lost, *overdue, *left}}
        crashed = await self._end(lost, lambda number: self._database.write(crash_without_heartbeat, number, before))
        if crashed:
            logger.warning("%d flow runs outside of clusters gave no sign of life for %g s: crashed", crashed, self._silence_seconds)
        await self._end(overdue, lambda number: self._database.write(fail_overdue, number))
        await self._end(left, lambda number: self._database.write(crash_left, number))

    async def _end(self, numbers: list[int], end: Callable[[int], Awaitable[bool]]) -> int:
        """End each of these runs separately; return how many ended. A run that cannot be ended is retried at the next check."""
        ended = 0
        for number in numbers:
            try:
                ended += await end(number)
            except DatabaseAway:
                raise
            except Exception as error:  # whatever is wrong with one run, the others are ended
                if number not in self._stuck:
                    logger.exception("the end of flow run number %d cannot be recorded", number)
                self._stuck[number] = f"{type(error).__name__}: {error}"
            else:
                self._stuck.pop(number, None)
        return ended

    def _problem(self) -> str:
        if not self._stuck:
            return ""
        number, why = next(iter(self._stuck.items()))
        return f"the end of {len(self._stuck)} flow runs cannot be recorded, the first has number {number}: {why}"
