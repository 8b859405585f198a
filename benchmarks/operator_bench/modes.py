"""The modes of operator_runs.py; each prints its figures and records them."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

from operator_bench import subjects
from operator_bench.losing import LossyProxy
from operator_bench.rounds import Bench, clear, create, create_one, latencies, run_round
from operator_bench.surroundings import surroundings
from shared.figures import medians, percentile, record, table

if TYPE_CHECKING:
    from operator_bench.subjects import Subject
    from operator_bench.watching import Journey, Watcher

_MIRRORED = {"MINTAKA_MIRROR": "enabled"}
_DURATION = "1s"


async def burst(number: int, repeat: int, only: list[str], settings: dict[str, str], *, installed: bool = False) -> None:
    """So many at once, in turn, and again; medians over the repetitions."""
    async with surroundings("burst", number, _MIRRORED | settings, installed=installed) as bench:
        arms = await _arms(bench, only)
        rounds: dict[str, list[dict[str, float]]] = {arm.title: [] for arm in arms}
        for turn in range(repeat):
            for arm in arms[turn % len(arms) :] + arms[: turn % len(arms)]:
                measured = await run_round(bench, arm, number, duration=_DURATION)
                rounds[arm.title].append(measured)
                print(f"{turn + 1}/{repeat} {arm.title}: {measured['per second']:.1f}/s", flush=True)
    columns = {title: medians(measured) for title, measured in rounds.items()}
    print(table(columns))
    ratios: list[float] = []
    if {subjects.RUNS.title, subjects.JOBS.title} <= rounds.keys():
        pairs = zip(rounds[subjects.RUNS.title], rounds[subjects.JOBS.title], strict=True)
        ratios = [ours["per second"] / theirs["per second"] for ours, theirs in pairs]
        print("flow runs / Jobs, by turn:", ", ".join(f"{ratio:.2f}" for ratio in ratios))
    record(
        f"operator-burst-{number}{'-installed' if installed else ''}",
        {"runs": number, "repeat": repeat, "medians": columns, "rounds": rounds, "ratios": ratios},
    )


async def _arms(bench: Bench, only: list[str]) -> list[Subject]:
    path, manifest = subjects.owner_of_bare_pods(bench.namespace)
    owner = await bench.cluster.create(path, manifest)
    arms = {
        "runs": subjects.RUNS,
        "jobs": subjects.JOBS,
        "bare": subjects.RUNS_WITHOUT_FINALIZER,
        "pods": subjects.bare_pods(owner),
    }
    return [arm for name, arm in arms.items() if not only or name in only]


async def sustained(rate: float, seconds: float, settings: dict[str, str], *, installed: bool = False) -> None:
    """So many a second, for so long: flow runs, then Jobs."""
    number = round(rate * seconds)
    async with surroundings("sustained", number, _MIRRORED | settings, installed=installed) as bench:
        columns = {arm.title: await run_round(bench, arm, number, duration=_DURATION, rate=rate) for arm in (subjects.RUNS, subjects.JOBS)}
    print(table(columns))
    record(f"operator-sustained-{rate:g}", {"rate": rate, "seconds": seconds, "figures": columns})


async def idle(number: int, settings: dict[str, str]) -> None:
    """One after the other, flow runs and Jobs in turn; then pods that are deleted while they run."""
    rounds: dict[str, list[Journey]] = {subjects.RUNS.title: [], subjects.JOBS.title: []}
    async with surroundings("idle", 10, _MIRRORED | settings, calibrate=False) as bench:
        for arm in (subjects.RUNS, subjects.JOBS):
            async with bench.watch(arm) as watcher:
                names = bench.names(number)
                for name in names:
                    await create_one(bench, watcher, name, subjects.pod_template("100ms"))
                    await watcher.reached(watcher.journeys[name], "ended", 60)
                rounds[arm.title] = watcher.of(names)
                await clear(bench, watcher, names)
        crashes = await _crashes(bench, max(5, number // 5))
    columns = {title: latencies(journeys) for title, journeys in rounds.items()}
    columns[subjects.RUNS.title] |= {"pod killed -> CRASHED p50 ms": percentile(crashes, 0.5), "pod killed -> CRASHED max ms": max(crashes)}
    print(table(columns))
    record("operator-idle", {"runs": number, "figures": columns})


async def _crashes(bench: Bench, number: int) -> list[float]:
    """Kill running pods one after the other; milliseconds until the run is CRASHED."""
    took = []
    async with bench.watch(subjects.RUNS) as watcher:
        names = bench.names(number)
        for name in names:
            journey = await create_one(bench, watcher, name, subjects.pod_template("10m"))
            await watcher.reached(journey, "pod_running", 30)
            await asyncio.sleep(0.5)
            killed = time.monotonic()
            await bench.cluster.delete(f"{subjects.pods(bench.namespace)}/{name}-1", {"gracePeriodSeconds": 0})
            if not await watcher.reached(journey, "ended", 60) or journey.end != "CRASHED":
                message = f"{name} ended {journey.end or 'never'}, not CRASHED"
                raise RuntimeError(message)
            took.append(1000 * (journey.ended - killed))
        await clear(bench, watcher, names)
    return took


async def memory(number: int, settings: dict[str, str]) -> None:
    """So many runs whose pods run: the operator's memory, and its CPU while nothing happens."""
    figures: dict[str, float] = {}
    async with surroundings("memory", number, _MIRRORED | settings, calibrate=False) as bench:
        figures["MiB at first"] = bench.operator.memory[0]
        async with bench.watch(subjects.RUNS) as watcher:
            names = bench.names(number)
            began = time.monotonic()
            await create(bench, watcher, names, "1h")
            if not await watcher.until(lambda: watcher.running >= number, 1200):
                print(f"only {watcher.running} of {number} pods run")
            figures |= {"live runs": watcher.running, "running per second": watcher.running / (time.monotonic() - began)}
            await asyncio.sleep(5)
            figures["MiB after the start"] = bench.operator.memory[0]
            cpu = bench.operator.cpu
            await asyncio.sleep(60)
            figures |= {"MiB after three relists": bench.operator.memory[0], "MiB at most": bench.operator.memory[1]}
            figures["% of a core with nothing to do"] = 100 * (bench.operator.cpu - cpu) / 60
            await _forget(bench, watcher, names)
    print(table({"operator": figures}))
    record(f"operator-memory-{number}", {"runs": number, "figures": figures})


