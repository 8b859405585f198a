"""Background tasks that fail: each is started again by itself, and says what is wrong."""

from __future__ import annotations

import asyncio
import logging

import pytest

from mintaka_api.background_tasks import BackgroundTask, Part, supervised
from mintaka_api.metrics import Metrics

pytestmark = pytest.mark.anyio


class Flaky:
    """A task that fails some times, then runs until it is let go."""

    def __init__(self, failures: int) -> None:
        self.failures = failures
        self.starts = 0
        self.failed = asyncio.Event()
        self.steady = asyncio.Event()
        self.let_go = asyncio.Event()

    async def run(self, part: Part) -> None:
        self.starts += 1
        if self.starts <= self.failures:
            self.failed.set()
            raise KeyError(77)
        part.problem = ""
        self.steady.set()
        await self.let_go.wait()


async def within_seconds(event: asyncio.Event) -> None:
    async with asyncio.timeout(10):
        await event.wait()


async def test_a_task_that_fails_is_started_again_and_takes_no_other_with_it(caplog: pytest.LogCaptureFixture) -> None:
    """Each failure is in the log with its traceback and counted; the others run on."""
    metrics, flaky, sound = Metrics(), Flaky(3), Flaky(0)
    tasks = [BackgroundTask(Part("flaky"), flaky.run, pause_seconds=0.001), BackgroundTask(Part("sound"), sound.run)]
    async with supervised(tasks, metrics):
        await within_seconds(sound.steady)
        await within_seconds(flaky.steady)
        assert (flaky.starts, sound.starts) == (4, 1)
        assert [task.part.problem for task in tasks] == ["", ""]
    assert metrics.registry.get_sample_value("mintaka_api_background_failures_total", {"part": "flaky"}) == 3
    assert [record.exc_info is not None for record in caplog.records if record.levelno == logging.ERROR] == [True] * 3


async def test_a_task_that_keeps_failing_says_why() -> None:
    """In its part, until it works again."""
    flaky = Flaky(1)
    task = BackgroundTask(Part("flaky"), flaky.run, pause_seconds=60)
    async with supervised([task], Metrics()):
        await within_seconds(flaky.failed)
        await asyncio.sleep(0)
        assert task.part.problem == "it failed and is started again: KeyError: 77"


async def test_a_task_that_returns_is_done_and_well() -> None:
    """It is not started again."""
    flaky = Flaky(0)
    task = BackgroundTask(Part("once", required=True, problem="not done yet"), flaky.run, pause_seconds=0)
    async with supervised([task], Metrics()):
        await within_seconds(flaky.steady)
        task.part.problem = "still at it"
        flaky.let_go.set()
        for _ in range(5):
            await asyncio.sleep(0)
        assert (flaky.starts, task.part.problem) == (1, "")
