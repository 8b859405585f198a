"""Waiting for the ends of flow runs: one request for many runs, answered as soon as the first is over.

The runs are read again only when the feed of changes names one of them.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from mintaka_history.queries import flow_runs

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mintaka_api.change_feed import Subscription
    from mintaka_api.services import Services
    from mintaka_history.run_responses import FlowRunAnswer


async def wait_for_ends(here: Services, runs: Mapping[str, int], wait_seconds: float) -> list[FlowRunAnswer]:
    """Those of `runs` that are over with a sequence above the given one; waits for the first, [] at the timeout."""
    found = await here.database.read(flow_runs.ended, here.names, runs)
    if found or not wait_seconds or not runs:
        return found
    try:
        async with asyncio.timeout(wait_seconds), here.feed.subscribe() as subscription:
            while True:
                # Read after subscribing, so that nothing is missed between the two.
                found = await here.database.read(flow_runs.ended, here.names, runs)
                if found:
                    return found
                await _change_of(subscription, runs)
    except TimeoutError:
        return []


async def _change_of(subscription: Subscription, runs: Mapping[str, int]) -> None:
    """Wait until one of the runs may have changed."""
    while True:
        batch = await subscription.next()
        if batch is not None and (batch.reset or any(item.uid in runs for item in batch.items)):
            return
