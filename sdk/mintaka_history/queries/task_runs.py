"""Queries for task runs: pages of one flow run, pages across runs, the graph of an attempt."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec
from sqlalchemy import select

from mintaka_core.run_ids import flow_run_id, task_run_id
from mintaka_core.states import COMPLETED, StateType
from mintaka_history.enum_codes import STATE_CODES, NameKind, shown_name, shown_state
from mintaka_history.lineage import inputs_of, upstream_of
from mintaka_history.paging import Part
from mintaka_history.queries import pages
from mintaka_history.queries.flow_run_filters import state_called
from mintaka_history.run_responses import GraphAnswer, NodeAnswer, TaskRunAnswer
from mintaka_history.state_history import expand_history, facts_of_history
from mintaka_history.tables import flow_runs, task_run_tags, task_runs
from mintaka_history.timestamps import from_microseconds, optional_datetime

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement, Connection, Row, Select

    from mintaka_history.paging import Page
    from mintaka_history.queries.flow_runs import RunKey
    from mintaka_history.queries.names import Names

_t = task_runs.c
#: The columns that need not be read if the answer omits all of these members.
_HEAVY = {_t.history.name: {"history", "facts"}, _t.upstream.name: {"inputs", "upstream"}, _t.message.name: {"message"}}
#: The maximum number of nodes of a graph; a page cannot show more.
GRAPH_LIMIT = 20_000
#: The search for a task run covers those created at most this long before they started, so that it is bounded.
LONGEST_WAIT_MICROSECONDS = 7 * 86400 * 1_000_000

#: Sort keys of one flow run's attempt, and of task runs across flow runs.
RUN_ORDERS = {"n": (_t.n,), "name": (_t.name, _t.n)}
RUN_KEY_TYPES: dict[str, tuple[type, ...]] = {"n": (int,), "name": (str, int)}
ORDERS = {"created": (_t.created, _t.flow_run, _t.attempt, _t.n)}
KEY_TYPES: dict[str, tuple[type, ...]] = {"created": (int, int, int, int)}


@dataclass(frozen=True, slots=True)
class TaskRunFilter:
    """Filters task runs; empty or None means any. `name` is a prefix of a name that the flow's author set."""

    namespaces: tuple[str, ...] = ()
    states: tuple[StateType, ...] = ()
    state_name: str | None = None
    task: str | None = None
    name: str | None = None
    tags: tuple[str, ...] = ()
    started_after: int | None = None
    started_before: int | None = None


def page_of_run(
    connection: Connection,
    names: Names,
    run: RunKey,
    attempt: int,
    wanted: TaskRunFilter,
    order: str,
    page: Page,
    fields: frozenset[str] | None,
) -> Part[TaskRunAnswer]:
    """A page of the task runs of one attempt."""
    query = _columns(fields).where(_t.flow_run == run.no, _t.attempt == attempt)
    if order == "name":
        query = query.where(_t.name.is_not(None))
    return _page(connection, names, query, wanted, RUN_ORDERS[order], page, run)


def page(
    connection: Connection, names: Names, wanted: TaskRunFilter, order: str, page: Page, fields: frozenset[str] | None
) -> Part[TaskRunAnswer]:
    """A page of task runs across flow runs."""
    query = _columns(fields).add_columns(flow_runs.c.uid).join(flow_runs, flow_runs.c.no == _t.flow_run)
    return _page(connection, names, query, wanted, ORDERS[order], page, None)


def graph(connection: Connection, names: Names, run: RunKey, attempt: int) -> GraphAnswer:
    """The task runs of an attempt and the edges between them."""
    columns = (_t.n, _t.task, _t.name, _t.subflow, _t.state, _t.state_name, _t.started, _t.ended, _t.parent, _t.upstream)
    query = select(*columns).where(_t.flow_run == run.no, _t.attempt == attempt).order_by(_t.n).limit(GRAPH_LIMIT + 1)
    rows = connection.execute(query).all()
    shown = rows[:GRAPH_LIMIT]
    texts = names.values(connection, {row.task for row in shown})
    nodes = [
        NodeAnswer(
            row.n,
            texts[row.task],
            row.name or default_name(texts[row.task], row.n),
            "subflow" if row.subflow else "task",
            shown_state(row.state),
            shown_name(row.state, row.state_name),
            optional_datetime(row.started),
            optional_datetime(row.ended),
            row.parent,
        )
        for row in shown
    ]
    edges = [(before, row.n) for row in shown if row.upstream for before in upstream_of(inputs_of(row.upstream))]
    return GraphAnswer(attempt, nodes, edges, len(rows) > GRAPH_LIMIT)


def default_name(task: str, n: int) -> str:
    """The name of a task run without a name of its own: its function and its number."""
    return f"{task.rsplit('.', 1)[-1]}-{n}"


