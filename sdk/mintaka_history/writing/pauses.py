"""Pauses of flow runs that others can end: announced by the run's process, answered by anybody, taken by the process.

A pause is known by the uid of its flow run and a key, so that it can be announced before anything else is known of the run,
and again by a later attempt: what was answered stays answered.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from mintaka_history.instants import now_microseconds

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
_COLUMNS = "key, attempt, suspended, created, deadline, schema, answered, answer, refusal, ended"


class PauseRow(NamedTuple):
    """One pause, in the table's words: instants in microseconds, `schema` and `answer` JSON texts.

    It is open while both `answered` and `ended` are None; `refusal` says what was wrong with the last answer.
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

    @property
    def is_open(self) -> bool:
        """True while somebody may end it."""
        return self.answered is None and self.ended is None


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


def answer(session: Session, uid: str, key: str, value: str | None) -> bool:
    """End a pause with a JSON text (None: without input); False where it is not open any more."""
    statement = (
        "UPDATE pauses SET answered = ?, answer = ?, refusal = NULL "
        "WHERE flow_run = ? AND key = ? AND answered IS NULL AND ended IS NULL RETURNING key"
    )
    return bool(session.run(statement, (now_microseconds(), value, session.uid(uid), key)))


def refuse(session: Session, uid: str, key: str, why: str) -> None:
    """The process cannot take the answer: it waits on, and says why."""
    session.run(
        "UPDATE pauses SET answered = NULL, answer = NULL, refusal = ? WHERE flow_run = ? AND key = ?",
        (why[:TEXT_LIMIT], session.uid(uid), key),
    )


def end(session: Session, uid: str, key: str) -> None:
    """The process waits no more, whoever ended it: in time or not, there is nothing left to answer."""
    session.run("UPDATE pauses SET ended = ? WHERE flow_run = ? AND key = ? AND ended IS NULL", (now_microseconds(), session.uid(uid), key))
