"""Whether this process was asked to stop: no task starts any more, and waits for a retry end."""

from __future__ import annotations

import threading


class Stop:
    """Set once, never cleared but by tests."""

    def __init__(self) -> None:
        self.requested = False
        self._event = threading.Event()

    def request(self) -> None:
        """From now on nothing new starts."""
        self.requested = True
        self._event.set()

    def sleep(self, seconds: float) -> None:
        """Sleep, but not beyond the request to stop."""
        self._event.wait(seconds)

    def clear(self) -> None:
        """As if nobody had asked."""
        self.requested = False
        self._event.clear()


STOP = Stop()
