"""Detects that the wall clock was set or that the machine slept: timers use the monotonic clock, which shows neither.

Without this a schedule would fire late by the hour that a laptop was asleep, and wait an hour too long after the clock was set.
"""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from mintaka_api.background_tasks import Part

logger = logging.getLogger("mintaka.server")

_LOOK_SECONDS = 2.0
#: Clocks that are corrected gradually (NTP) deviate by less within that time.
_STEP_SECONDS = 0.5


class ClockWatch:
    """Calls `stepped` after the wall clock and the monotonic clock have diverged."""

    def __init__(
        self, stepped: Callable[[], None], *, day: Callable[[], float] = time.time, steady: Callable[[], float] = time.monotonic
    ) -> None:
        self._stepped = stepped
        self._day = day
        self._steady = steady

    async def run(self, _part: Part) -> None:
        """Compare until cancelled."""
        before = self._day() - self._steady()
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            now = self._day() - self._steady()
            if abs(now - before) >= _STEP_SECONDS:
                logger.warning(
                    "the clock was set by %+.1f s, or the machine slept: whatever waits for a time is checked again", now - before
                )
                self._stepped()
            before = now
