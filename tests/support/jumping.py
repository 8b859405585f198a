"""A clock that jumps instead of waiting: asyncio's own loop, on a time that only the waiting itself moves."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Coroutine


class JumpingLoop(asyncio.BaseEventLoop):
    """An event loop on a clock of its own: when every task waits, it jumps to the next moment that one waits for.

    It has no sockets, signals or threads to wait for, so that a turn of it costs no system call. `turns` counts them; after `limit`
    turns (None: never) it raises RuntimeError, because something goes round in circles.
    """

    def __init__(self, limit: int | None = None) -> None:
        self.now = 1000.0
        self.turns = 0
        self.limit = limit
        super().__init__()
        self._selector = self

    def select(self, timeout: float | None = None) -> list[Any]:
        """What asyncio's loop calls between two turns."""
        assert timeout is not None, "every task waits for something that never comes"
        self.now += max(timeout, 0)
        self.turns += 1
        if self.limit is not None and self.turns > self.limit:
            message = f"{self.limit} turns of the loop, and it is only {self.now:.3f} s: something goes round in circles"
            raise RuntimeError(message)
        return []

    def _process_events(self, event_list: list[Any]) -> None:
        """There are none."""

    def _write_to_self(self) -> None:
        """Nothing sleeps that would have to be woken."""

    def time(self) -> float:
        """Seconds of its own clock."""
        return self.now


class Clock:
    """Runs coroutines on the jumping clock, which the operator's modules read as well."""

    def __init__(self, loop: JumpingLoop) -> None:
        self.loop = loop

    def now(self) -> float:
        """Seconds of the clock."""
        return self.loop.now

    def run[Result](self, coroutine: Coroutine[Any, Any, Result]) -> Result:
        """What the coroutine returns."""
        return self.loop.run_until_complete(coroutine)
