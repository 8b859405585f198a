"""Simulated time: what is to happen, in order; nothing sleeps."""

from __future__ import annotations

import heapq
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

START = datetime(2026, 1, 1, 12, tzinfo=UTC)


class Agenda:
    """A queue of actions by time; those of one time happen in the order in which they were put in."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self._entries: list[tuple[float, int, Callable[[], None]]] = []
        self._number = count()

    @property
    def now(self) -> datetime:
        """The present instant."""
        return START + timedelta(seconds=self.seconds)

    def after(self, seconds: float, action: Callable[[], None]) -> None:
        """Let `action` happen so many seconds from now."""
        heapq.heappush(self._entries, (self.seconds + max(seconds, 0.0), next(self._number), action))

    def step(self, until: float) -> bool:
        """Let the next thing happen; False where nothing is left before `until`."""
        if not self._entries or self._entries[0][0] > until:
            self.seconds = until
            return False
        self.seconds, _, action = heapq.heappop(self._entries)
        action()
        return True
