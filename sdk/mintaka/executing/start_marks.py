"""Which calls have begun, in a file that outlives the worker that ran them: no body is started twice, and others can be.

A cluster that loses a worker runs again whatever it had sent there, whether or not it had begun. Only what had begun crashed with the
worker; a body that kills its worker would kill the next one too. So each call leaves a mark in a file of the flow's process when it
begins. A worker on another machine finds no such file, and leaves no mark: there the cluster's own rules hold.
"""

from __future__ import annotations

import os
import tempfile
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

_BEGUN = b"\1"


class WorkerLost(Exception):
    """The worker that had begun with a call died before the result was here."""


class StartMarks:
    """The file, one byte for each call by its number; it belongs to the process that makes it."""

    def __init__(self) -> None:
        descriptor, self.path = tempfile.mkstemp(prefix="mintaka-begun-")
        os.close(descriptor)

    def excludes(self, number: int) -> bool:
        """Whether that call has certainly not begun: it has left no mark, and others have, so that workers find the file."""
        file = _opened(self.path)
        return file is not None and os.fstat(file).st_size > 0 and not _has_begun(file, number)

    def close(self) -> None:
        """No call begins any more."""
        with suppress(OSError):
            Path(self.path).unlink()


def run_once(number: int, *args: Any, path: str, fn: Callable[..., Any]) -> Any:
    """`fn(*args)`, unless call `number` has begun before.

    Raises:
        WorkerLost: it has.
    """
    file = _opened(path)
    if file is not None:
        if _has_begun(file, number):
            message = "the cluster has sent it to another one, where it is not started again"
            raise WorkerLost(message)
        os.pwrite(file, _BEGUN, number)
    return fn(*args)


@lru_cache(maxsize=16)
def _opened(path: str) -> int | None:
    """The file, open; None if it is on another machine."""
    try:
        return os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return None


def _has_begun(file: int | None, number: int) -> bool:
    return file is not None and os.pread(file, 1, number) == _BEGUN
