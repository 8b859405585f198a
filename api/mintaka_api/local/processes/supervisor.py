"""The supervisor of one attempt: starts its process, stores its output, ends everything that it started, records its end.

It runs in a process of its own, forked by the fork server, and depends on no other process. On Linux it is the reaper of
everything that its process starts (prctl(2), PR_SET_CHILD_SUBREAPER), so that daemons, double forks and new sessions stay its
descendants; and its process is killed if it is killed itself (PR_SET_PDEATHSIG). Elsewhere processes that left their parents
are found by a token in their environment.

It has to start fast and use little memory: only the standard library, no threads, no event loop.
"""

from __future__ import annotations

import os
import select
import signal
import sys
from contextlib import suppress
from subprocess import DEVNULL, PIPE, STDOUT, Popen, SubprocessError
from time import monotonic, sleep, time
from typing import TYPE_CHECKING, Any

from mintaka_api.local.processes import memory_kills
from mintaka_api.local.processes.attempt_folder import ENDED, KILL, STARTED, AttemptFolder, write_file
from mintaka_api.local.processes.leftovers import TOKEN, Leftovers, die_with_parent, reap_descendants
from mintaka_api.local.processes.output import Output

if TYPE_CHECKING:
    from collections.abc import Mapping

_READ_BYTES = 64 * 1024
#: How long output is still read after every process that could write it was killed.
_DRAIN_SECONDS = 2.0
#: How often it is checked that the folder exists: without it no server can find the process.
LOOK_SECONDS = 30.0
#: How long to wait before a record is written again that a full disk refused.
_FULL_DISK_SECONDS = 1.0
#: Blocks of the disk that are freed when the end is to be recorded.
_RESERVE_BYTES = 16 * 1024
_RESERVE = ".reserve"


def supervise(request: Mapping[str, Any]) -> None:
    """Serve a request of the fork server's: `folder`, `command`, `directory`, `environment`, `grace_seconds`, and the `record` of
    whose attempt it is. Raises OSError.
    """
    folder = AttemptFolder(request["folder"])
    reap_descendants()
    try:
        # Opened for reading as well: then neither opening nor writing needs a reader.
        events = os.open(folder.events, os.O_RDWR | os.O_NONBLOCK)
        control = os.open(folder.control, os.O_RDWR | os.O_NONBLOCK)
    except FileNotFoundError:  # the server has abandoned this attempt
        return
    try:
        write_file(folder.file(_RESERVE), bytes(_RESERVE_BYTES), durable=False)
        if not folder.claim({**request["record"], "supervisor": os.getpid(), "token": request["environment"][TOKEN], "boot": boot_id()}):
            _notify(events, b"taken\n")
            return
    except OSError as error:
        _notify(events, f"refused {error.errno} {error.strerror}\n".encode())
        return
    _notify(events, b"begun\n")
    Supervisor(folder, events, control, float(request["grace_seconds"])).run(request)


