"""Structured logs: one JSON object per line, or plain text for people."""

from __future__ import annotations

import logging
import threading
import time
from typing import TextIO

from pythonjsonlogger.json import JsonFormatter

_DELAY_SECONDS = 0.1


class BlockHandler(logging.StreamHandler[TextIO]):
    """Writes lines to stderr in blocks, a tenth of a second later at most; warnings and errors at once, with what came before them.

    A busy operator logs hundreds of lines per second: a write for each costs it, and the container runtime that reads them, more than
    the lines themselves.
    """

    def __init__(self) -> None:
        super().__init__()
        self._lines: list[str] = []
        self._waiting = threading.Event()
        threading.Thread(target=self._write_blocks, name="log", daemon=True).start()

    def emit(self, record: logging.LogRecord) -> None:
        """Take a line."""
        try:
            self._lines.append(self.format(record))
        except Exception:  # noqa: BLE001 - as logging's own handlers do: a line that cannot be made ends nothing
            self.handleError(record)
        if record.levelno >= logging.WARNING:
            self.flush()
        elif not self._waiting.is_set():
            self._waiting.set()

    def flush(self) -> None:
        """Write what waits; also called when the process ends."""
        self.acquire()
        try:
            lines, self._lines = self._lines, []
            if lines:
                self.stream.write(self.terminator.join([*lines, ""]))
            super().flush()
        finally:
            self.release()

    def _write_blocks(self) -> None:
        while True:
            self._waiting.wait()
            time.sleep(_DELAY_SECONDS)
            self._waiting.clear()
            self.flush()


def configure(level: str, log_format: str) -> None:
    """Log to stderr at `level`, as `json` or `text`."""
    handler = BlockHandler()
    if log_format == "json":
        handler.setFormatter(
            JsonFormatter(
                "{asctime}{levelname}{name}{message}", style="{", rename_fields={"asctime": "time", "levelname": "level", "name": "logger"}
            )
        )
    else:
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)-7s %(name)s %(message)s"))
    # These values are in none of our lines and need not be computed for each of them.
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = logging.logAsyncioTasks = False  # type: ignore[attr-defined]
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    # At INFO, kopf logs the success of a handler for each event.
    logging.getLogger("kopf").setLevel(logging.WARNING)
