"""A namespace full of finished runs: what they cost an operator that starts, and one that compares."""

from __future__ import annotations

import asyncio
import math
import time
from typing import TYPE_CHECKING, Any

from operator_bench import subjects
from operator_bench.operators import OperatorProcess
from operator_bench.rounds import Bench, create_one
from operator_bench.surroundings import surroundings
from shared.figures import record, table

if TYPE_CHECKING:
    from mintaka_operator.cluster import Cluster

_AT_ONCE = 24
#: A comparison comes 20 s after the start at the latest, the next one after ten times as long as it took.
_WATCHED_SECONDS = 90
_RESYNC = "mintaka_operator_resync_seconds"
_SERVER_FIELDS = ("uid", "resourceVersion", "creationTimestamp", "generation", "managedFields")


async def finished(number: int, settings: dict[str, str]) -> None:
    """`number` finished runs in one namespace: restart to the first reconcile, memory, duration of a comparison; twice."""
    columns: dict[str, dict[str, float]] = {}
    async with surroundings("finished", 50, settings, calibrate=False) as bench:
        sample = await _finished_run(bench)
        namespace = f"{bench.namespace}-stored"
        metadata = {"name": namespace, "labels": {"mintaka.dev/leftover": "benchmark"}}
        await bench.cluster.create("/api/v1/namespaces", {"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})
        try:
            for more in (0, number):
                if more:
                    await _fill(bench.cluster, namespace, sample, more)
                for start in ("first", "second"):
                    columns[f"{more:,} runs, {start} start"] = await _start(bench, namespace, settings)
        finally:
            await bench.cluster.delete(f"/api/v1/namespaces/{namespace}")
    print(table(columns))
    record(f"operator-finished-{number}", {"runs": number, "figures": columns})


async def _finished_run(bench: Bench) -> dict[str, Any]:
    """A run as it is at its end; without the mirror's finalizer, since the database has it."""
    async with bench.watch(subjects.RUNS) as watcher:
        (name,) = bench.names(1)
        journey = await create_one(bench, watcher, name, subjects.pod_template("100ms"))
        if not await watcher.reached(journey, "ended", 60):
            message = "the run to copy has not ended"
            raise RuntimeError(message)
    run = await bench.cluster.get(f"{subjects.RUNS.collection(bench.namespace)}/{name}")
    metadata = {name: value for name, value in run["metadata"].items() if name not in _SERVER_FIELDS}
    return run | {"metadata": metadata | {"finalizers": []}}


async def _fill(cluster: Cluster, namespace: str, sample: dict[str, Any], number: int) -> None:
    path = subjects.RUNS.collection(namespace)
    names = iter(range(number))
    began = time.monotonic()

    async def store() -> None:
        for index in names:
            metadata = sample["metadata"] | {"name": f"stored-{index}", "namespace": namespace}
            created = await cluster.create(path, sample | {"metadata": metadata})
            await cluster.replace(f"{path}/stored-{index}/status", created | {"status": sample["status"]})
            if index and index % 5000 == 0:
                print(f"{index} of {number} runs stored, {time.monotonic() - began:.0f} s so far", flush=True)

    async with asyncio.TaskGroup() as group:
        for _ in range(_AT_ONCE):
            group.create_task(store())


async def _start(bench: Bench, namespace: str, settings: dict[str, str]) -> dict[str, float]:
    """Start an operator of its own, with a run that waits for it."""
    stored = Bench(bench.cluster, namespace, bench.operator, bench.requests, serial=time.time_ns() // 1_000_000)
    async with stored.watch(subjects.RUNS) as watcher:
        (name,) = stored.names(1)
        journey = await create_one(stored, watcher, name, subjects.pod_template("100ms"))
        began = time.monotonic()
        async with OperatorProcess(namespace, settings) as operator:
            figures = {"leading after s": time.monotonic() - began}
            if not await watcher.reached(journey, "pod_created", 300):
                message = "the waiting run was never started"
                raise RuntimeError(message)
            figures["restart -> first pod s"] = journey.pod_created - began
            figures |= {"CPU s until then": operator.cpu, "MiB then": operator.memory[0]}
            await watcher.reached(journey, "ended", 60)
            (second,) = stored.names(1)
            later = await create_one(stored, watcher, second, subjects.pod_template("100ms"))
            await watcher.reached(later, "ended", 60)
            waited = later.pod_created - later.created if later.pod_created else math.nan  # not within a minute
            figures["create -> pod ms, a later run"] = 1000 * waited
            cpu, since = operator.cpu, time.monotonic()
            await asyncio.sleep(_WATCHED_SECONDS)
            figures |= {"relist s": await _resync_seconds(operator)}
            figures |= {"MiB": operator.memory[0], "MiB at most": operator.memory[1]}
            figures["idle CPU % of a core"] = 100 * (operator.cpu - cpu) / (time.monotonic() - since)
    return figures


async def _resync_seconds(operator: OperatorProcess) -> float:
    return sum(float(line.rpartition(" ")[2]) for line in (await operator.metrics()).splitlines() if line.startswith(_RESYNC))
