"""How long `import mintaka` and `mintaka --help` take, beside Python itself: budgets 100 and 150 ms."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from statistics import median

_REPETITIONS = 15


def start_up(title: str, *command: str) -> None:
    """Print how long a command takes."""
    seconds = []
    for _ in range(_REPETITIONS):
        began = time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        seconds.append(time.perf_counter() - began)
    print(f"{title:24}{median(seconds) * 1e3:8.0f} ms in the median of {_REPETITIONS}, {min(seconds) * 1e3:.0f} at best")


def main() -> None:
    """Print all figures."""
    print(f"Python {sys.version.split()[0]}, {os.cpu_count()} CPUs, load {os.getloadavg()[0]:.1f}")
    start_up("python -c pass", sys.executable, "-c", "pass")
    start_up("import mintaka", sys.executable, "-c", "import mintaka")
    start_up("mintaka --help", str(Path(sys.executable).with_name("mintaka")), "--help")


if __name__ == "__main__":
    main()
