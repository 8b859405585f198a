"""Who holds the lock that a migration waits for, so that its message can name them. PostgreSQL only."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from sqlalchemy import text

if TYPE_CHECKING:
    from sqlalchemy import Connection

#: PostgreSQL's SQLSTATE of a statement that waited for longer than `lock_timeout`.
LOCK_NOT_AVAILABLE = "55P03"
_MOST = 3
#: The locks of other sessions on the named tables and on their partitions and indexes.
_HOLDERS = """
SELECT l.relation::regclass::text, a.pid, a.application_name, a.state, date_trunc('second', now() - a.xact_start)::text, left(a.query, 100)
FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid
WHERE l.granted AND l.relation IN (SELECT oid FROM pg_class WHERE relname = ANY(:names) AND pg_table_is_visible(oid))
AND l.mode <> 'AccessExclusiveLock' AND a.pid <> pg_backend_pid() ORDER BY a.xact_start, a.pid LIMIT :most
"""


def lock_holders(connection: Connection, statement: str) -> str:
    """Name the sessions that hold locks on the tables which `statement` names."""
    words = sorted(set(re.findall(r"[a-z_][a-z0-9_]*", statement.lower())))
    rows = connection.execute(text(_HOLDERS), {"names": words, "most": _MOST}).all()
    connection.rollback()
    if not rows:
        return "no other session holds it any more"
    return "; ".join(
        f"{table} is locked by process {pid} ({application or 'no name'}, {state}, for {since}: {query})"
        for table, pid, application, state, since, query in rows
    )
