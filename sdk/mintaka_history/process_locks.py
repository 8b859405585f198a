"""Who runs what: a process holds a lock for as long as it lives, and nobody needs to be told when it dies.

The lock is on one byte, at a random place, of a file beside the database: an OS lock of this process, which the kernel
lets go of however the process ends, at once, and which no child inherits. A flow run's row names the byte; who can lock
it knows that the run's process is gone. This holds for processes of one host; on a network file system it is as good as
the locks of that. Where the platform has no such locks (Windows), nobody is ever known to be gone.
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
#: The number of no process: who is said to run something under it is gone.
NO_PROCESS = 0
_lock = threading.Lock()
#: This process's open file for each path, never closed: closing any of a process's descriptors of a file lets go of its locks.
_files: dict[str, int] = {}
#: The byte this process holds in each file, and which process that was.
_held: dict[str, tuple[int, int]] = {}


def own_number(path: str) -> int | None:
    """The number of this process in the lock file `path`, held from now on; None where the platform has no locks.

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
    """Whether the process with this number in the lock file `path` has ended; False where that cannot be known."""
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
    """The process on this host that holds this number in the lock file `path`; None where none does, or it cannot be known."""
    if fcntl is None or sys.platform != "linux":
        return None
    with _lock:
        held = _held.get(path)
        if held is not None and held == (number, os.getpid()):
            return os.getpid()
        # fcntl(2): who stands in the way of such a lock? struct flock of 64-bit Linux.
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
