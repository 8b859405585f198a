"""Waits for what becomes of a requested process: it runs, it has ended at once, or it was not begun."""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mintaka_api.local.processes.supervisor_events import SupervisorEvents

if TYPE_CHECKING:
    from mintaka_api.local.processes.attempt_folder import AttemptFolder

#: How long a supervisor may take to begin, and then to start the process.
_BEGIN_SECONDS, _START_SECONDS = 10.0, 30.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """`begun`: a supervisor serves the request. `error`: why it could not begin."""

    begun: bool
    error: OSError | None = None


class ProcessStart:
    """Listens from before the request on. Raises OSError."""

    def __init__(self, folder: AttemptFolder) -> None:
        self._begun = asyncio.Event()
        self._settled = asyncio.Event()
        self._error: OSError | None = None
        self._events = SupervisorEvents(folder, self._observe, expected=True)

    def _observe(self, event: str) -> None:
        word, _, rest = event.partition(" ")
        match word:
            case "begun":
                self._begun.set()
                return
            case "refused":
                number, _, _ = rest.partition(" ")
                self._error = OSError(int(number), os.strerror(int(number)))
        self._settled.set()

    async def outcome(self) -> Outcome:
        """What became of the request; a process that takes long to start counts as begun."""
        begun = asyncio.create_task(self._begun.wait())
        settled = asyncio.create_task(self._settled.wait())
        try:
            await asyncio.wait((begun, settled), timeout=_BEGIN_SECONDS, return_when=asyncio.FIRST_COMPLETED)
            if self._begun.is_set():
                await asyncio.wait((settled,), timeout=_START_SECONDS)
        finally:
            begun.cancel()
            settled.cancel()
        return Outcome(self._begun.is_set(), self._error)

    def close(self) -> None:
        """Listen no more."""
        self._events.close()
