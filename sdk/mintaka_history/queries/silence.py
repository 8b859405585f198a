"""Runs outside of clusters whose process went silent."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mintaka_history.queries.dialects import SqlalchemySession
from mintaka_history.writing import crashes, restarts

if TYPE_CHECKING:
    from sqlalchemy import Connection


def crash_silent(connection: Connection, before: int) -> int:
    """Record as CRASHED those that were last heard of `before` (µs); how many there were."""
    return crashes.crash_silent(SqlalchemySession(connection), before)


def fail_overdue(connection: Connection) -> int:
    """Record as FAILED every run outside of clusters that suspended itself and was not resumed in time; how many there were."""
    return restarts.fail_overdue_now(SqlalchemySession(connection))
