"""Writes what the mirror saw: flow runs and their transitions, flow deployments, and what vanished.

Every write is idempotent and may arrive in any order: a row is replaced only by a higher sequence (or, at the same
sequence, a higher resourceVersion), and a transition is written once. The one exception is the transition that the API
itself records for a run that vanished: the operator's own transition replaces it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sqlalchemy import Boolean, and_, bindparam, case, func, or_, select, update

from mintaka_core.states import CANCELLED
from mintaka_history.enum_codes import STATE_CODES, TERMINAL_CODES
from mintaka_history.queries import numbers
from mintaka_history.queries.arrays import columns, unnested
from mintaka_history.queries.dialects import insert, is_postgresql
from mintaka_history.tables import flow_deployments, flow_run_tags, flow_run_transitions, flow_runs

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from sqlalchemy import Connection, Select

#: The rule under which the API records that a run left the cluster unfinished.
VANISHED_RULE = "end_what_was_deleted"
VANISHED_REASON = "Deleted"
VANISHED_MESSAGE = "the flow run was deleted from the cluster before it ended"
_CHUNK = 500

_UPDATED = tuple(
    column.name
    for column in flow_runs.c
    if column.name
    not in {
        *("no", "uid", "tags", "gap", "deleted", "counts", "reported", "reported_attempt", "final_attempt", "flow", "holder", "heard"),
        # Parameters never change, except that a schema change may make some secret; once masked they stay masked.
        "parameters",
    }
)
_SENT = ("uid", *_UPDATED, "deleted", "gap", "tags", "parameters")
_TRANSITION = tuple(column.name for column in flow_run_transitions.c)
# The statements are built from our own column names; every value is bound.
_POSTGRESQL_UPDATE = f"""
UPDATE flow_runs AS f
SET {", ".join(f"{name} = a.{name}" for name in (*_UPDATED, "deleted"))},
    gap = f.gap OR a.gap, tags = CASE WHEN f.sequence = 0 THEN a.tags ELSE f.tags END, parameters = COALESCE(f.parameters, a.parameters)
FROM {{source}}
WHERE f.uid = a.uid AND (f.sequence < a.sequence OR f.sequence = a.sequence AND f.resource_version < a.resource_version)
"""  # noqa: S608
_POSTGRESQL_TRANSITIONS = f"""
INSERT INTO flow_run_transitions ({", ".join(_TRANSITION)}) SELECT * FROM {{source}}
ON CONFLICT (flow_run, seq) DO UPDATE
SET {", ".join(f"{name} = excluded.{name}" for name in _TRANSITION if name not in {"flow_run", "seq"})}
WHERE flow_run_transitions.rule = '{VANISHED_RULE}' AND excluded.rule IS DISTINCT FROM '{VANISHED_RULE}'
"""  # noqa: S608


@dataclass(slots=True)
class MirroredRun:
    """One flow run as it was seen: `row` has the columns of `flow_runs` except `no`, `transitions` those of `flow_run_transitions`.

    `tags` are ids of names.
    """

    row: dict[str, Any]
    transitions: list[dict[str, Any]]
    tags: list[int] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Written:
    """The result of one batch: the number of transitions written and of runs with missing transitions."""

    transitions: int
    gaps: int


def write_runs(connection: Connection, runs: Sequence[MirroredRun]) -> Written:
    """Write `runs` (each uid once) with the transitions that are not stored yet."""
    known = numbers.stored(connection, [run.row["uid"] for run in runs])
    for run in runs:
        before = known[run.row["uid"]].sequence if run.row["uid"] in known else 0
        first = min((transition["seq"] for transition in run.transitions), default=before + 1)
        run.row["gap"] = first > before + 1
    unknown = [run for run in runs if run.row["uid"] not in known]
    inserted = numbers.insert_new(connection, [run.row for run in unknown]) if unknown else set()
    rest = [run for run in runs if run.row["uid"] not in inserted]
    if rest:
        _update(connection, sorted((run.row for run in rest), key=lambda row: row["uid"]))
    stored = known | (numbers.stored(connection, [run.row["uid"] for run in unknown]) if unknown else {})
    written = _write_transitions(connection, runs, known, stored)
    first_seen = [run for run in runs if run.tags and (run.row["uid"] not in known or known[run.row["uid"]].sequence == 0)]
    tags = [{"tag": tag, "created": run.row["created"], "flow_run": stored[run.row["uid"]].no} for run in first_seen for tag in run.tags]
    if tags:
        connection.execute(insert(connection, flow_run_tags).on_conflict_do_nothing(), tags)
    return Written(written, sum(run.row["gap"] for run in runs))


def write_deployments(connection: Connection, rows: list[dict[str, Any]]) -> None:
    """Write flow deployments (each uid once); an older resourceVersion changes nothing."""
    statement = insert(connection, flow_deployments)
    new = statement.excluded
    changed = {column.name: new[column.name] for column in flow_deployments.c if column.name != "uid"}
    older = or_(flow_deployments.c.resource_version <= new.resource_version, new.deleted.is_not(None))
    statement = statement.on_conflict_do_update(index_elements=["uid"], set_=changed, where=older)
    connection.execute(statement, sorted(rows, key=lambda row: row["uid"]))


def parameters_after(connection: Connection, namespace: int, deployment: int, after: int, limit: int) -> list[tuple[int, str]]:
    """Numbers and parameters of a deployment's runs that have parameters, in order, starting after the number `after`."""
    query = select(flow_runs.c.no, flow_runs.c.parameters).where(
        flow_runs.c.ns == namespace, flow_runs.c.deployment == deployment, flow_runs.c.no > after, flow_runs.c.parameters.is_not(None)
    )
    return [(row.no, row.parameters) for row in connection.execute(query.order_by(flow_runs.c.no).limit(limit))]


