"""How long a page of a list takes over a million flow runs and ten million task runs, through HTTP, on PostgreSQL.

The rows are made in the database itself (`INSERT … SELECT generate_series`), over a year, in eight namespaces and forty
deployments, 3 % of them not COMPLETED, a tenth tagged, every seventh run called by another; one run has 100,000 lines of log. Then each list is
read from its first page on by its cursors, from `python -m mintaka_api` with one process. Budgets: p95 of 20 ms a page of
50, a histogram of 30 days and counts; 0.3 ms of the database for a poll of the feed of changes.

    python benchmarks/pages.py [--flow-runs 1000000] [--task-runs-each 10] [--requests 100]
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from urllib.parse import quote

sys.path.insert(0, str(Path(__file__).parent / "sdk"))
sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "support"))

import psycopg
from places import MintakaApi

from ingest import bodies
from mintaka_history.batches import decode
from mintaka_history.database import Database
from mintaka_history.ingest import store_batch
from mintaka_history.migrating import migrate
from mintaka_history.queries import changes
from mintaka_history.queries.names import Names
from postgres_server import PostgresServer
from shared.figures import percentile

_NAMES = """
INSERT INTO names (id, kind, value)
SELECT i, 1, 'team-' || i FROM generate_series(1, 8) i
UNION ALL SELECT 100 + i, 2, 'deployment-' || i FROM generate_series(1, 40) i
UNION ALL SELECT 200 + i, 3, 'etl.task_' || i FROM generate_series(1, 50) i
UNION ALL SELECT 300 + i, 4, 'tag-' || i FROM generate_series(1, 10) i
UNION ALL SELECT 400, 8, 'production'
"""
#: A run every 31.5 s; every 40th failed, every 200th crashed, the last hundred are running.
_FLOW_RUNS = """
INSERT INTO flow_runs (no, cluster, uid, created, started, ended, state_time, resource_version, ns, deployment, sequence, attempt,
  reported_attempt, final_attempt, state, name, tags, counts, deleted, kind, parent, root)
SELECT i, 400, md5('run' || i)::uuid, at, at + 900000, at + 42000000, at + 42000000, i, 1 + i %% 8, 101 + i %% 40, 4, 1, 1, 1,
  CASE WHEN i > %(runs)s - 100 THEN 3 WHEN i %% 40 = 0 THEN 5 WHEN i %% 200 = 7 THEN 6 ELSE 4 END,
  'deployment-' || (1 + i %% 40) || '-' || substr(md5('name' || i), 1, 8),
  CASE WHEN i %% 10 = 3 THEN '["tag-' || (1 + i / 10 %% 10) || '"]' END, '{"COMPLETED": 10}', CASE WHEN i < %(runs)s - 5000 THEN at + 99000000 END,
  CASE WHEN i %% 7 = 3 THEN 2 ELSE 1 END, CASE WHEN i %% 7 = 3 THEN i - 1 END, CASE WHEN i %% 7 = 3 THEN i - 1 END
FROM (SELECT i, 1735689600000000 + i * 31500000::bigint AS at FROM generate_series(1, %(runs)s) i) rows
"""
_FLOW_RUN_TAGS = """
INSERT INTO flow_run_tags (created, flow_run, tag)
SELECT created, no, names.id FROM flow_runs JOIN names ON names.kind = 4 AND names.value = tags::json->>0
"""
_TASK_RUNS = """
INSERT INTO task_runs (flow_run, created, started, ended, n, ns, task, seq, runs, attempt, state, subflow, name, upstream, history)
SELECT no, created + n * 3000000, created + n * 3000000 + 2000, created + n * 3000000 + 2900000, n, ns, 201 + (no + n) %% 50, 3, 1, 1,
  CASE WHEN (no * 3 + n) %% 50 = 0 THEN 5 ELSE 4 END, false, CASE WHEN n = 3 THEN 'part-' || no END,
  %(upstream)s, %(history)s
FROM flow_runs, generate_series(0, %(each)s - 1) n WHERE no BETWEEN %(first)s AND %(last)s
"""
_LOGS = """
INSERT INTO logs (flow_run, attempt, seq, at, level, message)
SELECT (SELECT max(no) FROM flow_runs), 1, i, i, CASE WHEN i %% 500 = 0 THEN 40 ELSE 20 END,
  'batch ' || i || ' of the warehouse was loaded in ' || i %% 977 || ' ms' FROM generate_series(1, 100000) i
