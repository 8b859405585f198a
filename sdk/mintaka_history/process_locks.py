"""Detects dead processes: a process holds a lock for as long as it lives, and the kernel releases it when the process dies.

The lock is on one byte, at a random offset, of a file next to the database: an OS lock of this process, which the kernel
releases at once however the process ends, and which no child inherits. A flow run's row stores the byte's offset; if
another process can lock it, the run's process is gone. This works for processes of one host; on a network file system it is
as reliable as that file system's locks. On a platform without such locks (Windows), no process is ever known to be gone.
"""

from __future__ import annotations

import os
import secrets
import struct
import sys
import threading

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

_BITS = 62
_FLOCK = "hhqqi4x"
#: The number of no process: a process recorded under it is gone.
NO_PROCESS = 0
_lock = threading.Lock()
#: This process's open file for each path, never closed: closing any descriptor of a file releases all of the process's locks on it.
_files: dict[str, int] = {}
#: The byte this process holds in each file, and the id of the process that locked it.
_held: dict[str, tuple[int, int]] = {}


def own_number(path: str) -> int | None:
    """The number of this process in the lock file `path`, held from now on; None if the platform has no locks.

    Raises:
        OSError: the file cannot be opened or locked.
    """
    if fcntl is None:
        return None
    with _lock:
        held = _held.get(path)
        if held is None or held[1] != os.getpid():
            number = 1 + secrets.randbits(_BITS)
            fcntl.lockf(_opened(path), fcntl.LOCK_EX | fcntl.LOCK_NB, 1, number)
            held = _held[path] = (number, os.getpid())
        return held[0]


def is_gone(path: str, number: int) -> bool:
    """Whether the process with this number in the lock file `path` has ended; False if that cannot be determined."""
    if fcntl is None:
        return False
    with _lock:
        held = _held.get(path)
        if held is not None and held == (number, os.getpid()):
            return False
        try:
            descriptor = _opened(path)
            fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, number)
            fcntl.lockf(descriptor, fcntl.LOCK_UN, 1, number)
        except OSError:
            return False
        return True


def process_of(path: str, number: int) -> int | None:
    """The process on this host that holds this number in the lock file `path`; None if no process holds it or it cannot be determined."""
    if fcntl is None or sys.platform != "linux":
        return None
    with _lock:
        held = _held.get(path)
        if held is not None and held == (number, os.getpid()):
            return os.getpid()
        # fcntl(2) F_GETLK returns the process that blocks such a lock; struct flock of 64-bit Linux.
        asked = struct.pack(_FLOCK, fcntl.F_WRLCK, os.SEEK_SET, number, 1, 0)
        try:
            kind, _, _, _, pid = struct.unpack(_FLOCK, fcntl.fcntl(_opened(path), fcntl.F_GETLK, asked))
        except OSError:
            return None
    return None if kind == fcntl.F_UNLCK or pid <= 0 else int(pid)


def _opened(path: str) -> int:
    descriptor = _files.get(path)
    if descriptor is None:
        descriptor = _files[path] = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    return descriptor
