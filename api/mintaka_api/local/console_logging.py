"""Logs of the local server for people: one line for each event, on standard error."""

from __future__ import annotations

import logging
import sys
from datetime import datetime

_MARKS = {logging.WARNING: "warning: ", logging.ERROR: "error: ", logging.CRITICAL: "error: "}
#: Loggers whose messages only developers need, and the level from which they are printed.
_QUIET = {
    "uvicorn.error": logging.ERROR,
    "mintaka.api.requests": logging.WARNING,
    "mintaka.history.migrating": logging.INFO,
}


class ConsoleFormatter(logging.Formatter):
    """Formats a record as local time, severity (of warnings and errors) and message, in one line; a traceback follows below."""

    def format(self, record: logging.LogRecord) -> str:
        """The line of `record`."""
        time = datetime.fromtimestamp(record.created).astimezone().strftime("%Y-%m-%d %H:%M:%S")
        message = " ".join(record.getMessage().splitlines())
        line = f"{time}  {_MARKS.get(record.levelno, '')}{message}"
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


def configure(level: str) -> None:
    """Make every logger write to standard error; at DEBUG all of them are printed."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(ConsoleFormatter())
    logging.basicConfig(level=level, handlers=[handler], force=True)
    for name, least in _QUIET.items() if level != "DEBUG" else ():
        logging.getLogger(name).setLevel(max(least, logging.getLogger().level))
