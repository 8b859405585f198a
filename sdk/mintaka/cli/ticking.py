"""Something done again and again by a thread of its own, so seldom that it costs the work beside it nothing to speak of."""

from __future__ import annotations

import threading
from time import thread_time
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Callable

#: A turn may take one part in so many of the time.
_SHARE = 50


class Ticking:
    """Calls `turn` every `seconds`, seldomer where a turn takes long, from `start` until `stop`."""

    def __init__(self, turn: Callable[[], object], seconds: float) -> None:
        self._turn = turn
        self._seconds = seconds
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._work, name="mintaka-progress", daemon=True)

    def start(self) -> Self:
        """Begin; the first turn comes after `seconds`."""
        self._thread.start()
        return self

    def stop(self) -> None:
        """No turn begins any more; a running one is waited for."""
        self._over.set()
        if threading.current_thread() is not self._thread:
            self._thread.join()

    def _work(self) -> None:
        wait = self._seconds
        while not self._over.wait(wait):
            began = thread_time()
            self._turn()
            wait = max(self._seconds, _SHARE * (thread_time() - began))
