"""SQLite's write-ahead log: readers and the writer do not block each other."""

from __future__ import annotations

import sqlite3
import time

_OPENING_SECONDS = 30.0
_STEP_SECONDS = 0.01


def enable_wal(connection: sqlite3.Connection) -> None:
    """Switch the file to WAL mode; raises sqlite3.OperationalError if it stays locked.

    Changing the mode needs exclusive access to the file, and SQLite's own waiting (`busy_timeout`) does not cover that.
    """
    until = time.monotonic() + _OPENING_SECONDS
    while True:
        try:
            if connection.execute("PRAGMA journal_mode").fetchone()[0] != "wal":
                # Only an empty file takes this: space that retention frees can be given back (`maintenance.free_pages`).
                connection.execute("PRAGMA auto_vacuum=INCREMENTAL")
                connection.execute("PRAGMA journal_mode=WAL")
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() >= until:
                raise
            time.sleep(_STEP_SECONDS)
        else:
            return
