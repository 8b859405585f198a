"""Triggers that maintain the counts of flow runs (`flow_run_counts`) and the feed of changes (`changes`).

A run counts in four rows: of its hour for its deployment, for its namespace and for everything, so that a histogram reads few rows
for any filter; and of its day for its deployment, so that counts over months do.

Flow runs are written at many places, by the mirror, by reports and by scripts in several releases of this code; a trigger cannot be
forgotten by any of them. On PostgreSQL one statement fires once for any number of rows. Heartbeats alone are not a change.
"""

from __future__ import annotations

from mintaka_history.enum_codes import ChangeKind
from mintaka_history.tables import ALL

_HOUR_MICROSECONDS = 3_600_000_000
#: The columns of which at least one changes when a reader should read a flow run again.
_SEEN = ("sequence", "attempt", "reported", "reported_attempt", "final_attempt", "resource_version", "deleted", "state", "state_name")
_COUNTED = ("created", "ns", "deployment", "state")

_SQLITE_NOW = "CAST(strftime('%s', 'now') AS INTEGER) * 1000000"


def _counted_rows(hour: str, namespace: str, deployment: str) -> tuple[tuple[str, str, str], ...]:
    """Hour, namespace and deployment of the rows in which a run counts."""
    day = f"-1 - {hour} / 24"
    return (hour, namespace, deployment), (hour, namespace, str(ALL)), (hour, str(ALL), str(ALL)), (day, namespace, deployment)


def _sqlite_count(row: str, change: str) -> str:
    keys = _counted_rows(f"max({row}.created, 0) / {_HOUR_MICROSECONDS}", f"{row}.ns", f"COALESCE({row}.deployment, 0)")
    values = ", ".join(f"({', '.join(key)}, {row}.state, 0, {change})" for key in keys)
    return (
        f"INSERT INTO flow_run_counts (hour, ns, deployment, state, part, n) VALUES {values} "  # noqa: S608 - our own words
        "ON CONFLICT (hour, ns, deployment, state, part) DO UPDATE SET n = n + excluded.n;"
    )


def _sqlite_change(row: str, uid: str, kind: ChangeKind) -> str:
    return f"INSERT INTO changes (tx, at, object, ns, kind) VALUES (0, {_SQLITE_NOW}, {row}.{uid}, {row}.ns, {int(kind)});"  # noqa: S608 - our own words


def _differ(columns: tuple[str, ...]) -> str:
    return " OR ".join(f"old.{name} IS NOT new.{name}" for name in columns)


def _sqlite_trigger(name: str, event: str, body: str, when: str = "") -> str:
    return f"CREATE TRIGGER {name} AFTER {event} {f'WHEN {when} ' if when else ''}BEGIN {body} END"


SQLITE = (
    _sqlite_trigger(
        "flow_run_inserted", "INSERT ON flow_runs", f"{_sqlite_count('new', '1')} {_sqlite_change('new', 'uid', ChangeKind.FLOW_RUN)}"
    ),
    _sqlite_trigger(
        "flow_run_counted",
        f"UPDATE OF {', '.join(_COUNTED)} ON flow_runs",
        f"{_sqlite_count('old', '-1')} {_sqlite_count('new', '1')}",
        _differ(_COUNTED),
    ),
    _sqlite_trigger(
        "flow_run_changed", f"UPDATE OF {', '.join(_SEEN)} ON flow_runs", _sqlite_change("new", "uid", ChangeKind.FLOW_RUN), _differ(_SEEN)
    ),
    _sqlite_trigger("flow_run_deleted", "DELETE ON flow_runs", _sqlite_count("old", "-1")),
    _sqlite_trigger("flow_deployment_inserted", "INSERT ON flow_deployments", _sqlite_change("new", "uid", ChangeKind.FLOW_DEPLOYMENT)),
    _sqlite_trigger(
        "flow_deployment_changed",
        "UPDATE OF resource_version, deleted ON flow_deployments",
        _sqlite_change("new", "uid", ChangeKind.FLOW_DEPLOYMENT),
    ),
)

