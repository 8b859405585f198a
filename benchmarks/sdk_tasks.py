"""What a task call costs inside a flow: `python benchmarks/sdk_tasks.py [tasks] [rounds]`.

Plain calls, submits, maps and async calls of a trivial task, with history going nowhere, into the embedded SQLite file
(durable before the clock stops, the rows counted afterwards), and to an HTTP server in another process (reports gzipped,
acknowledged, complete before the clock stops). Budget: 50 µs a call, 100 µs a submit. Then the memory that 100,000
finished calls leave behind, and what a trivial flow costs as a script calls it.
Also start-up times of `import mintaka` and `mintaka --help`, beside that of Python itself.
"""

from __future__ import annotations

import asyncio
import gzip
import json
import multiprocessing
import os
import sqlite3
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from mintaka import ThreadPoolTaskRunner, flow, task
from mintaka.context import LAUNCH, Launch
from mintaka.delivery import DeliverySettings, HistoryRecorder
from mintaka.recording import NullRecorder
from mintaka.sinks import ApiSink, EmbeddedSink

if TYPE_CHECKING:
    from collections.abc import Callable


@task
def add(a: int, b: int = 1) -> int:
    """A trivial task."""
    return a + b


@task
async def add_async(a: int, b: int = 1) -> int:
    """A trivial async task."""
    return a + b


@flow
def calls(n: int) -> None:
    """One call after the other."""
    for i in range(n):
        add(i)


@flow
def submits(n: int) -> None:
    """Submit all, then take each result."""
    futures = [add.submit(i) for i in range(n)]
    for future in futures:
        future.result()


@flow
def maps(n: int) -> None:
    """Map, on the default pool."""
    add.map(range(n)).result()


@flow(task_runner=ThreadPoolTaskRunner(max_workers=1))
def maps_on_one_thread(n: int) -> None:
    """Map, on one thread."""
    add.map(range(n)).result()


@flow
async def awaits(n: int) -> None:
    """One await after the other."""
    for i in range(n):
        await add_async(i)


@flow
async def gathers(n: int) -> None:
    """All awaited together."""
    await asyncio.gather(*(add_async(i) for i in range(n)))


CASES: dict[str, Any] = {
    "call": calls,
    "submit": submits,
    "map": maps,
    "map, 1 thread": maps_on_one_thread,
    "await": awaits,
    "gather": gathers,
}


class Sink(BaseHTTPRequestHandler):
    """Acknowledges every report."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        """Acknowledge one report."""
        body = gzip.decompress(self.rfile.read(int(self.headers["Content-Length"])))
        text = json.dumps({"report": json.loads(body[: body.index(b',"tasks"')] + b"}")["report"]}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


def serve(ports: Any) -> None:
    """The sink's process."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Sink)
    ports.put(server.server_port)
    server.serve_forever()


def timed(body: Any, n: int, recorder: Any, launch: Launch) -> tuple[float, float]:
    """µs of wall clock and of this process's CPU per task, history delivered."""
    launch.recorder = recorder
    token = LAUNCH.set(launch)
    wall, cpu = time.perf_counter(), time.process_time()
    try:
        asyncio.run(body(n)) if body.is_async else body(n)
        delivery = recorder.close(time.monotonic() + 60)
    finally:
        LAUNCH.reset(token)
    if not delivery.complete:
        message = f"history incomplete: {delivery}"
        raise SystemExit(message)
    return (time.perf_counter() - wall) / n * 1e6, (time.process_time() - cpu) / n * 1e6


def measure(title: str, n: int, rounds: int, recorder_of: Callable[[Launch], Any]) -> None:
    """Print one table."""
    print(f"\n{title}: µs per task of {n:,}, best and median of {rounds}")
    print(f"{'':16}{'wall':>8}{'median':>8}{'CPU':>8}{'median':>8}")
    for name, body in CASES.items():
        figures = []
        for index in range(rounds):
            launch = Launch(flow_run_id=str(uuid4()), name=f"benchmark-{index}", namespace="local", local=True)
            figures.append(timed(body, n, recorder_of(launch), launch))
        walls, cpus = [figure[0] for figure in figures], [figure[1] for figure in figures]
        print(f"{name:16}{min(walls):8.1f}{median(walls):8.1f}{min(cpus):8.1f}{median(cpus):8.1f}")


def embedded(n: int, rounds: int, folder: Path) -> None:
    """The embedded SQLite file: time, rows, memory, a trivial flow."""
    database = folder / "history.db"
    sink = EmbeddedSink(database)
    settings = DeliverySettings(spool_folder=folder)
    measure("History goes into SQLite", n, rounds, lambda launch: HistoryRecorder(sink, launch, settings))
    with closing(sqlite3.connect(database)) as connection:
        rows = connection.execute("SELECT count(*) FROM task_runs WHERE state = 4").fetchone()[0]
        runs = connection.execute("SELECT count(*) FROM flow_runs WHERE state = 4 AND final_attempt = 1").fetchone()[0]
    print(f"{rows:,} completed task runs of {n * rounds * len(CASES):,} in the file, {runs} completed flow runs of {rounds * len(CASES)}")
    print(f"{database.stat().st_size / rows:.0f} bytes of the file a task run")
    launch = Launch(flow_run_id=str(uuid4()), name="memory", namespace="local", local=True)
    before = resident_bytes()
    timed(calls, 100_000, HistoryRecorder(sink, launch, settings), launch)
    print(f"{(resident_bytes() - before) / 100_000:.0f} bytes of memory a call, after 100,000")
    os.environ |= {"MINTAKA_HOME": str(folder), "MINTAKA_HISTORY": "on"}
    figures = []
    for _ in range(200):
        began = time.perf_counter()
        calls(0)
        figures.append((time.perf_counter() - began) * 1e3)
    print(f"a flow without tasks: {min(figures):.2f} ms at best, {median(figures):.2f} ms in the median of 200")


def resident_bytes() -> int:
    """The memory of this process."""
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")


def start_up(title: str, *command: str) -> None:
    """Print how long a command takes, best and median of 15."""
    seconds = []
    for _ in range(15):
        began = time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        seconds.append(time.perf_counter() - began)
    print(f"{title:24}{min(seconds) * 1e3:8.0f} ms{median(seconds) * 1e3:8.0f} ms")


def main(n: int = 20_000, rounds: int = 5) -> None:
    """Print all figures."""
    print(f"Python {sys.version.split()[0]}, {os.cpu_count()} CPUs, load {os.getloadavg()[0]:.1f}")
    start_up("python -c pass", sys.executable, "-c", "pass")
    start_up("import mintaka", sys.executable, "-c", "import mintaka")
    start_up("mintaka --help", str(Path(sys.executable).with_name("mintaka")), "--help")
    measure("History goes nowhere", n, rounds, lambda _: NullRecorder())
    with tempfile.TemporaryDirectory() as folder:
        embedded(n, rounds, Path(folder))
    ports: Any = multiprocessing.Queue()
    process = multiprocessing.Process(target=serve, args=(ports,), daemon=True)
    process.start()
    url = f"http://127.0.0.1:{ports.get()}"
    with tempfile.TemporaryDirectory() as folder:
        settings = DeliverySettings(spool_folder=Path(folder))
        measure("History goes to an HTTP server", n, rounds, lambda launch: HistoryRecorder(ApiSink(url), launch, settings))
    process.terminate()
    print(f"\nload at the end {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main(*(int(argument) for argument in sys.argv[1:]))
