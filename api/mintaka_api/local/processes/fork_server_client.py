"""The server's side of the fork server: starts it when it is needed first, and again if it has died."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

import mintaka_api

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_PROGRAM = "import sys; sys.path += sys.argv[1:]; from mintaka_api.local.processes.fork_server import main; main()"
_END_SECONDS = 5.0


class ForkServer:
    """Requests supervisors. Not for several event loops."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = asyncio.Lock()

    async def request(self, request: Mapping[str, Any]) -> Callable[[], bool]:
        """Request a supervisor, which reports the rest itself; the result is whether the fork server still runs.

        Raises OSError if that is not possible now.
        """
        line = json.dumps(request, separators=(",", ":")).encode() + b"\n"
        async with self._lock:
            process = await asyncio.to_thread(self._send, line)
        return lambda: process.poll() is None

    def _send(self, line: bytes) -> subprocess.Popen[bytes]:
        process = self._running()
        try:
            _write(process, line)
        except BrokenPipeError:
            self._end(process)
            process = self._running()
            _write(process, line)
        return process

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is not None and self._process.poll() is not None:
            self._end(self._process)
            self._process = None
        if self._process is None:
            folders = dict.fromkeys(str(Path(module.__file__).parent.parent) for module in (mintaka_api, psutil) if module.__file__)
            self._process = subprocess.Popen(  # noqa: S603 - ourselves
                [sys.executable, "-S", "-E", "-I", "-c", _PROGRAM, *folders],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                cwd="/",
                start_new_session=True,
            )
        return self._process

    async def close(self) -> None:
        """End the fork server; supervisors live on."""
        async with self._lock:
            if self._process is not None:
                await asyncio.to_thread(self._end, self._process)
                self._process = None

    @property
    def pid(self) -> int | None:
        """Its process id; None while it does not run."""
        return self._process.pid if self._process is not None else None

    @staticmethod
    def _end(process: subprocess.Popen[bytes]) -> None:
        if process.stdin is not None:
            with suppress(BrokenPipeError):
                process.stdin.close()
        try:
            process.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _write(process: subprocess.Popen[bytes], line: bytes) -> None:
    if process.stdin is not None:
        process.stdin.write(line)
        process.stdin.flush()
