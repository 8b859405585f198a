"""Waits for the outcome of a requested process: it runs, it has ended at once, or it was not begun."""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass
from time import monotonic
from typing import TYPE_CHECKING

from mintaka_api.local.processes.supervisor_events import SupervisorEvents

if TYPE_CHECKING:
    from collections.abc import Callable

    from mintaka_api.local.processes.attempt_folder import AttemptFolder

#: How long a supervisor may take to begin, and then to start the process.
_BEGIN_SECONDS, _START_SECONDS = 10.0, 30.0
_LOOK_SECONDS = 0.2


@dataclass(frozen=True, slots=True)
class Outcome:
    """`begun`: a supervisor serves the request. `error`: why it could not begin. `unserved`: the fork server died before."""

    begun: bool
    error: OSError | None = None
    unserved: bool = False


class ProcessStart:
    """Listens from before the request on. Raises OSError."""

    def __init__(self, folder: AttemptFolder) -> None:
        self._begun = False
        self._heard = asyncio.Event()
        self._settled = asyncio.Event()
        self._error: OSError | None = None
        self._events = SupervisorEvents(folder, self._observe, expected=True)

    def _observe(self, event: str) -> None:
        self._heard.set()
        word, _, rest = event.partition(" ")
        match word:
            case "begun":
                self._begun = True
                return
            case "refused":
                number, _, _ = rest.partition(" ")
                self._error = OSError(int(number), os.strerror(int(number)))
        self._settled.set()

    async def outcome(self, is_served: Callable[[], bool]) -> Outcome:
        """The outcome of the request; a process that takes long to start counts as begun. `is_served`: the fork server runs."""
        until = monotonic() + _BEGIN_SECONDS
        while not await _is_set(self._heard, _LOOK_SECONDS):
            if not is_served() or monotonic() > until:
                # A supervisor that it forked before may be just beginning.
                await _is_set(self._heard, _LOOK_SECONDS)
                return Outcome(self._begun, self._error, unserved=not self._heard.is_set())
        if self._begun:
            await _is_set(self._settled, _START_SECONDS)
        return Outcome(self._begun, self._error)

    def close(self) -> None:
        """Stop listening."""
        self._events.close()


async def _is_set(event: asyncio.Event, seconds: float) -> bool:
    """Whether it is set before the timeout."""
    try:
        async with asyncio.timeout(seconds):
            return await event.wait()
    except TimeoutError:
        return False
