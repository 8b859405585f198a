"""One round: create so many subjects, wait for their end, take them away; what that took."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING

from mintaka_operator.cluster import JSON_PATCH, ApiError, Cluster
from operator_bench import subjects
from operator_bench.installed import InstalledRelease
from operator_bench.operators import OperatorProcess
from operator_bench.watching import Journey, Watcher
from shared.figures import percentile
from shared.processes import control_plane, cpu_seconds
from shared.requests import WRITES, RequestCount, writes

if TYPE_CHECKING:
    from operator_bench.subjects import Subject

#: What the control plane still writes after the last end (Events come late) belongs to the round.
_SETTLE_SECONDS = 1.5
_AT_ONCE = 32
_SHARE_OF_OTHERS = 0.005
_NOT_FOUND = 404


@dataclass(slots=True)
class Bench:
    """What every round needs."""

    cluster: Cluster
    namespace: str
    operator: OperatorProcess | InstalledRelease
    requests: RequestCount
    unhindered: float = 1.0
    patience: float = 900.0
    serial: int = 0

    def names(self, number: int) -> list[str]:
        """Names nothing had before."""
        self.serial += 1
        return [f"r{self.serial}-{index}" for index in range(number)]

    def watch(self, subject: Subject) -> Watcher:
        """A watcher that gives up when the operator ends."""
        return Watcher(self.cluster, self.namespace, subject, self.operator.check)


class RoundFailed(Exception):
    """The subjects did not come to their end in time."""


async def run_round(bench: Bench, subject: Subject, number: int, *, duration: str, rate: float | None = None) -> dict[str, float]:
    """Create `number` subjects at once, or `rate` a second, and measure until they have ended and then until they are gone."""
    names = bench.names(number)
    async with bench.watch(subject) as watcher:
        own = await bench.operator.metrics()
        api_cpu = _api_cpu(bench)
        await bench.requests.start()
        cpu, plane = bench.operator.cpu, {name: cpu_seconds(pid) for name, pid in control_plane().items()}
        paces: list[float] = [pace()]
        pacing = asyncio.create_task(_keep_pace(paces))
        began = time.monotonic()
        await create(bench, watcher, names, duration, rate)
        finished = await watcher.until(lambda: watcher.ended >= number, bench.patience)
        pacing.cancel()
        if not finished:
            message = f"{subject.title}: only {watcher.ended} of {number} ended within {bench.patience:.0f} s"
            raise RoundFailed(message)
        took = time.monotonic() - began
        await asyncio.sleep(_SETTLE_SECONDS)
        counted = await bench.requests.stop()
        operator_cpu = bench.operator.cpu - cpu
        plane_cpu = {name: cpu_seconds(pid) - plane.get(name, 0.0) for name, pid in control_plane().items()}
        figures = {"per second": number / took}
        figures |= latencies(watcher.of(names))
        figures |= {"writes each": writes(counted) / number, "reads each": (sum(counted.values()) - writes(counted)) / number}
        figures |= _by_verb(counted, number)
        figures |= {"operator CPU ms each": 1000 * operator_cpu / number, "operator MiB": bench.operator.memory[0]}
        slower = median(paces) / min(bench.unhindered, *paces)
        figures |= {"cores slowed down by": slower, "operator CPU ms each, less that": 1000 * operator_cpu / number / slower}
        if isinstance(bench.operator, InstalledRelease):
            figures |= {"API CPU ms each": 1000 * (_api_cpu(bench) - api_cpu) / number, "API MiB": bench.operator.api_memory[0]}
        figures |= _own(own, await bench.operator.metrics(), number)
        figures |= {
            f"{name} CPU ms each": 1000 * plane_cpu[name] / number
            for name in ("kube-apiserver", "etcd", "kube-controller-manager", "kube-scheduler", "kwok")
            if name in plane_cpu
        }
        disturbed = subject.finalizer and abs(figures["operator's pod creates each"] - 1) > _SHARE_OF_OTHERS
        if disturbed or figures["operator's stale writes each"] > _SHARE_OF_OTHERS:
            print("another operator works on these runs: the figures of this round are void", file=sys.stderr)
        await bench.requests.start()
        cpu = bench.operator.cpu
        await clear(bench, watcher, names)
        await asyncio.sleep(_SETTLE_SECONDS)
        counted = await bench.requests.stop()
        figures["clean-up writes each"] = writes(counted) / number
        figures |= {title.replace("  ", "  clean-up "): count for title, count in _by_verb(counted, number).items()}
        figures["clean-up operator CPU ms each"] = 1000 * (bench.operator.cpu - cpu) / number
    return figures


async def create(bench: Bench, watcher: Watcher, names: list[str], duration: str, rate: float | None = None) -> None:
    """Create the subjects, `rate` a second or as fast as it goes."""
    template = subjects.pod_template(duration)
    gate = asyncio.Semaphore(_AT_ONCE)
    began = time.monotonic()

    async def one(index: int, name: str) -> None:
        if rate:
            await asyncio.sleep(max(0.0, began + index / rate - time.monotonic()))
        async with gate:
            await create_one(bench, watcher, name, template)

    async with asyncio.TaskGroup() as group:
        for index, name in enumerate(names):
            group.create_task(one(index, name))


async def create_one(bench: Bench, watcher: Watcher, name: str, template: dict[str, object]) -> Journey:
    """Create one subject."""
    subject = watcher.subject
    journey = watcher.journeys[name] = Journey(asked=time.monotonic())
    await bench.cluster.create(subject.collection(bench.namespace), subject.manifest(bench.namespace, name, template))
    journey.created = time.monotonic()
    return journey


async def clear(bench: Bench, watcher: Watcher, names: list[str]) -> None:
    """Delete subjects, as the operator does when they are retired, and release them, as the mirror does; wait for their pods."""
    path = watcher.subject.collection(bench.namespace)
    gate = asyncio.Semaphore(_AT_ONCE)

    async def one(name: str) -> None:
        async with gate:
            try:
                answer = await bench.cluster.delete(f"{path}/{name}", {"propagationPolicy": "Background"})
                # In an installed release the mirror lets go of it, and that counts.
                mirrored = isinstance(bench.operator, InstalledRelease)
                if watcher.subject.finalizer and not mirrored and answer.get("kind") != "Status":
                    await bench.cluster.patch(f"{path}/{name}", _release(answer["metadata"]["resourceVersion"]), JSON_PATCH)
            except ApiError as error:
                if error.code != _NOT_FOUND:
                    raise

    async with asyncio.TaskGroup() as group:
        for name in names:
            group.create_task(one(name))
    await watcher.until(lambda: watcher.pods_left <= 0, bench.patience)


def _api_cpu(bench: Bench) -> float:
    return bench.operator.api_cpu if isinstance(bench.operator, InstalledRelease) else 0.0


def _release(version: str) -> list[dict[str, object]]:
    return [
        {"op": "test", "path": "/metadata/resourceVersion", "value": version},
        {"op": "replace", "path": "/metadata/finalizers", "value": []},
    ]


def latencies(journeys: list[Journey]) -> dict[str, float]:
    """From a subject's creation to its pod's, and from the pod's end to the subject's; milliseconds."""
    to_pod = [1000 * max(0.0, journey.pod_created - journey.created) for journey in journeys if journey.pod_created]
    to_end = [1000 * max(0.0, journey.ended - journey.pod_ended) for journey in journeys if journey.ended and journey.pod_ended]
    return {
        f"{what} {label} ms": percentile(values, share)
        for what, values in (("create -> pod", to_pod), ("pod end -> status", to_end))
        for label, share in (("p50", 0.5), ("p99", 0.99))
    }


async def _keep_pace(paces: list[float]) -> None:
    while True:
        await asyncio.sleep(2.0)
        paces.append(pace())


def pace() -> float:
    """CPU seconds of a fixed piece of work: how far other load slows this machine's cores down just now."""
    pod = json.dumps([{"metadata": {"name": f"r1-{index}", "labels": {"a": "b"}}, "status": {"phase": "Running"}} for index in range(64)])
    began = time.process_time()
    for _ in range(100):
        json.loads(pod)
    return (time.process_time() - began) / 100


