"""Numbers of flow runs (`mintaka_history.writing.runs`), many at once; never exposed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import select

from mintaka_history.queries.arrays import columns, unnested
from mintaka_history.queries.dialects import insert, is_postgresql
from mintaka_history.tables import flow_runs
from mintaka_history.writing.runs import no_free_number, numbers_for

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sqlalchemy import Connection


class Stored(NamedTuple):
    """What is stored of a flow run; see the table's columns."""

    no: int
    sequence: int
    resource_version: int
    deleted: int | None
    cluster: int | None
    gap: bool


def stored(connection: Connection, uids: Iterable[str]) -> dict[str, Stored]:
    """The stored rows of `uids`, locked in uid order."""
    r = flow_runs.c
    query = select(r.uid, *(r[name] for name in Stored._fields)).where(r.uid.in_(list(uids))).order_by(r.uid).with_for_update()
    return {row[0]: Stored._make(row[1:]) for row in connection.execute(query)}


def insert_new(connection: Connection, rows: list[dict[str, Any]]) -> set[str]:
    """Insert those of `rows` (each with uid, created, …, without no) whose uid is unknown; return the inserted uids.

    Raises:
        NoFreeNumber: some could not be inserted.
    """
    inserted: set[str] = set()
    waiting = {row["uid"]: row for row in sorted(rows, key=lambda row: row["uid"])}
    numbers = {uid: numbers_for(uid, row["created"]) for uid, row in waiting.items()}
    while waiting:
        tried = {uid: next(numbers[uid], None) for uid in waiting}
        if none_left := [uid for uid, number in tried.items() if number is None]:
            raise no_free_number(none_left)
        inserted |= _inserted(connection, [row | {"no": tried[uid]} for uid, row in waiting.items()])
        left = [uid for uid in waiting if uid not in inserted]
        known = stored(connection, left) if left else {}
        waiting = {uid: waiting[uid] for uid in left if uid not in known}
    return inserted


def _inserted(connection: Connection, rows: list[dict[str, Any]]) -> set[str]:
    """Insert `rows`, all with the same columns, if neither uid nor number is taken; return the inserted uids."""
    if not is_postgresql(connection):
        statement = insert(connection, flow_runs).on_conflict_do_nothing().returning(flow_runs.c.uid)
        return {row.uid for row in connection.execute(statement, rows)}
    names = tuple(rows[0])
    text = f"INSERT INTO flow_runs ({', '.join(names)}) SELECT * FROM {unnested(flow_runs, names)} ON CONFLICT DO NOTHING RETURNING uid"  # noqa: S608
    return {str(row.uid) for row in connection.exec_driver_sql(text, columns(rows, names))}
