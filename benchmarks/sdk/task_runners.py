"""What a submitted task costs elsewhere, beside the engine's own map: `python benchmarks/sdk/task_runners.py [tasks] [rounds]`.

A trivial function: `client.map` + `gather` of Dask and `.map().result()` of a flow on the same cluster of two worker
processes, in turns; `ProcessPoolExecutor.map` and a flow on as many processes. Budget: 1.2 times Dask's own.
"""

from __future__ import annotations

import os
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from statistics import median
from typing import TYPE_CHECKING

from distributed import Client, LocalCluster

from mintaka import flow, task
from mintaka.task_runners import DaskTaskRunner, ProcessPoolTaskRunner

if TYPE_CHECKING:
    from collections.abc import Callable

    from mintaka.task_runners import TaskRunner

WORKERS = 2


def add(n: int) -> int:
    """Trivial work."""
    return n + 1


add_task = task(add)


def mapped(runner: TaskRunner) -> Callable[[int], None]:
    """A flow that maps on `runner`; a first task starts the workers, outside of the clock."""

    @flow(task_runner=runner)
    def maps(n: int) -> float:
        add_task.map(range(WORKERS)).result()
        began = time.perf_counter()
        results = add_task.map(range(n)).result()
        seconds = time.perf_counter() - began
        if results != list(range(1, n + 1)):
            message = "wrong results"
            raise SystemExit(message)
        return seconds

    return maps


def compare(title: str, theirs: Callable[[int], float], ours: Callable[[int], float], n: int, rounds: int) -> None:
    """Print both in µs per task, measured in turns, and their ratio."""
    figures = [(theirs(n), ours(n)) for _ in range(rounds)]
    own, flows = (median(column) / n * 1e6 for column in zip(*figures, strict=True))
    print(f"{title:28}{own:10.0f}{flows:10.0f}{median(ours / theirs for theirs, ours in figures):8.2f}")


def main(n: int = 2_000, rounds: int = 5) -> None:
    """Print all figures."""
    print(
        f"Python {sys.version.split()[0]}, {os.cpu_count()} CPUs, load {os.getloadavg()[0]:.1f}; µs per task of {n:,}, median of {rounds}"
    )
    print(f"{'':28}{'its own':>10}{'flow':>10}{'ratio':>8}")
    with LocalCluster(n_workers=WORKERS, threads_per_worker=1, dashboard_address="127.0.0.1:0") as cluster, Client(cluster) as client:

        def with_dask(n: int) -> float:
            began = time.perf_counter()
            client.gather(client.map(add, range(n), pure=False))
            return time.perf_counter() - began

        with_dask(WORKERS)
        compare("Dask: client.map, gather", with_dask, mapped(DaskTaskRunner(cluster=cluster)), n, rounds)
    with ProcessPoolExecutor(WORKERS, mp_context=get_context("spawn")) as pool:

        def with_processes(n: int) -> float:
            began = time.perf_counter()
            for future in [pool.submit(add, i) for i in range(n)]:
                future.result()
            return time.perf_counter() - began

        with_processes(WORKERS)
        compare("ProcessPoolExecutor.submit", with_processes, mapped(ProcessPoolTaskRunner(WORKERS)), n, rounds)
    print(f"load at the end {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main(*(int(argument) for argument in sys.argv[1:]))
