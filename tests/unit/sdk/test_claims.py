"""Code that is not held up by any limit."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from mintaka.concurrency import asyncio as limits_async
from mintaka.concurrency import sync as limits


@pytest.mark.parametrize("names", [None, [], ()], ids=["None", "an empty list", "an empty tuple"])
@pytest.mark.parametrize("strict", [False, True])
def test_no_limit_holds_nobody_up(*, names: Any, strict: bool) -> None:
    """As in Prefect: a name that is only sometimes set can be passed as it is."""

    async def both() -> str:
        async with limits_async.concurrency(names, strict=strict):
            await limits_async.rate_limit(names, strict=strict)
        return "went on"

    with limits.concurrency(names, strict=strict):
        limits.rate_limit(names, strict=strict)
    assert asyncio.run(both()) == "went on"
