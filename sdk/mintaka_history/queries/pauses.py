"""Pauses of flow runs: read, announce and answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import msgspec

from mintaka_history.queries.dialects import SqlalchemySession
from mintaka_history.run_responses import PauseAnswer
from mintaka_history.timestamps import from_microseconds, optional_datetime
from mintaka_history.writing import pauses

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from mintaka_history.writing.pauses import PauseRow


class Announcement(NamedTuple):
    """What a run's process announces about one of its pauses, the run's `namespace` included: `schema` and `answer` are JSON texts, `deadline` microseconds.

    `refusal` is why it refuses the last answer, `over` means that it no longer waits, `answered` that it was answered
    locally.
    """

    namespace: str
    attempt: int
    suspended: bool
    deadline: int | None
    schema: str | None
    refusal: str | None
    over: bool
    answered: bool
    answer: str | None


def of_run(connection: Connection, uid: str) -> list[PauseAnswer]:
    """All pauses of a run, oldest first."""
    return [answer_of(row) for row in pauses.of_run(SqlalchemySession(connection), uid)]


def open_of_run(connection: Connection, uid: str) -> list[PauseAnswer]:
    """The open pauses of a run, oldest first."""
    return [pause for pause in of_run(connection, uid) if pause.open]


def one(connection: Connection, uid: str, key: str) -> PauseAnswer | None:
    """One pause; None if it was never announced."""
    row = pauses.one(SqlalchemySession(connection), uid, key)
    return None if row is None else answer_of(row)


def store_announcement(connection: Connection, uid: str, key: str, said: Announcement) -> PauseAnswer | None:
    """Store an announcement; return the resulting pause."""
    session = SqlalchemySession(connection)
    if said.refusal is not None:
        pauses.refuse(session, uid, key, said.refusal)
    elif said.over:
        if said.answered:
            pauses.answer(session, uid, key, said.answer)
        pauses.end(session, uid, key)
    else:
        run = (uid, said.namespace, key, said.attempt)
        pauses.announce(session, *run, suspended=said.suspended, deadline=said.deadline, schema=said.schema)
    return one(connection, uid, key)


def answer(connection: Connection, uid: str, key: str, value: str | None) -> int | None:
    """End a pause; return the time of the answer (µs), None if it was over already."""
    return pauses.answer(SqlalchemySession(connection), uid, key, value)


def revert_answer(connection: Connection, uid: str, key: str, answered: int) -> None:
    """Undo the answer with that time, unless the process has taken it."""
    pauses.revert_answer(SqlalchemySession(connection), uid, key, answered)


def answer_of(row: PauseRow) -> PauseAnswer:
    """The answer document of a row."""
    return PauseAnswer(
        namespace=row.namespace,
        key=row.key,
        attempt=row.attempt,
        suspended=bool(row.suspended),
        open=row.is_open,
        created=from_microseconds(row.created),
        deadline=optional_datetime(row.deadline),
        schema=msgspec.json.decode(row.schema) if row.schema else None,
        answered=optional_datetime(row.answered),
        answer=msgspec.json.decode(row.answer) if row.answer else None,
        refusal=row.refusal or "",
    )
