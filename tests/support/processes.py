"""Operators and APIs as processes of the tests, so that they can be killed, frozen and started again at will."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from typing import TYPE_CHECKING, Any

from kube import eventually

if TYPE_CHECKING:
    import signal
    from pathlib import Path


def free_port() -> int:
    """A port of this machine that nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


class Process:
    """A Python module that runs as a process, its output in a file."""

    def __init__(self, module: str, log: Path, *arguments: str, **environment: str) -> None:
        self.log = log
        self._command = [sys.executable, "-m", module, *arguments]
        self._environment = {**os.environ, **environment}
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it; what it says is added to the log."""
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(self._command, env=self._environment, stdout=log, stderr=log)

    @property
    def process(self) -> subprocess.Popen[bytes]:
        """The process as it was last started."""
        assert self._process is not None, "not started"
        return self._process

    def said(self, words: str) -> int:
        """How often it has said something."""
        return self.text().count(words)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal."""
        self.process.send_signal(number)

    def kill(self) -> None:
        """SIGKILL, and wait until it is gone."""
        self.process.kill()
        self.process.wait(timeout=30)

    def stop(self) -> int:
        """SIGTERM, and wait for its exit code."""
        if self.process.poll() is None:
            self.process.terminate()
        return self.process.wait(timeout=60)

    def text(self) -> str:
        """All it has said."""
        return self.log.read_text(encoding="utf-8", errors="replace")


def leading(process: Process) -> None:
    """Start an operator and wait until it leads."""
    before = process.said("leading as") if process.log.exists() else 0
    process.start()
    eventually(lambda: process.said("leading as") > before, f"{process.log.name} says that it leads", seconds=60)


def operator(log: Path, namespace: str, identity: str = "operator", **environment: Any) -> Process:
    """An operator that minds one namespace."""
    settings = {
        "MINTAKA_NAMESPACES": namespace,
        "MINTAKA_LEASE_NAMESPACE": namespace,
        "MINTAKA_POD_NAME": identity,
        "MINTAKA_FLOW_IMAGE": "localhost/mintaka-flow:dev",
        "MINTAKA_HTTP_PORT": str(free_port()),
        "MINTAKA_RELIST_SECONDS": "5",
        **environment,
    }
    return Process("mintaka_operator", log, **settings)
