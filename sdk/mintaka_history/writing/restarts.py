"""Restarts runs outside of clusters in another attempt; fails or cancels those that are suspended.

A process claims a run in one transaction, by the sequence of its last transition: of two concurrent claims, one is refused.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

from mintaka_core.states import CANCELLED, FAILED, PAUSED, SCHEDULED
from mintaka_history.enum_codes import STATE_CODES, TERMINAL_CODES, RunKind
from mintaka_history.timestamps import now_microseconds
from mintaka_history.writing import crashes

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from mintaka_history.writing.sessions import Session

_PAUSED, _SCHEDULED, _FAILED, _CANCELLED = (STATE_CODES[state] for state in (PAUSED, SCHEDULED, FAILED, CANCELLED))
SUSPENDED = "Suspended"
_LATE = "SuspensionTimedOut"
_LATE_MESSAGE = "it was suspended and nobody resumed it in time"
#: A run that was called by another one runs in that one's process.
_OWN_PROCESS = f"resource_version = 0 AND kind <> {int(RunKind.CALLED)}"
_FIND = f"SELECT no, state, state_name, sequence, attempt, reported_attempt, name FROM flow_runs WHERE uid = ? AND {_OWN_PROCESS}"  # noqa: S608
_CLAIM = """
UPDATE flow_runs SET state = ?, state_name = ?, reason = NULL, message = ?, state_time = ?, ended = NULL, sequence = ?, attempt = ?,
  holder = ?, heard = ?
WHERE no = ? AND sequence = ?
RETURNING no
"""
_END = """
UPDATE flow_runs SET state = ?, state_name = ?, reason = ?, message = ?, state_time = ?, ended = ?, sequence = ?
WHERE no = ? AND sequence = ?
RETURNING no
"""
_TRANSITION = """
INSERT INTO flow_run_transitions (flow_run, seq, at, attempt, from_state, to_state, proposed, name, verdict, reason, message)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, 'Accept', ?, ?) ON CONFLICT DO NOTHING
"""
#: Suspensions past their deadline. The conditions of the partial index are spelled identically, so that SQLite recognises them.
OVERDUE = f"""
SELECT f.no, f.uid, p.key, f.sequence, f.attempt FROM pauses AS p JOIN flow_runs AS f ON f.uid = p.flow_run
WHERE p.suspended = true AND p.answered IS NULL AND p.ended IS NULL AND p.deadline < ?
  AND f.state = {_PAUSED} AND f.state_name = '{SUSPENDED}' AND f.resource_version = 0
"""  # noqa: S608 - our own words


class Claim(NamedTuple):
    """A claimed run: the attempt to run, the number of transitions before it, and its name."""

    attempt: int
    transitions: int
    name: str


class NotClaimable(NamedTuple):
    """A run that cannot be claimed: its state code and its attempt."""

    state: int
    attempt: int


def claim(
    session: Session, uid: str, *, holder: int | None = None, heard: int | None = None, died: int | None = None
) -> Claim | NotClaimable | None:
    """Claim a run that is over or that suspended itself; None if no run outside of clusters has that uid.

    The claiming process is identified by its lock number `holder`, or sends heartbeats, first at `heard` (µs). `died` is an
    attempt that is active according to history but whose process the caller knows to be gone.
    """
    rows = session.run(_FIND, (session.uid(uid),))
    if not rows:
        return None
    number, state, state_name, sequence, attempt, reported, name = rows[0]
    last = max(attempt, reported, 1)
    if not (state in TERMINAL_CODES or (state == _PAUSED and state_name == SUSPENDED) or died == last):
        return NotClaimable(state, last)
    now = now_microseconds()
    word, message = ("Resuming", "it was resumed") if state == _PAUSED else ("Rerunning", "it was started again")
    if not session.run(_CLAIM, (_SCHEDULED, word, message, now, sequence + 1, last + 1, holder, heard, number, sequence)):
        return claim(session, uid, holder=holder, heard=heard, died=died)  # another process was faster: read its state again
    session.run(_TRANSITION, (number, sequence + 1, now, last + 1, state, _SCHEDULED, _SCHEDULED, word, None, message))
    return Claim(last + 1, sequence + 1, name)


class _Database(Protocol):
    def reading(self) -> Session: ...
    def writing(self) -> AbstractContextManager[Session]: ...


def fail_overdue(database: _Database) -> int:
    """Record as FAILED the suspended runs that were not resumed before their deadline; return their number."""
    numbers = overdue_runs(database.reading())
    if not numbers:
        return 0
    with database.writing() as session:
        return sum(fail_overdue_run(session, number) for number in numbers)


def overdue_runs(session: Session) -> list[int]:
    """The numbers of the runs that suspended themselves and were not resumed in time."""
    return sorted({number for number, *_ in session.run(OVERDUE, (now_microseconds(),))})


def fail_overdue_run(session: Session, number: int) -> bool:
    """Record one of them as FAILED; False if it is no longer overdue."""
    rows = session.run(f"{OVERDUE} AND f.no = ?", (now_microseconds(), number))
    if not rows:
        return False
    _, uid, _, sequence, attempt = rows[0]
    return _end(session, _Suspended(number, uid, sequence, attempt), _FAILED, ("TimedOut", _LATE, _LATE_MESSAGE))


def cancel_suspended(session: Session, uid: str) -> bool:
    """Record a run that suspended itself as CANCELLED, since it has no process to notify; False if it is in another state."""
    statement = f"SELECT no, uid, sequence, attempt FROM flow_runs WHERE uid = ? AND state = ? AND state_name = ? AND {_OWN_PROCESS}"  # noqa: S608
    rows = session.run(statement, (session.uid(uid), _PAUSED, SUSPENDED))
    return bool(rows) and _end(session, _Suspended(*rows[0]), _CANCELLED, (None, "Cancelled", "somebody asked for it"))


class _Suspended(NamedTuple):
    number: int
    uid: object
    sequence: int
    attempt: int


def _end(session: Session, run: _Suspended, state: int, words: tuple[str | None, str, str]) -> bool:
    """End a suspended run and its pauses; False if another process has changed it meanwhile."""
    now, (name, reason, message) = now_microseconds(), words
    if not session.run(_END, (state, name, reason, message, now, now, run.sequence + 1, run.number, run.sequence)):
        return False
    told = (now, run.attempt, _PAUSED, state, state, name, reason, message)
    session.run(_TRANSITION, (run.number, run.sequence + 1, *told))
    crashes.crash_called(session, run.number)
    session.run("UPDATE pauses SET ended = ? WHERE flow_run = ? AND ended IS NULL", (now, run.uid))
    return True
