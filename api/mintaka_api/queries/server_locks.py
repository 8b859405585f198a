"""The lock of a local server in PostgreSQL: an advisory lock of a session, whose application name tells which server it is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import text

if TYPE_CHECKING:
    from sqlalchemy import Connection

#: "mintaka" in ASCII, as a number. Advisory locks belong to one database.
_KEY = 0x6D696E74616B61
_NAME = text("SELECT set_config('application_name', :name, false)")
_LOCK = text("SELECT pg_try_advisory_lock(:key)")
_HOLDER = text(
    "SELECT a.application_name FROM pg_locks AS l JOIN pg_stat_activity AS a ON a.pid = l.pid WHERE l.locktype = 'advisory' AND l.granted "
    "AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database()) AND l.classid::bigint = :high AND l.objid::bigint = :low"
)
_PING = text("SELECT 1")


def lock_server(connection: Connection, name: str) -> str | None:
    """Lock the database for the session of `connection`, under a name of at most 63 bytes; None, or the name of the session that holds the lock."""
    with connection.begin():
        connection.execute(_NAME, {"name": name})
        if connection.execute(_LOCK, {"key": _KEY}).scalar_one():
            return None
        holder = connection.execute(_HOLDER, {"high": _KEY >> 32, "low": _KEY & 0xFFFFFFFF}).scalar()
    return holder or "another server"


def ping(connection: Connection) -> None:
    """Find out whether the session is still there."""
    with connection.begin():
        connection.execute(_PING)
