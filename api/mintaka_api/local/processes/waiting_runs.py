"""The runs that wait for a slot, ordered by age: thousands of them make a request for a slot no slower.

The runs with the same limits are one queue, since all of them can start or none: whether their groups are full is checked once.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from operator import attrgetter

from mintaka_controller.ports import Name

type Limits = Mapping[str, int]
#: When a run was created, its name, and its uid: older runs come first.
type Age = tuple[datetime, Name, str]
#: By group: how many slots are taken or reserved.
type Used = Counter[str]
type _QueueKey = tuple[tuple[str, int], ...]

_AGE = attrgetter("age")
#: A run without a request for so long no longer waits: the controller repeats the request of a waiting run at least every two minutes.
_FORGOTTEN_SECONDS = 300.0


@dataclass(slots=True)
class WaitingRun:
    """A run that waits, the limits of its groups, and the time of its last request (`time.monotonic()`)."""

    age: Age
    limits: Limits
    asked: float
    #: Until when a slot is reserved for it.
    reserved_until: float = 0.0

    @property
    def run(self) -> Name:
        """Namespace and name."""
        return self.age[1]

    @property
    def uid(self) -> str:
        """The uid of the run."""
        return self.age[2]


@dataclass(slots=True)
class _Queue:
    """Runs with the same limits, the oldest first."""

    limits: Limits
    runs: list[WaitingRun] = field(default_factory=list)

    def older(self, age: Age) -> int:
        return bisect_left(self.runs, age, key=_AGE)


def is_full(limits: Limits, used: Used, but: str = "") -> bool:
    """Whether one of the groups other than `but` has no free slot."""
    return any(used[group] >= limit for group, limit in limits.items() if group != but)


class WaitingRuns:
    """All runs that wait. A run for which a slot is reserved is in `reserved` until then, every other one in a queue."""

    def __init__(self) -> None:
        #: By uid, in the order of their last requests.
        self._runs: dict[str, WaitingRun] = {}
        self.reserved: dict[str, WaitingRun] = {}
        #: Those of the queues that did not take the slot that was reserved for them.
        self._lapsed: dict[str, WaitingRun] = {}
        #: The runs of all queues, ordered by age.
        self._queued: list[Age] = []
        self._queues: dict[_QueueKey, _Queue] = {}
        #: The oldest run of each queue, ordered by age.
        self._heads: list[tuple[Age, _QueueKey]] = []
        self._queues_of_group: dict[str, dict[_QueueKey, _Queue]] = {}

    def update(self, now: float) -> None:
        """Forget the runs that no longer wait, and end the reservations whose time is over."""
        while self._runs:
            oldest_request = next(iter(self._runs.values()))
            if now - oldest_request.asked < _FORGOTTEN_SECONDS:
                break
            self.pop(oldest_request.uid)
        for run in [run for run in self.reserved.values() if run.reserved_until <= now]:
            del self.reserved[run.uid]
            self._lapsed[run.uid] = run
            self._enqueue(run)

    def add(self, run: WaitingRun) -> None:
        """Add a run that is not known and has just requested a slot."""
        self._runs[run.uid] = run
        self._enqueue(run)

    def pop(self, uid: str) -> WaitingRun | None:
        """Remove a run; None if it is not known."""
        run = self._runs.pop(uid, None)
        if run is not None and self.reserved.pop(uid, None) is None:
            self._lapsed.pop(uid, None)
            self._dequeue(run)
        return run

    def drop_lapsed(self) -> None:
        """Remove the runs that did not take the slot that was reserved for them."""
        for uid in tuple(self._lapsed):
            self.pop(uid)

    def reserve(self, run: WaitingRun, until: float) -> None:
        """Reserve a slot for a run of a queue."""
        self._dequeue(run)
        run.reserved_until = until
        self.reserved[run.uid] = run

    def count_ahead(self, age: Age, used: Used) -> int:
        """How many older runs of the queues have groups with free slots."""
        # A limit is at least 1, so that only a group that is used can be full.
        queues = {key: queue for group in used for key, queue in self._queues_of_group.get(group, {}).items()}
        return bisect_left(self._queued, age) - sum(queue.older(age) for queue in queues.values() if is_full(queue.limits, used))

    def count_ahead_of_group(self, group: str, age: Age, used: Used) -> int:
        """How many older runs of the queues are in the group, and have free slots in their other groups."""
        queues = self._queues_of_group.get(group, {}).values()
        return sum(queue.older(age) for queue in queues if not is_full(queue.limits, used, but=group))

    def count_older(self, age: Age, used: Used) -> int:
        """How many older runs wait that have groups with free slots, also those with a reservation."""
        return self.count_ahead(age, used) + sum(run.age < age and not is_full(run.limits, used) for run in self.reserved.values())

    def count_older_of_group(self, group: str, age: Age) -> int:
        """How many older runs of the group wait, also those with a reservation."""
        queued = sum(queue.older(age) for queue in self._queues_of_group.get(group, {}).values())
        return queued + sum(run.age < age and group in run.limits for run in self.reserved.values())

    def next_with_room(self, used: Used) -> Iterator[WaitingRun]:
        """The runs of the queues whose groups have free slots, the oldest first.

        The caller reserves a slot for each, and counts that in `used`, before it requests the next.
        """
        position = 0
        while position < len(self._heads):
            queue = self._queues[self._heads[position][1]]
            if is_full(queue.limits, used):
                position += 1
            else:
                yield queue.runs[0]  # its queue's next one, which is younger, comes at this position or later

    def _enqueue(self, run: WaitingRun) -> None:
        key = _queue_key(run.limits)
        queue = self._queues.get(key)
        if queue is None:
            queue = self._queues[key] = _Queue(run.limits)
            for group in run.limits:
                self._queues_of_group.setdefault(group, {})[key] = queue
        else:
            self._drop_head(key, queue)
        insort(queue.runs, run, key=_AGE)
        insort(self._heads, (queue.runs[0].age, key))
        insort(self._queued, run.age)

    def _dequeue(self, run: WaitingRun) -> None:
        key = _queue_key(run.limits)
        queue = self._queues[key]
        self._drop_head(key, queue)
        del queue.runs[queue.older(run.age)]
        del self._queued[bisect_left(self._queued, run.age)]
        if queue.runs:
            insort(self._heads, (queue.runs[0].age, key))
            return
        del self._queues[key]
        for group in run.limits:
            of_group = self._queues_of_group[group]
            del of_group[key]
            if not of_group:
                del self._queues_of_group[group]

    def _drop_head(self, key: _QueueKey, queue: _Queue) -> None:
        del self._heads[bisect_left(self._heads, (queue.runs[0].age, key))]


def _queue_key(limits: Limits) -> _QueueKey:
    return tuple(sorted(limits.items()))
