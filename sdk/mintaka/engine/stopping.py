"""Whether this process was asked to stop: no task starts any more, and waits for a retry end.

A flag, not an Event: it is set by a signal handler, and read by code that another one may interrupt, and an Event takes a
lock in Python code, which an exception there leaves locked.
"""

from __future__ import annotations

from time import monotonic, sleep
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_SLICE_SECONDS = 0.05


class Stop:
    """Set once, never cleared but by tests."""

    __slots__ = ("requested", "skipped")

    def __init__(self) -> None:
        self.requested = False
        #: In tests: where waits are noted, in seconds, instead of being waited for.
        self.skipped: list[float] | None = None

    def request(self) -> None:
        """From now on nothing new starts."""
        self.requested = True

    def sleep(self, seconds: float, over: Callable[[], bool] = bool) -> None:
        """Sleep, but hardly beyond the request to stop, or the time when `over()` holds."""
        if self.skipped is not None:
            self.skipped.append(seconds)
            return
        until = monotonic() + seconds
        while not (self.requested or over()) and (left := until - monotonic()) > 0:
            sleep(min(left, _SLICE_SECONDS))

    async def sleep_async(self, seconds: float) -> None:
        """Sleep without blocking the event loop, which a request to stop ends in its own way."""
        import asyncio  # noqa: PLC0415 - start-up time

        if self.skipped is not None:
            self.skipped.append(seconds)
            seconds = 0
        await asyncio.sleep(seconds)

    def clear(self) -> None:
        """As if nobody had asked."""
        self.requested = False


STOP = Stop()
