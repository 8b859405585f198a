"""How many task runs a second the API takes in, and how many bytes each one costs.

Four ways, each a median of three: straight into PostgreSQL and SQLite through `mintaka_history.ingest` (reports already
decoded, one connection), and through HTTP (`python -m mintaka_api` with one uvicorn process, one client connection in
sequence, then two). Each task run is trivial: three states, one upstream edge, one report of 1,000 in its final state,
one commit per report. PostgreSQL is a private server with fsync on, in a temporary folder.

    python benchmarks/ingest.py [--reports 60]
"""

from __future__ import annotations

import argparse
import http.client
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "support"))

from sqlalchemy import text

from mintaka_core.wire_versions import WIRE_VERSION
from mintaka_history.batches import HistoryBatch, decode
from mintaka_history.database import Database
from mintaka_history.ingest import store_batch
from mintaka_history.migrating import migrate
from mintaka_history.queries.names import Names
from postgres_server import PostgresServer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_ROWS = 1000
_RUNS = 3
_PORT = 4391


def bodies(reports: int) -> Iterator[tuple[str, bytes]]:
    """Reports as they come over the wire, ten to a flow run of 10,000 task runs: (uid, JSON)."""
    now = time.time_ns() // 1000
    for report in range(reports):
        if report % 10 == 0:
            uid = str(uuid.uuid4())
        first = report % 10 * _ROWS
        created = now + report * _ROWS * 50
        tasks = [
            {
                "n": first + k,
                "task": f"etl.task_{k % 7}",
                "name": None,
                "state": "COMPLETED",
                "state_name": "Completed",
                "reason": "",
                "message": "",
                "seq": 3,
                "created": created + k * 50,
                "started": created + k * 50 + 11,
                "ended": created + k * 50 + 43,
                "runs": 1,
                "inputs": {"rows": [max(first + k - 1, 0)]},
                "tags": [],
                "parent": None,
                "kind": "task",
                "history": [["PENDING", "Pending", 0, "", []], ["RUNNING", "Running", 11, "", []], ["COMPLETED", "Completed", 43, "", []]],
            }
            for k in range(_ROWS)
        ]
        body = {
            "version": WIRE_VERSION,
            "attempt": 1,
            "report": report % 10 + 1,
            "flow_run": {"name": f"run-{uid}", "namespace": "bench", "deployment": "bench"},
            "tasks": tasks,
            "logs": [],
            "counts": {"COMPLETED": first + _ROWS},
            "final": report % 10 == 9,
        }
        yield uid, msgspec.json.encode(body)


def direct(url: str, reports: int) -> Callable[[], float]:
    """A measurement of `take_in` on one connection."""

    def measure() -> float:
        database = Database(url, write_connections=1)
        migrate(database)
        names = Names()
        decoded: list[tuple[str, HistoryBatch]] = [(uid, decode(body)) for uid, body in bodies(reports)]
        started = time.perf_counter()
        for uid, report in decoded:
            store_batch(database, names, uid, report)
        seconds = time.perf_counter() - started
        database.dispose()
        return reports * _ROWS / seconds

    return measure


def through_http(url: str, reports: int, connections: int) -> Callable[[], float]:
    """A measurement through a server process."""

    def send(part: list[tuple[str, bytes]]) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", _PORT)
        for uid, body in part:
            connection.request("POST", f"/api/v1/flow-runs/{uid}/reports", body, {"Content-Type": "application/json"})
            answer = connection.getresponse()
            content = answer.read()
            if answer.status != 200:
                raise RuntimeError(content)

    def measure() -> float:
        prepared = list(bodies(reports))
        arguments = [
            sys.executable,
            "-m",
            "mintaka_api",
            "--no-mirror",
            "--port",
            str(_PORT),
            "--database-url",
            url,
            "--log-level",
            "ERROR",
        ]
        server = subprocess.Popen(arguments)
        try:
            _wait_until_ready()
            threads = [threading.Thread(target=send, args=(prepared[k::connections],)) for k in range(connections)]
            send(list(bodies(1)))
            started = time.perf_counter()
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            return reports * _ROWS / (time.perf_counter() - started)
        finally:
            server.terminate()
            server.wait()

    return measure


def _wait_until_ready() -> None:
    while True:
        try:
            connection = http.client.HTTPConnection("127.0.0.1", _PORT, timeout=1)
            connection.request("GET", "/readyz")
            if connection.getresponse().status == 200:
                return
        except OSError:
            pass
        time.sleep(0.05)


def postgresql_bytes(url: str) -> float:
    """Bytes per row of task_runs with all indexes."""
    database = Database(url)
    migrate(database)
    with database.writing() as connection:
        count = connection.scalar(text("SELECT count(*) FROM task_runs"))
        size = connection.scalar(text("SELECT sum(pg_total_relation_size(relid)) FROM pg_partition_tree('task_runs')"))
    database.dispose()
    return float(size) / count


def sqlite_bytes(file: Path, rows: int) -> float:
    """Bytes per task run of the whole file."""
    with_wal = [file, file.with_name(file.name + "-wal")]
    database = Database(f"sqlite:///{file}")
    database.migrated = True
    with database.write_engine.connect() as connection:
        connection.exec_driver_sql("COMMIT")
        connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
    database.dispose()
    return sum(part.stat().st_size for part in with_wal if part.exists()) / rows


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--reports", type=int, default=60)
    reports = parser.parse_args().reports
    server = PostgresServer(shared_buffers="'1GB'", max_wal_size="'4GB'")
    server.start()
    folder = tempfile.TemporaryDirectory()
    file = Path(folder.name) / "ingest.db"
    try:
        url = server.create_database("ingest")
        measured = {
            "PostgreSQL, one connection": (30_000, direct(url, reports)),
            "SQLite": (25_000, direct(f"sqlite:///{file}", reports)),
            "HTTP → PostgreSQL, one connection": (20_000, through_http(url, reports, 1)),
            "HTTP → PostgreSQL, two connections": (20_000, through_http(url, reports, 2)),
            "HTTP → SQLite, one connection": (20_000, through_http(f"sqlite:///{file}", reports, 1)),
        }
        print(f"load {os.getloadavg()[0]:.1f}, {os.cpu_count()} cores, {reports} reports of {_ROWS} task runs, median (min-max) of {_RUNS}")
        print("| way | task runs/s | budget |\n| --- | --- | --- |")
        for name, (budget, measure) in measured.items():
            rates = [measure() for _ in range(_RUNS)]
            print(f"| {name} | {statistics.median(rates):,.0f} ({min(rates):,.0f}-{max(rates):,.0f}) | {budget:,} |", flush=True)
        print(
            f"PostgreSQL: {postgresql_bytes(url):.0f} B per task run with indexes; SQLite: {sqlite_bytes(file, 2 * _RUNS * reports * _ROWS + 3 * _ROWS):.0f} B"
        )
    finally:
        server.remove()
        folder.cleanup()


if __name__ == "__main__":
    main()
