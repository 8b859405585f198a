"""Queries for artifacts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
from sqlalchemy import func, select

from mintaka_history.queries import pages
from mintaka_history.run_responses import ArtifactAnswer
from mintaka_history.tables import artifacts
from mintaka_history.timestamps import from_microseconds

if TYPE_CHECKING:
    from sqlalchemy import Connection, Row

    from mintaka_history.paging import Page, Part
    from mintaka_history.queries.flow_runs import RunKey

_a = artifacts.c
KEY_TYPES: tuple[type, ...] = (int, str)
#: A page ends when its data reaches this many characters; it always has at least one artifact.
PAGE_CHARACTERS = 4 * 1024 * 1024


def page(connection: Connection, run: RunKey, page: Page) -> Part[ArtifactAnswer]:
    """A page of the artifacts of a flow run, oldest first."""
    sizes = select(_a.created, _a.id, func.length(_a.data).label("size")).where(_a.flow_run == run.no)
    keys, ends = pages.fetch(connection, sizes, (_a.created, _a.id), page)
    sizes_read = [key.size for key in keys]
    if page.backwards:
        hidden = len(keys) - _fitting(sizes_read[::-1])
        if hidden:
            keys = keys[hidden:]
            ends = ends._replace(first=(keys[0].created, keys[0].id))
    elif (shown := _fitting(sizes_read)) < len(keys):
        keys, ends = keys[:shown], ends._replace(last=(keys[shown - 1].created, keys[shown - 1].id))
    query = select(artifacts).where(_a.flow_run == run.no, _a.id.in_([key.id for key in keys])).order_by(_a.created, _a.id)
    return pages.part(list(connection.execute(query)), ends, lambda row: _answer(row, run))


def _fitting(sizes: list[int]) -> int:
    """The number of leading artifacts that fit into a page."""
    total = 0
    for count, size in enumerate(sizes):
        total += size
        if total > PAGE_CHARACTERS and count:
            return count
    return len(sizes)


def _answer(row: Row[Any], run: RunKey) -> ArtifactAnswer:
    return ArtifactAnswer(
        id=row.id,
        flow_run=run.uid,
        attempt=row.attempt,
        n=row.n,
        kind=row.kind,
        key=row.key,
        description=row.description,
        data=msgspec.json.decode(row.data),
        version=row.seq,
        created=from_microseconds(row.created),
        updated=from_microseconds(row.updated),
    )