def _own(before: str, after: str, number: int) -> dict[str, float]:
    """What the operator counted itself: undisturbed by whoever else uses the API server."""

    def read(metrics: str, name: str) -> float:
        return sum(float(line.rpartition(" ")[2]) for line in metrics.splitlines() if line.startswith(name))

    counters = {
        "operator's reconciles each": 'mintaka_operator_reconcile_seconds_count{kind="run"}',
        "operator's pod creates each": 'mintaka_operator_api_requests_total{code="201",resource="pods",verb="post"}',
        "operator's status writes each": 'mintaka_operator_api_requests_total{code="200",resource="flowruns/status",verb="put"}',
        "operator's stale writes each": 'mintaka_operator_api_requests_total{code="409",resource="flowruns/status",verb="put"}',
        "operator's finalizer writes each": 'mintaka_operator_api_requests_total{code="200",resource="flowruns",verb="patch"}',
    }
    return {title: (read(after, name) - read(before, name)) / number for title, name in counters.items()}


def _by_verb(counted: dict[tuple[str, str], float], number: int) -> dict[str, float]:
    each = {
        f"  {verb} {resource}": count / number
        for (verb, resource), count in sorted(counted.items())
        if verb.removeprefix("refused ") in WRITES
    }
    return {key: value for key, value in each.items() if value >= 0.05}
