"""Decides which runs may request a workload now: refusals are retried with backoff, waiting runs start in order of age.

A refusal for lack of capacity (a quota) forms a lane, one for each deployment of a namespace: only the oldest run of a lane
retries, after waits that grow from 5 s to 2 min or as soon as capacity may have been freed; its success lets the next one
retry. A transient refusal (an unavailable webhook, throttling) holds the whole namespace: one run retries at most every 10
s, or when the server says, and its success lets all others retry. Pure: the current time is an argument.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from mintaka_controller.ports import Name
from mintaka_core.workloads import CreateError, CreateErrorKind

if TYPE_CHECKING:
    from collections.abc import Iterable


_FIRST_WAIT = timedelta(seconds=5)
_LONGEST_WAIT = timedelta(minutes=2)
_FIRST_PROBE = timedelta(seconds=1)
_LONGEST_PROBE = timedelta(seconds=10)
_LONGEST_ASKED_FOR = timedelta(minutes=2)
#: Runs that wait behind others are woken by them; this only limits how long it takes to notice that the others are gone.
_BEHIND_OTHERS = timedelta(minutes=10)
#: The number of lanes of a namespace that are woken when capacity is freed.
_LANES_AT_ONCE = 8


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """A run's place among those that wait: by age, runs of the same second by the version in which they were first seen.

    `lane` is the deployment, or a substitute for one.
    """

    since: datetime
    first_version: int
    key: Name
    lane: str = field(default="", compare=False)


@dataclass(slots=True)
class _Lane:
    error: CreateError
    next_time: datetime
    failures: int = 0
    order: list[Place] = field(default_factory=list)


@dataclass(slots=True)
class _Outage:
    error: CreateError
    next_time: datetime
    failures: int = 0
    probing: Name | None = None
    waiting: dict[Name, Place] = field(default_factory=dict)


@dataclass(slots=True)
class _Namespace:
    lanes: dict[str, _Lane] = field(default_factory=dict)
    outage: _Outage | None = None


class CreateBackoff:
    """The runs whose workload could not be created, by namespace."""

    def __init__(self) -> None:
        self._namespaces: dict[str, _Namespace] = {}
        self._places: dict[Name, Place] = {}

    def hold(self, place: Place, now: datetime) -> CreateError | None:
        """Why a run must wait before its request, and until when; None if it may request now, which is then counted."""
        self._forget_predecessor(place)
        known = self._namespaces.get(place.key[0])
        if known is None:
            return None
        return self._hold_for_outage(known, place, now) or self._hold_in_lane(known, place, now)

    def _hold_for_outage(self, known: _Namespace, place: Place, now: datetime) -> CreateError | None:
        outage = known.outage
        if outage is None:
            return None
        if now >= outage.next_time:
            outage.probing, outage.next_time = place.key, now + _LONGEST_PROBE
            return None
        outage.waiting[place.key] = place
        return replace(outage.error, retry_time=outage.next_time)

    def _hold_in_lane(self, known: _Namespace, place: Place, now: datetime) -> CreateError | None:
        lane = known.lanes.get(place.lane)
        if lane is None:
            return None
        self._join(lane, place)
        if lane.order[0].key != place.key:
            behind = bisect_left(lane.order, place)
            return replace(lane.error, message=_behind(lane.error, behind), retry_time=now + _BEHIND_OTHERS)
        return replace(lane.error, retry_time=lane.next_time) if now < lane.next_time else None

    def _join(self, lane: _Lane, place: Place) -> None:
        if self._places.get(place.key) != place:
            self._places[place.key] = place
            insort(lane.order, place)

    def refuse(self, place: Place, error: CreateError, now: datetime) -> tuple[CreateError, list[Name]]:
        """Record that a run's request was refused; return the error with the time of the retry, and the runs that may request now."""
        namespace = place.key[0]
        woken = self._forget_predecessor(place)
        known = self._namespaces.setdefault(namespace, _Namespace())
        match error.kind:
            case CreateErrorKind.TRANSIENT:
                error = self._refuse_for_now(known, place, error, now)
            case CreateErrorKind.CAPACITY:
                woken += self._end_outage(known, place)  # the server answers again
                error = self._refuse_in_lane(known, place, error, now)
            case _:
                woken += self._end_outage(known, place)
                self._tidy(namespace)
        return error, woken

    def _forget_predecessor(self, place: Place) -> list[Name]:
        """Forget a run of that name that waited and was replaced by this one."""
        known = self._places.get(place.key)
        return self.forget(place.key) if known is not None and known != place else []

    def _end_outage(self, known: _Namespace, place: Place) -> list[Name]:
        """All runs that waited for the end of the outage except `place` itself, the oldest first."""
        outage, known.outage = known.outage, None
        return [waiting.key for waiting in sorted(outage.waiting.values()) if waiting.key != place.key] if outage else []

    def _refuse_for_now(self, known: _Namespace, place: Place, error: CreateError, now: datetime) -> CreateError:
        outage = known.outage
        if outage is None:
            outage = known.outage = _Outage(error, now)
        if outage.probing == place.key or outage.next_time <= now:
            asked_for = timedelta(seconds=min(error.retry_after or 0.0, _LONGEST_ASKED_FOR.total_seconds()))
            wait = min(_FIRST_PROBE * 2 ** min(outage.failures, 8), _LONGEST_PROBE)
            outage.next_time = now + max(wait, asked_for)
            outage.failures += 1
            outage.probing = None
            outage.error = error
        outage.waiting[place.key] = place
        return replace(error, retry_time=outage.next_time)

    def _refuse_in_lane(self, known: _Namespace, place: Place, error: CreateError, now: datetime) -> CreateError:
        lane = known.lanes.get(place.lane)
        if lane is None:
            lane = known.lanes[place.lane] = _Lane(error, now)
        self._join(lane, place)
        if lane.next_time <= now:  # of runs that requested at the same time, one counts
            lane.failures += 1
            lane.next_time = now + min(_FIRST_WAIT * 2 ** min(lane.failures - 1, 8), _LONGEST_WAIT)
            lane.error = error
        return replace(error, retry_time=lane.next_time)

    def accept(self, place: Place, now: datetime) -> list[Name]:
        """Record that a run's workload was created; return the runs that may request now."""
        namespace = place.key[0]
        known = self._namespaces.get(namespace)
        if known is None:
            return []
        woken = self._end_outage(known, place)
        lane = known.lanes.get(place.lane)
        if lane is not None:
            lane.failures, lane.next_time = 0, now
        return [*woken, *self.forget(place.key)]

    def forget(self, key: Name) -> list[Name]:
        """Forget a run that no longer waits, for whatever reason; return the runs behind it that may request now."""
        place = self._places.pop(key, None)
        known = self._namespaces.get(key[0])
        if known is None:
            return []
        woken: list[Name] = []
        outage = known.outage
        if outage is not None:
            outage.waiting.pop(key, None)
            if outage.probing == key:
                outage.probing = None
                woken += [first.key for first in sorted(outage.waiting.values())[:1]]
        if place is not None:
            woken += self._leave(known, place)
        self._tidy(key[0])
        return woken

    def _leave(self, known: _Namespace, place: Place) -> list[Name]:
        lane = known.lanes.get(place.lane)
        if lane is None:
            return []
        at = bisect_left(lane.order, place)
        if at >= len(lane.order) or lane.order[at].key != place.key:
            return []
        del lane.order[at]
        if not lane.order:
            del known.lanes[place.lane]
            return []
        return [lane.order[0].key] if at == 0 else []

    def _tidy(self, namespace: str) -> None:
        known = self._namespaces.get(namespace)
        if known is not None and not known.lanes and (known.outage is None or not known.outage.waiting):
            del self._namespaces[namespace]

    def free_capacity(self, namespace: str, now: datetime) -> list[Name]:
        """Capacity of a namespace may have been freed: the heads of its lanes may request, the oldest first."""
        known = self._namespaces.get(namespace)
        if known is None:
            return []
        heads = sorted((lane.order[0], name) for name, lane in known.lanes.items())[:_LANES_AT_ONCE]
        for _, name in heads:
            known.lanes[name].next_time = now
        return [head.key for head, _ in heads]

    def free_lane(self, namespace: str, lane: str, now: datetime) -> list[Name]:
        """The request of the runs of a lane has changed: its oldest run may retry."""
        known = self._namespaces.get(namespace)
        found = known.lanes.get(lane) if known else None
        if found is None:
            return []
        found.failures, found.next_time = 0, now
        return [found.order[0].key]

    def error_of(self, namespace: str, lane: str) -> CreateError | None:
        """Why runs of a lane wait; None if none does."""
        known = self._namespaces.get(namespace)
        found = known.lanes.get(lane) if known else None
        if found is not None:
            return found.error
        return known.outage.error if known and known.outage and _any_of(known.outage.waiting.values(), lane) else None

    def __len__(self) -> int:
        return len(self._places) + sum(len(known.outage.waiting) for known in self._namespaces.values() if known.outage)


def _any_of(waiting: Iterable[Place], lane: str) -> bool:
    return any(place.lane == lane for place in waiting)


def _behind(error: CreateError, count: int) -> str:
    return f"waits behind {count} older {'run' if count == 1 else 'runs'}: {error.message}"
