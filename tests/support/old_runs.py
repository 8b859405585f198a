"""Flow runs that ended some days ago, each with rows in every table, for tests of retention."""

from __future__ import annotations

import json
import time
import uuid
from typing import TYPE_CHECKING, Any

from sqlalchemy import text

from mintaka_core.states import COMPLETED, StateType
from mintaka_core.wire_versions import WIRE_VERSION
from mintaka_history.batches import decode
from mintaka_history.database import DatabaseAway
from mintaka_history.ingest import store_batch
from mintaka_history.maintenance import retention
from mintaka_history.maintenance.statements import DAY_MICROSECONDS
from mintaka_history.queries.dialects import SqlalchemySession
from mintaka_history.queries.names import Names
from mintaka_history.sharing import limits
from mintaka_history.sharing.leases import SlotRequest, request
from mintaka_history.timestamps import now_microseconds
from mintaka_history.writing import pauses

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Callable

    from mintaka_history.database import Database
    from mintaka_history.maintenance.policy import RetentionPolicy

NOW = now_microseconds()
#: The tables that have rows of a flow run, with the column that identifies the run.
TABLES = {
    "flow_runs": "no",
    "flow_run_tags": "flow_run",
    "flow_run_transitions": "flow_run",
    "attempts": "flow_run",
    "task_runs": "flow_run",
    "task_run_tags": "flow_run",
    "logs": "flow_run",
    "artifacts": "flow_run",
    "events": "flow_run",
    "pauses": "flow_run",
    "concurrency_leases": "flow_run",
}


def ago(days: float) -> int:
    """The time so many days ago."""
    return NOW - round(days * DAY_MICROSECONDS)


def store(
    database: Database,
    name: str,
    ended: float = 40,
    *,
    lasted: float = 0.04,
    state: StateType = COMPLETED,
    namespace: str = "etl",
    deployment: str | None = "nightly",
    tasks: int = 2,
    lines: int = 2,
    names: Names | None = None,
    **columns: Any,
) -> str:
    """Store a run of a script that ended so many days ago and lasted so many; its uid. `columns` replace values of its row."""
    uid, end = str(uuid.uuid4()), ago(ended)
    created = end - round(lasted * DAY_MICROSECONDS)
    transitions = [[1, "PENDING", "", created, "", [], "", ""], [2, "RUNNING", "", created + 1, "", [], "", ""]]
    if state is not StateType.RUNNING:
        transitions.append([3, state.value, "", end, "", [], "", ""])
    body = {
        "version": WIRE_VERSION,
        "attempt": 1,
        "report": 1,
        "flow_run": {
            "name": name,
            "namespace": namespace,
            "deployment": deployment,
            "local": {"flow": f"flow of {name}", "created": created, "tags": ["run", f"run {name}"], "transitions": transitions},
        },
        "tasks": [
            {"n": n, "task": "etl.clean", "state": "COMPLETED", "seq": 3, "created": created + n, "started": created + n, "ended": end}
            | {"tags": ["task", f"task {name}"] if n % 2 == 0 else []}
            for n in range(min(tasks, 4000))
        ],
        "logs": [{"seq": n, "time": created + n, "message": f"line {n}", "logger": "etl"} for n in range(lines)],
        "artifacts": [
            {"id": str(uuid.uuid4()), "seq": 1, "kind": "markdown", "created": created, "updated": created, "data": "text", "key": name}
        ],
        "final": True,
    }
    deliver(lambda: store_batch(database, names or Names(), uid, decode(json.dumps(body).encode())))
    _add_others(database, uid, namespace, end)
    change(database, uid, **columns)
    return uid


def deliver(send: Callable[[], None]) -> None:
    """Send a report again while the database is away, as the SDK does after a 503."""
    for _ in range(20):
        try:
            return send()
        except DatabaseAway:
            time.sleep(0.05)
    return send()


def _add_others(database: Database, uid: str, namespace: str, at: int) -> None:
    """Add what no report contains."""
    with database.writing() as connection:
        session = SqlalchemySession(connection)
        number, ns = session.run("SELECT no, ns FROM flow_runs WHERE uid = ?", (session.uid(uid),))[0]
        session.run("INSERT INTO attempts (flow_run, attempt, pod) VALUES (?, 1, 'pod')", (number,))
        session.run(
            "INSERT INTO events (at, flow_run, ns, id, name, resource, payload) VALUES (?, ?, ?, ?, 'e', 'r', '{}')",
            (at, number, ns, session.uid(str(uuid.uuid4()))),
        )
        pauses.announce(session, uid, namespace, "approval", 1, suspended=False)
        limits.put(session, namespace, "db", 1000, 0, overwrite=True)
        request(session, SlotRequest(uuid.uuid4().hex, namespace, ("db",), 1, 60.0, uid), lambda _: False)


def change(database: Database, uid: str, **columns: Any) -> None:
    """Set columns of a run's row; `parent` may be given as a uid."""
    if isinstance(columns.get("parent"), str):
        columns["parent"] = number_of(database, columns["parent"])
    if columns:
        with database.writing() as connection:
            session = SqlalchemySession(connection)
            places = ", ".join(f"{name} = ?" for name in columns)
            session.run(f"UPDATE flow_runs SET {places} WHERE uid = ?", (*columns.values(), session.uid(uid)))  # noqa: S608


def number_of(database: Database, uid: str) -> int:
    """The number of a run."""
    with database.reading() as connection:
        session = SqlalchemySession(connection)
        return int(session.run("SELECT no FROM flow_runs WHERE uid = ?", (session.uid(uid),))[0][0])


def counts(database: Database) -> dict[str, int]:
    """The number of rows of each table of `TABLES`."""
    with database.reading() as connection:
        return {table: connection.execute(text(f"SELECT count(*) FROM {table}")).scalar_one() for table in TABLES}  # noqa: S608


def names_left(database: Database) -> list[str]:
    """The names of the runs that are there."""
    with database.reading() as connection:
        return sorted(connection.execute(text("SELECT name FROM flow_runs")).scalars())


def retire(database: Database, policy: RetentionPolicy, now: int = NOW) -> Counter[str]:
    """Do a whole pass of retention; the rows that it deleted."""
    from collections import Counter  # noqa: PLC0415 - a type above

    deleted: Counter[str] = Counter()
    for progress in retention.steps(database, policy, now):
        deleted.update(progress.rows)
    return deleted
