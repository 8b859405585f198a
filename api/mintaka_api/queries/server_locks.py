"""The lock of a local server in PostgreSQL: an advisory lock of a session, whose application name identifies the server."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import text

from mintaka_history.database import translated

if TYPE_CHECKING:
    from mintaka_history.database import Database

#: "mintaka" in ASCII, as a number. Advisory locks belong to one database.
_KEY = 0x6D696E74616B61
_NAME = text("SELECT set_config('application_name', :name, false)")
_LOCK = text("SELECT pg_try_advisory_lock(:key)")
_HOLDER = text(
    "SELECT a.application_name FROM pg_locks AS l JOIN pg_stat_activity AS a ON a.pid = l.pid WHERE l.locktype = 'advisory' AND l.granted "
    "AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database()) AND l.classid::bigint = :high AND l.objid::bigint = :low"
)
_PING = text("SELECT 1")


class LockSession:
    """A session of its own for the lock. Blocking; methods raise DatabaseAway. The end of the session releases the lock."""

    def __init__(self, database: Database) -> None:
        self._context = database.migration_connection()
        with translated():
            self._connection = self._context.__enter__()

    def lock(self, name: str) -> str | None:
        """Lock the database under a name of at most 63 bytes; None, or the name of the session that holds the lock."""
        with translated(), self._connection.begin():
            self._connection.execute(_NAME, {"name": name})
            if self._connection.execute(_LOCK, {"key": _KEY}).scalar_one():
                return None
            holder = self._connection.execute(_HOLDER, {"high": _KEY >> 32, "low": _KEY & 0xFFFFFFFF}).scalar()
        return holder or "another server"

    def ping(self) -> None:
        """Check that the session still exists."""
        with translated(), self._connection.begin():
            self._connection.execute(_PING)

    def close(self) -> None:
        """End the session."""
        self._context.__exit__(None, None, None)
