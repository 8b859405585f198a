"""Being called later: one thread for all who wait, however many."""

from __future__ import annotations

import logging
import threading
from time import monotonic
from typing import TYPE_CHECKING, NamedTuple

from mintaka.engine.stopping import STOP

if TYPE_CHECKING:
    from collections.abc import Callable

logger = logging.getLogger("mintaka")

#: How often it is looked whether somebody need not wait any more.
_SLICE_SECONDS = 0.1


class Alarm(NamedTuple):
    """Call `work`, which returns at once, when it is time (`time.monotonic()`), or `over()` holds."""

    when: float
    over: Callable[[], bool]
    work: Callable[[], None]

    def is_due(self, now: float) -> bool:
        """Whether to call it; one that cannot say whether it is over is called too, rather than never."""
        try:
            return STOP.requested or self.when <= now or self.over()
        except Exception:
            logger.exception("who was to be called later cannot say whether that is still wanted: called now")
            return True

    def ring(self) -> None:
        """Call it; what it raises is told, and is nobody else's affair."""
        try:
            self.work()
        except Exception:
            logger.exception("who was called later raised")


class Alarms:
    """See the module's words. Its thread ends where there is nobody to call, and by nothing else."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: list[Alarm] = []
        self._changed = threading.Event()
        self._thread: threading.Thread | None = None

    def call(self, seconds: float, over: Callable[[], bool], work: Callable[[], None]) -> None:
        """Call `work` in `seconds`; before, where `over()` comes true or the process is asked to stop."""
        with self._lock:
            self._waiting.append(Alarm(monotonic() + seconds, over, work))
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="mintaka-alarms", daemon=True)
                self._thread.start()
        self._changed.set()

    def _work(self) -> None:
        while True:
            self._changed.clear()
            with self._lock:
                now = monotonic()
                due: list[Alarm] = []
                left: list[Alarm] = []
                for alarm in self._waiting:
                    (due if alarm.is_due(now) else left).append(alarm)
                self._waiting = left
                next_time = min((alarm.when for alarm in self._waiting), default=None)
                if next_time is None and not due:
                    self._thread = None
                    return
            for alarm in due:
                alarm.ring()
            if next_time is not None:
                self._changed.wait(min(max(next_time - monotonic(), 0.0), _SLICE_SECONDS))
