"""The feed of changes, in the order in which they were committed.

On PostgreSQL a number that a transaction takes early may become visible late, and a reader of "all after the last number" never
sees it. Rows are therefore read in the order of (transaction, number), and only those of transactions older than every open one:
nothing can be committed before a position that was read. An open transaction thus delays the feed, but never loses a change.
SQLite has one writer at a time, so its numbers are in order.

A position names the last row read. If that row is gone, because it is older than the stored changes or because the database was
restored, there may have been others after it: the reader has to read everything again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import ColumnElement, Select, bindparam, literal_column, select, tuple_

from mintaka_history.enum_codes import ChangeKind
from mintaka_history.history_responses import ChangeAnswer
from mintaka_history.queries.dialects import is_postgresql
from mintaka_history.tables import changes
from mintaka_history.timestamps import from_microseconds, now_microseconds

if TYPE_CHECKING:
    from sqlalchemy import Connection, Row

    from mintaka_history.queries.names import Names

_c = changes.c
#: The most changes that are read at once.
LIMIT = 1000
#: How long a position in an empty feed is good: changes are retained for longer, however many there are.
_EMPTY_GOOD_MICROSECONDS = 60 * 1_000_000
_COMMITTED: ColumnElement[int] = literal_column("pg_snapshot_xmin(pg_current_snapshot())::text::bigint")
_KINDS = {int(kind): kind.name.lower() for kind in ChangeKind}


class Position(NamedTuple):
    """A place in the feed: the last row read, and its time. In an empty feed `seq` is 0 and `at` the time of reading."""

    tx: int
    seq: int
    at: int


class Changes(NamedTuple):
    """What changed after a position, each object once, and the position to continue from.

    `more`: there are more already. `reset`: it is not known what changed; the list is empty.
    """

    items: list[ChangeAnswer]
    position: Position
    more: bool = False
    reset: bool = False


def newest(connection: Connection) -> Position:
    """The position after everything that is there."""
    row = connection.execute(_visible(connection).order_by(_c.tx.desc(), _c.seq.desc()).limit(1)).first()
    return Position(0, 0, now_microseconds()) if row is None else _position(row)


def after(connection: Connection, names: Names, position: Position, limit: int = LIMIT) -> Changes:
    """At most `limit` changes after `position`."""
    key = tuple_(bindparam(None, position.tx, type_=_c.tx.type), bindparam(None, position.seq, type_=_c.seq.type))
    query = _visible(connection).where(tuple_(_c.tx, _c.seq) >= key).order_by(_c.tx, _c.seq).limit(limit + 2)
    rows = list(connection.execute(query))
    if position.seq == 0:
        if now_microseconds() - position.at > _EMPTY_GOOD_MICROSECONDS:
            return Changes([], newest(connection), reset=True)
    elif not rows or _position(rows.pop(0)) != position:
        return Changes([], newest(connection), reset=True)
    shown = rows[:limit]
    if not shown:
        return Changes([], position if position.seq else Position(0, 0, now_microseconds()))
    latest: dict[str, Row[Any]] = {}
    for row in shown:
        latest.pop(row.object, None)
        latest[row.object] = row
    texts = names.values(connection, [row.ns for row in latest.values()])
    items = [ChangeAnswer(_KINDS.get(row.kind, "unknown"), row.object, texts[row.ns], from_microseconds(row.at)) for row in latest.values()]
    return Changes(items, _position(shown[-1]), more=len(rows) > limit)


def _visible(connection: Connection) -> Select[Any]:
    query = select(_c.tx, _c.seq, _c.at, _c.object, _c.ns, _c.kind)
    return query.where(_c.tx < _COMMITTED) if is_postgresql(connection) else query


def _position(row: Row[Any]) -> Position:
    return Position(row.tx, row.seq, row.at)
