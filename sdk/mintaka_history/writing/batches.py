"""Writes one report: updates the flow run's row, upserts task runs, inserts tags, lines, artifacts and events; then called runs.

The hot statements have a form for each database. PostgreSQL: one INSERT … SELECT FROM unnest(arrays) with binary parameters
(38,700 rows a second on one connection; executemany achieved 13,600). SQLite: many rows per statement. There `executemany`
releases and reacquires the GIL for every row, and each time waits for any thread that computes meanwhile: 5 ms a row,
against 16 µs a row with 1,000 rows per statement.
"""

from __future__ import annotations

from functools import lru_cache
from itertools import chain
from typing import TYPE_CHECKING, Any, NamedTuple

from mintaka_history.writing import called_runs, crashes, runs
from mintaka_history.writing.report_rows import TASK_COLUMNS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mintaka_history.writing.report_rows import Contents, EventRow, LogRow, Rows
    from mintaka_history.writing.runs import Heading, Place
    from mintaka_history.writing.sessions import Session

_ARTIFACT_COLUMNS = ("id", "created", "updated", "n", "seq", "kind", "key", "description", "data")


class Written(NamedTuple):
    """The outcome: `current` is the run's attempt if the report cannot be of it, so that nothing was written (0: the run is not known);
    None on success. `previous` is the highest report of the attempt that was stored before (None: not known).
    """

    current: int | None
    previous: int | None = None


_TYPES = {"created": "bigint", "started": "bigint", "ended": "bigint", "state": "smallint", "subflow": "boolean"}
_TEXTS = frozenset({"state_name", "name", "reason", "message", "upstream", "tags", "history"})
_REPLACED = ", ".join(f"{name} = excluded.{name}" for name in TASK_COLUMNS if name not in {"n", "created"})
_CONFLICT = f"ON CONFLICT (flow_run, attempt, n) DO UPDATE SET {_REPLACED} WHERE task_runs.seq < excluded.seq"
_ARTIFACT = (
    f"INSERT INTO artifacts (flow_run, attempt, {', '.join(_ARTIFACT_COLUMNS)}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) "  # noqa: S608
    "ON CONFLICT (flow_run, id) DO UPDATE SET updated = excluded.updated, seq = excluded.seq, description = excluded.description, "
    "data = excluded.data WHERE artifacts.seq < excluded.seq"
)
# The statements are built from our own column names; every value is bound.
_POSTGRESQL_TAGS = (
    "INSERT INTO task_run_tags (flow_run, attempt, tag, created, n) "
    "SELECT %b::bigint, %b::smallint, * FROM unnest(%b::integer[], %b::bigint[], %b::integer[]) ON CONFLICT DO NOTHING"
)
_POSTGRESQL_LOGS = (
    "INSERT INTO logs (flow_run, attempt, seq, at, level, logger, n, message) SELECT %b::bigint, %b::smallint, * "
    "FROM unnest(%b::bigint[], %b::bigint[], %b::smallint[], %b::integer[], %b::integer[], %b::text[]) ON CONFLICT DO NOTHING"
)
_POSTGRESQL_EVENTS = (
    "INSERT INTO events (flow_run, ns, id, at, name, resource, payload) SELECT %b::bigint, %b::integer, * "
    "FROM unnest(%b::text[]::uuid[], %b::bigint[], %b::text[], %b::text[], %b::text[]) ON CONFLICT DO NOTHING"
)
_SQLITE_EVENTS = ("events", ("flow_run", "ns", "id", "at", "name", "resource", "payload"), "ON CONFLICT DO NOTHING")
_SQLITE_TASKS = ("task_runs", ("flow_run", "attempt", "ns", *TASK_COLUMNS), _CONFLICT)
_SQLITE_TAGS = ("task_run_tags", ("flow_run", "attempt", "tag", "created", "n"), "ON CONFLICT DO NOTHING")
_SQLITE_LOGS = ("logs", ("flow_run", "attempt", "seq", "at", "level", "logger", "n", "message"), "ON CONFLICT DO NOTHING")
#: Rows per statement, largest first; SQLite allows 32,766 values in one.
_SIZES = (1000, 100, 10, 1)


def write(session: Session, heading: Heading, stub: Mapping[str, Any], contents: Contents, *, late: bool = False) -> Written:
    """Write a report; `stub` is the flow run's row if it is not known yet.

    For a `late` report of an older attempt the rows are written, but not the run's own state.
    """
    advanced = runs.advance(session, heading)
    if advanced is None:
        current = runs.current_attempt(session, heading.uid)
        if current is None:
            if heading.mirroring and heading.attempt > 1 and contents.movement is None:
                return Written(0)
            runs.insert_new(session, stub)
        elif current > heading.attempt:
            if late and (place := runs.place_of(session, heading.uid)) is not None:
                _write_contents(session, place, heading, contents)
                return Written(None)
            return Written(current)
        advanced = runs.advance(session, heading)  # another writer may have inserted the row between the two queries
        if advanced is None:
            return Written(runs.current_attempt(session, heading.uid))
    movement = contents.movement
    if movement is not None:
        first = movement.transitions[0].seq
        if crashes.is_inferred(advanced.state, advanced.reason) and advanced.sequence >= first:
            crashes.recall(session, advanced.place.number, heading.attempt, first)
        runs.move(session, advanced.place.number, movement)
    _write_contents(session, advanced.place, heading, contents)
    if movement is not None and movement.ended is not None:
        crashes.crash_called(session, advanced.place.number)
    return Written(None, advanced.previous)