_TRANSACTION = "pg_current_xact_id()::text::bigint"
_NOW = "(extract(epoch FROM clock_timestamp()) * 1000000)::bigint"


def _counted(rows: str, change: str) -> str:
    return (
        f"SELECT GREATEST(created, 0) / {_HOUR_MICROSECONDS} AS hour, ns, COALESCE(deployment, 0) AS deployment, state, "  # noqa: S608 - our own words
        f"sum({change}) AS change FROM {rows} GROUP BY 1, 2, 3, 4"
    )


def _count(source: str) -> str:
    keys = ", ".join(f"({', '.join(key)})" for key in _counted_rows("c.hour", "c.ns", "c.deployment"))
    return (
        "INSERT INTO flow_run_counts (hour, ns, deployment, state, part, n) "  # noqa: S608 - our own words
        f"SELECT k.hour, k.ns, k.deployment, c.state, {_TRANSACTION}, sum(c.change) FROM ({source}) AS c "
        f"CROSS JOIN LATERAL (VALUES {keys}) AS k(hour, ns, deployment) GROUP BY k.hour, k.ns, k.deployment, c.state "
        "HAVING sum(c.change) <> 0 ON CONFLICT (hour, ns, deployment, state, part) DO UPDATE SET n = flow_run_counts.n + excluded.n;"
    )


def _change(kind: ChangeKind, source: str = "new_rows AS n") -> str:
    return f"INSERT INTO changes (tx, at, object, ns, kind) SELECT {_TRANSACTION}, {_NOW}, n.uid, n.ns, {int(kind)} FROM {source};"  # noqa: S608 - our own words


_SEEN_ROWS = "new_rows AS n JOIN old_rows AS o ON o.no = n.no WHERE " + " OR ".join(f"o.{name} IS DISTINCT FROM n.{name}" for name in _SEEN)
_COUNTED_DIFFER = " OR ".join(f"o.{name} IS DISTINCT FROM n.{name}" for name in _COUNTED)


def _postgresql_trigger(name: str, event: str, table: str, body: str) -> tuple[str, str]:
    """A function and the trigger that calls it once for each statement."""
    rows = {
        "INSERT": "NEW TABLE AS new_rows",
        "UPDATE": "OLD TABLE AS old_rows NEW TABLE AS new_rows",
        "DELETE": "OLD TABLE AS old_rows",
    }[event]
    return (
        f"CREATE OR REPLACE FUNCTION mintaka_{name}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {body} RETURN NULL; END $$",
        f"CREATE OR REPLACE TRIGGER {name} AFTER {event} ON {table} REFERENCING {rows} FOR EACH STATEMENT EXECUTE FUNCTION mintaka_{name}()",
    )


POSTGRESQL = (
    *_postgresql_trigger("flow_run_inserted", "INSERT", "flow_runs", f"{_count(_counted('new_rows', '1'))} {_change(ChangeKind.FLOW_RUN)}"),
    *_postgresql_trigger(
        "flow_run_changed",
        "UPDATE",
        "flow_runs",
        f"IF EXISTS (SELECT FROM new_rows AS n JOIN old_rows AS o ON o.no = n.no WHERE {_COUNTED_DIFFER}) THEN "
        f"{_count(_counted('new_rows', '1') + ' UNION ALL ' + _counted('old_rows', '-1'))} END IF; {_change(ChangeKind.FLOW_RUN, _SEEN_ROWS)}",
    ),
    *_postgresql_trigger("flow_run_deleted", "DELETE", "flow_runs", _count(_counted("old_rows", "-1"))),
    *_postgresql_trigger("flow_deployment_inserted", "INSERT", "flow_deployments", _change(ChangeKind.FLOW_DEPLOYMENT)),
    *_postgresql_trigger("flow_deployment_changed", "UPDATE", "flow_deployments", _change(ChangeKind.FLOW_DEPLOYMENT)),
)
