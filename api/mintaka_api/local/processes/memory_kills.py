"""How many processes the kernel has killed for lack of memory: a SIGKILL does not identify its sender.

On Linux, the counter of this process's memory cgroup if there is one, else the system's (proc(5), vmstat). Other systems
have no counter.

Imported by the supervisor: only the standard library, and little of it.
"""

from __future__ import annotations

_CGROUP_FILES = ("/sys/fs/cgroup{}/memory.events", "/sys/fs/cgroup/memory{}/memory.oom_control")
_SYSTEM_FILE = "/proc/vmstat"


def count() -> int:
    """The number so far; 0 if it is not known. Only differences are meaningful."""
    for path in (*_cgroup_files(), _SYSTEM_FILE):
        found = _counter(path)
        if found is not None:
            return found
    return 0


def _cgroup_files() -> list[str]:
    """The counters of this process's own cgroup, some of which may not exist."""
    try:
        with open("/proc/self/cgroup", encoding="utf-8") as file:  # noqa: PTH123 - pathlib takes a megabyte
            lines = [line.rstrip("\n").split(":", 2) for line in file]
    except OSError:
        return []
    unified, memory = _CGROUP_FILES
    groups = [(unified if not controllers else memory, group) for _, controllers, group in lines if controllers in {"", "memory"}]
    return [pattern.format(group.rstrip("/")) for pattern, group in groups]


def _counter(path: str) -> int | None:
    """The value of `oom_kill` in a file of names and numbers."""
    try:
        with open(path, encoding="ascii") as file:  # noqa: PTH123 - as above
            for line in file:
                name, _, value = line.partition(" ")
                if name == "oom_kill":
                    return int(value)
    except (OSError, ValueError):
        pass
    return None
