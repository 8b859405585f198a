"""Trims the feed of changes: a live reader that was away for longer than a day, or for a million changes, reads anew.

The newest row always stays, because SQLite would assign its number again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mintaka_history.maintenance.statements import DAY_MICROSECONDS

if TYPE_CHECKING:
    from mintaka_history.writing.sessions import Session

ROWS_LIMIT = 1_000_000
AGE_MICROSECONDS = DAY_MICROSECONDS
AT_ONCE = 5_000


def trim(session: Session, now: int, *, at_once: int = AT_ONCE, rows_limit: int = ROWS_LIMIT) -> bool:
    """Delete at most `at_once` of the oldest changes, if they are old at the time `now` (µs); True if more may be left.

    Only what comes before the first recent change goes, so that a reader can determine from the oldest number what it missed. A
    time further ahead than a day was written under a clock that has been set back since.
    """
    rows = session.run(f"SELECT seq, at FROM changes ORDER BY seq LIMIT {at_once + 1}")  # noqa: S608 - a number
    if len(rows) <= 1:
        return False
    ((newest,),) = session.run("SELECT max(seq) FROM changes")
    recent = next((seq for seq, at in rows if abs(now - at) <= AGE_MICROSECONDS), rows[-1][0])
    bound = min(max(recent, newest - rows_limit + 1), rows[-1][0], newest)
    if bound <= rows[0][0]:
        return False
    session.run("DELETE FROM changes WHERE seq < ?", (bound,))
    return len(rows) > at_once and bound == rows[-1][0]
