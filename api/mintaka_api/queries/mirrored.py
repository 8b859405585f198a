"""Writes what the mirror saw of flow runs: their rows, transitions and attempts.

Every write is idempotent and may arrive in any order: a row is replaced only by a higher sequence (or, at the same
sequence, a higher resourceVersion), and a transition is written once. There are two exceptions. The transition that the API
itself records for a run that vanished is replaced by the operator's own (`vanished.py`). A row that
belongs to another cluster (both were restored from one backup, or `clusterName` was changed) is taken over by a run that
exists here and is not behind; a run that left this cluster changes nothing of it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any

from sqlalchemy import Boolean, and_, bindparam, case, func, or_, select, update

from mintaka_api.queries.gaps import GAP, record_gaps
from mintaka_api.queries.mirrored_attempts import write_attempts
from mintaka_api.queries.mirrored_calls import Call, link_called
from mintaka_api.queries.vanished import VANISHED_RULE, return_vanished
from mintaka_history.queries import numbers
from mintaka_history.queries.arrays import columns, unnested
from mintaka_history.queries.dialects import insert, is_postgresql
from mintaka_history.tables import flow_run_tags, flow_run_transitions, flow_runs

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection, Update

    from mintaka_history.queries.numbers import Stored

_UPDATED = tuple(
    column.name
    for column in flow_runs.c
    if column.name
    not in {
        *("no", "uid", "tags", "gap", "deleted", "counts", "reported", "reported_attempt", "final_attempt", "flow", "holder", "heard"),
        *("parent", "root", "parent_n"),  # `mirrored_calls`
        # Parameters never change, except that a schema change may make some secret; once masked they stay masked.
        "parameters",
        # The process reports it before the cluster has a condition.
        "history_reason",
    }
)
_SENT = ("uid", *_UPDATED, "deleted", "gap", "tags", "parameters", "history_reason")
_TRANSITION = tuple(column.name for column in flow_run_transitions.c)
# The statements are built from our own column names; every value is bound.
_POSTGRESQL_UPDATE = f"""
UPDATE flow_runs AS f
SET {", ".join(f"{name} = a.{name}" for name in (*_UPDATED, "deleted"))},
    history_reason = CASE WHEN a.history_condition IS NULL THEN f.history_reason ELSE a.history_reason END,
    gap = f.gap OR a.gap, tags = CASE WHEN f.sequence = 0 THEN a.tags ELSE f.tags END, parameters = COALESCE(f.parameters, a.parameters)
FROM {{source}}
WHERE f.uid = a.uid AND (
    f.sequence < a.sequence OR f.sequence = a.sequence AND (f.resource_version < a.resource_version OR f.cluster <> a.cluster)
)
"""  # noqa: S608
_POSTGRESQL_TRANSITIONS = f"""
INSERT INTO flow_run_transitions ({", ".join(_TRANSITION)}) SELECT * FROM {{source}}
ON CONFLICT (flow_run, seq) DO UPDATE
SET {", ".join(f"{name} = excluded.{name}" for name in _TRANSITION if name not in {"flow_run", "seq"})}
WHERE flow_run_transitions.rule = '{VANISHED_RULE}' AND excluded.rule IS DISTINCT FROM '{VANISHED_RULE}'
    OR flow_run_transitions.verdict = '{GAP}'
