"""A PgBouncer on a loopback port, in transaction mode, that tests may kill and start again."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path

from postgres_server import process_owner

_START_SECONDS = 30
_CONFIGURATION = """
[databases]
* = host=127.0.0.1 port={server} user=mintaka

[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = {size}
max_client_conn = 500
server_lifetime = 3600
"""


class PgBouncer:
    """Gives each transaction one of `size` connections to the PostgreSQL server at `server_port`."""

    def __init__(self, server_port: int, *, size: int = 4) -> None:
        """Write its configuration; `start` runs it."""
        self.folder = Path(tempfile.mkdtemp(prefix="mintaka-pgbouncer-"))
        self._owner = process_owner("PgBouncer")
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        file = self.folder / "pgbouncer.ini"
        file.write_text(_CONFIGURATION.format(server=server_port, port=self.port, size=size), encoding="utf-8")
        if self._owner:
            for path in (self.folder, file):
                os.chown(path, int(self._owner["user"]), int(self._owner["group"]))
        self._process: subprocess.Popen[bytes] | None = None

    def url(self, database: str) -> str:
        """The URL of a database of the server, through this pooler."""
        return f"postgresql://mintaka@127.0.0.1:{self.port}/{database}"

    def start(self) -> None:
        """Start it and wait until it listens."""
        program = shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
        if program is None:
            message = "pgbouncer was not found: install it (Debian: apt-get install pgbouncer)"
            raise RuntimeError(message)
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen([program, "pgbouncer.ini"], stdout=log, stderr=log, cwd=self.folder, **self._owner)  # type: ignore[call-overload]
        deadline = time.monotonic() + _START_SECONDS
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
            except OSError:
                if time.monotonic() > deadline or self._process.poll() is not None:
                    message = f"PgBouncer did not start: {(self.folder / 'log').read_text(encoding='utf-8')}"
                    raise RuntimeError(message) from None
                time.sleep(0.02)
            else:
                return

    def kill(self) -> None:
        """End it at once: its clients' connections break at any point."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(timeout=30)
            self._process = None

    def remove(self) -> None:
        """End it and delete its folder."""
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)
