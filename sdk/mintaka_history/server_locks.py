"""The lock of a local server: held for as long as its process lives, with a record that identifies the server to others.

The lock is flock(2) on a file; the kernel releases it however the process ends, so the record of a server that was killed
does no harm. The descriptor is closed on exec, and in forked children: a process that outlives the server holds no lock.
Without such locks (Windows) two servers are not noticed.
"""

from __future__ import annotations

import json
import os
import time
from typing import TYPE_CHECKING, Any

from mintaka_core.errors import MintakaError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

if TYPE_CHECKING:
    from pathlib import Path

#: A reader holds the lock for some microseconds to find out whether it is free.
_TRIES, _PAUSE_SECONDS = 5, 0.02
#: A child that a killed server was about to start holds the lock until it has begun: on a busy machine that takes a while.
_TRIES_AFTER_ITS_END = 250
_LONGEST_RECORD_BYTES = 65536


class ServerLocked(MintakaError):
    """Another server holds the lock; `record` describes it, {} while it starts."""

    def __init__(self, path: Path, record: dict[str, Any]) -> None:
        super().__init__(f"{path} is locked by {describe_server(record)}")
        self.record = record


def describe_server(record: dict[str, Any]) -> str:
    """A server in a message: its URL and pid, as far as they are known."""
    if "url" in record:
        return f"a server that runs at {record['url']} (pid {record.get('pid', 'unknown')})"
    return f"a server that is starting (pid {record['pid']})" if "pid" in record else "a server that is starting"


class ServerLock:
    """The lock in the file `path`. Release it, or use it as long as the process lives."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._descriptor = -1

    def acquire(self) -> None:
        """Lock the file, which is created if there is none.

        Raises:
            ServerLocked: another server holds the lock.
            OSError: the file cannot be opened.
        """
        descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        met_alive = 0
        for _ in range(_TRIES_AFTER_ITS_END):
            if _try_lock(descriptor, shared=False):
                self._descriptor = descriptor
                os.register_at_fork(after_in_child=self._leave)
                self.write({"pid": os.getpid()})
                return
            met_alive += _is_alive(_record_in(descriptor))
            if met_alive >= _TRIES:
                break
            time.sleep(_PAUSE_SECONDS)
        try:
            raise ServerLocked(self.path, _record_in(descriptor))
        finally:
            os.close(descriptor)

    def write(self, record: dict[str, Any]) -> None:
        """Replace the record."""
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, json.dumps(record).encode(), 0)

    def release(self) -> None:
        """Empty the record and unlock the file; a second call does nothing."""
        if self._descriptor >= 0:
            os.ftruncate(self._descriptor, 0)
            self._leave()

    def _leave(self) -> None:
        """Close the descriptor: in a forked child this leaves the lock with its parent."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def locking_server(path: Path) -> dict[str, Any] | None:
    """The record of the server that holds the lock in the file `path`; None if there is no such server."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        record = None if _try_lock(descriptor, shared=True) else _record_in(descriptor)
    finally:
        os.close(descriptor)
    return record if record is not None and _is_alive(record) else None


def _is_alive(record: dict[str, Any]) -> bool:
    """Whether the process of a record exists; True if the record does not say which one it is."""
    pid = record.get("pid")
    if not isinstance(pid, int) or pid <= 0:
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _try_lock(descriptor: int, *, shared: bool) -> bool:
    if fcntl is None:
        return True
    try:
        fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _record_in(descriptor: int) -> dict[str, Any]:
    """The record; {} if there is none yet."""
    try:
        found = json.loads(os.pread(descriptor, _LONGEST_RECORD_BYTES, 0))
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
