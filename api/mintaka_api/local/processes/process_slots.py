"""How many processes run at once, in all and of each group, and that the oldest waiting run is next; pure.

A run whose group is full does not keep younger ones of other groups from starting.

A run that is refused waits until a slot is offered to it. The slot is reserved for it for a moment, since the controller
requests slots in the order in which it reconciles runs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from mintaka_controller.ports import Name
from mintaka_core.states import CRASHED
from mintaka_core.workloads import CreateError, CreateErrorKind

type Limits = Mapping[str, int]

_NO_LIMITS: Limits = {}
#: How long a slot is reserved, in seconds: a run that was cancelled or deleted while it waited makes no further request.
RESERVED_SECONDS = 2.0
#: A run without a request for so long no longer waits: the controller repeats the request of a waiting run at least every two minutes.
_FORGOTTEN_SECONDS = 300.0


@dataclass(slots=True)
class _Waiting:
    """A run that waits, the time of its last request (`time.monotonic()`), and the limits of its groups."""

    created: datetime
    run: Name
    asked: float
    limits: Limits
    reserved_until: float = 0.0

    @property
    def age(self) -> tuple[datetime, Name]:
        """Older runs come first."""
        return (self.created, self.run)


@dataclass
class ProcessSlots:
    """`limit` slots; `offer` is called with the run for which a slot is free."""

    limit: int
    offer: Callable[[Name], None] = lambda _run: None
    #: By the uid of the workload that holds a slot: the limits of its groups.
    taken: dict[str, Limits] = field(default_factory=dict)
    _waiting: dict[str, _Waiting] = field(default_factory=dict)

    def take(self, uid: str, run_uid: str, run: Name, created: datetime, now: float, limits: Limits = _NO_LIMITS) -> CreateError | None:
        """Take a slot for the workload `uid` of a run that was created at `created`; returns the reason if that is not possible.

        `limits`: by group, how many processes of it may run.
        """
        self._forget(now)
        others = {key: waiting for key, waiting in self._waiting.items() if key != run_uid}
        reserved = [waiting.limits for waiting in others.values() if waiting.reserved_until > now]
        older = [waiting for waiting in others.values() if waiting.age < (created, run)]
        ahead = [waiting.limits for waiting in older if waiting.reserved_until <= now]
        for group, limit in limits.items():
            of_group = sum(group in theirs and not self._is_full(_without(theirs, group), reserved) for theirs in ahead)
            if of_group >= self._free_of(group, limit, reserved):
                self._wait(run_uid, run, created, now, limits)
                behind = sum(group in waiting.limits for waiting in older)
                return _refusal(self._running(group), limit, f"processes of {group} run", behind, "")
        if sum(not self._is_full(theirs, reserved) for theirs in ahead) >= self.limit - len(self.taken) - len(reserved):
            self._wait(run_uid, run, created, now, limits)
            behind = sum(not self._is_full(waiting.limits, reserved) for waiting in older)
            return _refusal(len(self.taken), self.limit, "processes run on this machine", behind, " (mintaka server start --max-processes)")
        self._waiting.pop(run_uid, None)
        self.taken[uid] = limits
        return None

    def hold(self, uid: str, limits: Limits) -> None:
        """Count a workload that runs already, even if that exceeds a limit."""
        self.taken[uid] = limits

    def _wait(self, run_uid: str, run: Name, created: datetime, now: float, limits: Limits) -> None:
        known = self._waiting.setdefault(run_uid, _Waiting(created, run, now, limits))
        known.asked, known.reserved_until, known.limits = now, 0.0, limits

    def _running(self, group: str) -> int:
        return sum(group in limits for limits in self.taken.values())

    def _free_of(self, group: str, limit: int, reserved: list[Limits]) -> int:
        return limit - self._running(group) - sum(group in limits for limits in reserved)

    def _is_full(self, limits: Limits, reserved: list[Limits]) -> bool:
        """Whether one of the groups has no free slot."""
        return any(self._free_of(group, limit, reserved) <= 0 for group, limit in limits.items())

    def free(self, uid: str, now: float) -> None:
        """The workload has ended."""
        if uid in self.taken:
            del self.taken[uid]
            self.offer_next(now)

    def offer_next(self, now: float) -> float | None:
        """Offer free slots to the oldest runs that wait; returns when to do so again (`time.monotonic()`), None if no run waits."""
        self._forget(now)
        reserved = [waiting.limits for waiting in self._waiting.values() if waiting.reserved_until > now]
        free = self.limit - len(self.taken) - len(reserved)
        for waiting in sorted(self._waiting.values(), key=lambda each: each.age):
            if free <= 0:
                break
            if waiting.reserved_until > now:
                continue
            if waiting.reserved_until:  # it did not take the slot that was offered
                self._drop(waiting)
                continue
            if self._is_full(waiting.limits, reserved):
                continue
            waiting.reserved_until = now + RESERVED_SECONDS
            reserved.append(waiting.limits)
            free -= 1
            self.offer(waiting.run)
        return now + RESERVED_SECONDS if any(waiting.reserved_until for waiting in self._waiting.values()) else None

    def _drop(self, waiting: _Waiting) -> None:
        self._waiting = {key: each for key, each in self._waiting.items() if each is not waiting}

    def _forget(self, now: float) -> None:
        self._waiting = {key: waiting for key, waiting in self._waiting.items() if now - waiting.asked < _FORGOTTEN_SECONDS}


def _without(limits: Limits, group: str) -> Limits:
    return {key: limit for key, limit in limits.items() if key != group}


def _refusal(running: int, limit: int, what: str, older: int, remedy: str) -> CreateError:
    behind = f", {older} older {'run waits' if older == 1 else 'runs wait'}" if older else ""
    message = f"{running} of at most {limit} {what}{behind}: it starts when one of them ends{remedy}"
    return CreateError("ProcessLimitReached", message, CRASHED, None, CreateErrorKind.CAPACITY)
