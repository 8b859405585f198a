"""Hearing of one's own write is no reason to reconcile again; hearing of anything else is."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from mintaka_controller.work_queue import WorkQueue


class TestWritesOfTheWorker:
    @pytest.mark.parametrize(
        ("heard", "wrote", "times"),
        [
            pytest.param([7], [7], 1, id="our own write alone"),
            pytest.param([7, 7], [7], 1, id="our own write, told twice"),
            pytest.param([7, 8], [7], 2, id="somebody else's write too"),
            pytest.param([8, 7], [7], 2, id="somebody else's write before"),
            pytest.param([0, 7], [7], 2, id="a wish without a version before"),
            pytest.param([7, 0], [7], 2, id="a wish without a version after"),
            pytest.param([8], [7], 2, id="another write"),
            pytest.param([0], [0], 2, id="a version nobody knows"),
            pytest.param([], [7], 1, id="nothing heard yet"),
        ],
    )
    def test_how_often_the_key_is_worked_on(self, heard: list[int], wrote: list[int], times: int) -> None:
        """What was heard while working, less what the worker itself wrote, decides whether the key comes again."""
        worked = []

        async def story() -> None:
            queue = WorkQueue[str]()

            async def work(key: str) -> None:
                worked.append(key)
                if len(worked) == 1:
                    for version in heard:
                        queue.add(key, version)
                    for version in wrote:
                        queue.wrote(key, version)

            queue.add("run")
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(0.05):
                    await queue.run(1, work)

        asyncio.run(story())
        assert len(worked) == times
