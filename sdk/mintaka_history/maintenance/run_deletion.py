"""Deletes whole flow runs in short transactions, so that ingest continues between them.

A step deletes at most `_ROWS_LIMIT` rows and takes about `_SECONDS`. The row of a run goes last, with that of the run that
called it after it: if the process ends in the middle, the same runs are found again. A run of which a part is left is marked
as incomplete.
"""

from __future__ import annotations

import json
from collections import Counter
from time import monotonic
from typing import TYPE_CHECKING, Any, NamedTuple

from mintaka_history.enum_codes import NameKind
from mintaka_history.maintenance.statements import IN_CLUSTER, TERMINAL, among
from mintaka_history.writing.names import find_ids

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from mintaka_history.maintenance.due_runs import Member
    from mintaka_history.writing.sessions import Session

_RUNS_LIMIT = 500
_ROWS_LIMIT = 20_000
_CHUNK = 1_000
_SECONDS = 0.04
_TAGS_AT_ONCE = 200

#: The tables whose rows belong to a flow run and begin with its number, and the rest of the order in which they are deleted.
_ORDERED = {
    "logs": ("attempt", "seq"),
    "artifacts": ("id",),
    "flow_run_transitions": ("seq",),
    "attempts": ("attempt",),
    "events": ("at", "id"),
}
_TAG_KEYS = {
    "task_run_tags": (("tag", "int"), ("created", "bigint"), ("flow_run", "bigint"), ("attempt", "smallint"), ("n", "int")),
    "flow_run_tags": (("tag", "int"), ("created", "bigint"), ("flow_run", "bigint")),
}


class Step(NamedTuple):
    """The result of a step: the number of rows deleted by table, and whether nothing is left of the runs."""

    rows: Counter[str]
    done: bool


def slices(trees: Iterable[Sequence[Member]]) -> Iterator[list[Member]]:
    """The runs of trees, called ones first, in parts that are deleted together."""
    part: list[Member] = []
    for tree in trees:
        if part and len(part) + len(tree) > _RUNS_LIMIT:
            yield part
            part = []
        part += tree
        while len(part) > _RUNS_LIMIT:
            yield part[:_RUNS_LIMIT]
            part = part[_RUNS_LIMIT:]
    if part:
        yield part


def delete_some(session: Session, runs: Sequence[Member]) -> Step:
    """Delete rows of `runs`; repeat it in further transactions until it is done.

    Runs that changed since they were found, and the other runs of their trees, are left alone.
    """
    until, rows = monotonic() + _SECONDS, Counter[str]()
    numbers = _lock_unchanged(session, runs)
    if not numbers:
        return Step(rows, done=True)
    for table in ("task_runs", *_ORDERED):
        chunk = _CHUNK
        while chunk == _CHUNK:
            # A step that has deleted nothing continues: on a slow machine it would never end otherwise.
            if rows.total() and (monotonic() >= until or rows.total() >= _ROWS_LIMIT):
                condition, values = among(session, numbers)
                session.run(f"UPDATE flow_runs SET gap = true WHERE no {condition} AND NOT gap", values)  # noqa: S608 - placeholders
                return Step(rows, done=False)
            chunk = _delete_task_runs(session, numbers, rows) if table == "task_runs" else _delete_chunk(session, table, numbers)
            rows[table] += chunk
    _delete_rest(session, numbers, rows)
    return Step(rows, done=True)


def _lock_unchanged(session: Session, runs: Sequence[Member]) -> list[int]:
    """The numbers of those runs that may be deleted; no other transaction changes them until this one ends.

    Rows that another transaction has locked are skipped, not waited for, so that there is no deadlock.
    """
    roots = {member.root for member in runs}
    condition, values = among(session, sorted({member.no for member in runs} | roots))
    lock = " FOR UPDATE SKIP LOCKED" if session.postgresql else ""
    found = dict(
        session.run(
            f"SELECT f.no, f.sequence FROM flow_runs AS f WHERE f.no {condition} AND f.state IN ({TERMINAL}) AND NOT {IN_CLUSTER}{lock}",  # noqa: S608
            values,
        )
    )
    condition, values = among(session, [member.no for member in runs])
    called = session.run(f"SELECT no, parent FROM flow_runs WHERE parent {condition}", values)  # noqa: S608 - placeholders
    present = {member.no: member.root for member in runs}
    changed = {present[parent] for no, parent in called if no not in present}
    changed |= {root for root in roots if root not in found} | {member.root for member in runs if found.get(member.no) != member.sequence}
    return sorted(member.no for member in runs if member.root not in changed)


