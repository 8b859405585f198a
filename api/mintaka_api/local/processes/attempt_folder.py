"""The folder of an attempt: what the server requests, and what the attempt's supervisor records.

    source/       by the server: the files of its source
    work/         by the server: the process's working directory if its template names none
    begun         by the supervisor before it starts anything, exclusively: of several requests for an attempt, one is served;
                  whose attempt it is, when it was requested, the supervisor's process and the machine's boot
    started       by the supervisor: when the process began
    stop          by the server: a request to stop
    ended         by the supervisor: how the process ended; by the server if the supervisor was killed (`lost`)
    copied        by the server: its whole output is in the run's log
    report        by the flow: its termination message
    output, output.1   by the supervisor: the end of what was printed
    events        a FIFO that the supervisor writes to, open as long as the supervisor lives
    control       a FIFO that the supervisor reads

Records are written to another name, synced and renamed, so that each exists as a whole or not at all. The FIFOs show whether
a supervisor runs, not process ids, which are reused: without a reader a FIFO cannot be opened for writing.

Imported by the supervisor: only the standard library, and little of it.
"""

from __future__ import annotations

import errno
import json
import os
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

type Record = dict[str, Any]

BEGUN, STARTED, STOP, ENDED, COPIED = "begun", "started", "stop", "ended", "copied"
SUPERVISOR_ERROR = "supervisor-error"
#: Written to `control`: begin the grace period; kill at once.
TERMINATE, KILL = b"t", b"k"
#: A record that is longer was not written by us.
_LONGEST_RECORD = 1024 * 1024


@dataclass(frozen=True, slots=True)
class AttemptFolder:
    """One attempt's folder; none of its files need to exist."""

    path: str

    def file(self, name: str) -> str:
        """The path of one of its files."""
        return f"{self.path}/{name}"

    @property
    def report(self) -> str:
        """The file that the flow writes its report into."""
        return self.file("report")

    @property
    def source(self) -> str:
        """The folder with the files of its source."""
        return self.file("source")

    @property
    def work(self) -> str:
        """The folder in which the process runs if its template names none, and in which the SDK stores its records of the attempt."""
        return self.file("work")

    @property
    def events(self) -> str:
        """The FIFO that is open as long as the supervisor lives."""
        return self.file("events")

    @property
    def control(self) -> str:
        """The FIFO with requests for the supervisor."""
        return self.file("control")

    def exists(self) -> bool:
        """False if the folder was removed."""
        try:
            os.stat(self.file(BEGUN))  # noqa: PTH116 - pathlib takes a megabyte
        except (FileNotFoundError, NotADirectoryError):
            return False
        except OSError:
            return True
        return True

    def read(self, name: str) -> Record | None:
        """A record; None if it is missing or is not a valid record."""
        try:
            with open(self.file(name), "rb") as file:  # noqa: PTH123 - pathlib takes a megabyte
                record = json.loads(file.read(_LONGEST_RECORD))
        except (FileNotFoundError, NotADirectoryError, ValueError):
            return None
        return record if isinstance(record, dict) else None

    def write(self, name: str, record: Mapping[str, Any], *, durable: bool = True) -> None:
        """Write a record as a whole. Raises OSError."""
        temporary = self.file(f".{name}")
        try:
            write_file(temporary, json.dumps(record).encode(), durable=durable)
            os.replace(temporary, self.file(name))  # noqa: PTH105 - as above
        except OSError:
            with suppress(OSError):
                os.unlink(temporary)  # noqa: PTH108 - as above
            raise
        if durable:
            sync(self.path)

    def claim(self, record: Mapping[str, Any]) -> bool:
        """Write `begun` unless it exists: of all callers that may serve or abandon this attempt, one gets True. Raises OSError.

        It is durable then, with the folders that lead here.
        """
        temporary = self.file(f".{BEGUN}-{os.getpid()}")
        try:
            write_file(temporary, json.dumps(record).encode())
            os.link(temporary, self.file(BEGUN))
        except FileExistsError:
            return False
        finally:
            with suppress(OSError):
                os.unlink(temporary)  # noqa: PTH108 - as above
        for path in (self.path, f"{self.path}/.."):
            sync(path)
        return True

    def send(self, request: bytes) -> bool:
        """Send a request to the supervisor; False if none lives."""
        try:
            control = os.open(self.control, os.O_WRONLY | os.O_NONBLOCK)
        except OSError as error:
            if error.errno in {errno.ENXIO, errno.ENOENT}:
                return False
            raise
        try:
            os.write(control, request)
        except BrokenPipeError:  # it has just ended
            return False
        except BlockingIOError:  # it has thousands of requests
            pass
        finally:
            os.close(control)
        return True

    def has_supervisor(self) -> bool:
        """Whether a supervisor lives."""
        return self.send(b"")

    def make_fifos(self) -> None:
        """Create the missing FIFOs. Raises OSError."""
        for path in (self.events, self.control):
            with suppress(FileExistsError):
                os.mkfifo(path, 0o600)


def write_file(path: str, content: bytes, *, durable: bool = True) -> None:
    """Write a file that only its owner can read. Raises OSError."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        view = memoryview(content)
        while view:
            view = view[os.write(descriptor, view) :]
        if durable:
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync(path: str) -> None:
    """Make a file, or the entries of a folder, durable."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
