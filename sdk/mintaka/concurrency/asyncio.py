"""Limits for coroutines: as `mintaka.concurrency.sync`, without blocking the event loop.

from mintaka.concurrency.asyncio import concurrency, rate_limit

async with concurrency("warehouse", occupy=1):
    ...
await rate_limit("requests")
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

from mintaka.concurrency.claims import Claim
from mintaka.concurrency.holdings import enter, leave
from mintaka.engine.stopping import STOP
from mintaka.exceptions import AcquireConcurrencySlotTimeoutError, ConcurrencySlotAcquisitionError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

__all__ = ["AcquireConcurrencySlotTimeoutError", "ConcurrencySlotAcquisitionError", "concurrency", "rate_limit"]


@asynccontextmanager
async def concurrency(
    names: str | Sequence[str] | None,
    occupy: int = 1,
    timeout_seconds: float | None = None,
    max_retries: int | None = None,
    lease_duration: float = 60.0,
    strict: bool = False,
    raise_on_lease_renewal_failure: bool | None = None,
) -> AsyncIterator[None]:
    """Hold `occupy` slots of each limit in `names` while the block runs; see `mintaka.concurrency.sync.concurrency`."""
    claim = Claim(names, occupy, timeout_seconds, strict=strict, lease_seconds=lease_duration, max_retries=max_retries)
    try:
        await acquire(claim)
        enter(claim.holding)
        if strict if raise_on_lease_renewal_failure is None else raise_on_lease_renewal_failure:
            async with _ended_when_lost(claim):
                yield
        else:
            yield
    finally:
        leave(claim.holding)
        await asyncio.shield(asyncio.to_thread(claim.release))


@asynccontextmanager
async def _ended_when_lost(claim: Claim) -> AsyncIterator[None]:
    """Cancel the block where the slots are lost, and say why."""
    loop, clock = asyncio.get_running_loop(), asyncio.timeout(None)

    def end() -> None:
        with suppress(RuntimeError):  # the block is over
            clock.reschedule(loop.time())

    claim.on_lost = lambda: loop.call_soon_threadsafe(end)
    try:
        async with clock:
            yield
    except TimeoutError:
        if not clock.expired():
            raise
    if (loss := claim.loss()) is not None:
        raise loss


async def rate_limit(
    names: str | Sequence[str] | None, occupy: int = 1, timeout_seconds: float | None = None, strict: bool = False
) -> None:
    """Wait until slots that come back by themselves can be used; see `mintaka.concurrency.sync.rate_limit`."""
    claim = Claim(names, occupy, timeout_seconds, strict=strict, rates_only=True)
    try:
        await acquire(claim)
    finally:
        await asyncio.shield(asyncio.to_thread(claim.release))


async def acquire(claim: Claim) -> None:
    """Wait for what is claimed, in this event loop."""
    while (seconds := await asyncio.to_thread(claim.step)) is not None:
        await STOP.sleep_async(seconds)
