"""The processes of this machine: which of them descend from one, which carry a token in their environment, and how to end them.

A process that outlives its parent is no one's descendant any more; what it inherited in its environment stays. Linux shows
that in /proc (proc(5)); elsewhere ps(1) shows who descends from whom, and there are no tokens.

Run as a program, this is a guardian: it waits for a process to die and ends what carries that one's tokens. It has to start
fast and to take little memory, so only the standard library is imported here.
"""

from __future__ import annotations

import os
import select
import signal
import sys
from contextlib import suppress
from time import monotonic, sleep
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

#: The environment variable that holds tokens, separated by spaces.
TOKENS = "MINTAKA_STARTED_IN"
#: Set to anything in a process's environment: it is to outlive the flow run that started it.
KEEP_RUNNING = "MINTAKA_KEEP_RUNNING"

#: Between SIGTERM and SIGKILL, and after SIGKILL.
GRACE_SECONDS = 2.0
_KILL_SECONDS = 1.0
_POLL_SECONDS = (0.01, 0.02, 0.04, 0.08, 0.1)
_PARENT_POLL_SECONDS = 0.2
#: What processes of the standard library's and joblib's have in their command lines that serve a whole program.
_HELPERS = ("multiprocessing.resource_tracker", "multiprocessing.forkserver", "resource_tracker import main")
_LINUX = sys.platform == "linux"
#: How long a tick of start times is.
TICK_SECONDS = 1 / os.sysconf("SC_CLK_TCK")


class Process(NamedTuple):
    """A process that lives; `started` in seconds since the system began, 0 if that is not known."""

    pid: int
    parent: int
    started: float


type Table = dict[int, Process]


def processes() -> Table:
    """Every process that has not ended, by pid."""
    found = _of_proc() if _LINUX else _of_ps()
    return {process.pid: process for process in found}


def descendants(table: Table, roots: Iterable[int]) -> set[Process]:
    """The processes `roots`, as far as they live, and everything that descends from them."""
    children: dict[int, list[Process]] = {}
    for process in table.values():
        children.setdefault(process.parent, []).append(process)
    found: set[Process] = set()
    waiting = [table[pid] for pid in roots if pid in table]
    while waiting:
        process = waiting.pop()
        if process not in found:
            found.add(process)
            waiting += children.get(process.pid, ())
    return found


def holders(table: Table, tokens: Iterable[str]) -> set[Process]:
    """The processes that carry one of `tokens`."""
    wanted = {token.encode() for token in tokens}
    prefix = f"{TOKENS}=".encode()
    found = set()
    for process in table.values():
        words = next((entry[len(prefix) :].split() for entry in _environment(process.pid) if entry.startswith(prefix)), [])
        if not wanted.isdisjoint(words):
            found.add(process)
    return found


def is_kept(process: Process) -> bool:
    """True if it is to outlive the flow run that started it."""
    prefix = f"{KEEP_RUNNING}=".encode()
    return any(entry.startswith(prefix) and len(entry) > len(prefix) for entry in _environment(process.pid))


def is_helper(process: Process) -> bool:
    """True if it serves the whole program, and ends with it."""
    command = command_of(process.pid)
    return any(helper in command for helper in _HELPERS)


def command_of(pid: int) -> str:
    """The command line of a process; "" if it is not known."""
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:  # noqa: PTH123 - pathlib takes time to import
            return file.read(4096).replace(b"\0", b" ").decode(errors="replace").strip()
    except OSError:
        return ""


def end_processes(find: Callable[[Table], set[Process]], caught: Iterable[Process] = (), grace_seconds: float = GRACE_SECONDS) -> set[int]:
    """End what `find` finds in a table, again and again until there is nothing left: SIGTERM, and after the grace SIGKILL.

    What it found once, and `caught`, is ended even if it does not find it again. Returns the pids of all that was ended.
    """
    ended: set[tuple[int, float]] = set()
    told: set[tuple[int, float]] = set()
    deadline = monotonic() + grace_seconds
    known = {(process.pid, process.started) for process in caught}
    for pause in _pauses():
        table = processes()
        known |= {(process.pid, process.started) for process in find(table)}
        left = {process for process in table.values() if (process.pid, process.started) in known}
        if not left:
            break
        ended |= {(process.pid, process.started) for process in left}
        killing = monotonic() >= deadline
        for process in left:
            if killing:
                _signal(process, signal.SIGKILL)
            elif (process.pid, process.started) not in told:
                _signal(process, signal.SIGTERM)
                _signal(process, signal.SIGCONT)  # one that is stopped would not notice
        told = set(ended)
        if monotonic() >= deadline + _KILL_SECONDS:
            break
        sleep(pause)
    return {pid for pid, _ in ended}


def _pauses() -> Iterator[float]:
    yield from _POLL_SECONDS
    while True:
        yield _POLL_SECONDS[-1]


def _signal(process: Process, number: signal.Signals) -> None:
    with suppress(OSError):  # it is gone, or another user's
        os.kill(process.pid, number)


def _of_proc() -> Iterator[Process]:
    for name in os.listdir("/proc"):  # noqa: PTH208 - see command_of
        if not name.isdigit():
            continue
        try:
            with open(f"/proc/{name}/stat", "rb") as file:  # noqa: PTH123 - see command_of
                fields = file.read().rpartition(b")")[2].split()
        except OSError:
            continue
        if fields[0] not in (b"Z", b"X"):
            yield Process(int(name), int(fields[1]), int(fields[19]) * TICK_SECONDS)


def _of_ps() -> Iterator[Process]:
    import subprocess  # noqa: PLC0415 - start-up time of the guardian

    command = ["ps", "-A", "-o", "pid=", "-o", "ppid=", "-o", "stat="]
    try:
        lines = subprocess.run(command, capture_output=True, text=True, check=False, timeout=10).stdout.splitlines()  # noqa: S603 - a constant
    except (OSError, subprocess.SubprocessError):
        return
    for line in lines:
        pid, parent, state = line.split()[:3]
        if not state.startswith("Z"):
            yield Process(int(pid), int(parent), 0)


def _environment(pid: int) -> list[bytes]:
    try:
        with open(f"/proc/{pid}/environ", "rb") as file:  # noqa: PTH123 - see command_of
            return file.read().split(b"\0")
    except OSError:
        return []


def _wait_for_end(pid: int) -> None:
    """Return when the process, which is this one's parent, has ended."""
    try:
        handle = os.pidfd_open(pid)
    except (OSError, AttributeError):  # it is gone, or the system has no such thing
        handle = -1
    if handle >= 0 and os.getppid() == pid:
        select.select([handle], [], [])
    while os.getppid() == pid:
        sleep(_PARENT_POLL_SECONDS)


def _guard(pid: int, tokens: list[str]) -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # the one it guards decides when it is over
    _wait_for_end(pid)
    end_processes(lambda table: {each for each in _with_descendants(table, tokens) if not is_kept(each)})


def _with_descendants(table: Table, tokens: list[str]) -> set[Process]:
    return descendants(table, [holder.pid for holder in holders(table, tokens)])


if __name__ == "__main__":
    _guard(int(sys.argv[1]), sys.argv[2:])
