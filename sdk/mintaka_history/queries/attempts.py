"""Queries for the attempts of a flow run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import select

from mintaka_history.enum_codes import shown_state
from mintaka_history.queries import pages
from mintaka_history.run_responses import RunAttemptAnswer
from mintaka_history.tables import attempts
from mintaka_history.timestamps import optional_datetime

if TYPE_CHECKING:
    from sqlalchemy import Connection, Row

    from mintaka_history.paging import Page, Part

_a = attempts.c
KEY_TYPES: tuple[type, ...] = (int,)


def page(connection: Connection, number: int, page: Page) -> Part[RunAttemptAnswer]:
    """A page of the attempts of the flow run with this number, by attempt."""
    rows, ends = pages.fetch(connection, select(attempts).where(_a.flow_run == number), (_a.attempt,), page)
    return pages.part(rows, ends, _answer)


def _answer(row: Row[Any]) -> RunAttemptAnswer:
    return RunAttemptAnswer(
        attempt=row.attempt,
        state=None if row.state is None else shown_state(row.state),
        reason=row.reason or "",
        diagnosis=row.diagnosis or "",
        exit_code=row.exit_code,
        pod=row.pod or None,
        pod_uid=row.pod_uid or None,
        node=row.node or None,
        revision=row.revision or None,
        created=optional_datetime(row.created),
        started=optional_datetime(row.started),
        ended=optional_datetime(row.ended),
        log_tail=row.log_tail or "",
    )