def _write_contents(session: Session, place: Place, heading: Heading, contents: Contents) -> None:
    """Write the rows of the report's flow run, and its called runs with theirs."""
    write_rows(session, (place.number, heading.attempt), contents.rows)
    numbers = [place.number]
    if contents.called:
        numbers += called_runs.write(session, place, heading, contents.called, write_rows)
    for of, events in contents.events:
        _write_events(session, (numbers[of], place.namespace), events)


def _write_events(session: Session, key: tuple[int, int], events: Sequence[EventRow]) -> None:
    if session.postgresql:
        session.run_native(_POSTGRESQL_EVENTS, (*key, *(list(column) for column in zip(*events, strict=True))))
    else:
        _insert_sqlite(session, _SQLITE_EVENTS, key, [(session.uid(event[0]), *event[1:]) for event in events])


def write_lines(session: Session, key: tuple[int, int], lines: Sequence[LogRow]) -> None:
    """Add lines to the log of an attempt; `key` is the flow run's number and the attempt."""
    if not session.postgresql:
        _insert_sqlite(session, _SQLITE_LOGS, key, lines)
    elif lines:
        session.run_native(_POSTGRESQL_LOGS, (*key, *(list(column) for column in zip(*lines, strict=True))))


def write_rows(session: Session, key: tuple[int, int], rows: Rows) -> None:
    """Write the rows of one flow run; `key` is its number and the attempt."""
    if session.postgresql:
        _write_postgresql(session, key, rows)
    else:
        _write_sqlite(session, key, rows)
    write_lines(session, key, rows.logs)
    for artifact in rows.artifacts:
        session.run(_ARTIFACT, (*key, session.uid(artifact[0]), *artifact[1:]))


def _type(name: str) -> str:
    return "text" if name in _TEXTS else _TYPES.get(name, "integer")


@lru_cache(maxsize=64)
def _postgresql_tasks(shared: tuple[bool, ...]) -> str:
    """The statement for reports in which the columns marked in `shared` have a single value."""
    values = [f"%b::{_type(name)}" if one else name for name, one in zip(TASK_COLUMNS, shared, strict=True)]
    arrays = [(name, f"%b::{_type(name)}[]") for name, one in zip(TASK_COLUMNS, shared, strict=True) if not one]
    source = f"unnest({', '.join(array for _, array in arrays)}) AS a({', '.join(name for name, _ in arrays)})"
    return (
        f"INSERT INTO task_runs (flow_run, attempt, ns, {', '.join(TASK_COLUMNS)}) "  # noqa: S608
        f"SELECT %b::bigint, %b::smallint, %b::integer, {', '.join(values)} FROM {source} {_CONFLICT}"
    )


def _write_postgresql(session: Session, key: tuple[int, int], rows: Rows) -> None:
    if rows.tasks:
        columns = [list(column) for column in zip(*rows.tasks, strict=True)]
        # Arrays cost the client most: a column with one value is sent as that value. `n` is always an array, since it sets the row count.
        shared = (False, *(column.count(column[0]) == len(column) for column in columns[1:]))
        ones = [column[0] for column, one in zip(columns, shared, strict=True) if one]
        arrays = [column for column, one in zip(columns, shared, strict=True) if not one]
        session.run_native(_postgresql_tasks(shared), (*key, rows.namespace, *ones, *arrays))
    if rows.tags:
        session.run_native(_POSTGRESQL_TAGS, (*key, *(list(column) for column in zip(*sorted(rows.tags), strict=True))))


@lru_cache(maxsize=64)
def _sqlite_insert(table: str, columns: tuple[str, ...], conflict: str, rows: int) -> str:
    row = f"({', '.join('?' * len(columns))})"
    return f"INSERT INTO {table} ({', '.join(columns)}) VALUES {', '.join([row] * rows)} {conflict}"  # noqa: S608


def _write_sqlite(session: Session, key: tuple[int, int], rows: Rows) -> None:
    _insert_sqlite(session, _SQLITE_TASKS, (*key, rows.namespace), rows.tasks)
    _insert_sqlite(session, _SQLITE_TAGS, key, rows.tags)


def _insert_sqlite(
    session: Session, into: tuple[str, tuple[str, ...], str], first: tuple[Any, ...], rows: Sequence[tuple[Any, ...]]
) -> None:
    """Insert `rows`, each after the values `first`, in statements of few sizes, which stay prepared."""
    start = 0
    for size in _SIZES:
        while len(rows) - start >= size:
            values = tuple(chain.from_iterable(chain(first, row) for row in rows[start : start + size]))
            session.run_native(_sqlite_insert(*into, size), values)
            start += size
