"""A clock that jumps instead of waiting: asyncio's own loop, on a time that only the waiting itself moves."""

from __future__ import annotations

import asyncio
import selectors
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Coroutine


class JumpingLoop(asyncio.SelectorEventLoop):
    """An event loop on a clock of its own: where every task waits, it jumps to the next moment one waits for."""

    def __init__(self) -> None:
        self.now = 1000.0
        loop = self

        class Selector(selectors.SelectSelector):
            def select(self, timeout: float | None = None) -> Any:
                assert timeout is not None, "every task waits for something that never comes"
                loop.now += max(timeout, 0)
                return super().select(0)

        super().__init__(Selector())

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
