"""Writes the attempts of flow runs. Their columns are only ever completed: an older status empties none."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import and_, func, not_

from mintaka_history.queries.arrays import columns, unnested
from mintaka_history.queries.dialects import insert, is_postgresql
from mintaka_history.tables import attempts

if TYPE_CHECKING:
    from sqlalchemy import Connection

_KEY = ("flow_run", "attempt")
_ALL = tuple(column.name for column in attempts.c)
_COMPLETED = tuple(name for name in _ALL if name not in _KEY)


def _statement(first: str, second: str) -> str:
    """An upsert in which a column of `first` goes over that of `second`; rows that would not change are not written again."""
    values = ", ".join(f"COALESCE({first}.{name}, {second}.{name})" for name in _COMPLETED)
    stored = ", ".join(f"attempts.{name}" for name in _COMPLETED)
    return (
        f"INSERT INTO attempts ({', '.join(_ALL)}) SELECT * FROM {{source}} ON CONFLICT (flow_run, attempt) "  # noqa: S608 - our own names
        f"DO UPDATE SET ({', '.join(_COMPLETED)}) = ROW({values}) WHERE ({stored}) IS DISTINCT FROM ({values})"
    )


_POSTGRESQL = {True: _statement("excluded", "attempts"), False: _statement("attempts", "excluded")}


def write_attempts(connection: Connection, rows: list[dict[str, Any]], *, newer: bool) -> None:
    """Write attempts; `newer` ones go over what is stored, others only fill in what is missing."""
    if not rows:
        return
    rows = sorted(rows, key=lambda row: (row["flow_run"], row["attempt"]))
    if is_postgresql(connection):
        connection.exec_driver_sql(_POSTGRESQL[newer].format(source=unnested(attempts, _ALL)), columns(rows, _ALL))
        return
    statement = insert(connection, attempts)
    new = statement.excluded
    values = {
        name: func.coalesce(new[name], attempts.c[name]) if newer else func.coalesce(attempts.c[name], new[name]) for name in _COMPLETED
    }
    same = and_(*(attempts.c[name].is_not_distinct_from(value) for name, value in values.items()))
    connection.execute(statement.on_conflict_do_update(index_elements=list(_KEY), set_=values, where=not_(same)), rows)
