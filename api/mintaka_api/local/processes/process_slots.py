"""How many processes run at once, and which of the runs that wait is the next: the oldest; pure.

A run that is refused waits until it is told that a slot is free. The slot is reserved for it for a moment: the controller
asks again for whichever run it reconciles first.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

from mintaka_controller.ports import Name
from mintaka_core.states import CRASHED
from mintaka_core.workloads import CreateError, CreateErrorKind

#: How long a slot is reserved, in seconds: a run that was cancelled or deleted while it waited does not ask again.
RESERVED_SECONDS = 2.0
#: A run that has not asked for so long does not wait any more: the controller asks at least every two minutes for a run that does.
_FORGOTTEN_SECONDS = 300.0


@dataclass(slots=True)
class _Waiting:
    """A run that waits, and when it asked last (`time.monotonic()`)."""

    created: datetime
    run: Name
    asked: float
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
    taken: set[str] = field(default_factory=set)
    _waiting: dict[str, _Waiting] = field(default_factory=dict)

    def take(self, uid: str, run_uid: str, run: Name, created: datetime, now: float) -> CreateError | None:
        """Take a slot for the workload `uid` of a run that was created at `created`; if that is not possible, why."""
        self._forget(now)
        known = self._waiting.get(run_uid)
        older = [waiting for key, waiting in self._waiting.items() if key != run_uid and waiting.age < (created, run)]
        reserved = sum(waiting.reserved_until > now for key, waiting in self._waiting.items() if key != run_uid)
        free = self.limit - len(self.taken) - reserved
        if free > 0 and len(older) < free:
            self._waiting.pop(run_uid, None)
            self.taken.add(uid)
            return None
        if known is None:
            self._waiting[run_uid] = _Waiting(created, run, now)
        else:
            known.asked, known.reserved_until = now, 0.0
        return self._refusal(len(older))

    def _refusal(self, older: int) -> CreateError:
        running = f"{len(self.taken)} of at most {self.limit} processes run"
        behind = f", {older} older {'run waits' if older == 1 else 'runs wait'}" if older else ""
        message = f"{running} on this machine{behind}: it starts when one of them ends (mintaka server start --max-processes)"
        return CreateError("ProcessLimitReached", message, CRASHED, None, CreateErrorKind.CAPACITY)

    def free(self, uid: str, now: float) -> None:
        """The workload has ended."""
        if uid in self.taken:
            self.taken.discard(uid)
            self.offer_next(now)

    def offer_next(self, now: float) -> float | None:
        """Offer free slots to the oldest runs that wait; returns when to do so again (`time.monotonic()`), None if no one waits."""
        self._forget(now)
        reserved = [waiting for waiting in self._waiting.values() if waiting.reserved_until > now]
        free = self.limit - len(self.taken) - len(reserved)
        for waiting in sorted(self._waiting.values(), key=lambda each: each.age):
            if free <= 0:
                break
            if waiting.reserved_until > now:
                continue
            if waiting.reserved_until:  # it was offered one and has not come
                self._drop(waiting)
                continue
            waiting.reserved_until = now + RESERVED_SECONDS
            free -= 1
            self.offer(waiting.run)
        return now + RESERVED_SECONDS if any(waiting.reserved_until for waiting in self._waiting.values()) else None

    def _drop(self, waiting: _Waiting) -> None:
        self._waiting = {key: each for key, each in self._waiting.items() if each is not waiting}

    def _forget(self, now: float) -> None:
        self._waiting = {key: waiting for key, waiting in self._waiting.items() if now - waiting.asked < _FORGOTTEN_SECONDS}
