"""Runs whose process is gone without having reported an end: they crashed, and so did their running tasks.

That is inferred, from a released lock or from missing heartbeats, and may be wrong: a process may have been cut off for a
while, or its last report may be on a disk. Therefore any later report of the process itself reverts the inference.

A run that was called in the process of another one, its root, crashes with that: when the root is over, or in a later attempt.
One that was suspended had no process: it waits for the next attempt, and is cancelled when the root is over.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Protocol

from mintaka_core.states import CANCELLED, COMPLETED, CRASHED, PAUSED
from mintaka_history import process_locks
from mintaka_history.enum_codes import STATE_CODES, STATE_OF_CODE, TERMINAL_CODES, RunKind, shown_state
from mintaka_history.state_history import without_last
from mintaka_history.timestamps import now_microseconds
from mintaka_history.writing.runs import called_by

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from mintaka_history.writing.sessions import Session

#: The rule under which the end of such a run is recorded.
RULE = "crash_what_nobody_runs"
REASON = "ProcessDied"
MESSAGE = "the process of this run ended without reporting a result: it was killed or ran out of memory"
#: For a run whose process cannot be checked.
HEARTBEAT_LOST = "the process of this run sends no heartbeats: it was killed, ran out of memory, or cannot reach the API"
#: For a run that was called in the process of another one.
ROOT_ENDED = "the flow run in whose process it was called is over, and no end of this one was reported"
ROOT_OF_SUSPENDED_ENDED = "it was suspended, and the flow run in whose process it was called is over"
_CRASHED, _COMPLETED, _CANCELLED = STATE_CODES[CRASHED], STATE_CODES[COMPLETED], STATE_CODES[CANCELLED]
_LIVE = ", ".join(str(code) for code in STATE_OF_CODE if code not in TERMINAL_CODES)
#: The maximum of PostgreSQL's integer. A release that did not bound received values may have stored it.
_LARGEST = 2**31 - 1
#: A run that suspended itself has no process that could send heartbeats.
_WAITS = f"(state = {STATE_CODES[PAUSED]} AND COALESCE(state_name, '') = 'Suspended')"
# The condition of the partial index is spelled identically, so that SQLite recognises it; the codes are our own numbers.
_HELD = f"SELECT no, holder FROM flow_runs WHERE state <> {_COMPLETED} AND state IN ({_LIVE}) AND holder IS NOT NULL"  # noqa: S608
_WITHOUT_HEARTBEAT = (
    f"SELECT no FROM flow_runs WHERE state <> {_COMPLETED} AND state IN ({_LIVE}) AND heard < ? AND NOT {_WAITS} ORDER BY no"  # noqa: S608
)
_TERMINAL = ", ".join(str(code) for code in sorted(TERMINAL_CODES))
_CALLED_AND_LEFT = f"""
SELECT c.no FROM flow_runs AS c JOIN flow_runs AS r ON r.no = c.root
WHERE c.state <> {_COMPLETED} AND c.state IN ({_LIVE}) AND c.kind = {int(RunKind.CALLED)}
  AND (r.state IN ({_TERMINAL}) OR r.attempt > c.attempt AND NOT (c.state = {STATE_CODES[PAUSED]} AND COALESCE(c.state_name, '') = 'Suspended'))
ORDER BY c.no
"""  # noqa: S608
_CANCEL_SUSPENDED = f"""
UPDATE flow_runs SET state = {_CANCELLED}, state_name = NULL, reason = 'Cancelled', message = ?, state_time = ?, ended = ?,
  sequence = sequence + 1
WHERE no = ? AND {_WAITS} RETURNING sequence, attempt
"""  # noqa: S608
_SELECT = f"SELECT state, sequence, attempt FROM flow_runs WHERE no = ? AND state IN ({_LIVE})"  # noqa: S608
_SELECT_WITHOUT_HEARTBEAT = f"{_SELECT} AND heard < ?"
_RUN = f"""
UPDATE flow_runs SET state = {_CRASHED}, state_name = NULL, reason = '{REASON}', message = ?, state_time = ?, ended = ?,
  sequence = ?, crashes = crashes + 1, gap = true
WHERE no = ? AND sequence = ? RETURNING no
"""  # noqa: S608
_TRANSITION = """
INSERT INTO flow_run_transitions (flow_run, seq, at, attempt, from_state, to_state, proposed, rule, verdict, reason, message)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, 'Accept', ?, ?) ON CONFLICT DO NOTHING
"""
_TASKS = f"""
UPDATE task_runs SET state = {_CRASHED}, state_name = NULL, reason = '{REASON}', message = ?, ended = ?,
  seq = CASE WHEN seq < {_LARGEST} THEN seq + 1 ELSE seq END,
  history = substr(history, 1, length(history) - 1) || ',[{_CRASHED},' || (? - created) || ',"",0,[["{RULE}","Accept","{REASON}"]]]]'