async def _forget(bench: Bench, watcher: Watcher, names: list[str]) -> None:
    """End live runs by cancelling them, then take them away."""
    path = subjects.RUNS.collection(bench.namespace)
    gate = asyncio.Semaphore(32)

    async def cancel(name: str) -> None:
        async with gate:
            await bench.cluster.patch(f"{path}/{name}", {"spec": {"cancel": True}})

    async with asyncio.TaskGroup() as group:
        for name in names:
            group.create_task(cancel(name))
    await watcher.until(lambda: watcher.ended >= len(names), 900)
    await clear(bench, watcher, names)


async def missed(number: int, settings: dict[str, str]) -> None:
    """Events that never reach the operator: seconds until it knows all the same."""
    columns: dict[str, Any] = {}
    async with (
        LossyProxy() as proxy,
        surroundings("missed", 50, _MIRRORED | settings, calibrate=False, operator_kubeconfig=proxy.kubeconfig) as bench,
    ):
        for what, lose in (
            ("creation of the run", proxy.lose_runs),
            ("end of the pod", proxy.lose_ends),
            ("deletion of the pod", proxy.lose_deletions),
        ):
            took = await _miss(bench, proxy, number, lose)
            columns[what] = {"p50 s": percentile(took, 0.5), "max s": max(took), "events lost": proxy.lost}
    print(table(columns))
    record("operator-missed", {"runs": number, "figures": columns})


async def _miss(bench: Bench, proxy: LossyProxy, number: int, lose: Any) -> list[float]:
    """Runs created at different times, each of which loses one event."""
    async with bench.watch(subjects.RUNS) as watcher:
        names = bench.names(number)
        lose(set(names))

        async def one(index: int, name: str) -> float:
            await asyncio.sleep(2.5 * index)
            delete = lose == proxy.lose_deletions
            journey = await create_one(bench, watcher, name, subjects.pod_template("10m" if delete else "500ms"))
            if delete:
                await watcher.reached(journey, "pod_running", 60)
                await asyncio.sleep(0.5)
                await bench.cluster.delete(f"{subjects.pods(bench.namespace)}/{name}-1", {"gracePeriodSeconds": 0})
            known = "pod_created" if lose == proxy.lose_runs else "ended"
            if not await watcher.reached(journey, known, 120):
                message = f"{name}: a lost event was never made up for"
                raise RuntimeError(message)
            return journey.pod_created - journey.created if lose == proxy.lose_runs else journey.ended - journey.pod_ended

        took = await asyncio.gather(*(one(index, name) for index, name in enumerate(names)))
        await watcher.until(lambda: watcher.ended >= number, 60)
        await clear(bench, watcher, names)
    return list(took)
