"""Which runs hold the slots of a concurrency key and which wait for one, derived from the caches at each of their changes.

There is no await between a decision and its claim, so that the workers that start runs of a key never find more free slots than there
are. A claim ends with the pass over its run: from then on the workload that it created holds the slot. While it is not known whether
a workload was created, because there was no response, the claim remains. A run that leaves a slot wakes the runs that are next, and no
others: in a queue of n runs that costs O(log n) comparisons.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Collection, Mapping
from typing import TYPE_CHECKING

from mintaka_controller.slot_keys import SlotKeys, Terms
from mintaka_controller.slot_queue import Member, SlotQueue
from mintaka_core.concurrency import Contender, Outcome, Policy, SlotKey, Standing, place_of, standing
from mintaka_core.instants import EARLIEST
from mintaka_core.resources.concurrency import ConcurrencyStatus
from mintaka_core.states import CANCELLING, PAUSED, PENDING, RUNNING, SCHEDULED, SUSPENDED_ITSELF

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from mintaka_controller.deployment_cache import DeploymentCache
    from mintaka_controller.ports import Name, OwnedWorkload
    from mintaka_controller.run_cache import RunCache, RunEntry
    from mintaka_controller.workload_cache import WorkloadCache

_LIVE = frozenset(map(str, (PENDING, RUNNING, CANCELLING)))
_WAITING = frozenset({"", str(SCHEDULED)})
#: The number of replaced runs whose replacement is remembered, for the message of their state.
_REPLACED_LIMIT = 10_000


class ConcurrencySlots:
    """Belongs to the caches; `wake` is called with a run that may have a slot now. `cluster_keys` as for `SlotKeys`."""

    def __init__(
        self,
        runs: RunCache,
        workloads: WorkloadCache,
        deployments: DeploymentCache,
        now: Callable[[], datetime],
        cluster_keys: Mapping[str, tuple[str, ...]] | None = None,
    ) -> None:
        self._runs, self._workloads = runs, workloads
        self._now = now
        self.keys = SlotKeys(deployments, cluster_keys)
        self.wake: Callable[[Name], None] = lambda _run: None
        self._members: dict[Name, Member] = {}
        self._queues: dict[SlotKey, SlotQueue] = {}
        #: Runs for which a worker creates a workload, by name: their uids.
        self._claims: dict[Name, str] = {}
        #: Runs that are due but cannot start for a reason other than a missing slot: others may overtake them.
        self._blocked: set[Name] = set()
        self._replaced: OrderedDict[str, str] = OrderedDict()

    # Calls from the caches.

    def observe_run(self, run: Name) -> None:
        """A run, or one of its workloads, has changed."""
        before, after = self._members.get(run), self._classify(run)
        if before == after:
            return
        if before is not None:
            self._unlink(run, before)
        if after is not None:
            self._members[run] = after
            self._queue_of(after.key).add(run, after, self._now())
        # A run that only moves from the queue to a slot, or within the queue, frees no slot.
        if before is not None and (after is None or after.key != before.key or (before.holds and not after.holds)):
            self._wake_next(before.key)

    def observe_deployment(self, name: Name) -> None:
        """A deployment has changed, or is gone: its concurrency applies to the runs that exist."""
        before, now = self.keys.observe(name)
        if before == now:
            return
        if before is not None and before.key is not None:
            self._queue_of(before.key).limits.pop(name, None)
        if now is not None and now.key is not None and now.limit is not None:
            self._queue_of(now.key).limits[name] = now.limit
        same_key = _use_of(before) == _use_of(now)
        for run in self._runs.active(name):
            self.observe_run(run)
            if not same_key:
                self.wake(run)  # it may wait for another reason now, or for none
        for key in _keys_of(before, now):
            self._wake_next(key)

    # Calls from the reconciler.

    def limits(self, run: Name) -> bool:
        """Whether the run shares slots with others."""
        entry = self._runs.get(run)
        return entry is not None and self.keys.key_of(run[0], entry) is not None

    def record_of(self, run: Name) -> ConcurrencyStatus | None:
        """What the run should record of its key; None if it shares no slots."""
        entry = self._runs.get(run)
        key = self.keys.key_of(run[0], entry) if entry else None
        return ConcurrencyStatus(key=key[1], limit=self._limit_of(key, entry)) if key else None

    def standing_of(self, run: Name) -> Standing | None:
        """The position of the run now; None if it shares no slots, or is not due."""
        entry = self._runs.get(run)
        key = self.keys.key_of(run[0], entry) if entry else None
        if entry is None or key is None:
            return None
        self._blocked.discard(run)
        self.observe_run(run)
        member, queue, limit = self._members.get(run), self._queue_of(key), self._limit_of(key, entry)
        if member is None:  # suspended or cancelled since it was read
            return Standing(Outcome.WAIT, key[1], limit, len(queue.holders))
        if member.holds:
            return Standing(Outcome.FREE, key[1], limit, len(queue.holders))
        queue.promote(self._now(), self._members)
        position = queue.position(run, member.place)
        if position is None:
            return None
        policy = self.keys.policy_of(run[0], entry)
        ahead = queue.first(position) if policy is Policy.REPLACE else []
        return standing(
            self.contender(run),
            key[1],
            limit=limit,
            policy=policy,
            new=entry.attempt == 0,
            holders=_Holders(self, queue.holders),
            waiting=[self.contender(name) for name in ahead if self._same_deployment(name, run, entry)],
            position=position,
            caller_uid=entry.caller,
        )

    def claim(self, run: Name, uid: str) -> None:
        """A worker is about to create a workload of the run."""
        if run in self._members:
            self._claims[run] = uid
            self.observe_run(run)

    def release(self, run: Name, *, blocked: bool = False) -> None:
        """The pass over the run has ended; `blocked`: it is due and does not start, although no other run holds its slot."""
        self._claims.pop(run, None)
        entry = self._runs.get(run)
        if blocked and entry is not None and (entry.due is None or entry.due <= self._now()):
            self._blocked.add(run)
        self.observe_run(run)
        if entry is None or entry.finished or run in self._members:
            self._blocked.discard(run)

    def note_replaced(self, uid: str, by: str) -> None:
        """The run with that uid is cancelled because another one replaces it."""
        self._replaced[uid] = by
        while len(self._replaced) > _REPLACED_LIMIT:
            self._replaced.popitem(last=False)

    def replaced_by(self, uid: str) -> str:
        """The name of the run that replaced it; "" if none is known."""
        return self._replaced.get(uid, "")

    def contender(self, run: Name) -> Contender:
        """A member as the core sees it."""
        member, entry = self._members[run], self._runs.get(run)
        leaving = entry is None or entry.cancel or entry.deleting or entry.state == CANCELLING
        return Contender(*run, member.place.uid, member.place, leaving)

    # The index.

    def _classify(self, run: Name) -> Member | None:
        entry, known = self._runs.get(run), self._members.get(run)
        if entry is None:  # it was deleted; its workload may still run
            lives = known is not None and known.holds and any(_lives(each) for each in self._workloads.owned_by(run))
            return known if lives else None
        key = self.keys.key_of(run[0], entry)
        if key is None:
            return None
        place = place_of(self.keys.priority_of(run[0], entry), entry.scheduled, entry.created or EARLIEST, entry.uid)
        if entry.state in _LIVE or self._claims.get(run) == entry.uid or self._has_begun(run, entry):
            return Member(key, place, holds=True)
        if run in self._blocked or not _may_start(entry):
            return None
        return Member(key, place, holds=False, due=entry.due)

    def _has_begun(self, run: Name, entry: RunEntry) -> bool:
        """Whether a workload of the run exists and has not ended, or its start is not recorded yet."""
        return any(
            _lives(each) or (each.workload.attempt > entry.attempt and each.owner_uid == entry.uid and not entry.finished)
            for each in self._workloads.owned_by(run)
        )

    def _limit_of(self, key: SlotKey, entry: RunEntry | None) -> int:
        queue = self._queues.get(key)
        if queue is not None and queue.limits:
            return min(queue.limits.values())
        return max(entry.slot_limit, 1) if entry else 1

    def _same_deployment(self, name: Name, run: Name, entry: RunEntry) -> bool:
        other = self._runs.get(name)
        return other is not None and (name[0], other.deployment) == (run[0], entry.deployment)

    def _queue_of(self, key: SlotKey) -> SlotQueue:
        return self._queues.setdefault(key, SlotQueue())

    def _unlink(self, run: Name, member: Member) -> None:
        del self._members[run]
        queue = self._queue_of(member.key)
        queue.remove(run, member)
        if queue.is_over(self._members):
            del self._queues[member.key]

    def _wake_next(self, key: SlotKey) -> None:
        queue = self._queues.get(key)
        if queue is None:
            return
        queue.promote(self._now(), self._members)
        following = queue.first(1)
        if following:
            free = self._limit_of(key, self._runs.get(following[0])) - len(queue.holders)
            for run in queue.first(free):
                self.wake(run)


class _Holders(Collection[Contender]):
    """The holders of a key as the core sees them, made when they are needed: there may be thousands, and usually only one is named."""

    def __init__(self, slots: ConcurrencySlots, names: Mapping[Name, str]) -> None:
        self._slots, self._names = slots, names

    def __len__(self) -> int:
        return len(self._names)

    def __iter__(self) -> Iterator[Contender]:
        return map(self._slots.contender, self._names)

    def __contains__(self, contender: object) -> bool:
        return isinstance(contender, Contender) and (contender.namespace, contender.name) in self._names


def _keys_of(*terms: Terms | None) -> set[SlotKey]:
    return {each.key for each in terms if each is not None and each.key is not None}


def _use_of(terms: Terms | None) -> tuple[SlotKey | None, bool]:
    return (terms.key, terms.allowed) if terms else (None, True)


def _lives(owned: OwnedWorkload) -> bool:
    """Whether the flow itself may still run in a workload."""
    return owned.workload.alive and owned.workload.end is None


def _may_start(entry: RunEntry) -> bool:
    """Whether a run is to start, now or later, according to its own spec and state."""
    if entry.suspend or entry.cancel or entry.deleting or entry.problem is not None:
        return False
    if entry.state in _WAITING or entry.rerun_wanted:
        return True
    return entry.state == PAUSED and entry.end_reason != SUSPENDED_ITSELF
