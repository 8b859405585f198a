"""A fair work queue of keys: each at most once in the queue, never processed twice at the same time, delayed if requested.

The guarantees of client-go's workqueue, and one more: keys are taken from lanes (namespaces) in turn, and one lane occupies
at most `lane_limit` workers, so that neither a flood of keys nor slow requests of one namespace delay those of another.
Within a lane, keys whose time has come may precede the others: a schedule fires in time although its lane is busy.
Everything runs on one event loop.
"""

from __future__ import annotations

import asyncio
import heapq
from collections import Counter, deque
from collections.abc import Hashable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

_FIRST_RETRY_SECONDS = 0.1
_LAST_RETRY_SECONDS = 60.0
_LONGEST_ASKED_FOR_SECONDS = 120.0
#: One of so many keys of a lane is an ordinary one, if any waits, however many are urgent.
_URGENT_IN_A_ROW = 8
#: Stale entries of the heap are tolerated up to this many beyond twice the live ones.
_SLACK = 64


class _Lane[Key: Hashable]:
    """The waiting keys of a lane; one that becomes urgent while it waits is in both queues. The urgent ones come first, but not only they."""

    def __init__(self) -> None:
        self._urgent: deque[Key] = deque()
        self._others: deque[Key] = deque()
        self._taken = 0

    def add(self, key: Key, *, urgent: bool) -> None:
        (self._urgent if urgent else self._others).append(key)

    def take(self) -> Key:
        self._taken += 1
        if self._others and not (self._urgent and self._taken % _URGENT_IN_A_ROW):
            return self._others.popleft()
        return self._urgent.popleft()

    def __len__(self) -> int:
        return len(self._urgent) + len(self._others)


class WorkQueue[Key: Hashable]:
    """Hands keys to workers; a key added while it is being processed is processed again afterwards.

    `lane_of` returns the lane of a key; `waited` is called with the seconds each key waited.
    """

    def __init__(
        self,
        lane_of: Callable[[Key], str] = lambda _key: "",
        *,
        lane_limit: int = 16,
        waited: Callable[[float], None] = lambda _seconds: None,
    ) -> None:
        self._lane_of = lane_of
        self._lane_limit = lane_limit
        self._waited = waited
        self._lanes: dict[str, _Lane[Key]] = {}
        self._turns: deque[str] = deque()
        self._busy: Counter[str] = Counter()
        self._since: dict[Key, float] = {}
        self._active: set[Key] = set()
        self._again: dict[Key, int] = {}
        self._heap: list[tuple[float, int, Key, bool]] = []
        self._due: dict[Key, float] = {}
        self._order = 0
        self._failures: dict[Key, int] = {}
        self._wake = asyncio.Event()
        self._work = asyncio.Event()

    def add(self, key: Key, cause: int = 0, *, urgent: bool = False) -> None:
        """Have `key` processed as soon as possible, before the others of its lane if it is `urgent`.

        `cause` is the resource version behind it, 0 for anything else.
        """
        if key in self._active:
            self._again[key] = cause if self._again.get(key, cause) == cause else 0
        elif key not in self._since or urgent:
            self._since.setdefault(key, _time())
            lane = self._lane_of(key)
            if lane not in self._lanes:
                self._lanes[lane] = _Lane()
                self._turns.append(lane)
            self._lanes[lane].add(key, urgent=urgent)
            self._work.set()

    def wrote(self, key: Key, version: int) -> None:
        """The worker of `key` wrote `version` itself: an event of it that arrived before the answer does not require processing again."""
        if version and self._again.get(key) == version:
            del self._again[key]

    def add_after(self, key: Key, seconds: float, *, urgent: bool = False) -> None:
        """Have `key` processed in `seconds`, then before the others of its lane if it is `urgent`; of several requests the earliest counts."""
        if seconds <= 0:
            self.add(key, urgent=urgent)
            return
        due = _time() + seconds
        known = self._due.get(key)
        if known is not None and known <= due:
            return
        self._due[key] = due
        self._order += 1
        heapq.heappush(self._heap, (due, self._order, key, urgent))
        if len(self._heap) > 2 * len(self._due) + _SLACK:
            self._compact()
        self._wake.set()

    def _compact(self) -> None:
        """Drop the entries that an earlier request replaced: they would stay until their own time, which may be months away."""
        self._heap = [entry for entry in self._heap if self._due.get(entry[2]) == entry[0]]
        heapq.heapify(self._heap)

    def retry(self, key: Key, at_least: float = 0.0) -> float:
        """Have a failed `key` processed again after an exponential wait of at least `at_least` seconds; return the wait.

        `at_least` is the wait that a server requests; it is capped at two minutes.
        """
        failures = self._failures.get(key, 0)
        self._failures[key] = failures + 1
        asked_for = min(at_least, _LONGEST_ASKED_FOR_SECONDS)
        seconds: float = max(min(_FIRST_RETRY_SECONDS * 2 ** min(failures, 16), _LAST_RETRY_SECONDS), asked_for)
        self.add_after(key, seconds)
        return seconds

    def forget(self, key: Key) -> None:
        """`key` succeeded: its next failure starts from the shortest wait."""
        self._failures.pop(key, None)

    def __len__(self) -> int:
        return len(self._since)

    @property
    def scheduled(self) -> int:
        """The number of delayed entries, including stale ones."""
        return len(self._heap)

    async def run(self, workers: int, work: Callable[[Key], Awaitable[None]]) -> None:
        """Process keys with `workers` concurrent tasks until cancelled; `work` handles its own errors."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._promote())
            for _ in range(workers):
                group.create_task(self._worker(work))

    async def _worker(self, work: Callable[[Key], Awaitable[None]]) -> None:
        while True:
            key = self._take()
            if key is None:
                self._work.clear()
                await self._work.wait()
                continue
            lane = self._lane_of(key)
            self._active.add(key)
            self._busy[lane] += 1
            try:
                await work(key)
            finally:
                self._release(key, lane)

    def _take(self) -> Key | None:
        """The next key of the first lane in turn that may have another worker; None if there is none."""
        for _ in range(len(self._turns)):
            lane = self._turns[0]
            if self._busy[lane] >= self._lane_limit:
                self._turns.rotate(-1)
                continue
            keys, since = self._lanes[lane], None
            while keys and since is None:  # None: the key was taken while it was in the other queue too
                key = keys.take()
                since = self._since.pop(key, None)
            if keys:
                self._turns.rotate(-1)
            else:
                self._turns.popleft()
                del self._lanes[lane]
            if since is not None:
                self._waited(_time() - since)
                return key
        return None

    def _release(self, key: Key, lane: str) -> None:
        self._active.discard(key)
        self._busy[lane] -= 1
        if not self._busy[lane]:
            del self._busy[lane]
        if self._again.pop(key, None) is not None:
            self.add(key)
        if self._turns:
            self._work.set()  # a lane at its limit may have another worker now

    async def _promote(self) -> None:
        """Move keys whose time has come to their lanes."""
        while True:
            now = _time()
            while self._heap and self._heap[0][0] <= now:
                due, _, key, urgent = heapq.heappop(self._heap)
                if self._due.get(key) == due:  # else an earlier request replaced it
                    del self._due[key]
                    self.add(key, urgent=urgent)
            self._wake.clear()
            wait = self._heap[0][0] - now if self._heap else None
            try:
                async with asyncio.timeout(wait):
                    await self._wake.wait()
            except TimeoutError:
                continue


def _time() -> float:
    return asyncio.get_running_loop().time()
