"""Runs outside of clusters: claiming one for the process of its next attempt, and cancelling a suspended one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mintaka_history.queries.dialects import SqlalchemySession
from mintaka_history.timestamps import now_microseconds
from mintaka_history.writing import restarts

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from mintaka_history.writing.restarts import Claim, NotClaimable


def claim(connection: Connection, uid: str, died: int | None) -> Claim | NotClaimable | None:
    """Claim a run for a process that sends heartbeats; see `mintaka_history.writing.restarts.claim`."""
    return restarts.claim(SqlalchemySession(connection), uid, heard=now_microseconds(), died=died)


def cancel_suspended(connection: Connection, uid: str) -> bool:
    """Record a run that suspended itself as CANCELLED; False if it is in another state or belongs to a cluster."""
    return restarts.cancel_suspended(SqlalchemySession(connection), uid)