WHERE flow_run = ? AND attempt = ? AND state IN ({_LIVE})
"""  # noqa: S608
# The sequence before the report's first transition: the report, which has all transitions of the attempt, is newer.
_RECALL = "UPDATE flow_runs SET sequence = ?, crashes = crashes - 1, gap = false, ended = NULL WHERE no = ?"
_RECALL_TRANSITION = f"DELETE FROM flow_run_transitions WHERE flow_run = ? AND seq >= ? AND rule = '{RULE}'"  # noqa: S608
_CRASHED_TASKS = f"SELECT n, history FROM task_runs WHERE flow_run = ? AND attempt = ? AND state = {_CRASHED} AND reason = '{REASON}'"  # noqa: S608
_RECALL_TASK = """
UPDATE task_runs SET state = ?, state_name = ?, reason = NULL, message = NULL, ended = NULL, seq = seq - 1, history = ?
WHERE flow_run = ? AND attempt = ? AND n = ?
"""


class _Database(Protocol):
    def reading(self) -> Session: ...
    def writing(self) -> AbstractContextManager[Session]: ...


def crash_abandoned(database: _Database, lock_file: str) -> int:
    """Record as CRASHED every run whose process is gone, by the locks in `lock_file`; return their number."""
    gone = [number for number, holder in database.reading().run(_HELD) if process_locks.is_gone(lock_file, holder)]
    left = called_and_left(database.reading())
    if gone or left:
        with database.writing() as session:
            for number in left:
                crash_left(session, number)
            return sum(_crash(session, number, MESSAGE) for number in gone)
    return 0


def called_and_left(session: Session) -> list[int]:
    """The numbers of the called runs that are not over although their root is, or is in a later attempt."""
    return [number for (number,) in session.run(_CALLED_AND_LEFT)]


def crash_left(session: Session, number: int) -> bool:
    """Record one of them as CRASHED, or CANCELLED if it was suspended; False if it has ended since."""
    return _cancel_suspended(session, number) or _crash_one(session, number, ROOT_ENDED)


def crash_called(session: Session, number: int) -> None:
    """End the runs that were called in the process of a run that has ended, and did not end themselves."""
    for called, state in called_by(session, number):
        if state not in TERMINAL_CODES:
            crash_left(session, called)


def runs_without_heartbeat(session: Session, before: int) -> list[int]:
    """The numbers of the runs whose process must send heartbeats and sent the last one before the time `before` (µs)."""
    return [number for (number,) in session.run(_WITHOUT_HEARTBEAT, (before,))]


def crash_without_heartbeat(session: Session, number: int, before: int) -> bool:
    """Record one of them as CRASHED; False if it has sent a heartbeat since, or ended."""
    rows = session.run(_SELECT_WITHOUT_HEARTBEAT, (number, before))
    return bool(rows) and _crash(session, number, HEARTBEAT_LOST)


def is_inferred(state: int, reason: str | None) -> bool:
    """True if a run in this state is assumed to have crashed because its process seems to be gone."""
    return state == _CRASHED and reason == REASON


def recall(session: Session, number: int, attempt: int, first: int) -> None:
    """Revert the inferred crash of an attempt and its tasks, so that its process's transitions from `first` on can be written."""
    session.run(_RECALL, (first - 1, number))
    session.run(_RECALL_TRANSITION, (number, first))
    for n, history in session.run(_CRASHED_TASKS, (number, attempt)):
        before = without_last(history)
        session.run(_RECALL_TASK, (before.state, before.name, before.history, number, attempt, n))


def _crash(session: Session, number: int, message: str) -> bool:
    """End a run and those that were called in its process; False if another process has ended it meanwhile."""
    if not _crash_one(session, number, message):
        return False
    crash_called(session, number)
    return True


def _cancel_suspended(session: Session, number: int) -> bool:
    """Record a suspended run as CANCELLED; False if it is not suspended."""
    now = now_microseconds()
    rows = session.run(_CANCEL_SUSPENDED, (ROOT_OF_SUSPENDED_ENDED, now, now, number))
    if not rows:
        return False
    sequence, attempt = rows[0]
    told = (STATE_CODES[PAUSED], _CANCELLED, _CANCELLED, RULE, "Cancelled", ROOT_OF_SUSPENDED_ENDED)
    session.run(_TRANSITION, (number, sequence, now, max(attempt, 1), *told))
    return True


def _crash_one(session: Session, number: int, message: str) -> bool:
    """End one run; False if another process has ended it meanwhile."""
    rows = session.run(_SELECT, (number,))
    if not rows:
        return False
    state, sequence, attempt = rows[0]
    now, attempt = now_microseconds(), max(attempt, 1)
    if not session.run(_RUN, (message, now, now, sequence + 1, number, sequence)):
        return False
    session.run(_TRANSITION, (number, sequence + 1, now, attempt, state, _CRASHED, _CRASHED, RULE, REASON, message))
    session.run(_TASKS, (message, now, now, number, attempt))
    found = session.run("SELECT state, count(*) FROM task_runs WHERE flow_run = ? AND attempt = ? GROUP BY state", (number, attempt))
    counts = json.dumps({shown_state(code): count for code, count in found})
    session.run("UPDATE flow_runs SET counts = ? WHERE no = ?", (counts, number))
    return True
