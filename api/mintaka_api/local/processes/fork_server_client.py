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
    from collections.abc import Mapping

_PROGRAM = "import sys; sys.path += sys.argv[1:]; from mintaka_api.local.processes.fork_server import main; main()"
_END_SECONDS = 5.0


class ForkServer:
    """Requests supervisors. Not for several event loops."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = asyncio.Lock()

    async def request(self, request: Mapping[str, Any]) -> None:
        """Request a supervisor, which tells the rest itself. Raises OSError if that is not possible now."""
        line = json.dumps(request, separators=(",", ":")).encode() + b"\n"
        async with self._lock:
            await asyncio.to_thread(self._send, line)

    def _send(self, line: bytes) -> None:
        for last in (False, True):
            process = self._running()
            try:
                if process.stdin is not None:
                    process.stdin.write(line)
                    process.stdin.flush()
            except BrokenPipeError:
                self._end(process)
                if last:
                    raise
            else:
                return

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None or self._process.poll() is not None:
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
        """Its process id; None while there is none."""
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
