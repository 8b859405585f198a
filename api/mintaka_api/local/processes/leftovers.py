"""Finds and ends the processes that a flow's process has started and left.

Everything that descends from a flow's process has a token in its environment, unless it was started without one. On Linux
the supervisor is the reaper of its orphans as well, so that its own descendants are all of them.

psutil is imported when something is left. Imported by the supervisor: otherwise only the standard library, and little of it.
"""

from __future__ import annotations

import os
import signal
import sys
from contextlib import suppress
from time import monotonic, sleep
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

#: The environment variable with the attempt's token.
TOKEN = "MINTAKA_PROCESS_TOKEN"  # noqa: S105 - not a secret

_LINUX = sys.platform == "linux"
_SET_PDEATHSIG, _SET_CHILD_SUBREAPER = 1, 36
#: If memory runs out, the kernel should kill flows before servers (proc(5), oom_score_adj).
_KILL_FIRST = "200"
#: How long to wait for what was killed: a process in uninterruptible sleep, or of another user, may never end.
_KILL_SECONDS = 10.0
_POLL_SECONDS = 0.01


def reap_descendants() -> None:
    """Become the reaper of all descendants, if the system supports that."""
    if _LINUX:
        _prctl(_SET_CHILD_SUBREAPER, 1)


def die_with_parent(parent: int) -> Callable[[], None] | None:
    """What a new process calls before its program, so that it is killed when `parent` dies; None if the system does not support that."""
    if not _LINUX:
        return None

    def request() -> None:
        _prctl(_SET_PDEATHSIG, signal.SIGKILL)
        with suppress(OSError), open("/proc/self/oom_score_adj", "w", encoding="ascii") as file:  # noqa: PTH123 - pathlib takes a megabyte
            file.write(_KILL_FIRST)
        if os.getppid() != parent:  # it is dead already
            os._exit(1)

    return request


class Leftovers:
    """The remaining processes of an attempt, which have `token` in their environment."""

    def __init__(self, token: str) -> None:
        self._token = token

    def end(self, reap: Callable[[], bool]) -> list[int]:
        """Kill everything and wait until it has ended; returns the ids of what could not be ended.

        `reap` collects ended children; it returns False when no child is left.
        """
        if not reap() and _LINUX:
            return []
        until = monotonic() + _KILL_SECONDS
        while found := self._find():
            for process in found:
                with suppress(OSError):
                    os.kill(process, signal.SIGKILL)
            reap()
            if monotonic() > until:
                return sorted(found)
            sleep(_POLL_SECONDS)
        reap()
        return []

    def _find(self) -> set[int]:
        psutil = _psutil()
        own = os.getpid()
        with suppress(psutil.Error):
            found = {process.pid for process in psutil.Process(own).children(recursive=True) if _lives(process)}
            return found if _LINUX else found | holders([self._token]).get(self._token, set())
        return set()


def holders(tokens: Iterable[str]) -> dict[str, set[int]]:
    """The ids of the processes, other than this one, that have one of `tokens` in their environment, by token.

    An empty token, which a damaged record may give, has no processes.
    """
    found: dict[str, set[int]] = {token: set() for token in tokens if token}
    if not found:
        return {}
    psutil = _psutil()
    own = os.getpid()
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            token = process.environ().get(TOKEN)
            if token in found and process.pid != own and _lives(process):
                found[token].add(process.pid)
    return found


def end_holders(token: str) -> list[int]:
    """Kill every other process with that token and wait for those that are not our children; returns the ids of those that do not end."""
    until = monotonic() + _KILL_SECONDS
    while found := holders([token]).get(token):
        for process in found:
            with suppress(OSError):
                os.kill(process, signal.SIGKILL)
        if monotonic() > until:
            return sorted(found)
        sleep(_POLL_SECONDS)
    return []


def _lives(process: Any) -> bool:
    psutil = _psutil()
    return process.status() not in {psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD}


def _psutil() -> Any:
    import psutil  # noqa: PLC0415 - memory: rarely needed

    return psutil


def _prctl(option: int, value: int) -> None:
    import ctypes  # noqa: PLC0415 - on Linux only

    ctypes.CDLL(None).prctl(option, value, 0, 0, 0)
