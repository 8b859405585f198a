"""How fast the operator is: flow runs on fake nodes, beside native Jobs and bare pods on the same cluster.

    eval "$(cluster/env)"
    .venv/bin/python benchmarks/operator_runs.py burst --runs 1000 --repeat 3
    .venv/bin/python benchmarks/operator_runs.py --installed burst --runs 1000 --repeat 2
    .venv/bin/python benchmarks/operator_runs.py sustained --rate 20 --seconds 60
    .venv/bin/python benchmarks/operator_runs.py idle --runs 100
    .venv/bin/python benchmarks/operator_runs.py memory --runs 10000
    .venv/bin/python benchmarks/operator_runs.py missed
    .venv/bin/python benchmarks/operator_runs.py quota --runs 5000
    .venv/bin/python benchmarks/operator_runs.py finished --runs 100000

Each makes a namespace and an operator of its own, prints a table, records it under benchmarks/results, and takes
everything away again. Requests are those the API server counted, by all components together.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
from typing import TYPE_CHECKING

from operator_bench.finished_runs import finished
from operator_bench.modes import burst, idle, memory, missed, sustained
from operator_bench.tenants import over_quota

if TYPE_CHECKING:
    from collections.abc import Sequence

_LIMIT_SECONDS = 3600.0


def _arguments(given: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--limit", type=float, default=_LIMIT_SECONDS, help="give up after so many seconds")
    parser.add_argument("--installed", action="store_true", help="measure the release in mintaka-system, operator and API in pods")
    parser.add_argument("--set", action="append", default=[], metavar="MINTAKA_NAME=VALUE", help="a setting of the operator")
    modes = parser.add_subparsers(dest="mode", required=True)
    at_once = modes.add_parser("burst", help="so many at once: flow runs, Jobs and bare pods in turn")
    at_once.add_argument("--runs", type=int, default=1000)
    at_once.add_argument("--repeat", type=int, default=3)
    at_once.add_argument("--only", choices=["runs", "jobs", "pods", "bare"], action="append", help="leave the others out")
    at_once.set_defaults(run=lambda given, settings: burst(given.runs, given.repeat, given.only or [], settings, installed=given.installed))
    steady = modes.add_parser("sustained", help="so many a second")
    steady.add_argument("--rate", type=float, default=20.0)
    steady.add_argument("--seconds", type=float, default=60.0)
    steady.set_defaults(run=lambda given, settings: sustained(given.rate, given.seconds, settings, installed=given.installed))
    alone = modes.add_parser("idle", help="one after the other: latencies of an idle cluster, of crashes too")
    alone.add_argument("--runs", type=int, default=100)
    alone.set_defaults(run=lambda given, settings: idle(given.runs, settings))
    many = modes.add_parser("memory", help="so many live runs at the same time")
    many.add_argument("--runs", type=int, default=10000)
    many.set_defaults(run=lambda given, settings: memory(given.runs, settings))
    lost = modes.add_parser("missed", help="events that never arrive")
    lost.add_argument("--runs", type=int, default=8)
    flood = modes.add_parser("quota", help="so many runs over the quota of one namespace, beside a few in another")
    flood.add_argument("--runs", type=int, default=5000)
    flood.add_argument("--quota", type=int, default=10, help="pods that the quota admits")
    flood.add_argument("--rate", type=float, default=1.0, help="runs a second in the other namespace")
    flood.add_argument("--seconds", type=float, default=60.0)
    flood.set_defaults(run=lambda given, _: over_quota(given.runs, given.quota, given.rate, given.seconds))
    stored = modes.add_parser("finished", help="so many finished runs in one namespace, and an operator that starts")
    stored.add_argument("--runs", type=int, default=100000)
    stored.set_defaults(run=lambda given, settings: finished(given.runs, settings))
    lost.set_defaults(run=lambda given, settings: missed(given.runs, settings))
    return parser.parse_args(given)


async def _bounded(given: argparse.Namespace) -> None:
    task = asyncio.current_task()
    if task:  # told to stop: clean up first
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    async with asyncio.timeout(given.limit):
        await given.run(given, dict(setting.split("=", 1) for setting in given.set))


def main(given: Sequence[str] | None = None) -> int:
    """Run one mode."""
    asyncio.run(_bounded(_arguments(given)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
