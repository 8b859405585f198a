"""The API's background tasks. Each is supervised on its own and is one part of the /readyz answer.

A task that fails is logged, counted and restarted with increasing delays. It does not affect other tasks.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from mintaka_api.metrics import Metrics

logger = logging.getLogger("mintaka.api")

_FIRST_PAUSE_SECONDS = 0.5
_LONGEST_PAUSE_SECONDS = 30.0
#: A task that ran for at least this long before it failed is restarted with the first pause again.
_STEADY_SECONDS = 60.0


@dataclass(slots=True)
class Part:
    """A part of the API: `problem` says in a sentence what is wrong with it, "" if nothing is. `note` is reported if nothing is wrong.

    Requests need a `required` part: without it the API is not ready.
    """

    name: str
    required: bool = False
    problem: str = ""
    note: str = ""


@dataclass(frozen=True, slots=True)
class BackgroundTask:
    """A task that runs as long as the API. `run` gets the part and reports problems there; if it returns, the task is done."""

    part: Part
    run: Callable[[Part], Awaitable[None]]
    pause_seconds: float = _FIRST_PAUSE_SECONDS


async def supervise(task: BackgroundTask, metrics: Metrics) -> None:
    """Run `task` until it is done; restart it after each failure."""
    part, pause = task.part, task.pause_seconds
    while True:
        started = time.monotonic()
        try:
            await task.run(part)
        except Exception as error:  # whatever it is, it concerns this part alone
            part.problem = f"it failed and is started again: {type(error).__name__}: {error}"
            metrics.background_failures.labels(part.name).inc()
            logger.exception("%s failed and is started again", part.name)
        else:
            part.problem = ""
            return
        if time.monotonic() - started >= _STEADY_SECONDS:
            pause = task.pause_seconds
        await asyncio.sleep(pause)
        pause = min(pause * 2, _LONGEST_PAUSE_SECONDS)


@asynccontextmanager
async def supervised(tasks: list[BackgroundTask], metrics: Metrics) -> AsyncIterator[None]:
    """Run `tasks` for the duration of the block, then cancel them."""
    running = [asyncio.create_task(supervise(task, metrics), name=task.part.name) for task in tasks]
    try:
        yield
    finally:
        for each in running:
            each.cancel()
        await asyncio.gather(*running, return_exceptions=True)