def replace_parameters(connection: Connection, parameters: dict[int, str]) -> None:
    """Replace the parameters of runs, by their numbers."""
    if parameters:
        statement = update(flow_runs).where(flow_runs.c.no == bindparam("number")).values(parameters=bindparam("shown"))
        connection.execute(statement, [{"number": number, "shown": shown} for number, shown in sorted(parameters.items())])


def live_runs(connection: Connection, namespace: int | None) -> dict[str, str]:
    """Resource version by uid of the runs that are in the cluster as far as the database knows."""
    query = select(flow_runs.c.uid, flow_runs.c.resource_version).where(flow_runs.c.deleted.is_(None))
    return _versions(connection, query if namespace is None else query.where(flow_runs.c.ns == namespace))


def live_deployments(connection: Connection, namespace: int | None) -> dict[str, str]:
    """Resource version by uid of the deployments that are in the cluster as far as the database knows."""
    query = select(flow_deployments.c.uid, flow_deployments.c.resource_version).where(flow_deployments.c.deleted.is_(None))
    return _versions(connection, query if namespace is None else query.where(flow_deployments.c.ns == namespace))


def _versions(connection: Connection, query: Select[Any]) -> dict[str, str]:
    return {row.uid: str(row.resource_version) for row in connection.execute(query)}


def vanish_runs(connection: Connection, uids: Collection[str], now: int) -> int:
    """Record that runs left the cluster without an event; unfinished ones become CANCELLED. Returns the number of runs."""
    count = 0
    for chunk in _chunks(sorted(uids)):
        columns = (flow_runs.c.no, flow_runs.c.sequence, flow_runs.c.state, flow_runs.c.attempt)
        rows = connection.execute(
            select(*columns).where(flow_runs.c.uid.in_(chunk), flow_runs.c.deleted.is_(None)).order_by(flow_runs.c.uid).with_for_update()
        ).all()
        count += len(rows)
        connection.execute(update(flow_runs).where(flow_runs.c.no.in_([row.no for row in rows])).values(deleted=now))
        unfinished = [row for row in rows if row.state not in TERMINAL_CODES]
        if unfinished:
            connection.execute(
                update(flow_runs)
                .where(flow_runs.c.no.in_([row.no for row in unfinished]))
                .values(sequence=flow_runs.c.sequence + 1, **vanished_state(now))
            )
            transitions = [{"flow_run": row.no, **vanished_transition(row.sequence, row.state, row.attempt, now)} for row in unfinished]
            connection.execute(insert(connection, flow_run_transitions).on_conflict_do_nothing(), transitions)
    return count


