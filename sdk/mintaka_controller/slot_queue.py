"""The runs of one concurrency key: those that hold a slot, and those that wait, in order."""

from __future__ import annotations

import heapq
from bisect import bisect_left
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING

from mintaka_controller.ports import Name
from mintaka_core.concurrency import Place, SlotKey

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class Member:
    """A run of a key: it `holds` a slot, or waits for one once it is `due` (None: now)."""

    key: SlotKey
    place: Place
    holds: bool
    due: datetime | None = None


@dataclass(slots=True)
class SlotQueue:
    """`holders` are in the order in which they took their slots, with their uids; `limits` are those of the deployments of the key.

    Of `later`, runs that are not due yet, some may have left.
    """

    holders: dict[Name, str] = field(default_factory=dict)
    limits: dict[Name, int] = field(default_factory=dict)
    _waiting: list[tuple[Place, Name]] = field(default_factory=list)
    _later: list[tuple[datetime, Place, Name]] = field(default_factory=list)

    def add(self, run: Name, member: Member, now: datetime) -> None:
        """Add a run, which is not in it."""
        if member.holds:
            self.holders[run] = member.place.uid
        elif member.due is not None and member.due > now:
            heapq.heappush(self._later, (member.due, member.place, run))
        else:
            self._enqueue(member.place, run)

    def remove(self, run: Name, member: Member) -> None:
        """Remove a run that was added as `member`."""
        self.holders.pop(run, None)
        at = self.position(run, member.place)
        if at is not None:
            del self._waiting[at]

    def promote(self, now: datetime, members: Mapping[Name, Member]) -> None:
        """Move the runs that are due by now into the order; `members` are the runs as they are."""
        while self._later and self._later[0][0] <= now:
            due, place, run = heapq.heappop(self._later)
            member = members.get(run)
            if member is not None and not member.holds and (member.due, member.place) == (due, place):
                self._enqueue(place, run)

    def _enqueue(self, place: Place, run: Name) -> None:
        at = bisect_left(self._waiting, (place, run))
        if at == len(self._waiting) or self._waiting[at] != (place, run):
            self._waiting.insert(at, (place, run))

    def position(self, run: Name, place: Place) -> int | None:
        """How many waiting runs are ahead of it; None if it does not wait, or is not due."""
        at = bisect_left(self._waiting, (place, run))
        return at if at < len(self._waiting) and self._waiting[at] == (place, run) else None

    def first(self, count: int) -> list[Name]:
        """The runs that are next, at most `count`."""
        return [run for _, run in self._waiting[: max(count, 0)]]

    def is_over(self, members: Mapping[Name, Member]) -> bool:
        """True if it is empty."""
        return not (self.holders or self._waiting or self.limits) and not any(run in members for *_, run in self._later)
