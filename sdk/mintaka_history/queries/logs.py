"""Queries for the logs of a flow run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import select

from mintaka_history.paging import Part
from mintaka_history.queries import pages
from mintaka_history.response_models import LogAnswer
from mintaka_history.tables import logs
from mintaka_history.timestamps import from_microseconds

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from mintaka_history.paging import Page
    from mintaka_history.queries.flow_runs import RunKey
    from mintaka_history.queries.names import Names

_l = logs.c
KEY_TYPES: tuple[type, ...] = (int,)


def page(
    connection: Connection, names: Names, run: RunKey, attempt: int, page: Page, *, level: int | None, after: int | None
) -> Part[LogAnswer]:
    """A page of the lines of one attempt, of at least `level`, after line `after`."""
    query = select(_l.seq, _l.at, _l.level, _l.logger, _l.n, _l.message).where(_l.flow_run == run.no, _l.attempt == attempt)
    if level is not None:
        query = query.where(_l.level >= level)
    if after is not None:
        query = query.where(_l.seq > after)
    rows, last = pages.fetch(connection, query, (_l.seq,), page)
    texts = names.values(connection, {row.logger for row in rows})
    items = [
        LogAnswer(row.seq, from_microseconds(row.at), row.level, texts[row.logger] if row.logger is not None else "", row.n, row.message)
        for row in rows
    ]
    return Part(items, last)
