"""Structured logs: one JSON object per line, or plain text for people."""

from __future__ import annotations

import logging

from pythonjsonlogger.json import JsonFormatter


def configure(level: str, log_format: str) -> None:
    """Log to stderr at `level`, as `json` or `text`."""
    handler = logging.StreamHandler()
    if log_format == "json":
        handler.setFormatter(
            JsonFormatter(
                "{asctime}{levelname}{name}{message}", style="{", rename_fields={"asctime": "time", "levelname": "level", "name": "logger"}
            )
        )
    else:
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)-7s %(name)s %(message)s"))
    # What no line of ours says need not be found out for each of them.
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = logging.logAsyncioTasks = False  # type: ignore[attr-defined]
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    # kopf says at INFO, for each event, that a handler succeeded.
    logging.getLogger("kopf").setLevel(logging.WARNING)
