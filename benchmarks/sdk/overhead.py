"""What a task costs inside a flow, with and without history: `python benchmarks/sdk/overhead.py [--tasks N …] [--rounds 5]`.

Trivial tasks called, submitted, mapped and gathered, in 1,000, 10,000 and 100,000 to a flow, each case in a process of its
own that calls the flow as a script does. With history, the clock stops when all of it is durable in the embedded SQLite
file, whose rows are counted afterwards. Then a flow without tasks, by itself and called in another, and the memory that finished calls leave behind.
Budgets: 50 µs a call, 100 µs a submit, 1 ms a flow, 1 ms a flow called in a flow, 1 KiB a finished task.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path
from statistics import median

from cases import CASES
from places import Nowhere, SqliteFile

from processes import FlowProcess, Round

_SIZES = (1_000, 10_000, 100_000)
_FLOWS, _CALLED, _REMEMBERED = 200, 1_000, 100_000


def measured(place: Nowhere | SqliteFile, case: str, n: int, rounds: int) -> list[Round]:
    """Rounds of one case in a process of its own."""
    with FlowProcess(place, case, n, drain_seconds=0) as process:
        return [process.round() for _ in range(rounds)]


def durable(file: SqliteFile, case: str, n: int, rounds: int) -> list[Round]:
    """The same into the file, where every row must be at the return."""
    figures = measured(file, case, n, rounds)
    if any(each.at_return != n for each in figures):
        message = f"{case}: of {n} task runs, on record at the return: {[each.at_return for each in figures]}"
        raise SystemExit(message)
    return figures


def main() -> None:
    """Print all figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", type=int, action="append", help=f"default: {_SIZES}")
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    print(f"Python {sys.version.split()[0]}, {os.cpu_count()} CPUs, load {os.getloadavg()[0]:.1f}; µs per task, medians of {given.rounds}")
    print(f"{'':10}{'tasks':>10}{'no history':>12}{'CPU':>8}{'SQLite':>10}{'CPU':>8}{'best':>8}")
    with tempfile.TemporaryDirectory() as folder:
        file = SqliteFile(Path(folder))
        for n in given.tasks or _SIZES:
            for case in CASES:
                without, kept = measured(Nowhere(), case, n, given.rounds), durable(file, case, n, given.rounds)
                columns = [
                    median(figure) for each in (without, kept) for figure in ([r.micros for r in each], [r.cpu_micros for r in each])
                ]
                print(
                    f"{case:10}{n:10,}{columns[0]:12.1f}{columns[1]:8.1f}{columns[2]:10.1f}{columns[3]:8.1f}{min(r.micros for r in kept):8.1f}"
                )
                sys.stdout.flush()
        print(f"{file.file.stat().st_size / file.recorded():.0f} bytes of the file a task run, {file.recorded():,} rows counted")
        calls = [each.micros for each in measured(file, "flow", _FLOWS, given.rounds)]
        print(
            f"a flow without tasks, history durable: {median(calls) / 1e3:.2f} ms in the median of {_FLOWS}, {min(calls) / 1e3:.2f} at best"
        )
        inside = [each.micros for each in durable(file, "called", _CALLED, given.rounds)]
        print(
            f"a flow without tasks called in a flow, {_CALLED:,} of them, history durable: {median(inside):.0f} µs, {min(inside):.0f} at best"
        )
        for name, place in (("no history", Nowhere()), ("SQLite", SqliteFile(Path(folder) / "memory"))):
            with FlowProcess(place, "memory", _REMEMBERED, drain_seconds=0) as process:
                grown = process.round().result
            print(f"{grown / _REMEMBERED:.0f} bytes of memory a finished call, after {_REMEMBERED:,} ({name})")
    print(f"load at the end {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
