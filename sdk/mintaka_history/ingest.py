"""Taking in reports: one transaction each, done only after the commit, and any repetition harmless."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mintaka_history.instants import now_microseconds
from mintaka_history.parcels import parcel_of, words_of
from mintaka_history.queries.dialects import SqlalchemySession

if TYPE_CHECKING:
    from mintaka_history.database import Database
    from mintaka_history.queries.names import Names
    from mintaka_history.reports import RunReport


def take_in(database: Database, names: Names, uid: str, report: RunReport, *, late: bool = False) -> None:
    """Store `report` of the flow run `uid`, which counts as a sign that the run's process lives, unless it is `late`. To be called
    in a writer's thread.

    Raises:
        StaleAttempt: the attempt was replaced; nothing was written.
    """
    parcel = parcel_of(uid, report, names.given(database, words_of(report)), heard=now_microseconds(), late=late)
    with database.writing() as connection:
        parcel.store(SqlalchemySession(connection))
