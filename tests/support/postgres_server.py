"""A private PostgreSQL server in a temporary folder, that tests and benchmarks may stop, kill and start as they like."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path

_FOLDERS = (*sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True), Path("/usr/local/bin"), Path("/usr/bin"))
_START_SECONDS = 60


def find_program(name: str) -> str:
    """Return the file of one of PostgreSQL's programs, which Debian keeps off the PATH."""
    for folder in _FOLDERS:
        if (folder / name).exists():
            return str(folder / name)
    if found := shutil.which(name):
        return found
    message = f"{name} was not found: install PostgreSQL's server (Debian: apt-get install postgresql)"
    raise RuntimeError(message)


def process_owner(program: str = "PostgreSQL") -> dict[str, str | int]:
    """Whom to run as: PostgreSQL and PgBouncer refuse root."""
    if os.geteuid() != 0:
        return {}
    for name in ("postgres", "nobody"):
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}
    message = f"{program} does not run as root, and there is neither a user postgres nor nobody"
    raise RuntimeError(message)


class PostgresServer:
    """One cluster of databases, listening on a loopback port."""

    def __init__(self, **settings: str) -> None:
        """Create the cluster; `start` runs it. `settings` go into postgresql.conf."""
        self.folder = Path(tempfile.mkdtemp(prefix="mintaka-postgres-"))
        self._owner = process_owner()
        if self._owner:
            os.chown(self.folder, int(self._owner["user"]), int(self._owner["group"]))
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        self._data = self.folder / "data"
        initdb = [
            find_program("initdb"),
            "-D",
            str(self._data),
            "-U",
            "mintaka",
            "-A",
            "trust",
            "-E",
            "UTF8",
            "--no-sync",
            "--locale=C.UTF-8",
        ]
        subprocess.run(initdb, check=True, capture_output=True, cwd=self.folder, **self._owner)  # type: ignore[call-overload]
        lines = {
            "listen_addresses": "'127.0.0.1'",
            "port": str(self.port),
            "unix_socket_directories": f"'{self.folder}'",
            "shared_buffers": "'128MB'",
            "max_connections": "60",
            **settings,
        }
        with (self._data / "postgresql.conf").open("a", encoding="utf-8") as file:
            file.writelines(f"{name} = {value}\n" for name, value in lines.items())
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the server and wait until it answers."""
        with (self.folder / "log").open("ab") as log:
            arguments = [find_program("postgres"), "-D", str(self._data)]
            self._process = subprocess.Popen(arguments, stdout=log, stderr=log, cwd=self.folder, **self._owner)  # type: ignore[call-overload]
        deadline = time.monotonic() + _START_SECONDS
        while subprocess.run(
            [find_program("pg_isready"), "-h", "127.0.0.1", "-p", str(self.port)], check=False, capture_output=True
        ).returncode:
            if time.monotonic() > deadline or self._process.poll() is not None:
                message = f"PostgreSQL did not start: {(self.folder / 'log').read_text(encoding='utf-8')}"
                raise RuntimeError(message)
            time.sleep(0.05)

    def stop(self, *, fast: bool = True) -> None:
        """Stop the server: `fast` ends transactions, otherwise it dies as in a power cut."""
        if self._process is not None:
            self._process.send_signal(signal.SIGINT if fast else signal.SIGQUIT)
            self._process.wait(timeout=60)
            self._process = None

    def remove(self) -> None:
        """Stop the server and delete its folder."""
        self.stop(fast=False)
        shutil.rmtree(self.folder, ignore_errors=True)

    def url(self, database: str) -> str:
        """The URL of a database of this server."""
        return f"postgresql://mintaka@127.0.0.1:{self.port}/{database}"

    def create_database(self, name: str, template: str = "template1") -> str:
        """Create a database, empty or as a copy of another one; its URL."""
        arguments = [
            find_program("psql"),
            "-h",
            "127.0.0.1",
            "-p",
            str(self.port),
            "-U",
            "mintaka",
            "-d",
            "postgres",
            "-qc",
            f'CREATE DATABASE "{name}" TEMPLATE "{template}"',
        ]
        subprocess.run(arguments, check=True, capture_output=True)
        return self.url(name)

    def drop_database(self, name: str) -> None:
        """Drop a database, whoever is connected to it."""
        arguments = [
            find_program("psql"),
            "-h",
            "127.0.0.1",
            "-p",
            str(self.port),
            "-U",
            "mintaka",
            "-d",
            "postgres",
            "-qc",
            f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)',
        ]
        subprocess.run(arguments, check=True, capture_output=True)
