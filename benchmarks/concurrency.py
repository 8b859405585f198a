"""What a concurrency key costs the controller: `python benchmarks/concurrency.py [--waiting 5000] [--ends 300]`.

One key has many waiting runs. Runs end one after the other; measured are the processor time of noticing an end and choosing the next
run, the same with everything that follows until the next run is PENDING, and the time from the end to PENDING in a controller whose API server
answers at once.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "support"))

from memory_cluster import MemoryCluster
from memory_controller import MemoryController
from mintaka_controller.ports import Snapshot
from mintaka_controller.reconciler import Key
from mintaka_kubernetes.resources import FLOW_DEPLOYMENTS, FLOW_RUNS
from shared.figures import percentile, record, table

NAMESPACE, DEPLOYMENT, LIMIT = "n", "d", 1


class Queue:
    """A controller in memory with a run that holds the slot and others that wait."""

    def __init__(self, waiting: int) -> None:
        self.store = MemoryCluster()
        self.world = MemoryController(self.store)
        self.slots = self.world.context.slots
        spec = {"entrypoint": "a:b", "concurrency": {"limit": LIMIT}}
        path = FLOW_DEPLOYMENTS.path(NAMESPACE, DEPLOYMENT)
        document = {"kind": "FlowDeployment", "metadata": {"uid": "d", "generation": 1}, "spec": spec}
        self.world.context.deployments.put(Snapshot(self.store.put(path, document)))
        self.names = [f"r{number:05}" for number in range(waiting + 1)]
        for number, name in enumerate(self.names):
            self.write(name, number, {})

    def write(self, name: str, number: int, status: dict[str, Any]) -> None:
        """A version of a run that the watch reports."""
        created = f"2026-03-04T{number // 3600:02}:{number // 60 % 60:02}:{number % 60:02}Z"
        metadata = {"uid": name, "creationTimestamp": created, "finalizers": ["mintaka.dev/mirror"]}
        document = {"kind": "FlowRun", "metadata": metadata, "spec": {"deployment": DEPLOYMENT}, "status": status}
        self.world.observe_run(self.store.put(FLOW_RUNS.path(NAMESPACE, name), document))

    def end(self, name: str, number: int) -> None:
        """The run completed, and its pod is gone."""
        self.world.context.workloads.remove((NAMESPACE, f"{name}-1"))
        state = {"type": "COMPLETED", "name": "Completed", "time": "2026-03-05T00:00:00Z"}
        self.write(name, number, {"state": state, "attempt": 1, "endTime": "2026-03-05T00:00:00Z"})

    async def until_pending(self, name: str) -> None:
        """Return as soon as the run is PENDING."""
        while self.state(name) != "PENDING":  # noqa: ASYNC110 - an event would come a turn of the loop later
            await asyncio.sleep(0)

    def state(self, name: str) -> str:
        """The type of a run's state."""
        status = self.store.objects[FLOW_RUNS.path(NAMESPACE, name)].get("status", {})
        return str(status.get("state", {}).get("type", ""))


def measure_costs(waiting: int, ends: int) -> dict[str, float]:
    """Processor time in milliseconds per end."""
    queue = Queue(waiting)
    woken: list[str] = []
    queue.slots.wake = lambda run: woken.append(run[1])
    noticed, started = [], []

    async def follow() -> None:
        await queue.world.reconciler.reconcile(Key("run", NAMESPACE, queue.names[0]))
        for number, name in enumerate(queue.names[:ends]):
            woken.clear()
            begin = time.process_time()
            queue.end(name, number)
            noticed.append((time.process_time() - begin) * 1e3)
            (following,) = woken
            await queue.world.reconciler.reconcile(Key("run", NAMESPACE, following))
            started.append((time.process_time() - begin) * 1e3)
            if queue.state(following) != "PENDING":
                message = f"{following} is {queue.state(following)}"
                raise AssertionError(message)

    asyncio.run(follow())
    return {
        "end noticed and the next run chosen, p50 ms": percentile(noticed, 0.5),
        "end noticed and the next run chosen, p99 ms": percentile(noticed, 0.99),
        "until the next run is PENDING, p50 ms of CPU": percentile(started, 0.5),
        "until the next run is PENDING, p99 ms of CPU": percentile(started, 0.99),
    }


def measure_latency(waiting: int, ends: int) -> dict[str, float]:
    """Milliseconds from the event of an end to PENDING of the next run, while the controller runs."""
    took = []

    async def follow() -> None:
        queue = Queue(waiting)
        controller = queue.world.controller
        running = asyncio.create_task(controller.run())
        controller.wake_run((NAMESPACE, queue.names[0]))
        for number, name in enumerate(queue.names[:ends]):
            await queue.until_pending(name)
            following = queue.names[number + 1]
            begin = time.perf_counter()
            queue.end(name, number)
            await queue.until_pending(following)
            took.append((time.perf_counter() - begin) * 1e3)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)

    asyncio.run(follow())
    return {"end -> next PENDING, p50 ms": percentile(took, 0.5), "end -> next PENDING, p99 ms": percentile(took, 0.99)}


def main() -> None:
    """Print the figures for an almost empty and for a full queue."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--waiting", type=int, default=5000, help="runs that wait (%(default)s)")
    parser.add_argument("--ends", type=int, default=300, help="ends that are measured (%(default)s)")
    options = parser.parse_args()
    columns = {}
    for waiting in (options.ends + 1, options.waiting):
        columns[f"{waiting} waiting"] = {**measure_costs(waiting, options.ends), **measure_latency(waiting, options.ends)}
    print(table(columns))
    print(record("concurrency", {"options": vars(options), "figures": columns}))


if __name__ == "__main__":
    main()
