"""Runs outside of clusters whose process sends no heartbeats or that were not resumed in time; called runs whose root is over."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mintaka_history.queries.dialects import SqlalchemySession
from mintaka_history.writing import crashes, restarts

if TYPE_CHECKING:
    from sqlalchemy import Connection


def runs_without_heartbeat(connection: Connection, before: int) -> list[int]:
    """The numbers of the runs whose last heartbeat was before the time `before` (µs)."""
    return crashes.runs_without_heartbeat(SqlalchemySession(connection), before)


def crash_without_heartbeat(connection: Connection, number: int, before: int) -> bool:
    """Record one of them as CRASHED; False if it has sent a heartbeat since, or ended."""
    return crashes.crash_without_heartbeat(SqlalchemySession(connection), number, before)


def called_and_left(connection: Connection) -> list[int]:
    """The numbers of the called runs that are not over although their root is, or is in a later attempt."""
    return crashes.called_and_left(SqlalchemySession(connection))


def crash_left(connection: Connection, number: int) -> bool:
    """Record one of them as CRASHED; False if it has ended since."""
    return crashes.crash_left(SqlalchemySession(connection), number)


def overdue_runs(connection: Connection) -> list[int]:
    """The numbers of the runs that suspended themselves and were not resumed in time."""
    return restarts.overdue_runs(SqlalchemySession(connection))


def fail_overdue(connection: Connection, number: int) -> bool:
    """Record one of them as FAILED; False if it is no longer overdue."""
    return restarts.fail_overdue_run(SqlalchemySession(connection), number)
