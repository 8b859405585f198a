"""Which runs hold the slots of a key and which wait for one, derived from the caches at each of their changes.

Every decision is taken and claimed without an await in between, so of any number of workers that start runs of a key only as many
find a slot free as there are. A claim ends when the pass over its run has: the workload that it created holds the slot then. While it
is not known whether a workload was created, because no answer came, the claim remains. What leaves a slot wakes the runs that are
next, and no others: in a queue of n runs that costs O(log n) comparisons.

After a start of the controller the deployments of some runs may not be known yet: these are read before the first decision.
"""

from __future__ import annotations

import heapq
from bisect import bisect_left, insort
from collections import OrderedDict
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING

from mintaka_controller.ports import Name
from mintaka_core.concurrency import (
    CLUSTER_PREFIX,
    EVERY_NAMESPACE,
    KEY_NOT_ALLOWED,
    Contender,
    Outcome,
    Place,
    Policy,
    SlotKey,
    Standing,
    place_of,
    slot_key,
    standing,
)
from mintaka_core.instants import EARLIEST
from mintaka_core.resources.concurrency import ConcurrencyStatus
from mintaka_core.states import CANCELLING, PAUSED, PENDING, RUNNING, SCHEDULED, SUSPENDED_ITSELF

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mintaka_controller.deployment_cache import DeploymentCache
    from mintaka_controller.ports import OwnedWorkload
    from mintaka_controller.run_cache import RunCache, RunEntry
    from mintaka_controller.workload_cache import WorkloadCache
    from mintaka_core.resources.concurrency import Concurrency

_LIVE = frozenset(map(str, (PENDING, RUNNING, CANCELLING)))
_WAITING = frozenset({"", str(SCHEDULED)})
#: The number of replaced runs whose replacement is remembered, for the message of their state.
_REPLACED_LIMIT = 10_000


@dataclass(frozen=True, slots=True)
class _Member:
    """A run of a key: it `holds` a slot, or waits for one once it is `due` (None: now)."""

    key: SlotKey
    place: Place
    holds: bool
    due: datetime | None = None


@dataclass(frozen=True, slots=True)
class _Terms:
    """What a deployment says: its key (None: nothing is limited, or the key is not allowed), limit (None: it counts for none), priority."""

    key: SlotKey | None
    limit: int | None
    priority: int


@dataclass(slots=True)
class _Group:
    """The runs of one key, and the limits of its deployments. `later` are runs that are not due yet, some of which may have left."""

    holders: dict[Name, str] = field(default_factory=dict)
    waiting: list[tuple[Place, Name]] = field(default_factory=list)
    later: list[tuple[datetime, Place, Name]] = field(default_factory=list)
    limits: dict[Name, int] = field(default_factory=dict)


