"""A handle on one `schema_worker` process: start it, send it a request, kill it when the request takes too long.

The deadline is CPU time of the worker, so that a busy machine does not fail a legitimate request. Wall-clock time ends a
request only if the worker neither computes nor answers, or did not get the CPU for much longer than the deadline.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final, cast

from mintaka_controller.schema_protocol import LENGTH_BYTES, MEMORY_BYTES
from mintaka_core.errors import MintakaError

_POLL_SECONDS = 0.05
#: A worker seen sleeping in this many consecutive polls is asleep: before the first poll it may have just answered.
_ASLEEP_POLLS = 3
_START_SECONDS = 20.0
_REAP_SECONDS = 0.005
_END_SECONDS = 1.0
_KILLED_SECONDS = 30.0
_ASLEEP_SECONDS = 0.5
_STARVED_SECONDS = 30.0
#: The environment variables that the worker needs; it gets no secrets.
_PASSED_ON: Final = ("PATH", "LD_LIBRARY_PATH", "LANG", "LC_ALL", "VIRTUAL_ENV")
_KILLED_FROM_OUTSIDE = frozenset({-signal.SIGKILL, -signal.SIGTERM, -signal.SIGINT, -signal.SIGHUP})


class RequestTooCostly(MintakaError):
    """The worker was killed because of the request, or died of it; the message says which resource the request used up."""


class WorkerLost(MintakaError):
    """The worker ended, or got no CPU time, for reasons unrelated to the request."""


class WorkerNotStarted(MintakaError):
    """No worker could be started; the message says why."""


@dataclass(frozen=True, slots=True)
class Usage:
    """The resources a request has used so far; `sleeping`: the worker waits instead of computing."""

    cpu_seconds: float
    wall_seconds: float
    sleeping: bool = False


def verdict(usage: Usage, deadline_seconds: float) -> MintakaError | None:
    """Why a request must be aborted; None: it may continue."""
    if usage.cpu_seconds >= deadline_seconds:
        return RequestTooCostly(f"takes more than {deadline_seconds:g} s of processor time")
    if usage.sleeping and usage.wall_seconds >= max(deadline_seconds, _ASLEEP_SECONDS):
        # The library's handler for failed allocations may block forever on a lock that it already holds.
        return _out_of_memory()
    if usage.wall_seconds >= _STARVED_SECONDS:
        return WorkerLost(
            f"the process that checks JSON Schemas got no result within {usage.wall_seconds:.0f} s: is the processor overloaded?"
        )
    return None


class SchemaProcess:
    """One running worker; it answers one request at a time."""

    def __init__(self, process: subprocess.Popen[bytes], replies: _Replies) -> None:
        """Use `start` instead."""
        self._process = process
        self._replies = replies

    @classmethod
    async def start(cls, *, niceness: int = 0) -> SchemaProcess:
        """Start a worker and wait until it is ready.

        Raises:
            WorkerNotStarted: there is not enough memory, or it failed at once.
        """
        try:
            process, connection = _spawn(niceness)
        except OSError as error:
            message = f"cannot start the process that checks JSON Schemas: {error}"
            raise WorkerNotStarted(message) from error
        _, replies = await asyncio.get_running_loop().create_unix_connection(_Replies, sock=connection)
        started = cls(process, replies)
        try:
            async with asyncio.timeout(_START_SECONDS):
                await replies.next()
        except TimeoutError as error:
            await started.stop()
            message = f"the process that checks JSON Schemas was not ready within {_START_SECONDS:g} s"
            raise WorkerNotStarted(message) from error
        except ConnectionError as error:
            await started._ended(_END_SECONDS)
            await started.stop()
            message = f"the process that checks JSON Schemas ended at its start, exit code {process.returncode}; its error is in the log"
            raise WorkerNotStarted(message) from error
        except asyncio.CancelledError:
            await started.stop()
            raise
        return started

    @property
    def pid(self) -> int:
        """The process's id."""
        return self._process.pid

    async def request(self, frame: bytes, deadline_seconds: float) -> bytes:
        """The reply to a frame of `schema_protocol.encode_request`. After an error the worker is unusable: `stop` it.

        Raises:
            RequestTooCostly: it used up its time or memory.
            WorkerLost: the worker was killed from outside.
        """
        cpu, wall, asleep = _cpu_seconds(self.pid), time.monotonic(), 0
        reply = self._replies.next()
        self._replies.send(frame)
        try:
            await asyncio.wait({reply}, timeout=_POLL_SECONDS)
            while not reply.done():
                asleep = asleep + 1 if _sleeps(self.pid) else 0
                usage = Usage(_cpu_seconds(self.pid) - cpu, time.monotonic() - wall, asleep >= _ASLEEP_POLLS)
                if (fault := verdict(usage, deadline_seconds)) is not None:
                    raise fault
                await asyncio.wait({reply}, timeout=_POLL_SECONDS)
            return reply.result()
        except ConnectionError as error:
            await self._ended(_END_SECONDS)
            if self._process.returncode in _KILLED_FROM_OUTSIDE:
                message = f"the process that checks JSON Schemas was killed (exit code {self._process.returncode})"
                raise WorkerLost(message) from error
            raise _out_of_memory() from error
        finally:
            reply.cancel()

    async def stop(self) -> None:
        """Kill the worker and wait for its end."""
        self._replies.close()
        if self._process.poll() is None:
            self._process.kill()
        await self._ended(_KILLED_SECONDS)

    async def _ended(self, seconds: float) -> None:
        """Wait until the worker has ended, to read its exit code and leave no zombie."""
        end = time.monotonic() + seconds
        while self._process.poll() is None and time.monotonic() < end:  # noqa: ASYNC110 - there is no event to wait for
            await asyncio.sleep(_REAP_SECONDS)


