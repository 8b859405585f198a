"""A database with thousands of rows of every kind: for plans and pages of queries that would be slow without an index."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

from sqlalchemy import insert, text

from mintaka_history import tables
from mintaka_history.enum_codes import NameKind, RunKind
from mintaka_history.migrating import migrate

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Table

    from mintaka_history.database import Database

#: Microseconds of 2026-01-01T00:00:00Z; runs by themselves are created a minute apart.
BEGIN, STEP = 1_767_225_600_000_000, 60_000_000
HOUR = 3_600_000_000
#: Runs by themselves; each of them called others.
RUNS, CHILDREN = 2_000, 4
NAMESPACES, DEPLOYMENTS, TASKS = 4, 20, 10
#: Added to a number to make the id of its name.
DEPLOYMENT, TASK, TAG = 100, 200, 300
#: How long a run takes, by its number.
DURATIONS = (1_000_000, 60_000_000, 600_000_000, 7_200_000_000, 90_000_000_000)
#: The number of a flow run of this position.
SPREAD = 10
#: Bounds of partitions by flow run: six.
PARTITIONS = tuple(range(0, RUNS * SPREAD + 1, RUNS * SPREAD // 6))


def uid_of(number: int) -> str:
    """The uid of the flow run with this number."""
    return f"00000000-0000-4000-8000-{number:012x}"


def fill(database: Database) -> None:
    """Create the schema and the rows; on PostgreSQL the big tables get six partitions.

    Run `n`, from 1, has the number `n * SPREAD`; those that it called have the numbers after it. Namespace, deployment, tag and duration
    go by `n`. Every 40th FAILED; the last 20 are RUNNING.
    """
    migrate(database)
    with database.writing() as connection:
        if database.is_postgresql:
            for table in tables.PARTITIONED:
                for position, (first, end) in enumerate(pairwise(PARTITIONS)):
                    connection.execute(
                        text(f"CREATE TABLE {table.name}_{position} PARTITION OF {table.name} FOR VALUES FROM ({first}) TO ({end})")
                    )
        for table, rows in _ROWS.items():
            connection.execute(insert(table), list(rows()))
    if database.is_postgresql:
        with database.write_engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text("VACUUM ANALYZE"))


def created_of(n: int) -> int:
    """When run `n` was created."""
    return BEGIN + n * STEP


def _names() -> Iterator[dict[str, Any]]:
    kinds = ((NameKind.NAMESPACE, 0, "team-", NAMESPACES), (NameKind.DEPLOYMENT, DEPLOYMENT, "deployment-", DEPLOYMENTS))
    for kind, base, prefix, count in (*kinds, (NameKind.TASK, TASK, "etl.task_", TASKS), (NameKind.TAG, TAG, "tag-", 10)):
        for i in range(1, count + 1):
            yield {"id": base + i, "kind": int(kind), "value": f"{prefix}{i}"}


def _flow_runs() -> Iterator[dict[str, Any]]:
    for n in range(1, RUNS + 1):
        created, running = created_of(n), n > RUNS - 20
        state = 3 if running else 5 if n % 40 == 0 else 4
        own = {
            "created": created,
            "started": created + 1_000_000,
            "ended": None if running else created + 1_000_000 + DURATIONS[n % len(DURATIONS)],
            "ns": 1 + n % NAMESPACES,
            "state": state,
            "resource_version": n,
            "attempt": 1,
        }
        yield own | {
            "no": n * SPREAD,
            "uid": uid_of(n * SPREAD),
            "deployment": DEPLOYMENT + 1 + n % DEPLOYMENTS,
            "kind": int(RunKind.DEPLOYED),
            "name": f"deployment-{1 + n % DEPLOYMENTS}-{n:05}",
            "parent": None,
            "root": None,
        }
        for child in range(1, CHILDREN + 1):
            number = n * SPREAD + child
            kin = {"parent": n * SPREAD, "root": n * SPREAD, "kind": int(RunKind.CALLED), "deployment": None}
            yield own | kin | {"no": number, "uid": uid_of(number), "name": f"called-{number}"}


def _tags() -> Iterator[dict[str, Any]]:
    for n in range(3, RUNS + 1, 10):
        yield {"created": created_of(n), "flow_run": n * SPREAD, "tag": TAG + 1 + n // 10 % 10}


def _task_runs() -> Iterator[dict[str, Any]]:
    for n in range(1, RUNS + 1):
        for i in range(3):
            created = created_of(n) + i * 1_000_000
            yield {
                "flow_run": n * SPREAD,
                "created": created,
                "started": created,
                "ended": created + 500_000,
                "n": i,
                "ns": 1 + n % NAMESPACES,
                "task": TASK + 1 + (n + i) % TASKS,
                "seq": 3,
                "runs": 1,
                "attempt": 1,
                "state": 5 if (n + i) % 50 == 0 else 4,
                "subflow": False,
                "name": f"part-{n:05}" if i == 1 else None,
                "history": "[[2,0],[3,10],[4,500000]]",
            }


def _logs() -> Iterator[dict[str, Any]]:
    for n in range(1, RUNS + 1):
        for line in range(1, 501 if n == 1 else 4):
            key = {"flow_run": n * SPREAD, "attempt": 1, "seq": line * 1000}
            level = 40 if line % 100 == 0 else 20
            yield key | {"at": created_of(n) + line, "level": level, "message": f"line {line} of run {n}{': Ärger' * (level > 20)}"}


def _transitions() -> Iterator[dict[str, Any]]:
    for n in range(1, RUNS + 1):
        for seq, verdict in enumerate(("Accept", "Wait", "Accept"), 1):
            yield {
                "flow_run": n * SPREAD,
                "at": created_of(n) + seq,
                "seq": seq,
                "attempt": 1,
                "from_state": seq,
                "to_state": seq if verdict == "Wait" else seq + 1,
                "proposed": seq + 1,
                "verdict": verdict,
            }


def _attempts() -> Iterator[dict[str, Any]]:
    for n in range(1, RUNS + 1):
        for attempt in (1, 2):
            yield {"flow_run": n * SPREAD, "attempt": attempt, "state": 6, "exit_code": 137, "pod": f"pod-{n}-{attempt}"}


def _events() -> Iterator[dict[str, Any]]:
    for n in range(1, RUNS + 1):
        yield {
            "at": created_of(n),
            "flow_run": n * SPREAD if n % 2 else None,
            "ns": 1 + n % NAMESPACES,
            "id": uid_of(n),
            "name": "loaded",
            "resource": f"table/{n % 7}/{n:05}",
            "payload": "{}",
        }


def _deployments() -> Iterator[dict[str, Any]]:
    for n in range(1, DEPLOYMENTS + 1):
        yield {
            "uid": uid_of(n),
            "cluster": 1,
            "ns": 1 + (n - 1) % NAMESPACES,
            "name": f"deployment-{n}",
            "resource_version": n,
            "created": BEGIN,
            "generation": 1,
            "spec": '{"entrypoint": "etl:main"}',
            "status": "{}",
            "revision": f"deployment-{n}-30",
        }


def _versions() -> Iterator[dict[str, Any]]:
    for n in range(1, DEPLOYMENTS + 1):
        for version in range(1, 31):
            yield {
                "deployment": uid_of(n),
                "created": BEGIN + version // 2 * HOUR,
                "generation": version,
                "revision": f"deployment-{n}-{version:02}",
                "spec": f'{{"version": "{version}"}}',
            }


_ROWS: dict[Table, Any] = {
    tables.names: _names,
    tables.flow_runs: _flow_runs,
    tables.flow_run_tags: _tags,
    tables.task_runs: _task_runs,
    tables.logs: _logs,
    tables.flow_run_transitions: _transitions,
    tables.attempts: _attempts,
    tables.events: _events,
    tables.flow_deployments: _deployments,
    tables.flow_deployment_versions: _versions,
}
