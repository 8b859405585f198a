"""Runs whose process is gone without having said how they ended: they crashed, and so did the tasks it was running."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Protocol

from mintaka_core.states import COMPLETED, CRASHED
from mintaka_history import holders
from mintaka_history.codes import STATE_CODES, STATE_OF_CODE, TERMINAL_CODES
from mintaka_history.instants import now_microseconds

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from mintaka_history.writing.sessions import Session

#: The rule under which such a run's end is recorded.
RULE = "crash_what_nobody_runs"
REASON = "ProcessDied"
MESSAGE = "the process that ran it ended without a word: killed, or out of memory"
_CRASHED, _COMPLETED = STATE_CODES[CRASHED], STATE_CODES[COMPLETED]
_LIVE = ", ".join(str(code) for code in STATE_OF_CODE if code not in TERMINAL_CODES)
# The condition of the partial index stands as it is, so that SQLite recognises it; the codes are our own numbers.
_HELD = f"SELECT no, holder FROM flow_runs WHERE state <> {_COMPLETED} AND state IN ({_LIVE}) AND holder IS NOT NULL"  # noqa: S608
_SELECT = f"SELECT state, sequence, attempt FROM flow_runs WHERE no = ? AND state IN ({_LIVE})"  # noqa: S608
_RUN = f"""
UPDATE flow_runs SET state = {_CRASHED}, state_name = NULL, reason = '{REASON}', message = '{MESSAGE}', state_time = ?, ended = ?,
  sequence = ?, crashes = crashes + 1, gap = true
WHERE no = ?
"""  # noqa: S608
_TRANSITION = """
INSERT INTO flow_run_transitions (flow_run, seq, at, attempt, from_state, to_state, proposed, rule, verdict, reason, message)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, 'Accept', ?, ?) ON CONFLICT DO NOTHING
"""
_TASKS = f"""
UPDATE task_runs SET state = {_CRASHED}, state_name = NULL, reason = '{REASON}', message = '{MESSAGE}', ended = ?, seq = seq + 1,
  history = substr(history, 1, length(history) - 1) || ',[{_CRASHED},' || (? - created) || ',"",0,[["{RULE}","Accept","{REASON}"]]]]'
WHERE flow_run = ? AND attempt = ? AND state IN ({_LIVE})
"""  # noqa: S608


class _Database(Protocol):
    def reading(self) -> Session: ...
    def writing(self) -> AbstractContextManager[Session]: ...


def crash_abandoned(database: _Database, lock_file: str) -> int:
    """Record as CRASHED every run whose process is gone, by the locks in `lock_file`; how many there were."""
    gone = [number for number, holder in database.reading().run(_HELD) if holders.is_gone(lock_file, holder)]
    if gone:
        with database.writing() as session:
            return sum(_crash(session, number) for number in gone)
    return 0


def _crash(session: Session, number: int) -> bool:
    """End one run; False where somebody else has meanwhile."""
    rows = session.run(_SELECT, (number,))
    if not rows:
        return False
    state, sequence, attempt = rows[0]
    now, attempt = now_microseconds(), max(attempt, 1)
    session.run(_RUN, (now, now, sequence + 1, number))
    session.run(_TRANSITION, (number, sequence + 1, now, attempt, state, _CRASHED, _CRASHED, RULE, REASON, MESSAGE))
    session.run(_TASKS, (now, now, number, attempt))
    found = session.run("SELECT state, count(*) FROM task_runs WHERE flow_run = ? AND attempt = ? GROUP BY state", (number, attempt))
    counts = json.dumps({STATE_OF_CODE[code].value: count for code, count in found})
    session.run("UPDATE flow_runs SET counts = ? WHERE no = ?", (counts, number))
    return True