class _Replies(asyncio.Protocol):
    """Frames from the worker, one for each that was sent."""

    def __init__(self) -> None:
        self._received = bytearray()
        self._waiting: asyncio.Future[bytes] | None = None
        self._transport: asyncio.Transport | None = None
        self._lost = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._received += data
        self._deliver()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        self._lost = True
        self._deliver()

    def send(self, frame: bytes) -> None:
        if self._transport is not None:
            self._transport.write(frame)

    def next(self) -> asyncio.Future[bytes]:
        """The next frame; ConnectionError if the worker is gone."""
        self._waiting = asyncio.get_running_loop().create_future()
        self._deliver()
        return self._waiting

    def close(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def _deliver(self) -> None:
        if self._waiting is None or self._waiting.done():
            return
        length = int.from_bytes(self._received[:LENGTH_BYTES])
        if len(self._received) >= LENGTH_BYTES + length:
            self._waiting.set_result(bytes(self._received[LENGTH_BYTES : LENGTH_BYTES + length]))
            del self._received[: LENGTH_BYTES + length]
        elif self._lost:
            self._waiting.set_exception(ConnectionResetError("the worker is gone"))


def _spawn(niceness: int) -> tuple[subprocess.Popen[bytes], socket.socket]:
    """Start the worker, whose standard input is its end of a connection; return the process and our end."""
    ours, theirs = socket.socketpair()
    with theirs:
        try:
            process = subprocess.Popen(  # noqa: S603 - our own module
                [sys.executable, "-P", "-m", "mintaka_controller.schema_worker", str(niceness)],
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,
                env=_environment(),
                start_new_session=True,
            )
        except OSError:
            ours.close()
            raise
    ours.setblocking(False)  # noqa: FBT003 - the socket's own signature
    return process, ours


def _out_of_memory() -> RequestTooCostly:
    return RequestTooCostly(f"takes more than {MEMORY_BYTES >> 20} MiB of memory, or too deep a recursion")


def _environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name in _PASSED_ON or name.startswith("PYTHON")}


def _cpu_seconds(pid: int) -> float:
    """CPU time of the process, by its own clock (clock_getcpuclockid(3)); wall-clock time if the system has none."""
    if sys.platform != "linux":
        return time.monotonic()
    try:
        return time.clock_gettime((~pid << 3) | 2)
    except OSError:  # it ended
        return 0.0


def _sleeps(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state == "S"
