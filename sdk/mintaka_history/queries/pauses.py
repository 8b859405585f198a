"""Pauses of flow runs: asked and answered."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import msgspec

from mintaka_history.queries.dialects import SqlalchemySession
from mintaka_history.response_models import PauseAnswer
from mintaka_history.timestamps import from_microseconds, optional_datetime
from mintaka_history.writing import pauses

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from mintaka_history.writing.pauses import PauseRow


class Announcement(NamedTuple):
    """What a run's process says of one of its pauses: `schema` and `answer` are JSON texts, `deadline` microseconds.

    `refusal` is why it does not take the last answer, `over` that it waits no more, `answered` that somebody ended it there.
    """

    attempt: int
    suspended: bool
    deadline: int | None
    schema: str | None
    refusal: str | None
    over: bool
    answered: bool
    answer: str | None


def of_run(connection: Connection, uid: str) -> list[PauseAnswer]:
    """All of a run, oldest first."""
    return [answer_of(row) for row in pauses.of_run(SqlalchemySession(connection), uid)]


def open_of_run(connection: Connection, uid: str) -> list[PauseAnswer]:
    """Those that wait for somebody, oldest first."""
    return [pause for pause in of_run(connection, uid) if pause.open]


def one(connection: Connection, uid: str, key: str) -> PauseAnswer | None:
    """One pause; None where it was never announced."""
    row = pauses.one(SqlalchemySession(connection), uid, key)
    return None if row is None else answer_of(row)


def tell(connection: Connection, uid: str, key: str, said: Announcement) -> PauseAnswer | None:
    """Take in what the process says; the pause as it is then."""
    session = SqlalchemySession(connection)
    if said.refusal is not None:
        pauses.refuse(session, uid, key, said.refusal)
    elif said.over:
        if said.answered:
            pauses.answer(session, uid, key, said.answer)
        pauses.end(session, uid, key)
    else:
        pauses.announce(session, uid, key, said.attempt, suspended=said.suspended, deadline=said.deadline, schema=said.schema)
    return one(connection, uid, key)


def answer(connection: Connection, uid: str, key: str, value: str | None) -> int | None:
    """End a pause; when that was (µs), None where it was ended already."""
    return pauses.answer(SqlalchemySession(connection), uid, key, value)


def take_back(connection: Connection, uid: str, key: str, answered: int) -> None:
    """Undo the answer of that instant, unless the process has taken it."""
    pauses.take_back(SqlalchemySession(connection), uid, key, answered)


def answer_of(row: PauseRow) -> PauseAnswer:
    """A row as it is answered."""
    return PauseAnswer(
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
