"""A work queue of keys: each at most once in the queue, never twice at the same time, later where asked.

The same promises as client-go's workqueue. Everything runs on one event loop; other threads go through
`call_soon_threadsafe`.
"""

from __future__ import annotations

import asyncio
import heapq
import time
from collections import deque
from collections.abc import Hashable
from typing import TYPE_CHECKING

from mintaka_operator import metrics

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

_FIRST_RETRY_SECONDS = 0.1
_LAST_RETRY_SECONDS = 60.0


class WorkQueue[Key: Hashable]:
    """Hands keys to workers; a key added while it is being worked on is worked on again afterwards."""

    def __init__(self) -> None:
        self._ready: deque[Key] = deque()
        self._since: dict[Key, float] = {}
        self._active: set[Key] = set()
        self._again: dict[Key, int] = {}
        self._later: list[tuple[float, int, Key]] = []
        self._due: dict[Key, float] = {}
        self._order = 0
        self._failures: dict[Key, int] = {}
        self._wake = asyncio.Event()
        self._work = asyncio.Event()

    def add(self, key: Key, cause: int = 0) -> None:
        """Have `key` worked on as soon as possible; `cause` is the resource version that was heard of, 0 for anything else."""
        if key in self._active:
            self._again[key] = cause if self._again.get(key, cause) == cause else 0
        elif key not in self._since:
            self._since[key] = time.monotonic()
            self._ready.append(key)
            self._work.set()

    def wrote(self, key: Key, version: int) -> None:
        """Whoever works on `key` made `version` himself: that it was heard of before the answer came is no reason to look again."""
        if version and self._again.get(key) == version:
            del self._again[key]

    def add_after(self, key: Key, seconds: float) -> None:
        """Have `key` worked on in `seconds`; of several such wishes the earliest counts."""
        if seconds <= 0:
            self.add(key)
            return
        due = time.monotonic() + seconds
        known = self._due.get(key)
        if known is not None and known <= due:
            return
        self._due[key] = due
        self._order += 1
        heapq.heappush(self._later, (due, self._order, key))
        self._wake.set()

    def retry(self, key: Key) -> float:
        """Have a failed `key` worked on again after an exponential wait; returns it, in seconds."""
        failures = self._failures.get(key, 0)
        self._failures[key] = failures + 1
        seconds: float = min(_FIRST_RETRY_SECONDS * 2 ** min(failures, 16), _LAST_RETRY_SECONDS)
        self.add_after(key, seconds)
        return seconds

    def forget(self, key: Key) -> None:
        """`key` went well: its next failure starts from the shortest wait."""
        self._failures.pop(key, None)

    def __len__(self) -> int:
        return len(self._ready)

    async def run(self, workers: int, work: Callable[[Key], Awaitable[None]]) -> None:
        """Work on keys with `workers` tasks at once until cancelled; `work` handles its own errors."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._promote())
            for _ in range(workers):
                group.create_task(self._worker(work))

    async def _worker(self, work: Callable[[Key], Awaitable[None]]) -> None:
        while True:
            while not self._ready:
                self._work.clear()
                await self._work.wait()
            key = self._ready.popleft()
            metrics.QUEUE_LATENCY.observe(time.monotonic() - self._since.pop(key))
            self._active.add(key)
            try:
                await work(key)
            finally:
                self._active.discard(key)
                if self._again.pop(key, None) is not None:
                    self.add(key)

    async def _promote(self) -> None:
        """Move keys whose time has come to the ready ones."""
        while True:
            now = time.monotonic()
            while self._later and self._later[0][0] <= now:
                due, _, key = heapq.heappop(self._later)
                if self._due.get(key) == due:  # else an earlier wish took its place
                    del self._due[key]
                    self.add(key)
            self._wake.clear()
            wait = self._later[0][0] - now if self._later else None
            try:
                async with asyncio.timeout(wait):
                    await self._wake.wait()
            except TimeoutError:
                continue
