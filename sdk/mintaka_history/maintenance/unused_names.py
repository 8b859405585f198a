"""Deletes names that no row refers to any more.

A writer gets the id of a name before it writes the rows, and caches ids for an hour at most. So that no writer ever writes an
id that was deleted, a name goes in two steps. First it is condemned, if it was not used for a day and no row refers to it:
`used` becomes negative. Then, `_CONDEMNED_SECONDS` later, it is deleted if that is still so and still no row refers to it.
In between every cached id expires, and a writer that requests the id again sets `used` first, in a committed transaction
(`writing.names.assign_ids`). The time in between is measured by a clock that cannot be set.
"""

from __future__ import annotations

import time
from collections import defaultdict
from typing import TYPE_CHECKING, NamedTuple

from sqlalchemy import Integer

from mintaka_history.enum_codes import NameKind
from mintaka_history.maintenance.statements import DAY_MICROSECONDS, HOUR_MICROSECONDS, among, number_at
from mintaka_history.tables import metadata

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from mintaka_history.writing.sessions import Session

UNUSED_MICROSECONDS = 25 * HOUR_MICROSECONDS
_CONDEMNED_SECONDS = 2 * 3600.0
_AT_ONCE = 500


class _Column(NamedTuple):
    """A column that refers to names; `indexed` if an index begins with it."""

    table: str
    name: str
    indexed: bool = True


#: Names of clusters are few, and never collected. A task run's namespace is that of its flow run.
_REFERENCES: dict[NameKind, tuple[_Column, ...]] = {
    NameKind.NAMESPACE: tuple(
        _Column(table.name, "ns", table.name in {"flow_runs", "events"})
        for table in metadata.sorted_tables
        if "ns" in table.c and isinstance(table.c.ns.type, Integer) and table.name not in {"changes", "task_runs"}
    ),
    NameKind.DEPLOYMENT: (_Column("flow_runs", "deployment"), _Column("flow_run_counts", "deployment")),
    NameKind.TASK: (_Column("task_runs", "task"),),
    NameKind.TAG: (_Column("flow_run_tags", "tag"), _Column("task_run_tags", "tag")),
    NameKind.FLOW: (_Column("flow_runs", "flow", indexed=False),),
}
#: Lines of logs have no index by logger: these go when every run that is older than their last use is gone.
_OF_LOGS = frozenset({NameKind.LOGGER, NameKind.CONTAINER})
_CANDIDATES = f"""
SELECT id, kind, used FROM names WHERE used < ? AND id > ? AND kind <> {int(NameKind.CLUSTER)}
  AND id < (SELECT max(id) FROM names) ORDER BY id LIMIT {_AT_ONCE}
"""  # noqa: S608 - our own number


class UnusedNames:
    """Collects names over many passes; since when a name is condemned is remembered by this process alone."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """`clock` returns seconds and cannot be set."""
        self._clock = clock
        self._condemned: dict[int, float] = {}
        self._seen: dict[int, float] = {}
        self._after = 0

    def find(self, session: Session, now: int) -> list[tuple[int, int]] | None:
        """Id and last use of some names that no row refers to and that were not used for a day at the time `now` (µs).

        Only reads. None at the end of a pass. The newest name is never found, since SQLite would assign its id again.
        """
        rows = session.run(_CANDIDATES, (now - UNUSED_MICROSECONDS, self._after))
        if not rows:
            self._after, self._condemned, self._seen = 0, self._seen, {}
            return None
        self._after = rows[-1][0]
        kinds: dict[int, list[int]] = defaultdict(list)
        for number, kind, _ in rows:
            kinds[kind].append(number)
        free = {number for kind in kinds if kind in _REFERENCES for number in _unreferenced(session, NameKind(kind), kinds[kind])}
        if not _OF_LOGS.isdisjoint(kinds):
            oldest = session.run("SELECT min(no) FROM flow_runs")[0][0]
            free |= {
                number
                for number, kind, used in rows
                if kind in _OF_LOGS and used and (oldest is None or oldest > number_at(abs(used) + DAY_MICROSECONDS))
            }
        return [(number, used) for number, _, used in rows if number in free]

    def delete(self, session: Session, found: Sequence[tuple[int, int]]) -> int:
        """Condemn names, or delete those that have been condemned for long enough; return the number of those deleted."""
        now = self._clock()
        ripe = []
        for number, used in found:
            if used > 0 and not session.run("UPDATE names SET used = -used WHERE id = ? AND used = ? RETURNING id", (number, used)):
                continue  # a writer has used it meanwhile
            since = self._seen[number] = now if used > 0 else self._condemned.get(number, now)
            if now - since >= _CONDEMNED_SECONDS:
                ripe.append(number)
        if not ripe:
            return 0
        condition, values = among(session, ripe)
        lock = " ORDER BY id FOR UPDATE SKIP LOCKED" if session.postgresql else ""
        chosen = f"SELECT id FROM names WHERE id {condition} AND used <= 0{lock}"  # noqa: S608 - placeholders
        return len(session.run(f"DELETE FROM names WHERE used <= 0 AND id IN ({chosen}) RETURNING id", values))  # noqa: S608


def _unreferenced(session: Session, kind: NameKind, ids: Sequence[int]) -> list[int]:
    """Those of `ids` that no row refers to."""
    left = set(ids)
    for table, column, indexed in _REFERENCES[kind]:
        condition, values = among(session, sorted(left))
        query = (  # the other form reads a table once, not once for each id
            f"SELECT n.id FROM names AS n WHERE n.id {condition} AND EXISTS (SELECT 1 FROM {table} AS t WHERE t.{column} = n.id)"  # noqa: S608
            if indexed
            else f"SELECT DISTINCT {column} FROM {table} WHERE {column} {condition}"  # noqa: S608
        )
        left -= {number for (number,) in session.run(query, values)}
        if not left:
            break
    return sorted(left)
