"""The one thread of a process that writes history: every open recorder gets its turn, again and again.

It starts with the first recorder, sleeps while there is none, and is a daemon: nobody needs it any more once the recorders
are closed. What is still open when the interpreter ends is closed then. A forked child gets a thread of its own.
"""

from __future__ import annotations

import atexit
import os
import threading
from time import monotonic
from typing import Protocol

_EXIT_SECONDS = 10.0


class Turns(Protocol):
    """Something that has turns."""

    def turn(self) -> float | None:
        """Do what is due; how many seconds later the next turn should come at the latest, None: never again."""

    def flush(self, deadline: float) -> None:
        """Wait until what is there now was delivered or kept on disk, at most until `deadline` (`time.monotonic()`)."""


class Historian:
    """See the module's words."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._open: list[Turns] = []
        self._thread: threading.Thread | None = None

    def add(self, recorder: Turns) -> None:
        """Give `recorder` turns until it wants no more."""
        with self._lock:
            self._open.append(recorder)
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="mintaka-history", daemon=True)
                self._thread.start()
                atexit.register(self._leave)
        self._wake.set()  # it may be asleep for want of recorders

    @property
    def wake(self) -> threading.Event:
        """Set it for a turn now."""
        return self._wake

    def is_current(self) -> bool:
        """Whether this is the historian's own thread."""
        return threading.current_thread() is self._thread

    def _work(self) -> None:
        while True:
            wait: float | None = None
            for recorder in tuple(self._open):
                left = recorder.turn()
                if left is None:
                    with self._lock:
                        self._open.remove(recorder)
                else:
                    wait = left if wait is None else min(wait, left)
            self._wake.wait(wait)
            self._wake.clear()

    def _leave(self) -> None:
        """At the interpreter's end: what threads of the user left open is written down."""
        deadline = monotonic() + _EXIT_SECONDS
        for recorder in tuple(self._open):
            recorder.flush(deadline)


_historian = Historian()


def historian() -> Historian:
    """This process's historian."""
    return _historian


def _begin_anew() -> None:
    global _historian  # noqa: PLW0603 - a thread does not survive a fork
    _historian = Historian()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_begin_anew)
