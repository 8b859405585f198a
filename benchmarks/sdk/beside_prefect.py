"""Mintaka beside Prefect in one run: what a task costs, and what is on record when the flow returns.

    python benchmarks/sdk/beside_prefect.py [--tasks N …] [--rounds 3] [--case call …] [--place Mintaka …]

Trivial tasks called, submitted, mapped and gathered by the same source under either library, each in a process of its own:
Mintaka with its embedded SQLite file, Prefect with its server on SQLite as it comes, and with the batches of that server
set to 200. The rounds of the three take turns. A task counts as recorded where the file or the server has it COMPLETED;
Prefect's server goes on recording after the flow has returned, and is given a minute (`--drain`). No log line is written by
either. At last, the memory that finished calls leave in the flow's process (`--remember 0`: not that).
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from cases import CASES
from places import TUNED, PrefectServer, SqliteFile

from processes import FlowProcess, Round

if TYPE_CHECKING:
    from places import Place


def compare(places: dict[str, Place], case: str, n: int, rounds: int, drain_seconds: float) -> dict[str, list[Round]]:
    """Figures by place; one round of each in turn."""
    figures: dict[str, list[Round]] = {name: [] for name in places}
    with ExitStack() as stack:
        flows = {name: stack.enter_context(FlowProcess(place, case, n, drain_seconds)) for name, place in places.items()}
        for _ in range(rounds):
            for name, process in flows.items():
                figures[name].append(process.round())
    return figures


def show(case: str, n: int, figures: dict[str, list[Round]]) -> None:
    """Print one case."""
    print(f"\n{case}, {n:,} tasks")
    print(f"{'':18}{'wall µs':>10}{'all CPU µs':>12}{'ratio':>8}{'at return':>12}{'in the end':>12}{'after s':>9}")
    own = median(each.wall for each in next(iter(figures.values())))
    for name, rounds in figures.items():
        ratio = median(each.wall for each in rounds) / own
        columns = (median(each.micros for each in rounds), median(each.cpu_micros for each in rounds), ratio)
        counts = (
            median(each.at_return for each in rounds),
            median(each.recorded for each in rounds),
            median(each.drained for each in rounds),
        )
        print(f"{name:18}{columns[0]:10,.1f}{columns[1]:12,.1f}{columns[2]:8.0f}{counts[0]:12,.0f}{counts[1]:12,.0f}{counts[2]:9.1f}")
    sys.stdout.flush()


def show_memory(places: dict[str, Place], n: int) -> None:
    """Print what `n` finished calls leave in the flow's process."""
    print(f"\nmemory of the flow's process after {n:,} calls")
    for name, place in places.items():
        with FlowProcess(place, "memory", n, drain_seconds=0) as process:
            print(f"{name:18}{process.round().result / n:10,.0f} bytes a finished task")
        sys.stdout.flush()


def main() -> None:
    """Print all figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", type=int, action="append", help="default: 1000")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--case", action="append", choices=CASES, help="only these")
    parser.add_argument("--place", action="append", choices=("Mintaka", "Prefect", "Prefect, tuned"), help="only these")
    parser.add_argument("--drain", type=float, default=60, metavar="SECONDS", help="how long a server may go on recording")
    parser.add_argument("--remember", type=int, default=1000, metavar="TASKS", help="so many calls for the memory; 0: none")
    given = parser.parse_args()
    print(f"Python {sys.version.split()[0]}, {os.cpu_count()} CPUs, load {os.getloadavg()[0]:.1f}; medians of {given.rounds}")
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        home = Path(folder)
        made: dict[str, Place] = {
            "Mintaka": SqliteFile(home / "mintaka"),
            "Prefect": PrefectServer(home / "prefect", {}),
            "Prefect, tuned": PrefectServer(home / "tuned", TUNED),
        }
        places = {name: stack.enter_context(place) for name, place in made.items() if name in (given.place or made)}
        for n in given.tasks or [1000]:
            for case in given.case or CASES:
                show(case, n, compare(places, case, n, given.rounds, given.drain))
        if given.remember:
            show_memory(places, given.remember)
    print(f"\nload at the end {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