def vanish_deployments(connection: Connection, uids: Collection[str], now: int) -> None:
    """Record that deployments left the cluster without an event."""
    for chunk in _chunks(sorted(uids)):
        connection.execute(
            update(flow_deployments).where(flow_deployments.c.uid.in_(chunk), flow_deployments.c.deleted.is_(None)).values(deleted=now)
        )


def _chunks(uids: list[str]) -> Iterable[list[str]]:
    return (uids[start : start + _CHUNK] for start in range(0, len(uids), _CHUNK))


def _update(connection: Connection, rows: list[dict[str, Any]]) -> None:
    """Replace the stored rows that are older than `rows`."""
    if is_postgresql(connection):
        connection.exec_driver_sql(_POSTGRESQL_UPDATE.format(source=unnested(flow_runs, _SENT)), columns(rows, _SENT))
        return
    newer = or_(
        flow_runs.c.sequence < bindparam("sequence_"),
        and_(flow_runs.c.sequence == bindparam("sequence_"), flow_runs.c.resource_version < bindparam("resource_version_")),
    )
    values: dict[str, Any] = {name: bindparam(f"{name}_") for name in _UPDATED}
    values["deleted"] = bindparam("deleted_")
    values["gap"] = or_(flow_runs.c.gap, bindparam("gap_", type_=Boolean))
    values["parameters"] = func.coalesce(flow_runs.c.parameters, bindparam("parameters_"))
    values["tags"] = case((flow_runs.c.sequence == 0, bindparam("tags_")), else_=flow_runs.c.tags)
    statement = update(flow_runs).where(flow_runs.c.uid == bindparam("uid_"), newer).values(values)
    connection.execute(statement, [{f"{name}_": value for name, value in row.items()} for row in rows])


def _write_transitions(connection: Connection, runs: Sequence[MirroredRun], known: dict[str, Any], stored: dict[str, Any]) -> int:
    rows: list[dict[str, Any]] = []
    for run in runs:
        uid = run.row["uid"]
        before = known[uid].sequence if uid in known and not run.row["gap"] and known[uid].deleted is None else 0
        number = stored[uid].no
        rows.extend({"flow_run": number, **transition} for transition in run.transitions if transition["seq"] > before)
    if not rows:
        return 0
    if is_postgresql(connection):
        connection.exec_driver_sql(
            _POSTGRESQL_TRANSITIONS.format(source=unnested(flow_run_transitions, _TRANSITION)), columns(rows, _TRANSITION)
        )
        return len(rows)
    statement = insert(connection, flow_run_transitions)
    new = statement.excluded
    replaced = {column.name: new[column.name] for column in flow_run_transitions.c if column.name not in {"flow_run", "seq"}}
    invented = and_(flow_run_transitions.c.rule == VANISHED_RULE, new.rule.is_distinct_from(VANISHED_RULE))
    connection.execute(statement.on_conflict_do_update(index_elements=["flow_run", "seq"], set_=replaced, where=invented), rows)
    return len(rows)


def vanished_state(now: int) -> dict[str, Any]:
    """The columns of a flow run that left the cluster before it ended."""
    return {
        "state": STATE_CODES[CANCELLED],
        "state_name": None,
        "reason": VANISHED_REASON,
        "message": VANISHED_MESSAGE,
        "state_time": now,
        "ended": now,
    }


def vanished_transition(sequence: int, state: int, attempt: int, now: int) -> dict[str, Any]:
    """The transition that ends a flow run that left the cluster before it ended."""
    return {
        "seq": sequence + 1,
        "at": now,
        "attempt": attempt,
        "from_state": state,
        "to_state": STATE_CODES[CANCELLED],
        "proposed": STATE_CODES[CANCELLED],
        "name": None,
        "rule": VANISHED_RULE,
        "verdict": "Accept",
        "reason": VANISHED_REASON,
        "message": VANISHED_MESSAGE,
    }
