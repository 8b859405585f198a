"""Runs outside of clusters that start again, claimed for a process that is to run the next attempt; or never will."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mintaka_history.queries.dialects import SqlalchemySession
from mintaka_history.timestamps import now_microseconds
from mintaka_history.writing import restarts

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from mintaka_history.writing.restarts import Claim, Going


def claim(connection: Connection, uid: str, died: int | None) -> Claim | Going | None:
    """Take a run for a process that will be heard of; see `mintaka_history.writing.restarts.claim`."""
    return restarts.claim(SqlalchemySession(connection), uid, heard=now_microseconds(), died=died)


def cancel_suspended(connection: Connection, uid: str) -> bool:
    """Record a run that suspended itself as CANCELLED; False where it is in another state, or a cluster's."""
    return restarts.cancel_suspended(SqlalchemySession(connection), uid)
