"""How many processes run at once, in all and of each group, and that the oldest waiting run is next; pure.

A run whose group is full does not keep younger ones of other groups from starting.

A run that is refused waits until a slot is offered to it. The slot is reserved for it for a moment, since the controller
requests slots in the order in which it reconciles runs.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import chain
from typing import TYPE_CHECKING

from mintaka_api.local.processes.waiting_runs import Age, Limits, Used, WaitingRun, WaitingRuns
from mintaka_controller.ports import Name
from mintaka_core.states import CRASHED
from mintaka_core.workloads import CreateError, CreateErrorKind

if TYPE_CHECKING:
    from datetime import datetime

_NO_LIMITS: Limits = {}
#: How long a slot is reserved, in seconds: a run that was cancelled or deleted while it waited makes no further request.
RESERVED_SECONDS = 2.0


@dataclass
class ProcessSlots:
    """`limit` slots; `offer` is called with the run for which a slot is free."""

    limit: int
    offer: Callable[[Name], None] = lambda _run: None
    #: By the uid of the workload that holds a slot: the limits of its groups.
    taken: dict[str, Limits] = field(default_factory=dict)
    _waiting: WaitingRuns = field(default_factory=WaitingRuns)

    def take(self, uid: str, run_uid: str, run: Name, created: datetime, now: float, limits: Limits = _NO_LIMITS) -> CreateError | None:
        """Take a slot for the workload `uid` of a run that was created at `created`; returns the reason if that is not possible.

        `limits`: by group, how many processes of it may run.
        """
        self._waiting.update(now)
        known = self._waiting.pop(run_uid)
        age = (created, run, run_uid) if known is None else known.age
        error = self._refusal(age, limits)
        if error is None:
            self.taken[uid] = limits
        else:
            self._waiting.add(WaitingRun(age, limits, now))
        return error

    def hold(self, uid: str, limits: Limits) -> None:
        """Count a workload that runs already, even if that exceeds a limit."""
        self.taken[uid] = limits

    def free(self, uid: str, now: float) -> None:
        """The workload has ended."""
        if uid in self.taken:
            del self.taken[uid]
            self.offer_next(now)

    def offer_next(self, now: float) -> float | None:
        """Offer free slots to the oldest runs that wait; returns when to do so again (`time.monotonic()`), None if no slot is reserved."""
        self._waiting.update(now)
        self._waiting.drop_lapsed()
        free, used = self._free, self._used()
        offered = []
        runs = self._waiting.next_with_room(used)
        while free > 0 and (run := next(runs, None)) is not None:
            self._waiting.reserve(run, now + RESERVED_SECONDS)
            used.update(run.limits.keys())
            free -= 1
            offered.append(run.run)
        for each in offered:
            self.offer(each)
        return now + RESERVED_SECONDS if self._waiting.reserved else None

    @property
    def _free(self) -> int:
        return self.limit - len(self.taken) - len(self._waiting.reserved)

    def _used(self) -> Used:
        reserved = (run.limits for run in self._waiting.reserved.values())
        return Counter(group for limits in chain(self.taken.values(), reserved) for group in limits)

    def _refusal(self, age: Age, limits: Limits) -> CreateError | None:
        """Why a run of that age, which is not among the waiting ones, gets no slot now."""
        used = self._used()
        for group, limit in limits.items():
            if self._waiting.count_ahead_of_group(group, age, used) >= limit - used[group]:
                running = sum(group in taken for taken in self.taken.values())
                return _refusal(running, limit, f"processes of {group} run", self._waiting.count_older_of_group(group, age), "")
        if self._waiting.count_ahead(age, used) >= self._free:
            older = self._waiting.count_older(age, used)
            return _refusal(len(self.taken), self.limit, "processes run on this machine", older, " (mintaka server start --max-processes)")
        return None


def _refusal(running: int, limit: int, what: str, older: int, remedy: str) -> CreateError:
    behind = f", {older} older {'run waits' if older == 1 else 'runs wait'}" if older else ""
    message = f"{running} of at most {limit} {what}{behind}: it starts when one of them ends{remedy}"
    return CreateError("ProcessLimitReached", message, CRASHED, None, CreateErrorKind.CAPACITY)
