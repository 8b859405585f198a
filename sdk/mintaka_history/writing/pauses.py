"""Pauses of flow runs: announced by the run's process, answered by any process, consumed by the run's process.

A pause is identified by the uid of its flow run and a key, so that it can be announced before anything else is known of the
run, and again by a later attempt: an answer stays valid.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from mintaka_history.enum_codes import TERMINAL_CODES
from mintaka_history.timestamps import now_microseconds

if TYPE_CHECKING:
    from mintaka_history.writing.sessions import Session

#: The maximum stored length of a key, and of a JSON text, in characters.
KEY_LIMIT = 200
TEXT_LIMIT = 65_536

_ANNOUNCE = """
INSERT INTO pauses (flow_run, ns, key, attempt, suspended, created, deadline, schema) VALUES (?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (flow_run, key) DO UPDATE SET ns = excluded.ns, attempt = excluded.attempt, suspended = excluded.suspended, created = excluded.created,
  deadline = excluded.deadline, schema = excluded.schema, ended = NULL
WHERE pauses.answered IS NULL
"""
#: No process takes an answer any more, although none reported so: the run is over, or the process that waited is not of
#: its last attempt (a suspension stays open until the next attempt announces it again).
_ABANDONED = f"""
EXISTS (SELECT 1 FROM flow_runs AS f WHERE f.uid = pauses.flow_run AND (
  f.state IN ({", ".join(map(str, sorted(TERMINAL_CODES)))}) AND (pauses.attempt <= f.attempt OR pauses.attempt <= f.reported_attempt)
  OR NOT pauses.suspended AND (pauses.attempt < f.attempt OR f.resource_version = 0 AND pauses.attempt < f.reported_attempt)))
"""  # noqa: S608 - our own numbers
_COLUMNS = f"ns, key, attempt, suspended, created, deadline, schema, answered, answer, refusal, ended, {_ABANDONED}"


class PauseRow(NamedTuple):
    """One pause, with the table's columns: the run's `namespace`, times in microseconds, `schema` and `answer` JSON texts.

    It is open while both `answered` and `ended` are None and its run has not `abandoned` it; `refusal` says what was wrong
    with the last answer.
    """

    namespace: str
    key: str
    attempt: int
    suspended: bool
    created: int
    deadline: int | None
    schema: str | None
    answered: int | None
    answer: str | None
    refusal: str | None
    ended: int | None
    abandoned: bool

    @property
    def is_open(self) -> bool:
        """True while it can be answered."""
        return self.answered is None and self.ended is None and not self.abandoned


def announce(
    session: Session,
    uid: str,
    namespace: str,
    key: str,
    attempt: int,
    *,
    suspended: bool,
    deadline: int | None = None,
    schema: str | None = None,
) -> None:
    """Announce that a flow run of `namespace` waits for input valid for `schema` (JSON; None: only to be resumed). No effect if already answered."""
    session.run(_ANNOUNCE, (session.uid(uid), namespace, key[:KEY_LIMIT], attempt, suspended, now_microseconds(), deadline, schema))


def of_run(session: Session, uid: str) -> list[PauseRow]:
    """Every pause of a flow run, oldest first."""
    rows = session.run(f"SELECT {_COLUMNS} FROM pauses WHERE flow_run = ? ORDER BY created, key", (session.uid(uid),))  # noqa: S608
    return [PauseRow(*row) for row in rows]


def one(session: Session, uid: str, key: str) -> PauseRow | None:
    """One pause; None if it was never announced."""
    rows = session.run(f"SELECT {_COLUMNS} FROM pauses WHERE flow_run = ? AND key = ?", (session.uid(uid), key))  # noqa: S608
    return PauseRow(*rows[0]) if rows else None


def answer(session: Session, uid: str, key: str, value: str | None) -> int | None:
    """End a pause with a JSON text (None: without input); return the time (µs), None if it was over already."""
    statement = (
        "UPDATE pauses SET answered = ?, answer = ?, refusal = NULL "
        "WHERE flow_run = ? AND key = ? AND answered IS NULL AND ended IS NULL RETURNING answered"
    )
    rows = session.run(statement, (now_microseconds(), value, session.uid(uid), key))
    return rows[0][0] if rows else None


def revert_answer(session: Session, uid: str, key: str, answered: int) -> None:
    """Undo the `answer` with that time, unless the process has taken it."""
    session.run(
        "UPDATE pauses SET answered = NULL, answer = NULL WHERE flow_run = ? AND key = ? AND answered = ? AND ended IS NULL",
        (session.uid(uid), key, answered),
    )


def refuse(session: Session, uid: str, key: str, why: str) -> None:
    """Record that the process refuses the answer and why; it continues to wait."""
    session.run(
        "UPDATE pauses SET answered = NULL, answer = NULL, refusal = ? WHERE flow_run = ? AND key = ?",
        (why[:TEXT_LIMIT], session.uid(uid), key),
    )


def end(session: Session, uid: str, key: str) -> None:
    """Record that the process no longer waits, for whatever reason: there is nothing left to answer."""
    session.run("UPDATE pauses SET ended = ? WHERE flow_run = ? AND key = ? AND ended IS NULL", (now_microseconds(), session.uid(uid), key))
