"""Mintaka beside Prefect in one run: what a task costs, and what is on record when the flow returns.

    python benchmarks/sdk/beside_prefect.py [--tasks 1000] [--rounds 3]

Trivial tasks called, submitted, mapped and gathered by the same source under either library, each in a process of its own:
Mintaka with its embedded SQLite file, Prefect with its server on SQLite as it comes, and with the batches of that server
set to 200. The rounds of the three take turns. A task counts as recorded where the file or the server has it COMPLETED;
Prefect's server goes on recording after the flow has returned, and is given a minute. No log line is written by either.
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


def compare(places: dict[str, Place], case: str, n: int, rounds: int) -> dict[str, list[Round]]:
    """Figures by place; one round of each in turn."""
    figures: dict[str, list[Round]] = {name: [] for name in places}
    with ExitStack() as stack:
        flows = {name: stack.enter_context(FlowProcess(place, case, n)) for name, place in places.items()}
        for _ in range(rounds):
            for name, process in flows.items():
                figures[name].append(process.round())
    return figures


def show(case: str, n: int, figures: dict[str, list[Round]]) -> None:
    """Print one case."""
    print(f"\n{case}, {n:,} tasks" if case != "flow" else "\na flow without tasks")
    print(f"{'':18}{'wall µs':>10}{'all CPU µs':>12}{'ratio':>8}{'at return':>12}{'in the end':>12}{'after s':>9}")
    own = median(each.wall for each in figures["Mintaka"])
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


def main() -> None:
    """Print all figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--case", action="append", choices=CASES, help="only these")
    given = parser.parse_args()
    print(f"Python {sys.version.split()[0]}, {os.cpu_count()} CPUs, load {os.getloadavg()[0]:.1f}; medians of {given.rounds}")
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        home = Path(folder)
        places: dict[str, Place] = {
            "Mintaka": SqliteFile(home / "mintaka"),
            "Prefect": stack.enter_context(PrefectServer(home / "prefect", {})),
            "Prefect, tuned": stack.enter_context(PrefectServer(home / "tuned", TUNED)),
        }
        for case in given.case or CASES:
            show(case, given.tasks, compare(places, case, given.tasks, given.rounds))
    print(f"\nload at the end {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