"""
_EVENTS = """
INSERT INTO events (at, flow_run, ns, id, name, resource, payload)
SELECT created, no, ns, md5('event' || no)::uuid, 'loaded', 'table/' || no %% 1000, '{"rows": 812}' FROM flow_runs WHERE no %% 5 = 0
"""
_DEPLOYMENTS = """
INSERT INTO flow_deployments (cluster, uid, ns, name, resource_version, created, generation, spec, status, revision)
SELECT 400, md5('deployment' || i)::uuid, 1 + (i - 1) %% 8, 'deployment-' || i, i, 1735689600000000, 1, '{"entrypoint": "etl:main"}', '{}', 'r'
FROM generate_series(1, 40) i
"""
_LISTS = {
    "flow runs, newest first": "/flow-runs",
    "flow runs by name": "/flow-runs?sort=name",
    "flow runs of a deployment": "/flow-runs?deployment=deployment-7",
    "flow runs FAILED or CRASHED": "/flow-runs?state=FAILED&state=CRASHED",
    "flow runs CRASHED in a namespace": "/flow-runs?state=CRASHED&namespace=team-8",
    "flow runs with a tag": "/flow-runs?tag=tag-4",
    "flow runs whose name begins so": "/flow-runs?name=deployment-7-ab",
    "flow runs of a day": "/flow-runs?created_after=2025-01-05T00:00:00Z&created_before=2025-01-06T00:00:00Z",
    "flow runs of a namespace": "/flow-runs?namespace=team-3",
    "flow runs, called ones too": "/flow-runs?parent=any",
    "flow runs called by another": "/flow-runs?kind=called",
    "flow runs not COMPLETED": "/flow-runs?not.state=COMPLETED",
    "flow runs not of a deployment": "/flow-runs?not.deployment=deployment-7",
    "flow runs not of a namespace": "/flow-runs?not.namespace=team-3",
    "flow runs without a tag": "/flow-runs?not.tag=tag-4",
    "flow runs alive in an hour": "/flow-runs?alive_after=2025-06-05T10:00:00Z&alive_before=2025-06-05T11:00:00Z",
    "flow runs alive in a day, FAILED": "/flow-runs?alive_after=2025-06-05T00:00:00Z&alive_before=2025-06-06T00:00:00Z&state=FAILED",
    "histogram of 30 days": "/flow-runs/histogram?since=2025-06-01T00:00:00Z&until=2025-07-01T00:00:00Z&buckets=120",
    "histogram of 30 days, a namespace": "/flow-runs/histogram?since=2025-06-01T00:00:00Z&until=2025-07-01T00:00:00Z&namespace=team-3",
    "histogram of 30 days, a deployment": "/flow-runs/histogram?since=2025-06-01T00:00:00Z&until=2025-07-01T00:00:00Z&deployment=deployment-7",
    "counts of 30 days by state": "/flow-runs/counts?since=2025-06-01T05:00:00Z&until=2025-07-01T05:00:00Z",
    "counts of 30 days by deployment": "/flow-runs/counts?since=2025-06-01T05:00:00Z&until=2025-07-01T05:00:00Z&by=deployment",
    "names of deployments": "/flow-runs/facets?field=deployment&q=deployment-1",
    "flow deployments, with last runs": "/flow-deployments",
    "events": "/events",
    "events of a resource": "/events?resource=table/77",
    "log, newest first": "/flow-runs/{long}/logs?sort=-seq&limit=200",
    "log around a line": "/flow-runs/{long}/logs?around=50000&limit=200",
    "log, ERROR": "/flow-runs/{long}/logs?level=40&limit=50",
    "log, search for a rare text": "/flow-runs/{long}/logs?q=BATCH 99999",
    "task runs, newest first": "/task-runs",
    "task runs FAILED": "/task-runs?state=FAILED",
    "task runs of a task": "/task-runs?task=etl.task_7",
    "task runs of a task FAILED": "/task-runs?task=etl.task_7&state=FAILED",
    "task runs whose name begins so": "/task-runs?name=part-7777",
    "task runs of a flow run": "/flow-runs/{uid}/task-runs",
}
_BATCH = 50_000


def sample(url: str) -> None:
    """One report as the SDK sends it, so that the rows have the shape that ingest gives them."""
    database = Database(url)
    migrate(database)
    uid, body = next(bodies(1))
    store_batch(database, Names(), uid, decode(body))
    database.dispose()


def fill(url: str, runs: int, each: int) -> None:
    """Make the rows, in bulk, then see to it that the planner knows them."""
    with psycopg.connect(url, autocommit=True) as connection:
        row = connection.execute("SELECT history, upstream, flow_run FROM task_runs WHERE n = 5").fetchone()
        if row is None:
            message = "there is no task run to take as a sample"
            raise SystemExit(message)
        history, upstream, _ = row
        connection.execute("TRUNCATE flow_runs, task_runs, names, flow_run_transitions, flow_run_counts, logs")
        connection.execute(_NAMES)
        connection.execute(_FLOW_RUNS, {"runs": runs})
        connection.execute(_FLOW_RUN_TAGS)
        for statement in (_LOGS, _EVENTS, _DEPLOYMENTS):
            connection.execute(statement, {})
        for first in range(1, runs + 1, _BATCH):
            last = min(first + _BATCH - 1, runs)
            connection.execute(_TASK_RUNS, {"each": each, "first": first, "last": last, "history": history, "upstream": upstream})
        for table in ("flow_runs", "flow_run_tags", "task_runs", "names", "flow_run_counts", "changes", "events", "logs"):
            connection.execute(f"VACUUM ANALYZE {table}")


def walk(api: MintakaApi, path: str, requests: int) -> list[float]:
    """Milliseconds of each page, from the first along the cursors; from the start again where a list ends."""
    took, cursor = [], ""
    connection = http.client.HTTPConnection("127.0.0.1", api.port, timeout=120)
    for _ in range(requests):
        sign = "&" if "?" in path else "?"
        began = time.perf_counter()
        connection.request("GET", f"/api/v1{path}".replace(" ", "%20") + (f"{sign}cursor={quote(cursor)}" if cursor else ""))
        answer = connection.getresponse()
        content = answer.read()
        took.append((time.perf_counter() - began) * 1e3)
        if answer.status != http.client.OK:
            raise RuntimeError(content)
        page = json.loads(content)
        if not next(value for name, value in page.items() if name in {"items", "buckets", "values"}):
            message = f"{path} is empty"
            raise SystemExit(message)
        cursor = page.get("next") or ""
    connection.close()
    return took


def polls(url: str, requests: int) -> list[float]:
    """Milliseconds of the database for each poll of the feed of changes without news."""
    database, names, took = Database(url), Names(), []
    database.migrated = True
    with database.reading() as connection:
        position = changes.newest(connection)
        for _ in range(requests):
            began = time.perf_counter()
            changes.after(connection, names, position)
            took.append((time.perf_counter() - began) * 1e3)
    database.dispose()
    return took


def main() -> None:
    """Print all figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--flow-runs", type=int, default=1_000_000)
    parser.add_argument("--task-runs-each", type=int, default=10)
    parser.add_argument("--requests", type=int, default=100)
    given = parser.parse_args()
    server = PostgresServer(fsync="off", max_wal_size="'4GB'")
    server.start()
    try:
        url = server.create_database("bench")
        sample(url)
        began = time.perf_counter()
        fill(url, given.flow_runs, given.task_runs_each)
        with psycopg.connect(url) as connection:
            size = connection.execute("SELECT pg_database_size('bench')").fetchone() or (0,)
        rows = f"{given.flow_runs:,} flow runs, {given.flow_runs * given.task_runs_each:,} task runs, {size[0] / 2**30:.1f} GiB"
        print(f"{rows}; made in {time.perf_counter() - began:.0f} s; load {os.getloadavg()[0]:.1f}")
        with tempfile.TemporaryDirectory() as folder, MintakaApi(Path(folder), url) as api:
            print(f"{'ms a page of 50':36}{'p50':>8}{'p95':>8}{'max':>8}")
            uid = json.loads(api.request("GET", "/api/v1/flow-runs?limit=1&state=FAILED")[1])["items"][0]["uid"]
            long = json.loads(api.request("GET", "/api/v1/flow-runs?limit=1&parent=any")[1])["items"][0]["uid"]
            for title, path in _LISTS.items():
                took = walk(api, path.format(uid=uid, long=long), given.requests)
                print(f"{title:36}{median(took):8.1f}{percentile(took, 0.95):8.1f}{max(took):8.1f}", flush=True)
            took = polls(url, given.requests * 10)
            print(f"{'poll of changes (database)':36}{median(took):8.2f}{percentile(took, 0.95):8.2f}{max(took):8.2f}")
    finally:
        server.remove()
    print(f"load at the end {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
