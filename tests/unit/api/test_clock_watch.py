"""The clock is set, or the machine sleeps: everything that waits for a time is checked again."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from jumping import JumpingLoop
from mintaka_api.background_tasks import Part
from mintaka_api.local.clock_watch import ClockWatch

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def loop() -> Iterator[JumpingLoop]:
    """A loop whose time jumps instead of passing."""
    loop = JumpingLoop()
    yield loop
    loop.close()


@pytest.mark.parametrize(
    ("steps", "calls"),
    [([], 0), ([3600.0], 1), ([-3600.0], 1), ([3600.0, -3600.0], 2), ([0.1] * 5, 0), ([0.6], 1)],
    ids=["the clock runs normally", "an hour forward", "an hour back", "there and back", "it is corrected gradually", "by little"],
)
def test_each_step_of_the_clock_is_noticed_once(loop: JumpingLoop, steps: list[float], calls: int) -> None:
    """A step is a change in the difference of the two clocks, regardless of idle time before and after."""
    noticed: list[float] = []
    shift = 0.0

    async def story() -> None:
        nonlocal shift
        watch = ClockWatch(lambda: noticed.append(shift), day=lambda: 1_790_000_000 + loop.time() + shift, steady=loop.time)
        task = asyncio.ensure_future(watch.run(Part("clock")))
        await asyncio.sleep(61)
        for step in steps:
            shift += step
            await asyncio.sleep(5)
        await asyncio.sleep(61)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    loop.run_until_complete(story())
    assert len(noticed) == calls
