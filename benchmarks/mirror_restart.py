"""What a start of the API costs if there are many flow runs in the cluster: time, CPU, memory and the longest pause of its event loop.

A process of its own serves synthetic finished FlowRuns as they are stored (with managedFields, 3 KB each) over loopback HTTP; another
mirrors them into SQLite, first into an empty database, then again, as after a restart. What is measured is our half: a real
kube-apiserver on the same cores takes ten seconds for such a list.

    python benchmarks/mirror_restart.py [--runs 100000]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import os
import socket
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "support"))

from aiohttp import web

from api_testing import ORDINARY, seen_run
from mintaka_api.cluster import Cluster
from mintaka_api.metrics import Metrics
from mintaka_api.mirror import Mirror
from mintaka_api.settings import Settings
from mintaka_core.names import LABEL_DEPLOYMENT
from mintaka_history.database import Database
from mintaka_history.migrating import migrate
from mintaka_history.queries.names import Names
from mintaka_kubernetes import FLOW_RUNS, Credentials

_POLL_SECONDS = 0.02


def stored_run() -> str:
    """A finished FlowRun as the API server keeps it; NAME, UID and VERSION stand for themselves."""
    fields = {f"f:{name}": {} for name in ("state", "sequence", "attempt", "transitions", "podName", "startTime", "endTime")}
    condition = {f"f:{name}": {} for name in ("type", "status", "reason", "message", "lastTransitionTime")}
    conditions = {f'k:{{"type":"{name}"}}': {".": {}, **condition} for name in ("Completed", "Failed", "Crashed", "Cancelled")}
    managed = [
        {"manager": "kubectl-create", "operation": "Update", "fieldsV1": {"f:spec": {".": {}, "f:deployment": {}, "f:parameters": {}}}},
        {"manager": "mintaka-operator", "operation": "Update", "fieldsV1": {"f:status": {".": {}, **fields, "f:conditions": conditions}}},
    ]
    labels = {LABEL_DEPLOYMENT: "nightly"}
    spec = {"deployment": "nightly", "parameters": {"day": "2026-01-01", "limits": [1, 2, 3]}}
    run = seen_run("NAME", ORDINARY, uid="UID", labels=labels, spec=spec, managedFields=managed)
    run["metadata"]["resourceVersion"] = "VERSION"
    moment = "2026-01-01T00:00:00Z"
    run["status"]["conditions"] = [
        {"type": name, "status": "False", "reason": "NotYet", "message": "", "lastTransitionTime": moment}
        for name in ("Completed", "Failed", "Crashed", "Cancelled")
    ]
    return json.dumps(run, separators=(",", ":"))


def serve(port: int, runs: int) -> None:
    """A kube-apiserver that lists so many flow runs."""
    template = stored_run()
    items = [
        template.replace("NAME", f"nightly-{n:06d}")
        .replace("UID", f"{n:08d}-0000-4000-8000-000000000000")
        .replace("VERSION", f"{n + 1}")
        .encode()
        for n in range(runs)
    ]

    async def answer(request: web.Request) -> web.StreamResponse:
        if "watch" in request.query:
            response = web.StreamResponse()
            await response.prepare(request)
            await asyncio.sleep(3600)
            return response
        start, limit = int(request.query.get("continue") or 0), int(request.query.get("limit") or 500)
        found = items if request.path == FLOW_RUNS.path(None) else []
        metadata = {"resourceVersion": str(runs + 1), "continue": "" if start + limit >= len(found) else str(start + limit)}
        body = b'{"metadata":' + json.dumps(metadata).encode() + b',"items":[' + b",".join(found[start : start + limit]) + b"]}"
        return web.Response(body=body, content_type="application/json")

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    web.run_app(app, host="127.0.0.1", port=port, print=None, access_log=None)


def memory() -> float:
    """MiB of this process."""
    return int(Path("/proc/self/statm").read_text(encoding="utf-8").split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


async def mirrored(url: str, port: int) -> str:
    """Mirror until everything listed is written; what that took."""
    database = Database(url)
    await asyncio.to_thread(migrate, database)
    cluster = Cluster(credentials=Credentials(f"http://127.0.0.1:{port}"))
    metrics = Metrics()
    mirror = Mirror(database, Names(), cluster, Settings(cluster_name="benchmark"), metrics)

    def finished() -> bool:
        mirror.observe()
        return not mirror.problem() and metrics.registry.get_sample_value("mintaka_mirror_backlog") == 0

    before, cpu, started = memory(), time.process_time(), time.perf_counter()
    peak, pause, last = before, 0.0, started
    running = asyncio.create_task(mirror.run())
    while not finished():
        await asyncio.sleep(_POLL_SECONDS)
        now = time.perf_counter()
        peak, pause, last = max(peak, memory()), max(pause, now - last - _POLL_SECONDS), now
    figures = f"{last - started:.1f} s, CPU {time.process_time() - cpu:.1f} s, memory +{peak - before:.0f} MiB, longest pause {pause * 1000:.0f} ms"
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running
    await cluster.close()
    database.dispose()
    return figures


def measure(what: str, url: str, port: int) -> None:
    """Print the figures of one start."""
    print(f"{what}: {asyncio.run(mirrored(url, port))}", flush=True)


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0


def main() -> None:
    """Measure both starts, each in a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=100_000)
    runs = parser.parse_args().runs
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    processes: Any = multiprocessing.get_context("spawn")
    server = processes.Process(target=serve, args=(port, runs), daemon=True)
    server.start()
    while _is_free(port):
        time.sleep(_POLL_SECONDS)
    print(f"load {os.getloadavg()[0]:.1f}, {os.cpu_count()} cores, {runs} finished flow runs of {len(stored_run())} bytes, SQLite")
    with tempfile.TemporaryDirectory() as folder:
        for what in ("first start", "restart"):
            start = processes.Process(target=measure, args=(what, f"sqlite:///{folder}/mintaka.db", port))
            start.start()
            start.join()
    server.kill()
    server.join()


if __name__ == "__main__":
    main()
