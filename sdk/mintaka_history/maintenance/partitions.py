"""PostgreSQL's partitions: one a week, made four weeks ahead; a partition goes as a whole when all of its runs are due.

`CREATE TABLE … PARTITION OF` locks the whole table against readers and writers. A partition is therefore created on its own,
with a constraint that makes a check of its rows unnecessary, and attached: that locks only the default partition, which is
normally empty. Rows that were written there for want of a partition are moved in the transaction that attaches it, at most
`_ROWS_AT_ONCE`; if there are more, the week gets several partitions. Every statement waits for a lock for half a second at
most: readers, who queue behind it meanwhile, give up after two.
"""

from __future__ import annotations

import re
from datetime import timedelta
from typing import TYPE_CHECKING, NamedTuple

from mintaka_history.enum_codes import TERMINAL_CODES
from mintaka_history.maintenance.due_runs import limit_of, texts_of
from mintaka_history.maintenance.statements import DAY_MICROSECONDS, ENDED, IN_CLUSTER, number_at, time_of, week_of
from mintaka_history.timestamps import to_microseconds

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from mintaka_history.maintenance.policy import RetentionPolicy
    from mintaka_history.writing.sessions import Session

#: The names of the partitioned tables (`tables.PARTITIONED`).
TABLES = ("task_runs", "task_run_tags", "logs")
WEEKS_AHEAD = 4
#: Weeks further back get no partition: only a wrong clock writes there.
_WEEKS_BACK = 260
_WEEK = timedelta(weeks=1)
_ROWS_AT_ONCE = 100_000
_LOCK_TIMEOUT = "SET LOCAL lock_timeout = '500ms'"
_BOUND = re.compile(r"FOR VALUES FROM \('(-?\d+)'\) TO \('(-?\d+)'\)")
_PARTITIONS = """
SELECT c.relname, pg_get_expr(c.relpartbound, c.oid), greatest(c.reltuples, 0)::bigint, pg_total_relation_size(c.oid)
FROM pg_inherits AS i JOIN pg_class AS c ON c.oid = i.inhrelid WHERE i.inhparent = to_regclass(?) ORDER BY c.relname
"""
_GROUPS = f"""
SELECT f.ns, f.deployment, f.state, f.parent IS NOT NULL, max({ENDED}), bool_or({IN_CLUSTER})
FROM flow_runs AS f WHERE f.no >= ? AND f.no < ? GROUP BY 1, 2, 3, 4
"""  # noqa: S608 - our own words
#: The runs outside a range that called runs in it, up to their roots.
_ANCESTORS = f"""
WITH RECURSIVE up(no) AS (
  SELECT parent FROM flow_runs WHERE no >= ? AND no < ? AND parent IS NOT NULL AND NOT (parent >= ? AND parent < ?)
  UNION SELECT p.parent FROM up JOIN flow_runs AS p ON p.no = up.no WHERE p.parent IS NOT NULL
)
SELECT f.ns, f.deployment, f.state, f.parent IS NOT NULL, max({ENDED}), bool_or({IN_CLUSTER})
FROM up JOIN flow_runs AS f ON f.no = up.no GROUP BY 1, 2, 3, 4
"""  # noqa: S608 - our own words
#: The runs outside a range that runs in it called.
_DESCENDANTS = f"""
WITH RECURSIVE down(no) AS (
  SELECT no FROM flow_runs WHERE parent >= ? AND parent < ? AND NOT (no >= ? AND no < ?)
  UNION SELECT c.no FROM down JOIN flow_runs AS c ON c.parent = down.no
)
SELECT f.ns, f.deployment, f.state, true, max({ENDED}), bool_or({IN_CLUSTER})
FROM down JOIN flow_runs AS f ON f.no = down.no GROUP BY 1, 2, 3, 4
"""  # noqa: S608 - our own words


class Partition(NamedTuple):
    """A partition for the runs with numbers from `low` to below `high`; `rows` and `size` (bytes) as PostgreSQL estimates them."""

    table: str
    name: str
    low: int
    high: int
    rows: int
    size: int


class Gap(NamedTuple):
    """A range of numbers of a table that has no partition."""

    table: str
    low: int
    high: int


class Filled(NamedTuple):
    """The partition that was made in a gap, the number of rows moved into it, and what is left of the gap."""

    name: str
    moved: int
    left: tuple[Gap, ...]


def partitions(session: Session, table: str) -> list[Partition]:
    """The partitions of a table, without the default one, in order."""
    found = []
    for name, bound, rows, size in session.run(_PARTITIONS, (table,)):
        if match := _BOUND.fullmatch(bound):
            found.append(Partition(table, name, int(match[1]), int(match[2]), rows, size))
    return sorted(found, key=lambda partition: partition.low)


def missing(session: Session, table: str, now: int) -> list[Gap]:
    """The gaps of a table: from this week to four weeks ahead, and each week of the last years that has rows in the default partition."""
    this = week_of(now)
    weeks = {this + _WEEK * ahead for ahead in range(WEEKS_AHEAD + 1)}
    first, last = number_at(to_microseconds(this - _WEEK * _WEEKS_BACK)), number_at(to_microseconds(this + _WEEK * (WEEKS_AHEAD + 1)))
    while rows := session.run(
        f"SELECT flow_run FROM {table}_default WHERE flow_run >= ? AND flow_run < ? ORDER BY flow_run LIMIT 1",  # noqa: S608
        (first, last),
    ):
        week = week_of(time_of(rows[0][0]))
        weeks.add(week)
        first = number_at(to_microseconds(week + _WEEK))
    present = [(partition.low, partition.high) for partition in partitions(session, table)]
    return [
        Gap(table, *gap)
        for week in sorted(weeks)
        for gap in _uncovered(number_at(to_microseconds(week)), number_at(to_microseconds(week + _WEEK)), present)
    ]


