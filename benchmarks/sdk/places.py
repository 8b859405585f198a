"""Where a flow's history goes in a comparison: a SQLite file, Prefect's server as it is and tuned, our API on PostgreSQL.

Each place is a context manager with the environment of the flow's process, and counts the task runs on record.
"""

from __future__ import annotations

import http.client
import json
import os
import socket
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, Self

sys.path.insert(0, str(Path(__file__).parents[1]))

from shared.processes import cpu_seconds

if TYPE_CHECKING:
    from collections.abc import Mapping

ROOT = Path(__file__).resolve().parents[2]
_START_SECONDS = 120

#: The five settings that make Prefect's server four to five times as fast with task runs; all else by default.
TUNED = {
    "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_READ_BATCH_SIZE": "200",
    "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_BATCH_SIZE": "200",
    "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_FLUSH_INTERVAL": "1",
    "PREFECT_SERVER_SERVICES_EVENT_PERSISTER_READ_BATCH_SIZE": "200",
    "PREFECT_SERVER_SERVICES_EVENT_PERSISTER_BATCH_SIZE": "200",
}


class Place(Protocol):
    """Where history goes."""

    library: str
    python: str

    def environment(self) -> Mapping[str, str]:
        """What the flow's process has in addition."""

    def recorded(self) -> int:
        """How many completed task runs are on record by now."""

    def server_cpu(self) -> float:
        """Seconds of CPU that processes other than the flow's have taken."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...


class Serverless:
    """What has no server."""

    library, python = "mintaka", sys.executable

    def server_cpu(self) -> float:
        """Nothing."""
        return 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        return


class Nowhere(Serverless):
    """Mintaka without history: what the engine itself costs."""

    def environment(self) -> Mapping[str, str]:
        """History is off."""
        return {"MINTAKA_HISTORY": "off"}

    def recorded(self) -> int:
        """Nothing is."""
        return 0


class SqliteFile(Serverless):
    """Mintaka without any server: history goes into the embedded file."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "history.db"

    def environment(self) -> Mapping[str, str]:
        """A home of its own."""
        return {"MINTAKA_HOME": str(self.file.parent)}

    def recorded(self) -> int:
        """Rows of the file."""
        with closing(sqlite3.connect(self.file)) as connection:
            found: int = connection.execute("SELECT count(*) FROM task_runs WHERE state = 4").fetchone()[0]
        return found


class Server:
    """A server process on a loopback port, with what it says in a log file."""

    def __init__(self, folder: Path, ready_path: str) -> None:
        self.folder = folder
        self.port = free_port()
        self._ready_path = ready_path
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, command: list[str], environment: Mapping[str, str]) -> None:
        """Start it and wait until it answers."""
        self.folder.mkdir(parents=True, exist_ok=True)
        log = self.folder / "server.log"
        with log.open("wb") as stream:
            self._process = subprocess.Popen(command, env={**clean_environment(), **environment}, stdout=stream, stderr=stream)
        deadline = time.monotonic() + _START_SECONDS
        while not self._answers():
            if time.monotonic() > deadline or self._process.poll() is not None:
                message = f"{command[:3]} did not start: {log.read_text(encoding='utf-8')[-2000:]}"
                raise RuntimeError(message)
            time.sleep(0.1)

    def _answers(self) -> bool:
        try:
            return self.request("GET", self._ready_path)[0] == http.client.OK
        except OSError:
            return False

    def request(self, method: str, path: str, body: object = None) -> tuple[int, bytes]:
        """Status and content of an answer."""
        with closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)) as connection:
            connection.request(method, path, None if body is None else json.dumps(body), {"Content-Type": "application/json"})
            answer = connection.getresponse()
            return answer.status, answer.read()

    def server_cpu(self) -> float:
        """The server's own."""
        return cpu_seconds(self._process.pid) if self._process is not None else 0.0

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(timeout=30)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()


class PrefectServer(Server):
    """`prefect server start` on a SQLite file of its own, with `settings` over the defaults."""

    library = "prefect"

    def __init__(self, folder: Path, settings: Mapping[str, str]) -> None:
        super().__init__(folder, "/api/health")
        made = subprocess.run([ROOT / "tools" / "prefect"], capture_output=True, text=True, check=True)
        self.python = made.stdout.strip().splitlines()[-1]
        self._settings = settings

    def __enter__(self) -> Self:
        command = [
            str(Path(self.python).with_name("prefect")),
            "server",
            "start",
            "--host",
            "127.0.0.1",
            "--port",
            str(self.port),
            "--no-ui",
        ]
        self.start(command, {**self._quiet(), **self._settings})
        return self

    def _quiet(self) -> Mapping[str, str]:
        return {
            "PREFECT_HOME": str(self.folder),
            "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
            "DO_NOT_TRACK": "1",
            "PREFECT_LOGGING_LEVEL": "WARNING",
        }

    def environment(self) -> Mapping[str, str]:
        """Its API; neither library's flow writes a log line."""
        return {**self._quiet(), "PREFECT_API_URL": f"http://127.0.0.1:{self.port}/api"}

    def recorded(self) -> int:
        """As the server counts."""
        return int(self.request("POST", "/api/task_runs/count", {"task_runs": {"state": {"type": {"any_": ["COMPLETED"]}}}})[1])


class MintakaApi(Server):
    """`python -m mintaka_api` on `database_url`, one process."""

    library, python = "mintaka", sys.executable

    def __init__(self, folder: Path, database_url: str) -> None:
        super().__init__(folder, "/readyz")
        self._database_url = database_url

    def __enter__(self) -> Self:
        command = [sys.executable, "-m", "mintaka_api", "--port", str(self.port), "--database-url", self._database_url, "--no-mirror"]
        self.start([*command, "--log-level", "WARNING"], {})
        return self

    def environment(self) -> Mapping[str, str]:
        """Its URL, and a place for the spool."""
        return {"MINTAKA_API_URL": f"http://127.0.0.1:{self.port}", "MINTAKA_HOME": str(self.folder / "home")}

    def recorded(self) -> int:
        """Rows of the database."""
        import psycopg  # noqa: PLC0415 - only this place needs it

        with psycopg.connect(self._database_url) as connection:
            row = connection.execute("SELECT count(*) FROM task_runs WHERE state = 4").fetchone()
        return int(row[0]) if row else 0


def free_port() -> int:
    """A loopback port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def clean_environment() -> dict[str, str]:
    """This process's environment without settings of either library."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("PREFECT_", "MINTAKA_"))}
