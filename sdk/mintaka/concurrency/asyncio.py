"""Limits for coroutines: as `mintaka.concurrency.sync`, without blocking the event loop.

from mintaka.concurrency.asyncio import concurrency, rate_limit

async with concurrency("warehouse", occupy=1):
    ...
await rate_limit("requests")
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from mintaka.concurrency.claims import Claim
from mintaka.exceptions import AcquireConcurrencySlotTimeoutError, ConcurrencySlotAcquisitionError
from mintaka.stopping import STOP

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

__all__ = ["AcquireConcurrencySlotTimeoutError", "ConcurrencySlotAcquisitionError", "concurrency", "rate_limit"]


@asynccontextmanager
async def concurrency(
    names: str | Sequence[str],
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
        yield
    finally:
        await asyncio.shield(asyncio.to_thread(claim.release))
    claim.raise_if_lost(strict if raise_on_lease_renewal_failure is None else raise_on_lease_renewal_failure)


async def rate_limit(names: str | Sequence[str], occupy: int = 1, timeout_seconds: float | None = None, strict: bool = False) -> None:
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
