"""Asking again and again, ever less often: for what tells nobody when it changes."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING

from mintaka.engine.stopping import STOP
from mintaka_core.durations import cap_seconds

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_FIRST_SECONDS = 0.002
_LONGEST_SECONDS = 0.2


def pauses() -> Iterator[float]:
    """Seconds to wait before asking again."""
    seconds = _FIRST_SECONDS
    while True:
        yield seconds
        seconds = min(seconds * 1.5, _LONGEST_SECONDS)


def until(condition: Callable[[], bool], timeout: float | None) -> bool:
    """Ask until `condition` holds; False where `timeout` seconds pass before, or the process is asked to stop."""
    deadline = None if timeout is None else monotonic() + cap_seconds(timeout)
    for seconds in pauses():
        if condition():
            return True
        left = seconds if deadline is None else min(seconds, deadline - monotonic())
        if left <= 0 or STOP.requested:
            return False
        STOP.sleep(left)
    return False