def _delete_chunk(session: Session, table: str, numbers: list[int]) -> int:
    """Delete at most `_CHUNK` rows of a table, in the order of its key; return their number."""
    key = ", ".join(("flow_run", *_ORDERED[table]))
    condition, values = among(session, numbers)
    # The statements are built from our own words; every value is bound.
    last = session.run(f"SELECT {key} FROM {table} WHERE flow_run {condition} ORDER BY {key} LIMIT 1 OFFSET {_CHUNK - 1}", values)  # noqa: S608
    bound = f" AND ({key}) <= ({', '.join('?' * len(last[0]))})" if last else ""
    deleted = session.run(
        f"DELETE FROM {table} WHERE flow_run {condition}{bound} RETURNING 1",  # noqa: S608
        [*values, *(last[0] if last else ())],
    )
    return len(deleted)


def _delete_task_runs(session: Session, numbers: list[int], rows: Counter[str]) -> int:
    """Delete at most `_CHUNK` task runs and their tags, which are found by the tags in their rows."""
    condition, values = among(session, numbers)
    found = session.run(
        f"SELECT flow_run, attempt, n, created, tags FROM task_runs WHERE flow_run {condition} ORDER BY flow_run, attempt, n LIMIT {_CHUNK}",  # noqa: S608
        values,
    )
    if not found:
        return 0
    tagged = [(tag, created, run, attempt, n) for run, attempt, n, created, tags in found if tags for tag in json.loads(tags)]
    rows["task_run_tags"] += _delete_tags(session, "task_run_tags", tagged)
    session.run(
        f"DELETE FROM task_runs WHERE flow_run {condition} AND (flow_run, attempt, n) <= (?, ?, ?)",  # noqa: S608
        [*values, *found[-1][:3]],
    )
    return len(found)


def _delete_rest(session: Session, numbers: list[int], rows: Counter[str]) -> None:
    """Delete the few rows that are left of runs, at last their own."""
    condition, values = among(session, numbers)
    found = session.run(f"SELECT no, created, tags FROM flow_runs WHERE no {condition} AND tags IS NOT NULL", values)  # noqa: S608
    rows["flow_run_tags"] += _delete_tags(
        session, "flow_run_tags", [(tag, created, number) for number, created, tags in found for tag in json.loads(tags)]
    )
    for table, column in (("pauses", "flow_run"), ("concurrency_leases", "flow_run")):
        statement = f"DELETE FROM {table} WHERE {column} IN (SELECT uid FROM flow_runs WHERE no {condition}) RETURNING 1"  # noqa: S608
        rows[table] += len(session.run(statement, values))
    rows["flow_runs"] += len(session.run(f"DELETE FROM flow_runs WHERE no {condition} RETURNING 1", values))  # noqa: S608


def _delete_tags(session: Session, table: str, keys: Sequence[tuple[Any, ...]]) -> int:
    """Delete rows by keys whose first value is the tag's text."""
    tags = sorted({key[0] for key in keys})
    ids = find_ids(session, [(NameKind.TAG, tag) for tag in tags])
    known = [(ids[NameKind.TAG, key[0]], *key[1:]) for key in keys if (NameKind.TAG, key[0]) in ids]
    deleted = 0
    for start in range(0, len(known), _TAGS_AT_ONCE):
        chunk = known[start : start + _TAGS_AT_ONCE]
        columns = _TAG_KEYS[table]
        names = ", ".join(name for name, _ in columns)
        if session.postgresql:
            arrays = ", ".join(f"?::{kind}[]" for _, kind in columns)
            same = " AND ".join(f"t.{name} = k.{name}" for name, _ in columns)
            statement = f"DELETE FROM {table} AS t USING unnest({arrays}) AS k({names}) WHERE {same} RETURNING 1"  # noqa: S608
            values: list[Any] = [list(column) for column in zip(*chunk, strict=True)]
        else:
            places = ", ".join([f"({', '.join('?' * len(columns))})"] * len(chunk))
            statement = f"DELETE FROM {table} WHERE ({names}) IN (VALUES {places}) RETURNING 1"  # noqa: S608
            values = [value for key in chunk for value in key]
        deleted += len(session.run(statement, values))
    return deleted
