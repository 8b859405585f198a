"""How many task runs a second one flow delivers to an API on PostgreSQL: `python benchmarks/sdk/to_api.py [--tasks 100000]`.

The API is a process of its own (`python -m mintaka_api`), PostgreSQL a private server with fsync on. The clock stops when
the flow's call returns, which is when everything is acknowledged; then the rows are counted. Budget: 10,000 a second.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path
from statistics import median

from cases import CASES
from places import ROOT, MintakaApi

from processes import FlowProcess

sys.path.insert(0, str(ROOT / "tests" / "support"))

from postgres_server import PostgresServer


def main() -> None:
    """Print all figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", type=int, default=50_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--case", action="append", choices=CASES, help="only these")
    given = parser.parse_args()
    print(f"Python {sys.version.split()[0]}, {os.cpu_count()} CPUs, load {os.getloadavg()[0]:.1f}; medians of {given.rounds}")
    print(f"{given.tasks:>9,} tasks{'per second':>12}{'flow CPU µs':>13}{'API CPU µs':>12}{'rows missing':>14}")
    server = PostgresServer()
    server.start()
    try:
        with tempfile.TemporaryDirectory() as folder, MintakaApi(Path(folder), server.create_database("bench")) as place:
            for case in given.case or CASES:
                with FlowProcess(place, case, given.tasks, drain_seconds=0) as process:
                    rounds = [process.round() for _ in range(given.rounds)]
                rate = given.tasks / median(each.wall for each in rounds)
                cpu, of_api = (median(column) / given.tasks * 1e6 for column in ([r.cpu for r in rounds], [r.server_cpu for r in rounds]))
                print(f"{case:15}{rate:12,.0f}{cpu:13.1f}{of_api:12.1f}{sum(given.tasks - each.at_return for each in rounds):14,}")
                sys.stdout.flush()
    finally:
        server.remove()
    print(f"load at the end {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
