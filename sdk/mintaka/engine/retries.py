"""How long a task waits before each retry: Prefect's ways to say it, turned into the core's budgets.

A delay is a number of seconds, a list (retry k takes the k-th, the last one repeats) or a callable that makes such a
list from the number of retries. `retry_jitter_factor` f spreads each delay evenly over [delay, delay * (1 + f)]. All delays
are capped here, so that no date overflows when a retry is due.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import timedelta
from itertools import islice
from typing import TYPE_CHECKING, Any

from mintaka.calling.settings import is_seconds
from mintaka.exceptions import InvalidSettingError
from mintaka_core.durations import cap_seconds

if TYPE_CHECKING:
    from mintaka_core.backoff import Retries

type Delay = float | timedelta
type RetryDelay = Delay | Sequence[Delay] | Callable[[int], Delay | Iterable[Delay]]

DELAYS_LIMIT = 50
#: A week, the longest wait that a FlowDeployment's backoff may have.
_LONGEST_GROWTH_SECONDS = 604800.0


def exponential_backoff(backoff_factor: float) -> Callable[[int], list[float]]:
    """For `retry_delay_seconds`: waits of `backoff_factor * 2**k` seconds, at most a week."""

    def delays(retries: int) -> list[float]:
        factor = cap_seconds(backoff_factor)
        return [min(factor * 2.0**retry, _LONGEST_GROWTH_SECONDS) for retry in range(min(retries, DELAYS_LIMIT))]

    return delays


class RetryPlan:
    """How often a run is tried again, and after which waits."""

    __slots__ = ("crash_limit", "delays", "jitter_factor", "limit")

    def __init__(self, limit: int = 0, delay: RetryDelay | None = None, jitter_factor: float | None = None, crash_limit: int = 0) -> None:
        self.limit = limit
        self.crash_limit = crash_limit
        self.jitter_factor = float(jitter_factor or 0.0)
        self.delays = _delays(limit, delay)

    def budgets(self, granted: int) -> Retries:
        """The budgets with the wait for the retry after `granted` ones, as the rules understand them."""
        from mintaka_core.backoff import Backoff, Budget, Retries  # noqa: PLC0415 - start-up time: only failures need it

        shortest = self.delays[min(granted, len(self.delays) - 1)]
        longest = cap_seconds(shortest * (1 + self.jitter_factor))
        share = (longest - shortest) / longest if longest else 0.0
        backoff = Backoff(longest, factor=1.0, max_seconds=longest, jitter=share)
        return Retries(on_failure=Budget(self.limit, backoff), on_crash=Budget(self.crash_limit, backoff))


def _delays(limit: int, delay: RetryDelay | None) -> tuple[float, ...]:
    """The delays in seconds, at least one.

    Raises:
        InvalidSettingError: one of them is not a time, or there are too many.
    """
    if delay is None:
        return (0.0,)
    given: Any = delay(limit) if callable(delay) else delay
    values = list(islice(given, DELAYS_LIMIT + 1)) if isinstance(given, Iterable) and not isinstance(given, str | bytes) else [given]
    if len(values) > DELAYS_LIMIT:
        count = len(given) if isinstance(given, Sequence) else f"more than {DELAYS_LIMIT}"
        message = f"retry_delay_seconds takes at most {DELAYS_LIMIT} delays, not {count}: the last one repeats anyway"
        raise InvalidSettingError(message)
    for value in values:
        if not is_seconds(value):
            source = (
                f"the function given as retry_delay_seconds returned {given!r:.200}"
                if callable(delay)
                else f"retry_delay_seconds is {given!r:.200}"
            )
            message = f"{source}, but a delay is a number of seconds, 0 or more, not {value!r:.200}"
            raise InvalidSettingError(message)
    return tuple(map(_seconds, values)) or (0.0,)


def _seconds(delay: Delay) -> float:
    return cap_seconds(delay.total_seconds() if isinstance(delay, timedelta) else delay)
