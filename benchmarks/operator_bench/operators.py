"""The operator as a process of its own, as it runs in its pod."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Self

import aiohttp

from shared.processes import cpu_seconds, memory_mib


def free_port() -> int:
    """A port nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class OperatorProcess:
    """One operator of one namespace; use as an async context manager."""

    def __init__(self, namespace: str, settings: dict[str, str], command: tuple[str, ...] = ()) -> None:
        self._port = free_port()
        self._log = Path(tempfile.mkstemp(prefix="mintaka-operator-", suffix=".log")[1])
        self._command = command or (sys.executable, "-m", "mintaka_operator")
        self._environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("MINTAKA_")},
            "MINTAKA_NAMESPACES": namespace,
            "MINTAKA_LEASE_NAMESPACE": namespace,
            "MINTAKA_HTTP_PORT": str(self._port),
            **settings,
        }
        self._process: subprocess.Popen[bytes] | None = None

    async def __aenter__(self) -> Self:
        self._start()
        try:
            await self._ready()
        except BaseException:
            await self.__aexit__()
            raise
        return self

    def _start(self) -> None:
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(self._command, env=self._environment, stdout=log, stderr=log)

    async def __aexit__(self, *_: object) -> None:
        if self._process and self._process.poll() is None:
            self._process.terminate()
            try:
                await asyncio.to_thread(self._process.wait, 15)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        complaints = [line for line in self._log.read_text(encoding="utf-8", errors="replace").splitlines() if _is_complaint(line)]
        if complaints:
            print(f"the operator complained {len(complaints)} times, first: {complaints[0][:300]}", file=sys.stderr)
        self._log.unlink()

    async def _ready(self) -> None:
        async with aiohttp.ClientSession() as session:
            for _ in range(600):
                self.check()
                try:
                    async with session.get(f"http://127.0.0.1:{self._port}/metrics") as answer:
                        if "mintaka_operator_leading 1.0" in await answer.text():
                            return
                except aiohttp.ClientError:
                    pass
                await asyncio.sleep(0.1)
        message = "the operator did not come to lead within 60 s"
        raise RuntimeError(message)

    async def metrics(self) -> str:
        """What the operator says of itself."""
        async with aiohttp.ClientSession() as session, session.get(f"http://127.0.0.1:{self._port}/metrics") as answer:
            return await answer.text()

    def check(self) -> None:
        """Raises RuntimeError where the operator has ended."""
        if self._process is None or self._process.poll() is not None:
            message = f"the operator ended: {self._log.read_text(encoding='utf-8')[-2000:]}"
            raise RuntimeError(message)

    @property
    def pid(self) -> int:
        """Its process id."""
        if self._process is None:
            message = "the operator has not been started"
            raise RuntimeError(message)
        return self._process.pid

    @property
    def cpu(self) -> float:
        """CPU time so far, in seconds."""
        return cpu_seconds(self.pid)

    @property
    def memory(self) -> tuple[float, float]:
        """Resident memory in MiB: now, at its highest."""
        return memory_mib(self.pid)


def _is_complaint(line: str) -> bool:
    return any(word in line for word in (" WARNING ", " ERROR ", "Traceback"))
