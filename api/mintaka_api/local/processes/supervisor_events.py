"""Reads in the event loop what a supervisor writes to the FIFO `events` of its attempt, and detects that it is gone."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from mintaka_api.local.processes.attempt_folder import AttemptFolder

_READ_BYTES = 4096


class SupervisorEvents:
    """Calls `on_event` with each line that the supervisor writes, and with "gone" when none lives any more.

    `expected`: the supervisor is still to be started, so that its absence means nothing until its first line. Raises OSError.
    """

    def __init__(self, folder: AttemptFolder, on_event: Callable[[str], None], *, expected: bool = False) -> None:
        self._on_event = on_event
        self._loop = asyncio.get_running_loop()
        self._rest = b""
        self._writer: int | None = None
        self._reader: int | None = os.open(folder.events, os.O_RDONLY | os.O_NONBLOCK)
        try:
            # Without a writer, the FIFO would be at its end; our own one is closed as soon as the supervisor has one.
            self._writer = os.open(folder.events, os.O_WRONLY | os.O_NONBLOCK) if expected else None
            self._loop.add_reader(self._reader, self._read)
        except OSError:
            self.close()
            raise
        if not expected:
            self._loop.call_soon(self._read)  # if it is gone already, nothing becomes readable

    def _read(self) -> None:
        if self._reader is None:
            return
        try:
            data = os.read(self._reader, _READ_BYTES)
        except BlockingIOError:
            return
        if not data:
            self.close()
            self._on_event("gone")
            return
        if self._writer is not None:
            os.close(self._writer)
            self._writer = None
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            self._on_event(line.decode())

    def close(self) -> None:
        """Stop listening."""
        if self._reader is not None:
            self._loop.remove_reader(self._reader)
            os.close(self._reader)
            self._reader = None
        if self._writer is not None:
            os.close(self._writer)
            self._writer = None
