"""How long a task waits before each retry: Prefect's ways to say it, turned into the core's budgets.

A delay is a number of seconds, a list (retry k takes the k-th, the last one repeats) or a callable that makes such a
list from the number of retries. `retry_jitter_factor` f spreads each delay evenly over [delay, delay * (1 + f)].
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mintaka_core.backoff import Retries

type RetryDelay = float | Sequence[float] | Callable[[int], Sequence[float]]

DELAYS_LIMIT = 50


def exponential_backoff(backoff_factor: float) -> Callable[[int], list[float]]:
    """For `retry_delay_seconds`: waits of `backoff_factor * 2**k` seconds."""

    def delays(retries: int) -> list[float]:
        return [backoff_factor * 2.0**retry for retry in range(min(retries, DELAYS_LIMIT))]

    return delays


class RetryPlan:
    """How often a run is tried again, and after which waits."""

    __slots__ = ("crash_limit", "delays", "jitter_factor", "limit")

    def __init__(self, limit: int = 0, delay: RetryDelay | None = None, jitter_factor: float | None = None, crash_limit: int = 0) -> None:
        self.limit = limit
        self.crash_limit = crash_limit
        self.jitter_factor = jitter_factor or 0.0
        self.delays = _delays(limit, delay)

    def budgets(self, granted: int) -> Retries:
        """The budgets with the wait for the retry after `granted` ones, as the rules understand them."""
        from mintaka_core.backoff import Backoff, Budget, Retries  # noqa: PLC0415 - start-up time: only failures need it

        delay = self.delays[min(granted, len(self.delays) - 1)] * (1 + self.jitter_factor)
        share = self.jitter_factor / (1 + self.jitter_factor)
        backoff = Backoff(delay, factor=1.0, max_seconds=delay, jitter=share)
        return Retries(on_failure=Budget(self.limit, backoff), on_crash=Budget(self.crash_limit, backoff))


def _delays(limit: int, delay: RetryDelay | None) -> tuple[float, ...]:
    if callable(delay):
        delay = delay(limit)
    values = tuple(float(value) for value in delay) if isinstance(delay, Sequence) else (float(delay or 0.0),)
    if len(values) > DELAYS_LIMIT:
        message = f"retry_delay_seconds takes at most {DELAYS_LIMIT} delays, not {len(values)}: the last one repeats anyway"
        raise ValueError(message)
    if any(value < 0 for value in values):
        message = f"retry_delay_seconds must not be negative: {values}"
        raise ValueError(message)
    return values or (0.0,)