"""  # noqa: S608


@dataclass(slots=True)
class MirroredRun:
    """One flow run as it was seen: `row` has the columns of `flow_runs` except `no`, `transitions` those of
    `flow_run_transitions`, in order, `attempts` those of `attempts`, both without `flow_run`.

    `tags` are ids of names, `call` identifies the caller.
    """

    row: dict[str, Any]
    transitions: list[dict[str, Any]]
    tags: list[int] = field(default_factory=list)
    attempts: list[dict[str, Any]] = field(default_factory=list)
    call: Call | None = None

    @property
    def version(self) -> tuple[int, int]:
        """What orders the versions of a run within one cluster."""
        return self.row["sequence"], self.row["resource_version"]


@dataclass(frozen=True, slots=True)
class Written:
    """The result of one batch: the number of transitions written, of runs with missing transitions, and the names of runs
    that belonged to another cluster: those taken over, and those left alone.
    """

    transitions: int = 0
    gaps: int = 0
    taken_over: tuple[str, ...] = ()
    left_alone: tuple[str, ...] = ()


def write_runs(connection: Connection, runs: Sequence[MirroredRun]) -> Written:
    """Write `runs` (each uid once) with the transitions that are not stored yet."""
    known = numbers.stored(connection, [run.row["uid"] for run in runs])
    foreign = [run for run in runs if _is_foreign(run, known.get(run.row["uid"]))]
    left_alone = {run.row["uid"]: run.row["name"] for run in foreign if not _takes_over(run, known[run.row["uid"]])}
    if left_alone:
        runs = [run for run in runs if run.row["uid"] not in left_alone]
    return_vanished(connection, runs, known)
    unknown = [run for run in runs if run.row["uid"] not in known]
    inserted = numbers.insert_new(connection, [run.row for run in unknown]) if unknown else set()
    rest = [run for run in runs if run.row["uid"] not in inserted]
    if rest:
        _update(connection, sorted((run.row for run in rest), key=lambda row: row["uid"]))
    stored = known | (numbers.stored(connection, [run.row["uid"] for run in unknown]) if unknown else {})
    written, gaps = _write_transitions(connection, runs, known, stored)
    _write_attempts(connection, runs, known, stored)
    link_called(connection, {stored[run.row["uid"]].no: run.call for run in runs if run.call is not None})
    first_seen = [run for run in runs if run.tags and (run.row["uid"] not in known or known[run.row["uid"]].sequence == 0)]
    tags = [{"tag": tag, "created": run.row["created"], "flow_run": stored[run.row["uid"]].no} for run in first_seen for tag in run.tags]
    if tags:
        connection.execute(insert(connection, flow_run_tags).on_conflict_do_nothing(), tags)
    taken_over = (run.row["name"] for run in foreign if run.row["uid"] not in left_alone)
    return Written(written, gaps, tuple(taken_over), tuple(left_alone.values()))


def _is_foreign(run: MirroredRun, stored: Stored | None) -> bool:
    return stored is not None and stored.cluster is not None and stored.cluster != run.row["cluster"]


def _takes_over(run: MirroredRun, stored: Stored) -> bool:
    """Whether a run replaces the row of another cluster: it exists here, and is not behind. Resource versions cannot be compared."""
    sequence: int = run.row["sequence"]
    return run.row["deleted"] is None and (sequence >= stored.sequence or (stored.deleted is not None and sequence == stored.sequence - 1))


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


def resource_version_of(connection: Connection, uid: str) -> int | None:
    """The stored resource version of a flow run; None if it is unknown."""
    return connection.scalar(select(flow_runs.c.resource_version).where(flow_runs.c.uid == uid))


def _update(connection: Connection, rows: list[dict[str, Any]]) -> None:
    """Replace the stored rows that are older than `rows`."""
    if is_postgresql(connection):
        connection.exec_driver_sql(_POSTGRESQL_UPDATE.format(source=unnested(flow_runs, _SENT)), columns(rows, _SENT))
        return
    connection.execute(_sqlite_update(), [{f"{name}_": value for name, value in row.items()} for row in rows])


@cache
def _sqlite_update() -> Update:
    """The statement, built once: that takes longer than running it for one row."""
    newer = or_(
        flow_runs.c.sequence < bindparam("sequence_"),
        and_(
            flow_runs.c.sequence == bindparam("sequence_"),
            or_(flow_runs.c.resource_version < bindparam("resource_version_"), flow_runs.c.cluster != bindparam("cluster_")),
        ),
    )
    values: dict[str, Any] = {name: bindparam(f"{name}_") for name in _UPDATED}
    values["deleted"] = bindparam("deleted_")
    values["gap"] = or_(flow_runs.c.gap, bindparam("gap_", type_=Boolean))
    values["parameters"] = func.coalesce(flow_runs.c.parameters, bindparam("parameters_"))
    values["history_reason"] = case(
        (bindparam("history_condition_", type_=Boolean).is_(None), flow_runs.c.history_reason), else_=bindparam("history_reason_")
    )
    values["tags"] = case((flow_runs.c.sequence == 0, bindparam("tags_")), else_=flow_runs.c.tags)
    return update(flow_runs).where(flow_runs.c.uid == bindparam("uid_"), newer).values(values)


def _write_transitions(
    connection: Connection, runs: Sequence[MirroredRun], known: dict[str, Stored], stored: dict[str, Stored]
) -> tuple[int, int]:
    """Write the transitions that are not stored yet; return their number and that of runs with new gaps."""
    rows: list[dict[str, Any]] = []
    incomplete, gaps = [], 0
    for run in runs:
        if not run.transitions:
            continue
        before = known.get(run.row["uid"])
        number, sequence = stored[run.row["uid"]].no, before.sequence if before else 0
        new_gap = _has_gap(run.transitions, sequence)
        if new_gap or (before and before.gap):
            incomplete.append(number)
            gaps += new_gap
            sequence = 0
        elif before and before.deleted is not None:
            sequence = 0
        rows.extend({"flow_run": number, **transition} for transition in run.transitions if transition["seq"] > sequence)
    if rows:
        _insert_transitions(connection, rows)
    if incomplete:
        record_gaps(connection, incomplete)
    return len(rows), gaps


def _has_gap(transitions: Sequence[dict[str, Any]], before: int) -> bool:
    """Whether numbers are missing between `before`, the last one that is stored, and the last of `transitions`."""
    first: int = transitions[0]["seq"]
    last: int = transitions[-1]["seq"]
    if first <= before + 1 and last - first + 1 == len(transitions):
        return False
    new = sum(1 for transition in transitions if transition["seq"] > before)
    return last - before > new


def _insert_transitions(connection: Connection, rows: list[dict[str, Any]]) -> None:
    """Insert transitions; those that are stored stay, unless they were invented for a run that vanished, or represent a gap."""
    if is_postgresql(connection):
        text = _POSTGRESQL_TRANSITIONS.format(source=unnested(flow_run_transitions, _TRANSITION))
        connection.exec_driver_sql(text, columns(rows, _TRANSITION))
        return
    statement = insert(connection, flow_run_transitions)
    new = statement.excluded
    replaced = {column.name: new[column.name] for column in flow_run_transitions.c if column.name not in {"flow_run", "seq"}}
    invented = and_(flow_run_transitions.c.rule == VANISHED_RULE, new.rule.is_distinct_from(VANISHED_RULE))
    where = or_(invented, flow_run_transitions.c.verdict == GAP)
    connection.execute(statement.on_conflict_do_update(index_elements=["flow_run", "seq"], set_=replaced, where=where), rows)


def _write_attempts(connection: Connection, runs: Sequence[MirroredRun], known: dict[str, Stored], stored: dict[str, Stored]) -> None:
    rows: dict[bool, list[dict[str, Any]]] = {True: [], False: []}
    for run in runs:
        if run.attempts:
            before = known.get(run.row["uid"])
            newer = before is None or run.version >= (before.sequence, before.resource_version)
            rows[newer].extend({"flow_run": stored[run.row["uid"]].no, **attempt} for attempt in run.attempts)
    for newer, found in rows.items():
        write_attempts(connection, found, newer=newer)