def rows_in_default(session: Session, table: str, limit: int = 10_000) -> int:
    """The number of rows in a table's default partition, at most `limit`."""
    return int(session.run(f"SELECT count(*) FROM (SELECT 1 FROM {table}_default LIMIT {limit}) AS r")[0][0])  # noqa: S608


def fill(session: Session, gap: Gap) -> Filled:
    """Make a partition in a gap, as large as can be done at once, and move its rows out of the default partition.

    Raises the database's error if a lock is not available soon.
    """
    table, low, high = gap
    session.run(_LOCK_TIMEOUT)
    session.run(f"LOCK TABLE ONLY {table} IN SHARE UPDATE EXCLUSIVE MODE")
    session.run(f"LOCK TABLE {table}_default IN ACCESS EXCLUSIVE MODE")
    left: list[Gap] = []
    within = f"FROM {table}_default WHERE flow_run >= ? AND flow_run < ?"
    ((first, last),) = session.run(f"SELECT min(flow_run), max(flow_run) {within}", (low, high))
    beyond = session.run(f"SELECT flow_run {within} ORDER BY flow_run LIMIT 1 OFFSET {_ROWS_AT_ONCE}", (low, high))
    if beyond and last + 1 < high:  # where new runs are written comes first, so that no more rows are added to the others
        left, low = [Gap(table, low, last + 1)], last + 1
    elif beyond:
        middle = max(beyond[0][0], first + 1)
        left, high = [Gap(table, middle, high)] if middle < high else [], middle
    name = _name(table, low, high)
    session.run(f"CREATE TABLE {name} (LIKE {table} INCLUDING ALL)")
    session.run(f"ALTER TABLE {name} ADD CONSTRAINT {name}_range CHECK (flow_run >= {low} AND flow_run < {high})")
    moved = session.run(
        f"WITH moved AS (DELETE {within} RETURNING *), added AS (INSERT INTO {name} SELECT * FROM moved RETURNING 1) "  # noqa: S608
        "SELECT count(*) FROM added",
        (low, high),
    )[0][0]
    session.run(f"ALTER TABLE {table} ATTACH PARTITION {name} FOR VALUES FROM ('{low}') TO ('{high}')")
    return Filled(name, int(moved), tuple(left))


def create_ahead(session: Session, now: int) -> None:
    """Make the partitions of an empty database."""
    for table in TABLES:
        for gap in missing(session, table, now):
            fill(session, gap)


def old_partitions(session: Session, policy: RetentionPolicy, now: int) -> list[Partition]:
    """The partitions of all tables that are older than the shortest limit: the others have runs that are not due."""
    shortest = policy.shortest()
    if shortest is None:
        return []
    before = number_at(now - shortest)
    return [partition for table in TABLES for partition in partitions(session, table) if partition.high <= before]


def weekly_bound(session: Session, policy: RetentionPolicy, now: int, dropped: Collection[Partition]) -> int:
    """The number up to which runs with the longest limit are deleted one by one: those of weeks that are over and have no partition
    (`dropped` are treated as gone), and those of weeks whose partition is held by other runs a day after all could be due.
    """
    limit = policy.longest() or 0
    over, waited = (number_at(to_microseconds(week_of(now - limit - grace))) for grace in (0, DAY_MICROSECONDS))
    present = [partition for table in TABLES for partition in partitions(session, table) if partition not in dropped]
    return max(waited, min([over, *(partition.low for partition in present if partition.high > waited)]))


def is_due(session: Session, policy: RetentionPolicy, now: int, low: int, high: int) -> bool:
    """Whether every run with a number from `low` to below `high` is due, and so are the runs that called it or that it called."""
    inside = session.run(_GROUPS, (low, high))
    above = session.run(_ANCESTORS, (low, high, low, high))
    below = session.run(_DESCENDANTS, (low, high, low, high))
    groups = [*inside, *above, *below]
    if any(state not in TERMINAL_CODES or in_cluster for _, _, state, _, _, in_cluster in groups):
        return False
    texts = texts_of(session, {number for ns, deployment, *_ in groups for number in (ns, deployment)})
    cutoff = now
    for ns, deployment, state, called, _, _ in groups:
        limit = None if called else limit_of(policy, texts, ns, deployment, state)
        if limit is None and not called:
            return False
        cutoff = min(cutoff, now - (limit or 0))
    # A called run goes with its root: it must have ended before the longest limit of any of the roots.
    return all(
        ended < (cutoff if called else now - (limit_of(policy, texts, ns, dep, state) or 0)) for ns, dep, state, called, ended, _ in groups
    )


def drop(session: Session, partition: Partition) -> None:
    """Drop a partition with its rows. Raises the database's error if a lock is not available soon."""
    session.run(_LOCK_TIMEOUT)
    session.run(f"DROP TABLE {partition.name}")


def _uncovered(low: int, high: int, present: list[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """The parts of a range that none of `present`, which are in order, covers."""
    for start, end in present:
        if end > low and start < high:
            if start > low:
                yield low, start
            low = max(low, end)
    if low < high:
        yield low, high


def _name(table: str, low: int, high: int) -> str:
    """A partition's name: that of its week or, for a part of a week, with its first number."""
    week = week_of(time_of(low))
    year, number, _ = week.isocalendar()
    name = f"{table}_{year}w{number:02}"
    whole = (low, high) == (number_at(to_microseconds(week)), number_at(to_microseconds(week + _WEEK)))
    return name if whole else f"{name}_{low:x}"
