"""Ingests reports: one transaction each, acknowledged only after the commit. Any repetition is harmless."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mintaka_history.batch_rows import names_of, rows_of_batch
from mintaka_history.container_logs import parse
from mintaka_history.database import PartitionMade
from mintaka_history.enum_codes import NameKind
from mintaka_history.queries.dialects import SqlalchemySession
from mintaka_history.tables import PARTITIONED
from mintaka_history.timestamps import now_microseconds
from mintaka_history.writing import container_logs

if TYPE_CHECKING:
    from collections.abc import Callable

    from mintaka_history.batches import HistoryBatch
    from mintaka_history.database import Database
    from mintaka_history.queries.names import Names


def store_batch(
    database: Database, names: Names, uid: str, report: HistoryBatch, *, late: bool = False, mirroring: bool = False
) -> int | None:
    """Store `report` of the flow run `uid`, which counts as a heartbeat of the run's process unless it is `late`. Must be called
    in a writer's thread. `mirroring`: a mirror writes the cluster's runs to the same database. Returns the highest report of its
    attempt that was stored before (0: none; None: not known).

    Raises:
        StaleAttempt: the attempt was replaced; nothing was written.
        UnknownAttempt: the attempt is beyond what the mirror knows; nothing was written.
        MalformedBatch: a called run is one of another flow run; nothing was written.
    """
    epoch = database.epoch
    ids = names.ids_of(database, names_of(report))
    rows = rows_of_batch(uid, report, ids, heard=now_microseconds(), late=late, mirroring=mirroring)

    def store() -> int | None:
        with database.writing(epoch=epoch) as connection:
            session = SqlalchemySession(connection)
            if late:  # its container's log may have been copied meanwhile
                return rows.with_lines(container_logs.adopt(session, uid, report.attempt, rows.rows.logs)).store(session)
            return rows.store(session)

    return _stored(store)


def copy_container_log(
    database: Database, names: Names, key: tuple[int, int], container: str, text: str, *, truncated: bool, origin: str
) -> int:
    """Copy the log of a container, named `origin` in words, into the log of an attempt; returns how many lines it added.

    `key` is the flow run's number and the attempt. To be called in a writer's thread.
    """
    word = (NameKind.CONTAINER, container_logs.PREFIX + container)
    number = names.ids_of(database, [word])[word]
    lines = parse(text, now_microseconds(), truncated=truncated, origin=origin)

    def copy() -> int:
        with database.writing() as connection:
            return container_logs.copy(SqlalchemySession(connection), key, number, lines)

    return _stored(copy)


def _stored[T](store: Callable[[], T]) -> T:
    """What `store` returns, tried again while partitions are made for its rows: one for each of the big tables."""
    for _ in PARTITIONED:
        try:
            return store()
        except PartitionMade:
            continue
    return store()
