"""Locks between processes, by the operating system: `flock` on a file for each key.

The system lets go of the locks of a process that dies, so none is ever stale. It works between machines where the file
system hands the locks on (NFSv4 does); not on object stores.
"""

from __future__ import annotations

import os
import threading
from hashlib import sha256
from pathlib import Path
from time import monotonic
from typing import Any

from mintaka.exceptions import ConfigurationError
from mintaka.locking.waiting import until
from mintaka_core.durations import cap_seconds


class FileSystemLockManager:
    """Locks as files in `lock_files_directory`, which is made when it is needed."""

    def __init__(self, lock_files_directory: str | os.PathLike[str]) -> None:
        if os.name != "posix":
            message = "FileSystemLockManager needs flock, which this system does not have: use MemoryLockManager"
            raise ConfigurationError(message)
        self.lock_files_directory = Path(lock_files_directory).expanduser().absolute()
        self._guard = threading.Lock()
        #: What this manager holds: the holder, the open file, and until when.
        self._held: dict[str, tuple[str, int, float | None]] = {}

    def __eq__(self, other: object) -> bool:
        return isinstance(other, FileSystemLockManager) and self.lock_files_directory == other.lock_files_directory

    def __hash__(self) -> int:
        return hash(self.lock_files_directory)

    def __reduce__(self) -> tuple[Any, ...]:
        return (FileSystemLockManager, (self.lock_files_directory,))

    def _path(self, key: str) -> Path:
        return self.lock_files_directory / f"{sha256(key.encode()).hexdigest()}.lock"

    def acquire_lock(self, key: str, holder: str, acquire_timeout: float | None = None, hold_timeout: float | None = None) -> bool:
        """See `LockManager`.

        Raises:
            OSError: the folder cannot be written.
        """
        return until(lambda: self._taken(key, holder, hold_timeout), acquire_timeout)

    def _taken(self, key: str, holder: str, hold_timeout: float | None) -> bool:
        until_time = None if hold_timeout is None else monotonic() + cap_seconds(hold_timeout)
        with self._guard:
            self._let_expire(key)
            if held := self._held.get(key):
                if held[0] == holder:
                    self._held[key] = (holder, held[1], until_time)
                return held[0] == holder
            file = self._locked_file(key)
            if file is None:
                return False
            self._held[key] = (holder, file, until_time)
            if hold_timeout is not None:
                timer = threading.Timer(cap_seconds(hold_timeout), self._expire, (key,))
                timer.daemon = True
                timer.start()
            return True

    def _locked_file(self, key: str) -> int | None:
        """The key's file, open and locked; None where somebody else has it."""
        import fcntl  # noqa: PLC0415 - not on every system

        path = self._path(key)
        self.lock_files_directory.mkdir(parents=True, exist_ok=True)
        file = os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o666)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # Whoever held it took the file away when letting go: a lock on a file without that name locks nothing.
            if os.fstat(file).st_ino == path.stat().st_ino:
                return file
        except (BlockingIOError, FileNotFoundError):
            pass
        except BaseException:
            os.close(file)
            raise
        os.close(file)
        return None

    def _expire(self, key: str) -> None:
        with self._guard:
            self._let_expire(key)

    def _let_expire(self, key: str) -> None:
        held = self._held.get(key)
        if held is not None and held[2] is not None and held[2] <= monotonic():
            self._let_go(key)

    def _let_go(self, key: str) -> None:
        _, file, _ = self._held.pop(key)
        try:
            self._path(key).unlink(missing_ok=True)
        finally:
            os.close(file)

    def release_lock(self, key: str, holder: str) -> None:
        """See `LockManager`."""
        with self._guard:
            if not self._is_holder(key, holder):
                message = f"{holder} does not hold the lock of {key}"
                raise ValueError(message)
            self._let_go(key)

    def is_locked(self, key: str) -> bool:
        """See `LockManager`; asks the system, whoever holds it."""
        with self._guard:
            self._let_expire(key)
            if key in self._held:
                return True
            if not self._path(key).exists():
                return False
            file = self._locked_file(key)
            if file is None:
                return self._path(key).exists()
            self._path(key).unlink(missing_ok=True)
            os.close(file)
            return False

    def _is_holder(self, key: str, holder: str) -> bool:
        self._let_expire(key)
        held = self._held.get(key)
        return held is not None and held[0] == holder

    def is_lock_holder(self, key: str, holder: str) -> bool:
        """See `LockManager`; only of holders in this process."""
        with self._guard:
            return self._is_holder(key, holder)

    def wait_for_lock(self, key: str, timeout: float | None = None) -> bool:
        """See `LockManager`."""
        return until(lambda: not self.is_locked(key), timeout)
