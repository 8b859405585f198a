"""The jobs of maintenance, each a series of short transactions: a step ends before each item of the iterator.

To be called in a writer's thread. Each raises AnotherProcess if another process maintains the database at the moment, and
DatabaseAway if the database cannot be reached or a table was in use for too long; the step did nothing then.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from mintaka_history.maintenance import counts, feed, free_pages, leftovers, partitions
from mintaka_history.maintenance.statements import AnotherProcess, is_alone
from mintaka_history.queries.dialects import SqlalchemySession

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from mintaka_history.database import Database
    from mintaka_history.maintenance.partitions import Filled
    from mintaka_history.maintenance.unused_names import UnusedNames
    from mintaka_history.writing.sessions import Session


@contextmanager
def step(database: Database) -> Iterator[SqlalchemySession]:
    """A transaction that excludes other processes' maintenance."""
    with database.writing() as connection:
        session = SqlalchemySession(connection)
        if not is_alone(session):
            message = "another process maintains the database"
            raise AnotherProcess(message)
        yield session


@contextmanager
def search(database: Database) -> Iterator[SqlalchemySession]:
    """A transaction that only reads: on SQLite it does not block writers, on PostgreSQL it may take longer than a request."""
    with database.writing() if database.is_postgresql else database.reading() as connection:
        yield SqlalchemySession(connection)


def add_up_counts(database: Database) -> Iterator[None]:
    """Add up the counts that transactions left."""
    yield from _repeat(database, counts.add_up)


def trim_feed(database: Database, now: int) -> Iterator[None]:
    """Delete old changes."""
    yield from _repeat(database, lambda session: feed.trim(session, now))


def tidy(database: Database, now: int) -> Iterator[None]:
    """Delete counts of zero and rows that are no longer read, and give space back to the file system."""
    yield from _repeat(database, counts.drop_zeros)
    yield from _repeat(database, lambda session: bool(leftovers.delete_leftovers(session, now)))
    if not database.is_postgresql:
        yield from _repeat(database, free_pages.release)


def rows_in_default(database: Database) -> dict[str, int]:
    """The number of rows in the default partition of each table, up to a bound; {} on SQLite."""
    if not database.is_postgresql:
        return {}
    with search(database) as session:
        return {table: partitions.rows_in_default(session, table) for table in partitions.TABLES}


def make_partitions(database: Database, now: int) -> Iterator[Filled]:
    """Make the partitions that are missing at the time `now` (µs), those of this week and later ones first."""
    for table in partitions.TABLES if database.is_postgresql else ():
        with search(database) as session:
            gaps = sorted(partitions.missing(session, table, now))
        while gaps:
            with step(database) as session:
                filled = partitions.fill(session, gaps.pop())
            gaps += filled.left
            yield filled


def collect_names(database: Database, names: UnusedNames, now: int) -> Iterator[int]:
    """Delete names that are not used any more; each item is a number of names."""
    while True:
        with search(database) as session:
            found = names.find(session, now)
        if found is None:
            return
        if found:
            with step(database) as session:
                deleted = names.delete(session, found)
            yield deleted


def _repeat(database: Database, work: Callable[[Session], bool]) -> Iterator[None]:
    more = True
    while more:
        with step(database) as session:
            more = work(session)
        yield
