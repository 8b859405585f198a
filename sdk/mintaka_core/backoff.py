"""Retry budgets and their delays."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta

from mintaka_core.durations import cap_seconds


@dataclass(frozen=True, slots=True)
class Backoff:
    """Exponential backoff with a maximum and jitter.

    Retry k (from 0) waits `delay_seconds * factor**k`, at most `max_seconds`; `jitter` in [0, 1] is the share of that wait
    that is drawn at random, so 0.5 waits between half of it and all of it.
    """

    delay_seconds: float = 10.0
    factor: float = 2.0
    max_seconds: float = 600.0
    jitter: float = 0.1

    def delay(self, retry: int, draw: float) -> timedelta:
        """The wait before retry number `retry` (from 0); `draw` in [0, 1) determines the jittered part."""
        if not self.delay_seconds:
            return timedelta(0)
        try:
            seconds = min(self.delay_seconds * float(self.factor) ** retry, self.max_seconds)
        except OverflowError:
            seconds = self.max_seconds
        return timedelta(seconds=cap_seconds(seconds) * (1 - self.jitter * draw))


@dataclass(frozen=True, slots=True)
class Budget:
    """The number of retries, the wait before each, and the reasons they apply to (empty: all)."""

    limit: int = 0
    backoff: Backoff = Backoff()
    reasons: frozenset[str] = frozenset()

    def covers(self, reason: str) -> bool:
        """True if a failure or crash for `reason` may use this budget."""
        return not self.reasons or reason in self.reasons


#: A workload that was rejected before any of the user's code ran wastes nothing: these retries do not use the crash
#: budget. Kubernetes can refuse a pod on a draining node nine times a second, hence the wait.
NEVER_RAN = Budget(limit=5, backoff=Backoff(delay_seconds=2.0, factor=2.0, max_seconds=60.0, jitter=0.5))


@dataclass(frozen=True, slots=True)
class Retries:
    """The two separate budgets of a run: for the code's failures and for the infrastructure's crashes."""

    on_failure: Budget = field(default_factory=Budget)
    on_crash: Budget = field(default_factory=Budget)
