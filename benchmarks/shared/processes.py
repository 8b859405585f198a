"""CPU time and memory of processes, from /proc."""

from __future__ import annotations

import os
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")


def cpu_seconds(pid: int) -> float:
    """User and system time of a process with all its threads, to 10 ms; 0 where it is gone."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="ascii")
    except OSError:
        return 0.0
    fields = stat.rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def memory_mib(pid: int) -> tuple[float, float]:
    """Resident memory of a process: now, and at its highest."""
    lines = Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines()
    sizes = {line.split(":")[0]: int(line.split()[1]) / 1024 for line in lines if line.startswith(("VmRSS", "VmHWM"))}
    return sizes["VmRSS"], sizes["VmHWM"]


def control_plane() -> dict[str, int]:
    """Process ids of the test cluster's components by name; empty for a cluster that is not `cluster/up`'s."""
    home = Path(os.environ.get("MINTAKA_CLUSTER_DIR") or "~/.local/state/mintaka/cluster").expanduser()
    pids = {}
    for file in (home / "run").glob("*.pid"):
        text = file.read_text(encoding="ascii").split()
        if text and Path(f"/proc/{text[0]}").exists():
            pids[file.stem] = int(text[0])
    return pids
