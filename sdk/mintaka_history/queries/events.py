"""Queries for events: by time, namespace, resource and flow run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec
from sqlalchemy import select

from mintaka_history.enum_codes import NameKind
from mintaka_history.history_responses import EventAnswer
from mintaka_history.paging import Part
from mintaka_history.queries import pages
from mintaka_history.queries.flow_runs import uids
from mintaka_history.tables import events, flow_runs
from mintaka_history.timestamps import from_microseconds

if TYPE_CHECKING:
    from sqlalchemy import Connection, Row

    from mintaka_history.paging import Page
    from mintaka_history.queries.names import Names

_e = events.c
KEY_TYPES: dict[str, tuple[type, ...]] = {"time": (int, str)}


@dataclass(frozen=True, slots=True)
class EventFilter:
    """Filters events; empty or None means any. Times in microseconds; `resource` is a prefix, `flow_run` a uid."""

    namespaces: tuple[str, ...] = ()
    resource: str | None = None
    flow_run: str | None = None
    since: int | None = None
    until: int | None = None


def page(connection: Connection, names: Names, wanted: EventFilter, page: Page) -> Part[EventAnswer]:
    """A page of events by time."""
    query = select(events)
    choices = []
    if wanted.namespaces:
        ids = [names.known(connection, NameKind.NAMESPACE, namespace) for namespace in wanted.namespaces]
        leads = wanted.resource is None and wanted.flow_run is None
        choices.append(pages.Choice(_e.ns, tuple(number for number in ids if number is not None), leads=leads))
        if not choices[0].values:
            return Part([], None)
    if wanted.flow_run is not None:
        number = select(flow_runs.c.no).where(flow_runs.c.uid == wanted.flow_run).scalar_subquery()
        query = query.where(_e.flow_run.is_not(None), _e.flow_run == number)
    if wanted.since is not None:
        query = query.where(_e.at >= wanted.since)
    if wanted.until is not None:
        query = query.where(_e.at < wanted.until)
    prefix = [] if wanted.resource is None else pages.begins_with(_e.resource, wanted.resource)
    collected = bool(prefix) and pages.few(connection, prefix)
    rows, ends = pages.fetch(connection, query.where(*prefix), (_e.at, _e.id), page, choices, collected=collected)
    texts = names.values(connection, [row.ns for row in rows])
    runs = uids(connection, [row.flow_run for row in rows])
    return pages.part(rows, ends, lambda row: _answer(row, texts, runs))


def _answer(row: Row[Any], texts: dict[int, str], runs: dict[int, str]) -> EventAnswer:
    return EventAnswer(
        id=row.id,
        time=from_microseconds(row.at),
        name=row.name,
        namespace=texts[row.ns],
        resource=row.resource,
        flow_run=runs.get(row.flow_run),
        payload=msgspec.Raw(row.payload.encode()),
    )
