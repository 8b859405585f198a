"""Queries for the logs of a flow run: pages in both directions, the lines around one, and search.

A line's address is its attempt and `seq`; it never changes. A filter by level or text reads lines that do not match, so it runs in
blocks with a deadline: what it has found by then is the answer, together with where the search continues.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import select

from mintaka_history.paging import Ends, Page, Part
from mintaka_history.queries import pages
from mintaka_history.queries.dialects import contains_text
from mintaka_history.run_responses import LogAnswer
from mintaka_history.tables import logs
from mintaka_history.timestamps import from_microseconds

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement, Connection, Row, Select

    from mintaka_history.queries.flow_runs import RunKey
    from mintaka_history.queries.names import Names

_l = logs.c
KEY_TYPES: tuple[type, ...] = (int,)
#: How long a search may take. A block that takes less than the second figure is followed by one twice as large.
DEADLINE_SECONDS, _BLOCK_SECONDS = 2.0, 0.1
_FIRST_BLOCK, _LARGEST_BLOCK = 2_000, 64_000
_ESCAPED = str.maketrans({"\\": r"\\", "%": r"\%", "_": r"\_"})


@dataclass(frozen=True, slots=True)
class LogFilter:
    """Filters lines: of at least `level`, after line `after` and before line `before`, that contain `text`.

    `text` is compared without regard to case unless `match_case`.
    """

    level: int | None = None
    after: int | None = None
    before: int | None = None
    text: str | None = None
    match_case: bool = False

    @property
    def searches(self) -> bool:
        """True if lines must be read that may not match."""
        return bool(self.level or self.text)

    def matches(self, message: str) -> bool:
        """Whether a message contains the text. The database compares letters beyond ASCII only approximately."""
        if not self.text or self.match_case:
            return True
        return self.text.lower() in message.lower()


def page(
    connection: Connection,
    names: Names,
    run: RunKey,
    attempt: int,
    page: Page,
    wanted: LogFilter = LogFilter(),
    *,
    seconds: float = DEADLINE_SECONDS,
) -> Part[LogAnswer]:
    """A page of the lines of one attempt; `partial` if the search for them did not end within `seconds`."""
    query = _lines(run, attempt, wanted)
    if wanted.searches:
        rows, ends, partial = _search(connection, query, page, wanted, time.monotonic() + seconds)
    else:
        rows, ends = pages.fetch(connection, query, (_l.seq,), page)
        partial = False
    return Part(_answers(connection, names, rows), ends.last, ends.first, partial)


def around(
    connection: Connection,
    names: Names,
    run: RunKey,
    attempt: int,
    line: int,
    page: Page,
    wanted: LogFilter = LogFilter(),
) -> Part[LogAnswer]:
    """The lines of one attempt around the line with this `seq`, in the order of `page`: half of them precede it."""
    query = _lines(run, attempt, wanted)
    half = page.limit // 2
    rows: list[Row[Any]] = []
    first = None
    if half:
        rows, (first, _) = pages.fetch(connection, query, (_l.seq,), Page(half, page.descending, (line,), backwards=True))
    own = line + 1 if page.descending else line - 1
    following, (_, last) = pages.fetch(connection, query, (_l.seq,), Page(page.limit - len(rows), page.descending, (own,)))
    return Part(_answers(connection, names, [*rows, *following]), last, first)


def _lines(run: RunKey, attempt: int, wanted: LogFilter) -> Select[Any]:
    query = select(_l.seq, _l.at, _l.level, _l.logger, _l.n, _l.message).where(_l.flow_run == run.no, _l.attempt == attempt)
    if wanted.after is not None:
        query = query.where(_l.seq > wanted.after)
    if wanted.before is not None:
        query = query.where(_l.seq < wanted.before)
    return query


def _search(
    connection: Connection, query: Select[Any], page: Page, wanted: LogFilter, deadline: float
) -> tuple[list[Row[Any]], Ends, bool]:
    """The matching rows of the page, its ends, and whether the search stopped early."""
    size, position, found = _FIRST_BLOCK, page.after, list[Any]()
    while True:
        began = time.monotonic()
        block = _beyond(query, page, position)
        end = connection.scalar(block.with_only_columns(_l.seq).order_by(_ordered(page)).offset(size - 1).limit(1))
        if end is not None:
            block = block.where(_l.seq >= end if page.walks_down else _l.seq <= end)
        missing = page.limit + 1 - len(found)
        matching = connection.execute(_matching(connection, block, wanted).order_by(_ordered(page)).limit(missing)).all()
        found += [row for row in matching if wanted.matches(row.message)]
        if len(matching) == missing:  # the block may have more; those that only the database took for matches count as read
            position = (matching[-1].seq,)
            if len(found) > page.limit:
                return *_finished(found, page, stopped=None), False
        elif end is None:
            return *_finished(found, page, stopped=None), False
        else:
            position = (end,)
        now = time.monotonic()
        if now >= deadline:
            return *_finished(found, page, stopped=position), True
        size = min(size * 2, _LARGEST_BLOCK) if now - began < _BLOCK_SECONDS else max(size // 2, _FIRST_BLOCK // 8)


def _finished(found: list[Row[Any]], page: Page, stopped: tuple[Any, ...] | None) -> tuple[list[Row[Any]], Ends]:
    """The rows and ends of a page: `found` has one row more than the page if there are more; `stopped` is where the search did."""
    rows = found[: page.limit]
    onward = (rows[-1].seq,) if len(found) > page.limit else stopped
    begin = page.after and ((rows[0].seq,) if rows else page.after)
    if page.backwards:
        return rows[::-1], Ends(onward, begin)
    return rows, Ends(begin, onward)


def _beyond(query: Select[Any], page: Page, position: tuple[Any, ...] | None) -> Select[Any]:
    if position is None:
        return query
    return query.where(_l.seq < position[0] if page.walks_down else _l.seq > position[0])


def _ordered(page: Page) -> ColumnElement[Any]:
    return _l.seq.desc() if page.walks_down else _l.seq.asc()


def _matching(connection: Connection, query: Select[Any], wanted: LogFilter) -> Select[Any]:
    if wanted.level:
        query = query.where(_l.level >= wanted.level)
    if not wanted.text:
        return query
    if wanted.match_case:
        return query.where(contains_text(connection, _l.message, wanted.text))
    # The databases differ in the letters beyond ASCII whose case they know, so any character may match one here.
    pattern = "".join(letter if letter.isascii() else "_" for letter in wanted.text.translate(_ESCAPED))
    return query.where(_l.message.ilike(f"%{pattern}%", escape="\\"))


def _answers(connection: Connection, names: Names, rows: list[Row[Any]]) -> list[LogAnswer]:
    texts = names.values(connection, {row.logger for row in rows})
    return [
        LogAnswer(row.seq, from_microseconds(row.at), row.level, texts[row.logger] if row.logger is not None else "", row.n, row.message)
        for row in rows
    ]
