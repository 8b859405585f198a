"""Pauses of flow runs that others can end: announced by the run's process, answered by anybody, taken by the process.

A pause is known by the uid of its flow run and a key, so that it can be announced before anything else is known of the run,
and again by a later attempt: what was answered stays answered.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from mintaka_history.enum_codes import TERMINAL_CODES
from mintaka_history.timestamps import now_microseconds

if TYPE_CHECKING:
    from mintaka_history.writing.sessions import Session

#: Characters of a key, and of a JSON text, that are kept.
KEY_LIMIT = 200
TEXT_LIMIT = 65_536

_ANNOUNCE = """
INSERT INTO pauses (flow_run, key, attempt, suspended, created, deadline, schema) VALUES (?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (flow_run, key) DO UPDATE SET attempt = excluded.attempt, suspended = excluded.suspended, created = excluded.created,
  deadline = excluded.deadline, schema = excluded.schema, ended = NULL
WHERE pauses.answered IS NULL
"""
#: Nobody takes an answer any more, though nobody said so: the run is over, or the process that waited is not of its last attempt
#: (a suspension stays open until the next attempt comes to it, as what it was).
_ABANDONED = f"""
EXISTS (SELECT 1 FROM flow_runs AS f WHERE f.uid = pauses.flow_run AND (
  f.state IN ({", ".join(map(str, sorted(TERMINAL_CODES)))}) AND (pauses.attempt <= f.attempt OR pauses.attempt <= f.reported_attempt)
  OR NOT pauses.suspended AND (pauses.attempt < f.attempt OR f.resource_version = 0 AND pauses.attempt < f.reported_attempt)))
"""  # noqa: S608 - our own numbers
_COLUMNS = f"key, attempt, suspended, created, deadline, schema, answered, answer, refusal, ended, {_ABANDONED}"


class PauseRow(NamedTuple):
    """One pause, in the table's words: instants in microseconds, `schema` and `answer` JSON texts.

    It is open while both `answered` and `ended` are None and its run has not `abandoned` it; `refusal` says what was wrong with
    the last answer.
    """

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
        """True while somebody may end it."""
        return self.answered is None and self.ended is None and not self.abandoned


def announce(
    session: Session, uid: str, key: str, attempt: int, *, suspended: bool, deadline: int | None = None, schema: str | None = None
) -> None:
    """A flow run waits; `schema` (JSON) says for what, None for nothing but being resumed. Nothing where it is answered already."""
    session.run(_ANNOUNCE, (session.uid(uid), key[:KEY_LIMIT], attempt, suspended, now_microseconds(), deadline, schema))


def of_run(session: Session, uid: str) -> list[PauseRow]:
    """Every pause of a flow run, oldest first."""
    rows = session.run(f"SELECT {_COLUMNS} FROM pauses WHERE flow_run = ? ORDER BY created, key", (session.uid(uid),))  # noqa: S608
    return [PauseRow(*row) for row in rows]


def one(session: Session, uid: str, key: str) -> PauseRow | None:
    """One pause; None where it was never announced."""
    rows = session.run(f"SELECT {_COLUMNS} FROM pauses WHERE flow_run = ? AND key = ?", (session.uid(uid), key))  # noqa: S608
    return PauseRow(*rows[0]) if rows else None


def answer(session: Session, uid: str, key: str, value: str | None) -> int | None:
    """End a pause with a JSON text (None: without input); when that was (µs), None where it was ended already."""
    statement = (
        "UPDATE pauses SET answered = ?, answer = ?, refusal = NULL "
        "WHERE flow_run = ? AND key = ? AND answered IS NULL AND ended IS NULL RETURNING answered"
    )
    rows = session.run(statement, (now_microseconds(), value, session.uid(uid), key))
    return rows[0][0] if rows else None


def take_back(session: Session, uid: str, key: str, answered: int) -> None:
    """Undo the `answer` of that instant, unless the process has taken it."""
    session.run(
        "UPDATE pauses SET answered = NULL, answer = NULL WHERE flow_run = ? AND key = ? AND answered = ? AND ended IS NULL",
        (session.uid(uid), key, answered),
    )


def refuse(session: Session, uid: str, key: str, why: str) -> None:
    """The process cannot take the answer: it waits on, and says why."""
    session.run(
        "UPDATE pauses SET answered = NULL, answer = NULL, refusal = ? WHERE flow_run = ? AND key = ?",
        (why[:TEXT_LIMIT], session.uid(uid), key),
    )


def end(session: Session, uid: str, key: str) -> None:
    """The process waits no more, whoever ended it: in time or not, there is nothing left to answer."""
    session.run("UPDATE pauses SET ended = ? WHERE flow_run = ? AND key = ? AND ended IS NULL", (now_microseconds(), session.uid(uid), key))
