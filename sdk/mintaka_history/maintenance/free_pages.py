"""Gives space that deleted rows used in a SQLite file back to the file system, a little at a time.

A file can do that if it was created with `auto_vacuum = INCREMENTAL` (`sqlite_wal`); an older file needs a VACUUM, which
copies all of it, once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mintaka_history.writing.sessions import Session

#: Pages of 4 KiB; about 20 ms.
_AT_ONCE = 250
#: Free pages that are left, since new rows need some.
_LEFT = 1_000
_INCREMENTAL = 2


def release(session: Session) -> bool:
    """Release some free pages; True if more can be released."""
    ((mode,),) = session.run("PRAGMA auto_vacuum")
    ((free,),) = session.run("PRAGMA freelist_count")
    if mode != _INCREMENTAL or free <= _LEFT:
        return False
    wanted = min(_AT_ONCE, free - _LEFT)
    for _ in range(wanted):  # the statement releases a page for each row that is fetched, and returns none that could be
        session.run("PRAGMA incremental_vacuum(1)")
    return bool(free - wanted > _LEFT)
