"""Runs outside of clusters whose process gives no signs of life, and those that were not resumed in time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mintaka_history.queries.dialects import SqlalchemySession
from mintaka_history.writing import crashes, restarts

if TYPE_CHECKING:
    from sqlalchemy import Connection


def silent_runs(connection: Connection, before: int) -> list[int]:
    """The numbers of the runs that were last heard of `before` (µs)."""
    return crashes.silent_runs(SqlalchemySession(connection), before)


def crash_silent(connection: Connection, number: int, before: int) -> bool:
    """Record one of them as CRASHED; False if it was heard of meanwhile, or ended."""
    return crashes.crash_silent(SqlalchemySession(connection), number, before)


def overdue_runs(connection: Connection) -> list[int]:
    """The numbers of the runs that suspended themselves and were not resumed in time."""
    return restarts.overdue_runs(SqlalchemySession(connection))


def fail_overdue(connection: Connection, number: int) -> bool:
    """Record one of them as FAILED; False if it is not overdue any more."""
    return restarts.fail_overdue_run(SqlalchemySession(connection), number)