class Supervisor:
    """Supervises one process; `events` and `control` are the FIFOs, open."""

    def __init__(self, folder: AttemptFolder, events: int, control: int, grace_seconds: float) -> None:
        self._folder = folder
        self._events = events
        self._control = control
        self._grace_seconds = grace_seconds
        self._output = Output(folder.path)
        self._signals = _signal_pipe()
        self._main: int | None = None
        self._status: int | None = None
        self._peak_kilobytes = 0
        self._asked_time: float | None = None
        self._kill_at: float | None = None
        self._look_at = monotonic() + LOOK_SECONDS
        self._killed = False

    def run(self, request: Mapping[str, Any]) -> None:
        """Start the process, wait for its end, record it."""
        began, clock = time(), monotonic()
        memory = memory_kills.count()
        record: dict[str, Any] = {"began": began}
        leftovers = Leftovers(request["environment"][TOKEN])
        try:
            process = self._start(request)
        except (OSError, SubprocessError, ValueError) as error:
            record["start_error"] = _start_error(error)
        else:
            self._main = process.pid
            self._record_start(process.pid, began)
            _notify(self._events, b"started\n")
            pipe = process.stdout.fileno() if process.stdout is not None else -1
            self._supervise(pipe)
            record["remaining"] = leftovers.end(self._reap)
            self._drain(pipe)
        record |= {
            "time": began + monotonic() - clock,
            "status": self._status,
            "asked": self._asked_time,
            "killed": self._killed,
            "peak_kilobytes": self._peak_kilobytes,
            "memory_kills": memory_kills.count() - memory,
            "tail": self._output.tail.decode(errors="replace"),
            "disk_full": self._output.full,
            "dropped": self._output.dropped,
        }
        self._output.close()
        self._record(record)
        _notify(self._events, b"ended\n")

    def _start(self, request: Mapping[str, Any]) -> Popen[bytes]:
        return Popen(  # noqa: S603 - the deployment's command
            request["command"],
            cwd=request["directory"],
            env=request["environment"],
            stdin=DEVNULL,
            stdout=PIPE,
            stderr=STDOUT,
            start_new_session=True,
            preexec_fn=die_with_parent(os.getpid()),  # noqa: PLW1509 - there are no threads
        )

    # -- while it runs ------------------------------------------------------------------------------------------------

    def _supervise(self, pipe: int) -> None:
        """Handle events until the process has ended."""
        poll = select.poll()
        for descriptor in (pipe, self._control, self._signals):
            poll.register(descriptor, select.POLLIN)
        while self._status is None:
            for descriptor, _ in poll.poll(self._wait_milliseconds()):
                if descriptor == pipe:
                    if not self._read(pipe):
                        poll.unregister(pipe)
                elif descriptor == self._control:
                    self._obey(os.read(self._control, 64))
                elif signal.SIGTERM in os.read(self._signals, 64):
                    self._terminate()
            if self._kill_at is not None and monotonic() >= self._kill_at:
                self._kill()
            if monotonic() >= self._look_at:
                self._look()
            self._reap()

    def _wait_milliseconds(self) -> float:
        until = self._look_at if self._kill_at is None else min(self._look_at, self._kill_at)
        return max(until - monotonic(), 0.0) * 1000 + 1

    def _look(self) -> None:
        """End the process if its folder was removed, as with the whole of MINTAKA_HOME."""
        self._look_at = monotonic() + LOOK_SECONDS
        if not self._folder.exists():
            self._terminate()

    def _read(self, pipe: int) -> bool:
        """Store the available output; False at its end."""
        chunk = os.read(pipe, _READ_BYTES)
        if chunk:
            self._output.add(chunk)
        return bool(chunk)

    def _obey(self, requests: bytes) -> None:
        if KILL in requests:
            self._kill()
        elif requests:
            self._terminate()

    def _terminate(self) -> None:
        """SIGTERM to the process, as the kubelet sends it to the first process of a container; SIGKILL after the grace period."""
        if self._kill_at is None and self._main is not None:
            self._asked_time = time()
            self._kill_at = monotonic() + self._grace_seconds
            os.kill(self._main, signal.SIGTERM)

    def _kill(self) -> None:
        self._kill_at = None
        if self._main is not None and self._status is None:
            self._killed = True
            self._asked_time = self._asked_time or time()
            os.kill(self._main, signal.SIGKILL)

    def _reap(self) -> bool:
        """Collect what has ended; False when nothing is left that could end."""
        while True:
            try:
                pid, status, usage = os.wait4(-1, os.WNOHANG)
            except ChildProcessError:
                return False
            if pid == 0:
                return True
            if pid == self._main:
                self._status, self._peak_kilobytes = status, usage.ru_maxrss

    # -- its end ------------------------------------------------------------------------------------------------------

    def _drain(self, pipe: int) -> None:
        """Read what was printed before the end."""
        until = monotonic() + _DRAIN_SECONDS
        poll = select.poll()
        poll.register(pipe, select.POLLIN)
        while poll.poll(max(until - monotonic(), 0.0) * 1000):
            if not self._read(pipe):
                return

    def _record_start(self, pid: int, began: float) -> None:
        record = {"pid": pid, "time": began}
        try:
            self._folder.write(STARTED, record, durable=False)
        except OSError:
            self._output.full = True
            self._free_reserve()
            with suppress(OSError):
                self._folder.write(STARTED, record, durable=False)

    def _free_reserve(self) -> None:
        with suppress(OSError):
            os.unlink(self._folder.file(_RESERVE))  # noqa: PTH108 - pathlib takes a megabyte

    def _record(self, record: dict[str, Any]) -> None:
        """Record the end, however long that takes: on a full disk it frees the reserved blocks, then waits for space."""
        self._free_reserve()
        while True:
            try:
                self._folder.write(ENDED, record)
            except FileNotFoundError:  # the folder was removed: no one needs the record
                return
            except OSError:
                record["disk_full"] = True
                sleep(_FULL_DISK_SECONDS)
            else:
                return


def _start_error(error: Exception) -> dict[str, Any]:
    """Why the process could not be started: `errno` (0: another error), `file`, the file it is about, `message`."""
    number = error.errno if isinstance(error, OSError) else 0
    file = getattr(error, "filename", None)
    return {"errno": number or 0, "file": file if isinstance(file, str) else "", "message": str(error)}


def _notify(events: int, line: bytes) -> None:
    with suppress(OSError):  # full, because the server reads nothing
        os.write(events, line)


def _signal_pipe() -> int:
    """A descriptor that becomes readable when a child has ended, or on SIGTERM, which requests a stop of the process."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    for number in (signal.SIGCHLD, signal.SIGTERM):
        signal.signal(number, lambda _number, _frame: None)
    return reader


def boot_id() -> str:
    """The boot id, which changes when the machine is restarted; "" if it is not known."""
    try:
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:  # noqa: PTH123 - as above
            return file.read().strip()
    except OSError:
        return ""


def is_supported() -> bool:
    """Whether this platform has what the supervisor uses."""
    return sys.platform != "win32"
