"""Finds the local server (`mintaka server`) that runs on a home folder: its URL, token and process.

A server writes `server.json` into the folder when it listens, and holds a lock as long as it runs: the file of a
server that was killed does not count.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple

from mintaka_history.server_locks import locking_server


class ServerAddress(NamedTuple):
    """A running local server. `token` is sent as `Authorization: Bearer TOKEN`."""

    url: str
    token: str
    pid: int


def running_server(home: Path) -> ServerAddress | None:
    """The local server that runs on the folder `home`; None if none listens, or if its token cannot be read."""
    record = locking_server(home / "server.lock")
    if record is None:
        return None
    try:
        found = json.loads((home / "server.json").read_bytes())
        address = ServerAddress(found["url"], Path(found["token_file"]).read_text(encoding="ascii").strip(), found["pid"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return address if address.pid == record.get("pid") else None
