"""How many transitions a second the mirror writes, and how far it lags behind at 100 a second.

What is measured is our half: the real informers, backlog, queries and database, fed by a watch stream that this script
plays over loopback HTTP (aiohttp, a process of its own), because a real kube-apiserver on the same
two cores would be the bottleneck. Each run makes four transitions, each with facts, and one attempt; every event carries
the whole FlowRun with all transitions so far, as the apiserver sends it. Throughput: the stream is sent as fast as it is read, timed from the start of
the mirror until the last row is committed. Lag: a steady stream, from reading an event to its commit, as the histogram
`mintaka_mirror_lag_seconds` tells it: the upper bounds of its buckets.

    python benchmarks/mirror.py [--runs 3000]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import os
import socket
import statistics
import sys
import tempfile
import time
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "support"))

from aiohttp import web
from sqlalchemy import func, select

from api_testing import ORDINARY, seen_run
from mintaka_api.cluster import Cluster
from mintaka_api.metrics import Metrics
from mintaka_api.mirror import Mirror
from mintaka_api.settings import Settings
from mintaka_history.database import Database
from mintaka_history.migrating import migrate
from mintaka_history.queries.names import Names
from mintaka_history.tables import flow_run_transitions
from mintaka_kubernetes import Credentials
from postgres_server import PostgresServer

if TYPE_CHECKING:
    from sqlalchemy import Connection

_REPEATS = 3
_LAG_SECONDS = 10


def serve(port: int, lines: list[bytes], rate: float) -> None:
    """A kube-apiserver that knows one watch stream: `lines`, `rate` a second (0: at once), then silence."""

    async def answer(request: web.Request) -> web.StreamResponse:
        if "watch" not in request.query:
            return web.json_response({"metadata": {"resourceVersion": "1"}, "items": []})
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(request)
        if request.path.endswith("/flowruns"):
            started = time.perf_counter()
            for position, line in enumerate(lines):
                if rate and (early := started + position / rate - time.perf_counter()) > 0:
                    await asyncio.sleep(early)
                await response.write(line)
        await asyncio.sleep(3600)
        return response

    app = web.Application()
    app.router.add_get("/{path:.*}", answer)
    web.run_app(app, host="127.0.0.1", port=port, print=None, access_log=None)


def events(runs: int) -> list[bytes]:
    """The watch events of `runs` runs, all going through their states side by side."""
    lines = []
    version = 1
    documents = [(f"run-{uuid.uuid4().hex[:12]}", str(uuid.uuid4())) for _ in range(runs)]
    for last in range(1, len(ORDINARY) + 1):
        for name, uid in documents:
            version += 1
            document = seen_run(name, ORDINARY[:last], version=version, uid=uid, spec={"deployment": "bench"})
            add_facts(document["status"], name)
            kind = "ADDED" if last == 1 else "MODIFIED"
            lines.append(json.dumps({"type": kind, "object": document}).encode() + b"\n")
    return lines


def add_facts(status: dict[str, Any], name: str) -> None:
    """What decisions read, the attempt and its revision, as the operator adds them."""
    for transition in status["transitions"]:
        transition["facts"] = {"attempt": 1, "failures": 0, "evidence": {"reason": "", "exitCode": 0, "podPhase": "Running"}}
    status["revision"] = "bench-5d8f7c9b6d"
    if status["sequence"] > 1:
        ended = {"ended": status["state"]["time"], "exitCode": 0, "state": "COMPLETED"} if status["sequence"] == len(ORDINARY) else {}
        created = status["transitions"][1]["time"]
        pod = {
            "podName": f"{name}-1",
            "podUid": str(uuid.uuid5(uuid.NAMESPACE_OID, name)),
            "node": "node-1",
            "revision": status["revision"],
        }
        status["attempts"] = [{"number": 1, "created": created, **pod, **ended}]


def written(connection: Connection) -> int:
    """How many transitions are stored."""
    return connection.scalar(select(func.count()).select_from(flow_run_transitions)) or 0


async def mirrored(url: str, lines: list[bytes], rate: float, expected: int) -> tuple[float, Metrics]:
    """Mirror the stream until `expected` transitions are stored; the seconds it took from the mirror's start on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = multiprocessing.get_context("fork").Process(target=serve, args=(port, lines, rate), daemon=True)
    server.start()
    database = Database(url)
    await asyncio.to_thread(migrate, database)
    before = await database.read(written)
    metrics = Metrics()
    started = time.perf_counter()
    cluster = Cluster(credentials=Credentials(f"http://127.0.0.1:{port}"))
    mirror = asyncio.create_task(Mirror(database, Names(), cluster, Settings(cluster_name="benchmark"), metrics).run())
    try:
        while await database.read(written) - before < expected:  # noqa: ASYNC110 - the database has no event to wait for
            await asyncio.sleep(0.02)
        return time.perf_counter() - started, metrics
    finally:
        mirror.cancel()
        await asyncio.gather(mirror, return_exceptions=True)
        await cluster.close()
        database.dispose()
        server.kill()
        server.join()


def throughput(url: str, runs: int) -> float:
    """Transitions a second with the stream sent at once, from the start of the mirror."""
    expected = runs * len(ORDINARY)
    seconds, _ = asyncio.run(mirrored(url, events(runs), 0, expected))
    return expected / seconds


def lag(url: str, rate: float) -> tuple[float, float]:
    """(p50, p99) in ms from the reading of an event to its commit, at `rate` events a second."""
    runs = int(rate * _LAG_SECONDS / len(ORDINARY))
    _, metrics = asyncio.run(mirrored(url, events(runs), rate, runs * len(ORDINARY)))
    samples: list[Any] = [
        sample for metric in metrics.mirror_lag_seconds.collect() for sample in metric.samples if sample.name.endswith("_bucket")
    ]
    p50, p99 = (
        next(float(sample.labels["le"]) for sample in samples if sample.value >= share * samples[-1].value) for share in (0.5, 0.99)
    )
    return p50 * 1000, p99 * 1000


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=3000)
    runs = parser.parse_args().runs
    server = PostgresServer(shared_buffers="'512MB'", max_wal_size="'4GB'")
    server.start()
    folder = tempfile.TemporaryDirectory()
    try:
        print(
            f"load {os.getloadavg()[0]:.1f}, {os.cpu_count()} cores, {runs} runs of {len(ORDINARY)} transitions, median (min-max) of {_REPEATS}"
        )
        print("| database | transitions/s | lag at 100/s, p50 / p99 at most |\n| --- | --- | --- |")
        for name, url in (("PostgreSQL", server.create_database("mirror")), ("SQLite", f"sqlite:///{folder.name}/mirror.db")):
            rates = [throughput(url, runs) for _ in range(_REPEATS)]
            lags = [lag(url, 100) for _ in range(_REPEATS)]
            p50, p99 = statistics.median(one[0] for one in lags), statistics.median(one[1] for one in lags)
            print(
                f"| {name} | {statistics.median(rates):,.0f} ({min(rates):,.0f}-{max(rates):,.0f}) | {p50:.0f} / {p99:.0f} ms |", flush=True
            )
        print("budgets: ≥ 9,000 transitions/s into PostgreSQL; lag ≤ 1,000 ms at 100/s")
    finally:
        server.remove()
        folder.cleanup()


if __name__ == "__main__":
    main()
