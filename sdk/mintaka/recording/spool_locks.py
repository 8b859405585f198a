"""Who may send what lies in a spool's folder: one process at a time, by an OS lock that ends with it.

The lock is one of the process (POSIX), which no child inherits and which the kernel lets go of however the process ends. Within
the process a list says which folders are taken: opening such a file a second time and closing it would let go of the lock.
Where the platform has no such locks (Windows), folders of other processes are never taken by themselves.
"""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

if TYPE_CHECKING:
    from pathlib import Path

#: The file that is locked; nobody else opens it, since whoever closes it in the same process lets go of the lock.
LOCK = "lock"
_mutex = threading.Lock()
#: The folders that this process has a lock on, and which process that was.
_ours: dict[Path, int] = {}


class FolderLock:
    """The right to send what is in `folder`."""

    def __init__(self, folder: Path, descriptor: int) -> None:
        self._folder = folder
        self._descriptor = descriptor

    @classmethod
    def of(cls, folder: Path) -> FolderLock | None:
        """The lock of a folder with a file `lock`; None where somebody has it, or the folder is gone.

        Raises:
            OSError: the file can be neither opened nor locked.
        """
        folder = folder.absolute()
        with _mutex:
            if _ours.get(folder) == os.getpid():
                return None
            try:
                descriptor = os.open(folder / LOCK, os.O_RDWR | os.O_CLOEXEC)
            except FileNotFoundError:
                return None
            try:
                if fcntl is not None:
                    fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                gone = not os.fstat(descriptor).st_nlink  # whoever had it before us sent all of it
            except (BlockingIOError, PermissionError):
                gone = True
            except BaseException:
                os.close(descriptor)
                raise
            if gone:
                os.close(descriptor)
                return None
            _ours[folder] = os.getpid()
            return cls(folder, descriptor)

    def moved(self, folder: Path) -> None:
        """The folder has another name now."""
        with _mutex:
            _ours.pop(self._folder, None)
            self._folder = folder.absolute()
            _ours[self._folder] = os.getpid()

    def release(self) -> None:
        """Let others have it."""
        with _mutex:
            _ours.pop(self._folder, None)
            os.close(self._descriptor)


#: Whether it can be known that a folder's owner is gone.
KNOWS_THE_DEAD = fcntl is not None