class ConcurrencySlots:
    """Belongs to the caches; `wake` is called with a run that may have a slot now.

    `cluster_keys` are the namespaces that may use each key of the cluster, by its name without `cluster/`; None: all namespaces may use any.
    """

    def __init__(
        self,
        runs: RunCache,
        workloads: WorkloadCache,
        deployments: DeploymentCache,
        now: Callable[[], datetime],
        cluster_keys: Mapping[str, tuple[str, ...]] | None = None,
    ) -> None:
        self._runs, self._workloads, self._deployments = runs, workloads, deployments
        self._now = now
        self._cluster_keys = cluster_keys
        self.wake: Callable[[Name], None] = lambda _run: None
        self._members: dict[Name, _Member] = {}
        self._groups: dict[SlotKey, _Group] = {}
        self._terms: dict[Name, _Terms] = {}
        #: Runs of which a worker creates a workload, by name: their uids.
        self._claims: dict[Name, str] = {}
        #: Runs that are due and cannot start for another reason than a missing slot: others may overtake them.
        self._blocked: set[Name] = set()
        self._replaced: OrderedDict[str, str] = OrderedDict()
        #: Deployments of unfinished runs that are not known yet, in order of appearance; and those that do not exist.
        self.unknown: dict[Name, None] = {}
        self._absent: set[Name] = set()

    # What the caches report.

    def observe_run(self, run: Name) -> None:
        """A run, or one of its workloads, has changed."""
        before, after = self._members.get(run), self._classify(run)
        if before == after:
            return
        if before is not None:
            self._unlink(run, before)
        if after is not None:
            self._link(run, after)
        # What only moves from the queue to a slot, or within the queue, frees nothing.
        if before is not None and (after is None or after.key != before.key or (before.holds and not after.holds)):
            self._wake_next(before.key)

    def observe_deployment(self, name: Name) -> None:
        """A deployment has changed, or is gone: its concurrency applies to the runs that exist."""
        self._absent.discard(name)
        self.unknown.pop(name, None)
        known, terms = self._terms.pop(name, None), self._terms_of(name)
        if terms is not None:
            self._terms[name] = terms
        if known == terms:
            return
        for each in (known, terms):
            if each is not None and each.key is not None:
                limits = self._groups.setdefault(each.key, _Group()).limits
                limits.pop(name, None)
                if each is terms and each.limit is not None:
                    limits[name] = each.limit
        same_key = known is not None and terms is not None and known.key == terms.key
        for run in self._runs.active(name):
            self.observe_run(run)
            if not same_key:
                self.wake(run)  # it may wait for another reason now, or for none
        for key in {each.key for each in (known, terms) if each is not None and each.key is not None}:
            self._wake_next(key)

    def _terms_of(self, name: Name) -> _Terms | None:
        """None: the deployment is not known, or cannot be read."""
        entry = self._deployments.get(name)
        if entry is None or entry.problem is not None:
            return None
        concurrency = entry.concurrency
        if concurrency is None:
            return _Terms(None, None, entry.priority)
        limit = None if concurrency.policy is Policy.ALLOW else concurrency.limit
        return _Terms(self._allowed(name[0], concurrency.key or name[1]), limit, entry.priority)

    def miss_deployment(self, name: Name) -> None:
        """There is no such deployment: its runs use the key that they recorded."""
        self.unknown.pop(name, None)
        self._absent.add(name)

    # What the reconciler asks and does.

    def limits(self, run: Name) -> bool:
        """Whether the run shares slots with others."""
        entry = self._runs.get(run)
        return entry is not None and self._key_of(run, entry) is not None

    def record_of(self, run: Name) -> ConcurrencyStatus | None:
        """What the run should record of its key; None if it shares no slots."""
        entry = self._runs.get(run)
        found = self._key_of(run, entry) if entry else None
        return ConcurrencyStatus(key=found[1], limit=self._limit_of(found, entry)) if found else None

    def standing_of(self, run: Name) -> Standing | None:
        """How the run stands now; None if it shares no slots, or is not due."""
        entry = self._runs.get(run)
        key = self._key_of(run, entry) if entry else None
        if entry is None or key is None:
            return None
        self._blocked.discard(run)
        self.observe_run(run)
        member, group = self._members.get(run), self._groups.setdefault(key, _Group())
        limit = self._limit_of(key, entry)
        if member is not None and member.holds:
            return Standing(Outcome.FREE, key[1], limit, len(group.holders))
        self._promote(group)
        holders = _Contenders(self, group)
        if member is None:  # suspended or cancelled since it was read
            return Standing(Outcome.WAIT, key[1], limit, len(group.holders))
        position = bisect_left(group.waiting, (member.place, run))
        if position == len(group.waiting) or group.waiting[position] != (member.place, run):
            return None  # it is not due
        concurrency = self._concurrency_of(run, entry)
        policy = concurrency.policy if concurrency else Policy.QUEUE
        ahead = [name for _, name in group.waiting[:position]] if policy is Policy.REPLACE else []
        return standing(
            self.contender(run),
            key[1],
            limit=limit,
            policy=policy,
            new=entry.attempt == 0,
            holders=holders,
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
        """The pass over the run has ended; `blocked`: it is due and does not start, although nobody holds its slot."""
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

    def problem_of(self, namespace: str, deployment: str, concurrency: Concurrency | None) -> tuple[str, str] | None:
        """Why runs of a deployment cannot start because of its key: a reason and a sentence; None if they can."""
        key = concurrency.key or deployment if concurrency else ""
        if not key or self._allowed(namespace, key):
            return None
        message = (
            f"namespace {namespace!r} may not use key {key!r} (spec.concurrency.key): list it in the operator's settings "
            f"(value concurrency.clusterKeys of the chart), or name a key without {CLUSTER_PREFIX!r}"
        )
        return KEY_NOT_ALLOWED, message

    # The index.

    def _classify(self, run: Name) -> _Member | None:
        entry, known = self._runs.get(run), self._members.get(run)
        if entry is None:  # it was deleted; its workload may still run
            lives = known is not None and known.holds and any(_lives(each) for each in self._workloads.owned_by(run))
            return known if lives else None
        key = self._key_of(run, entry)
        if key is None:
            return None
        place = place_of(self._priority_of(run, entry), entry.scheduled, entry.created or EARLIEST, entry.uid)
        if entry.state in _LIVE or self._claims.get(run) == entry.uid or self._has_begun(run, entry):
            return _Member(key, place, holds=True)
        if run in self._blocked or not _may_start(entry):
            return None
        return _Member(key, place, holds=False, due=entry.due)

    def _has_begun(self, run: Name, entry: RunEntry) -> bool:
        """Whether a workload of the run lives, or its start is not recorded yet."""
        return any(
            _lives(each) or (each.workload.attempt > entry.attempt and each.owner_uid == entry.uid and not entry.finished)
            for each in self._workloads.owned_by(run)
        )

    def _key_of(self, run: Name, entry: RunEntry) -> SlotKey | None:
        """The key whose slots a run uses: that of its deployment, or the recorded one if that is gone or cannot be read."""
        if not entry.deployment:
            return None
        name = run[0], entry.deployment
        terms = self._terms.get(name)
        if terms is not None:
            return terms.key
        if not entry.finished and name not in self._absent and self._deployments.get(name) is None:
            self.unknown[name] = None
        return self._allowed(run[0], entry.slot_key) if entry.slot_key else None

    def _allowed(self, namespace: str, key: str) -> SlotKey | None:
        if key.startswith(CLUSTER_PREFIX) and self._cluster_keys is not None:
            namespaces = self._cluster_keys.get(key.removeprefix(CLUSTER_PREFIX), ())
            if namespace not in namespaces and EVERY_NAMESPACE not in namespaces:
                return None
        return slot_key(namespace, key)

    def _limit_of(self, key: SlotKey, entry: RunEntry | None) -> int:
        group = self._groups.get(key)
        if group is not None and group.limits:
            return min(group.limits.values())
        return max(entry.slot_limit, 1) if entry else 1

    def _concurrency_of(self, run: Name, entry: RunEntry) -> Concurrency | None:
        deployment = self._deployments.get((run[0], entry.deployment))
        return deployment.concurrency if deployment else None

    def _priority_of(self, run: Name, entry: RunEntry) -> int:
        if entry.priority is not None:
            return entry.priority
        terms = self._terms.get((run[0], entry.deployment))
        return terms.priority if terms else 0

    def _same_deployment(self, name: Name, run: Name, entry: RunEntry) -> bool:
        other = self._runs.get(name)
        return other is not None and (name[0], other.deployment) == (run[0], entry.deployment)

    def contender(self, run: Name) -> Contender:
        """A member as the core sees it."""
        member, entry = self._members[run], self._runs.get(run)
        leaving = entry is None or entry.cancel or entry.deleting or entry.state == CANCELLING
        return Contender(*run, member.place.uid, member.place, leaving)

    def _link(self, run: Name, member: _Member) -> None:
        self._members[run] = member
        group = self._groups.setdefault(member.key, _Group())
        if member.holds:
            group.holders[run] = member.place.uid
        elif member.due is not None and member.due > self._now():
            heapq.heappush(group.later, (member.due, member.place, run))
        else:
            insort(group.waiting, (member.place, run))

    def _unlink(self, run: Name, member: _Member) -> None:
        del self._members[run]
        group = self._groups[member.key]
        group.holders.pop(run, None)
        at = bisect_left(group.waiting, (member.place, run))
        if at < len(group.waiting) and group.waiting[at] == (member.place, run):
            del group.waiting[at]
        if not (group.holders or group.waiting or group.limits) and not any(name in self._members for *_, name in group.later):
            del self._groups[member.key]

    def _promote(self, group: _Group) -> None:
        """Move the runs that are due now into the queue."""
        now = self._now()
        while group.later and group.later[0][0] <= now:
            due, place, run = heapq.heappop(group.later)
            member = self._members.get(run)
            if member is None or member.holds or (member.due, member.place) != (due, place):
                continue  # it left, or has another place
            at = bisect_left(group.waiting, (place, run))
            if at == len(group.waiting) or group.waiting[at] != (place, run):
                group.waiting.insert(at, (place, run))

    def _wake_next(self, key: SlotKey) -> None:
        group = self._groups.get(key)
        if group is None:
            return
        self._promote(group)
        if not group.waiting:
            return
        free = self._limit_of(key, self._runs.get(group.waiting[0][1])) - len(group.holders)
        for _, run in group.waiting[: max(free, 0)]:
            self.wake(run)


class _Contenders(Collection[Contender]):
    """The holders of a group as the core sees them, made when they are needed: there may be thousands, and most often one is named."""

    def __init__(self, slots: ConcurrencySlots, group: _Group) -> None:
        self._slots, self._names = slots, group.holders

    def __len__(self) -> int:
        return len(self._names)

    def __iter__(self) -> Iterator[Contender]:
        return map(self._slots.contender, self._names)

    def __contains__(self, contender: object) -> bool:
        return isinstance(contender, Contender) and (contender.namespace, contender.name) in self._names


def _lives(owned: OwnedWorkload) -> bool:
    """Whether the flow itself may still run in a workload."""
    return owned.workload.alive and owned.workload.end is None


def _may_start(entry: RunEntry) -> bool:
    """Whether a run wants to start, now or later, as far as its own spec and state say."""
    if entry.suspend or entry.cancel or entry.deleting or entry.problem is not None:
        return False
    if entry.state in _WAITING or entry.rerun_wanted:
        return True
    return entry.state == PAUSED and entry.end_reason != SUSPENDED_ITSELF
