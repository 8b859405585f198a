"""A local server (`mintaka server`) as tests run it: through its command, in a home of its own, on a port of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import httpx

from mintaka.server_address import ServerAddress, running_server

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

_COMMAND = [sys.executable, "-c", "from mintaka.cli import main; main()"]
_ENDED = frozenset({"COMPLETED", "FAILED", "CRASHED", "CANCELLED"})
DEADLINE_SECONDS = 60.0
_LOG_CHARACTERS = 4000


class LocalServer:
    """A home and the server on it; `environment` is added to that of this process."""

    def __init__(self, home: Path, **environment: str) -> None:
        self.home = home
        # Tests switch history off for the flows that they call themselves.
        kept = {name: value for name, value in os.environ.items() if name not in {"MINTAKA_HISTORY", "MINTAKA_API_URL"}}
        self.environment = kept | {"MINTAKA_HOME": str(home)} | environment

    def mintaka(self, *arguments: str, code: int | None = 0) -> subprocess.CompletedProcess[str]:
        """Run `mintaka ARGUMENTS`; it must end with `code` (None: with any)."""
        done = subprocess.run(
            [*_COMMAND, *arguments], env=self.environment, capture_output=True, text=True, timeout=DEADLINE_SECONDS * 2, check=False
        )
        assert code is None or done.returncode == code, (
            f"mintaka {' '.join(arguments)} ended with {done.returncode}: {done.stderr}{done.stdout}"
        )
        return done

    def start(self, *arguments: str) -> ServerAddress:
        """Start it in the background, on a free port."""
        self.mintaka("server", "start", "--detach", "--port", "0", *arguments)
        return self.address

    def foreground(self, *arguments: str, **streams: Any) -> subprocess.Popen[str]:
        """Start it in the foreground; the caller ends it."""
        return subprocess.Popen([*_COMMAND, "server", "start", "--port", "0", *arguments], env=self.environment, text=True, **streams)

    def stop(self, *arguments: str) -> str:
        """Stop it; return the output of the command."""
        return self.mintaka("server", "stop", *arguments).stdout

    def kill(self) -> None:
        """Send SIGKILL and wait until the process has ended."""
        pid = self.address.pid
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda: running_server(self.home) is None, "the killed server is gone")

    @property
    def address(self) -> ServerAddress:
        """The address of the server."""
        found = running_server(self.home)
        assert found is not None, f"no server runs on {self.home}: {self.log}"
        return found

    @property
    def log(self) -> str:
        """The end of its log."""
        path = self.home / "server.log"
        return path.read_text(encoding="utf-8", errors="replace")[-_LOG_CHARACTERS:] if path.exists() else ""

    def request(self, method: str, path: str, *, headers: Mapping[str, str] | None = None, **options: Any) -> httpx.Response:
        """The answer to a request; with the token unless there are other headers."""
        url, token, _ = self.address
        given = {"Authorization": f"Bearer {token}"} if headers is None else dict(headers)
        with httpx.Client(trust_env=False, timeout=30) as client:
            return client.request(method, url + path, headers=given, **options)

    def get(self, path: str, **query: Any) -> Any:
        """The document at a path of the API."""
        response = self.request("GET", f"/api/v1{path}", params=query)
        assert response.is_success, response.text
        return response.json()

    def apply(self, *documents: dict[str, Any]) -> list[dict[str, Any]]:
        """Store documents; return the outcome for each."""
        response = self.request("PUT", "/api/v1/documents", json={"documents": list(documents)})
        assert response.is_success, response.text
        items: list[dict[str, Any]] = response.json()["items"]
        return items

    def create(self, document: dict[str, Any]) -> dict[str, Any]:
        """Create one document."""
        response = self.request("POST", "/api/v1/documents", json=document)
        assert response.is_success, response.text
        created: dict[str, Any] = response.json()
        return created

    def ended(self, uid: str, seconds: float = DEADLINE_SECONDS) -> dict[str, Any]:
        """Wait until the flow run has ended, and return it."""
        deadline = time.monotonic() + seconds
        while True:
            run: dict[str, Any] = self.get(f"/flow-runs/{uid}")
            if run["state"]["type"] in _ENDED:
                return run
            assert time.monotonic() < deadline, f"still {run['state']} after {seconds} s: {json.dumps(run)}; {self.log}"
            time.sleep(0.05)


def wait_until(condition: Callable[[], bool], what: str, seconds: float = DEADLINE_SECONDS) -> None:
    """Wait for a condition; `what` describes it."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not yet after {seconds} s: {what}"
        time.sleep(0.02)
