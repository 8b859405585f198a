"""What the statements of maintenance share."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from mintaka_history.enum_codes import TERMINAL_CODES, RunKind
from mintaka_history.timestamps import from_microseconds

if TYPE_CHECKING:
    from collections.abc import Collection
    from datetime import datetime

    from mintaka_history.writing.sessions import Session

DAY_MICROSECONDS = 86_400_000_000
HOUR_MICROSECONDS = 3_600_000_000
_NUMBER_SHIFT = 20
_LOCK = 0x6D61696E  # "main", the key of PostgreSQL's advisory lock

TERMINAL = ", ".join(map(str, sorted(TERMINAL_CODES)))
#: When a flow run ended; some releases of the operator report no end.
ENDED = "COALESCE(f.ended, f.state_time, f.created)"
#: Whether a flow run is still a resource of a cluster: the mirror would bring it back. A called run is in the process of its root.
IN_CLUSTER = f"(f.deleted IS NULL AND f.kind <> {int(RunKind.CALLED)} AND (f.kind = {int(RunKind.DEPLOYED)} OR f.cluster IS NOT NULL))"


class AnotherProcess(Exception):
    """Another process maintains the database at the moment."""


def among(session: Session, values: Collection[int]) -> tuple[str, list[Any]]:
    """A condition on a column, to be one of `values`, and the values to bind."""
    if session.postgresql:
        return "= ANY(?::bigint[])", [list(values)]
    return f"IN ({', '.join('?' * len(values))})", list(values)


def number_at(microseconds: int) -> int:
    """The lowest number that a flow run created at this time, or later, can have (`mintaka_history.writing.runs`)."""
    return (microseconds // 1000) << _NUMBER_SHIFT


def time_of(number: int) -> int:
    """The time (µs) of a flow run's number."""
    return (number >> _NUMBER_SHIFT) * 1000


def week_of(microseconds: int) -> datetime:
    """The beginning of the week (Monday, UTC) that contains a time."""
    day = from_microseconds(microseconds).replace(hour=0, minute=0, second=0, microsecond=0)
    return day - timedelta(days=day.weekday())


def is_alone(session: Session) -> bool:
    """True if no other process maintains this database until the end of the transaction.

    The lock belongs to the transaction, so that it works through a pooler of transactions. SQLite has one writer.
    """
    return not session.postgresql or bool(session.run("SELECT pg_try_advisory_xact_lock(?)", (_LOCK,))[0][0])
