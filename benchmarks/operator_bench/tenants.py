"""One namespace floods, another has a run every now and then: how much the second notices of the first."""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import TYPE_CHECKING

from operator_bench import subjects
from operator_bench.rounds import Bench, create, latencies
from operator_bench.surroundings import remove, surroundings
from shared.figures import record, table

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from operator_bench.watching import Watcher

_REFUSED = 'mintaka_operator_api_requests_total{code="403",resource="pods",verb="post"}'
_WAITING = "mintaka_operator_waiting_flow_runs"
_DURATION = "2s"
_MOST_SECONDS = 600.0


async def over_quota(number: int, quota: int, rate: float, seconds: float) -> None:
    """`number` runs in a namespace whose quota admits `quota` pods, beside `rate` runs a second in another one.

    The other one is measured before the flood, while the flood is created and while the flood waits. The operator is the installed one,
    for it has to serve both.
    """
    count = round(rate * seconds)
    columns: dict[str, dict[str, float]] = {}
    async with (
        surroundings("quota", quota + 100, {}, calibrate=False, installed=True) as bench,
        _flooded(bench, quota) as flooded,
        bench.watch(subjects.RUNS) as quiet,
        flooded.watch(subjects.RUNS) as flood,
    ):
        columns["alone"] = await _steady(bench, quiet, count, rate)
        flooding = asyncio.create_task(create(flooded, flood, flooded.names(number), _DURATION))
        arriving = []
        while not flooding.done():
            arriving.append(await _steady(bench, quiet, max(1, round(10 * rate)), rate))
        await flooding
        columns["flood arrives"] = {key: max(turn[key] for turn in arriving) for key in arriving[0]}
        await _settled(bench, number - quota, flood)
        ended, began = flood.ended, time.monotonic()
        columns["flood waits"] = await _steady(bench, quiet, count, rate)
        columns["flood waits"] |= {
            "runs over quota": await _measure(bench, _WAITING),
            "of them started per second": (flood.ended - ended) / (time.monotonic() - began),
        }
        print(f"order of age: {_out_of_order(flood)} of {flood.ended} ended before an older one by more than a second")
    print(table(columns))
    record(f"operator-quota-{number}", {"runs": number, "quota": quota, "rate": rate, "figures": columns})


@contextlib.asynccontextmanager
async def _flooded(bench: Bench, quota: int) -> AsyncIterator[Bench]:
    """A second namespace, with a quota."""
    namespace = f"{bench.namespace}-flooded"
    metadata = {"name": namespace, "labels": {"mintaka.dev/leftover": "benchmark"}}
    await bench.cluster.create("/api/v1/namespaces", {"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})
    try:
        await bench.cluster.create(
            f"/api/v1/namespaces/{namespace}/resourcequotas",
            {
                "apiVersion": "v1",
                "kind": "ResourceQuota",
                "metadata": {"name": "few", "namespace": namespace},
                "spec": {"hard": {"pods": str(quota)}},
            },
        )
        yield Bench(bench.cluster, namespace, bench.operator, bench.requests, patience=bench.patience)
    finally:
        await remove(bench.cluster, namespace)


async def _steady(bench: Bench, watcher: Watcher, count: int, rate: float) -> dict[str, float]:
    """`count` runs at `rate` a second, until they have ended; their latencies and what the operator did meanwhile."""
    names = bench.names(count)
    refused, cpu, began = await _measure(bench, _REFUSED), bench.operator.cpu, time.monotonic()
    await create(bench, watcher, names, "100ms", rate)
    if not await watcher.until(lambda: all(watcher.journeys[name].ended for name in names), _MOST_SECONDS):
        message = f"only {sum(bool(watcher.journeys[name].ended) for name in names)} of {count} runs beside the flood ended"
        raise RuntimeError(message)
    took = time.monotonic() - began
    return latencies(watcher.of(names)) | {
        "refused creations per second": (await _measure(bench, _REFUSED) - refused) / took,
        "operator CPU % of a core": 100 * (bench.operator.cpu - cpu) / took,
        "operator MiB": bench.operator.memory[0],
    }


async def _settled(bench: Bench, number: int, flood: Watcher) -> None:
    """Wait until the operator has tried every run of the flood."""
    deadline = time.monotonic() + _MOST_SECONDS
    while await _measure(bench, _WAITING) < number - flood.running:
        if time.monotonic() > deadline:
            message = f"{await _measure(bench, _WAITING):.0f} of {number} runs were tried within {_MOST_SECONDS:.0f} s"
            raise RuntimeError(message)
        await asyncio.sleep(0.5)


async def _measure(bench: Bench, name: str) -> float:
    return sum(float(line.rpartition(" ")[2]) for line in (await bench.operator.metrics()).splitlines() if line.startswith(name))


def _out_of_order(flood: Watcher) -> int:
    """How many runs got their pod before one that was created more than a second earlier got its."""
    started = sorted((journey.created, journey.pod_created) for journey in flood.journeys.values() if journey.pod_created)
    latest, count, older = 0.0, 0, 0
    for created, pod_created in started:
        while started[older][0] < created - 1.0:
            latest = max(latest, started[older][1])
            older += 1
        count += pod_created < latest - 1.0
    return count