def _columns(fields: frozenset[str] | None) -> Select[Any]:
    return select(*(column for column in _t if fields is None or column.name not in _HEAVY or _HEAVY[column.name] & fields))


def _page(
    connection: Connection, names: Names, query: Select[Any], wanted: TaskRunFilter, order: tuple[Any, ...], page: Page, run: RunKey | None
) -> Part[TaskRunAnswer]:
    choices = []
    # The index of one of them leads if there is no better one.
    leads = run is None and not (wanted.states or wanted.tags or wanted.name is not None)
    if wanted.namespaces:
        ids = [names.known(connection, NameKind.NAMESPACE, namespace) for namespace in wanted.namespaces]
        choices.append(pages.Choice(_t.ns, tuple(number for number in ids if number is not None), leads=leads and wanted.task is None))
    if wanted.task is not None:
        number = names.known(connection, NameKind.TASK, wanted.task)
        choices.append(pages.Choice(_t.task, () if number is None else (number,), leads=leads))
    if wanted.states:
        choices.append(pages.Choice(_t.state, tuple(STATE_CODES[state] for state in wanted.states), common=STATE_CODES[COMPLETED]))
    tags = [names.known(connection, NameKind.TAG, tag) for tag in wanted.tags]
    if None in tags or any(not choice.values for choice in choices):
        return Part([], None)
    query = _filter_query(query, wanted)
    collected = run is None and wanted.name is not None and pages.few(connection, _filter_by_name(wanted.name))
    lead = run is None and not collected
    if tags:
        query = _filter_by_tags(query, [tag for tag in tags if tag is not None], lead=lead)
        if lead:
            g = task_run_tags.c
            order = (g.created, g.flow_run, g.attempt, g.n)
    rows, ends = pages.fetch(connection, query, order, page, choices, collected=collected)
    texts = names.values(connection, {*(row.task for row in rows), *(row.ns for row in rows)})
    return pages.part(rows, ends, lambda row: _answer(row, texts, run.uid if run else row.uid))


def _filter_query(query: Select[Any], wanted: TaskRunFilter) -> Select[Any]:
    if wanted.state_name is not None:
        query = query.where(state_called(wanted.state_name, _t.state, _t.state_name))
    if wanted.name is not None:
        query = query.where(*_filter_by_name(wanted.name))
    if wanted.started_after is not None:
        query = query.where(_t.started >= wanted.started_after, _t.created >= wanted.started_after - LONGEST_WAIT_MICROSECONDS)
    if wanted.started_before is not None:
        query = query.where(_t.started < wanted.started_before, _t.created < wanted.started_before)
    return query


def _filter_by_name(name: str) -> list[ColumnElement[bool]]:
    return [_t.name.is_not(None), *pages.begins_with(_t.name, name)]


def _filter_by_tags(query: Select[Any], tags: list[int], *, lead: bool) -> Select[Any]:
    """Only task runs that have all `tags`; across flow runs the first tag's index leads."""
    for position, tag in enumerate(tags):
        g = task_run_tags.alias() if position or not lead else task_run_tags
        same = (g.c.flow_run == _t.flow_run, g.c.attempt == _t.attempt, g.c.n == _t.n)
        if g is task_run_tags:
            query = query.join(g, *(same[0] & same[1] & same[2],)).where(g.c.tag == tag)
        else:
            query = query.where(select(g.c.tag).where(g.c.tag == tag, g.c.created == _t.created, *same).exists())
    return query


def _answer(row: Row[Any], texts: dict[int, str], uid: str) -> TaskRunAnswer:
    values = row._mapping  # noqa: SLF001 - SQLAlchemy's public name for it
    history, inputs = values.get("history"), inputs_of(values.get("upstream"))
    return TaskRunAnswer(
        id=str(task_run_id(flow_run_id(uid), row.attempt, row.n)),
        flow_run=uid,
        attempt=row.attempt,
        n=row.n,
        task=texts[row.task],
        name=row.name or default_name(texts[row.task], row.n),
        kind="subflow" if row.subflow else "task",
        state=shown_state(row.state),
        state_name=shown_name(row.state, row.state_name),
        reason=row.reason or "",
        message=values.get("message") or "",
        created=from_microseconds(row.created),
        started=optional_datetime(row.started),
        ended=optional_datetime(row.ended),
        runs=row.runs,
        parent=row.parent,
        inputs={name: numbers for name, numbers in inputs.items() if name},
        upstream=upstream_of(inputs),
        tags=msgspec.json.decode(row.tags) if row.tags else [],
        history=expand_history(history) if history else [],
        namespace=texts[row.ns],
        sequence=row.seq,
        facts=facts_of_history(history) if history else {},
    )
