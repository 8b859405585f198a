"""Limits for code that blocks.

    from mintaka.concurrency.sync import concurrency, rate_limit

    with concurrency("warehouse", occupy=1):  # as many at a time, of all runs, as the limit has slots
        ...
    rate_limit("requests")  # not more often than its slots come back

A limit is made by `mintaka limit create`; one that nobody made holds nobody up. Slots are leases: they are renewed while the
block runs, and come free by themselves where its process or pod dies.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from mintaka.concurrency.claims import Claim
from mintaka.concurrency.holdings import enter, leave
from mintaka.engine.stopping import STOP
from mintaka.exceptions import AcquireConcurrencySlotTimeoutError, ConcurrencySlotAcquisitionError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = ["AcquireConcurrencySlotTimeoutError", "ConcurrencySlotAcquisitionError", "concurrency", "rate_limit"]


@contextmanager
def concurrency(
    names: str | Sequence[str] | None,
    occupy: int = 1,
    timeout_seconds: float | None = None,
    max_retries: int | None = None,
    lease_duration: float = 60.0,
    strict: bool = False,
    raise_on_lease_renewal_failure: bool | None = None,
) -> Iterator[None]:
    """Hold `occupy` slots of each limit in `names` while the block runs; wait for them as long as it takes.

    What the block calls or submits shares its slots where it needs the same limit, as many at a time as the block has slots. What
    needs more than that, or runs in another process, takes free slots beside them or is refused: it does not wait without
    `timeout_seconds`, because it would wait for its own caller.

    Args:
        names: a limit, or several, which are had all together or not at all; None: no limit, so nothing is waited for. One that does not exist is passed over with a
            warning, or an error where `strict`.
        occupy: how many slots.
        timeout_seconds: how long to wait at most; None: for ever.
        max_retries: how often to ask again at most; None: as often as it takes.
        lease_duration: how many seconds slots stay taken where this process dies or is cut off, at most; 1 to 86400.
        strict: the block ends with an error too where slots are lost while it runs (at its next instruction in code of
            yours; a call that blocks comes back first); otherwise that is a warning.
        raise_on_lease_renewal_failure: the last of these alone; None: as `strict`.

    Raises:
        AcquireConcurrencySlotTimeoutError: the slots did not come free in time.
        ConcurrencySlotAcquisitionError: they never will, or were lost while the block ran.
        SharingError: the API refuses, or the database cannot be used.
    """
    claim = Claim(names, occupy, timeout_seconds, strict=strict, lease_seconds=lease_duration, max_retries=max_retries)
    try:
        acquire(claim)
        enter(claim.holding)
        if strict if raise_on_lease_renewal_failure is None else raise_on_lease_renewal_failure:
            with _ended_when_lost(claim):
                yield
        else:
            yield
    finally:
        leave(claim.holding)
        claim.release()


@contextmanager
def _ended_when_lost(claim: Claim) -> Iterator[None]:
    """Have the code of the block raise where the slots are lost, at its next instruction or when it is over."""
    from mintaka.engine.halting import NestedScope  # noqa: PLC0415 - start-up time: only where it is asked for

    scope = NestedScope(acquire)
    claim.on_lost = lambda: scope.halt(claim.loss() or ConcurrencySlotAcquisitionError())
    outer = scope.enter()
    try:
        yield
    finally:
        scope.leave(outer)
    if (loss := claim.loss()) is not None:
        raise loss


def rate_limit(names: str | Sequence[str] | None, occupy: int = 1, timeout_seconds: float | None = None, strict: bool = False) -> None:
    """Wait until `occupy` slots of each limit in `names`, whose slots come back by themselves, can be used, and use them.

    Those who ask first go first. Where it would take longer than `timeout_seconds`, that is said at once.

    Raises:
        AcquireConcurrencySlotTimeoutError: the slots do not come back in time.
        ConcurrencySlotAcquisitionError: a limit is no rate, or never has so many slots, or does not exist and `strict`.
        SharingError: the API refuses, or the database cannot be used.
    """
    claim = Claim(names, occupy, timeout_seconds, strict=strict, rates_only=True)
    try:
        acquire(claim)
    finally:
        claim.release()


def acquire(claim: Claim) -> None:
    """Wait for what is claimed, in this thread."""
    while (seconds := claim.step()) is not None:
        STOP.sleep(seconds, claim.is_over)
