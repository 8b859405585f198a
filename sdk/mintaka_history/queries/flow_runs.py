"""Queries for flow runs and their transitions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec
from sqlalchemy import or_, select

from mintaka_core.history_reasons import DATABASE_REASONS
from mintaka_history.enum_codes import TERMINAL_CODES, NameKind, RunKind, shown_name, shown_state
from mintaka_history.paging import Part
from mintaka_history.queries import pages
from mintaka_history.queries.flow_run_filters import FlowRunFilter, choices_of, filtered, with_tags
from mintaka_history.run_responses import ConditionAnswer, FlowRunAnswer, StateAnswer, TransitionAnswer
from mintaka_history.tables import flow_run_tags, flow_run_transitions, flow_runs
from mintaka_history.timestamps import from_microseconds, optional_datetime

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from sqlalchemy import ColumnElement, Connection, Row, Select

    from mintaka_history.paging import Page
    from mintaka_history.queries.names import Names

_r = flow_runs.c
_COLUMNS = tuple(column for column in flow_runs.c if column.name not in {"resource_version", "reported", "holder", "heard"})
#: The columns that need not be read if the answer omits them.
_HEAVY = {"parameters": _r.parameters, "task_counts": _r.counts, "tags": _r.tags, "conditions": _r.conditions}
_KINDS = {int(kind): kind.name.lower() for kind in RunKind}
#: The verdicts that leave a run in its state.
_WITHOUT_EFFECT = ("Wait", "Abort")

#: Sort key by name; the run's number makes it unique.
ORDERS = {"created": (_r.created, _r.no), "name": (_r.name, _r.no)}
KEY_TYPES: dict[str, tuple[type, ...]] = {"created": (int, int), "name": (str, int)}


@dataclass(frozen=True, slots=True)
class RunKey:
    """The keys of a flow run in the cluster and in the big tables; a script's run was never in a cluster. `root` is the uid of the
    flow run in whose process it was called (None: it was not called).
    """

    no: int
    uid: str
    namespace: str
    name: str
    attempt: int
    reported_attempt: int
    terminal: bool
    deleted: bool
    of_a_script: bool
    root: str | None = None


def page(
    connection: Connection, names: Names, wanted: FlowRunFilter, order: str, page: Page, fields: frozenset[str] | None
) -> Part[FlowRunAnswer]:
    """A page of flow runs; `fields` (None: all) are the members that the answer includes."""
    query = select(*(column for column in _COLUMNS if fields is None or not _left_out(column, fields)))
    columns = ORDERS[order]
    choices = choices_of(connection, names, wanted, order)
    tags = [names.known(connection, NameKind.TAG, tag) for tag in wanted.tags]
    if None in tags or any(not choice.values for choice in choices if not isinstance(choice, pages.Excluded)):
        return Part([], None)
    not_tags = [names.known(connection, NameKind.TAG, tag) for tag in wanted.not_tags]
    query = filtered(query, wanted, [tag for tag in not_tags if tag is not None], order)
    collected = wanted.name is not None and order == "created" and pages.few(connection, pages.begins_with(_r.name, wanted.name))
    lead = order == "created" and not collected and wanted.alive_after is None
    query = with_tags(query, [tag for tag in tags if tag is not None], lead=lead)
    if tags and lead:
        columns = (flow_run_tags.c.created, flow_run_tags.c.flow_run)
        query = query.add_columns(flow_run_tags.c.flow_run)
    key = None if tags and lead else _r.no
    rows, ends = pages.fetch(connection, query, columns, page, choices, collected=collected, key=key)
    answers = _answers(connection, names, rows)
    return Part(answers, ends.last, ends.first)


def one(connection: Connection, names: Names, uid: str) -> FlowRunAnswer | None:
    """The flow run with this uid."""
    return _single(connection, names, select(*_COLUMNS).where(_r.uid == uid))


def ended(connection: Connection, names: Names, runs: Mapping[str, int]) -> list[FlowRunAnswer]:
    """Those of the flow runs with these uids that are over with a sequence above the given one, or that left the cluster.

    A run that left the cluster is not started again, so its end counts regardless of its sequence.
    """
    query = select(*_COLUMNS).where(_r.uid.in_(runs), _r.state.in_([pages.written(code) for code in sorted(TERMINAL_CODES)]))
    rows = [row for row in connection.execute(query).all() if row.sequence > runs[str(row.uid)] or _has_left(row)]
    return _answers(connection, names, rows)


def of_uids(connection: Connection, names: Names, uids: Collection[str]) -> list[FlowRunAnswer]:
    """The flow runs with these uids, without those that are unknown."""
    return _answers(connection, names, list(connection.execute(select(*_COLUMNS).where(_r.uid.in_(uids))).all())) if uids else []


def newest(connection: Connection, names: Names, namespace: str, name: str) -> FlowRunAnswer | None:
    """The newest flow run of this name, even if it was deleted."""
    number = names.known(connection, NameKind.NAMESPACE, namespace)
    query = select(*_COLUMNS).where(_r.name == name, _r.ns == number)
    return None if number is None else _single(connection, names, query.order_by(_r.created.desc(), _r.no.desc()).limit(1))


def newest_of_name(connection: Connection, names: Names, name: str) -> FlowRunAnswer | None:
    """The newest flow run of this name in any namespace."""
    query = select(*_COLUMNS).where(_r.name == name)
    return _single(connection, names, query.order_by(_r.created.desc(), _r.no.desc()).limit(1))


def key(connection: Connection, names: Names, uid: str) -> RunKey | None:
    """The keys of the flow run with this uid; None if it is unknown."""
    columns = (_r.no, _r.uid, _r.ns, _r.name, _r.attempt, _r.reported_attempt, _r.state, _r.deleted, _r.resource_version, _r.kind, _r.root)
    row = connection.execute(select(*columns).where(_r.uid == uid)).first()
    if row is None:
        return None
    namespace = names.values(connection, [row.ns])[row.ns]
    terminal, deleted = row.state in TERMINAL_CODES, row.deleted is not None
    called = row.kind == RunKind.CALLED
    of_a_script = deleted and row.resource_version == 0 and not called
    root = uids(connection, [row.root]).get(row.root) if called else None
    return RunKey(row.no, row.uid, namespace, row.name, row.attempt, row.reported_attempt, terminal, deleted, of_a_script, root)


def transitions(connection: Connection, number: int, page: Page, *, changed: bool = False) -> Part[TransitionAnswer]:
    """A page of the decisions about the flow run with this number, oldest first; `changed`: without those that left it in its state."""
    t = flow_run_transitions.c
    query = select(flow_run_transitions).where(t.flow_run == number)
    if changed:
        query = query.where(or_(t.verdict.is_(None), t.verdict.not_in(_WITHOUT_EFFECT)))
    rows, ends = pages.fetch(connection, query, (t.seq,), page)
    return pages.part(rows, ends, _transition)


def with_latest_transitions(
    connection: Connection, names: Names, uid: str, limit: int
) -> tuple[FlowRunAnswer, list[TransitionAnswer]] | None:
    """A flow run and at most `limit` of its latest decisions, oldest first; None if there is no such run."""
    found = one(connection, names, uid)
    if found is None:
        return None
    t = flow_run_transitions.c
    number = select(_r.no).where(_r.uid == uid).scalar_subquery()
    rows = connection.execute(select(flow_run_transitions).where(t.flow_run == number).order_by(t.seq.desc()).limit(limit)).all()
    return found, [_transition(row) for row in reversed(rows)]


def uids(connection: Connection, numbers: Iterable[int | None]) -> dict[int, str]:
    """The uids of flow runs by their numbers; None is skipped."""
    wanted = sorted({number for number in numbers if number is not None})
    rows = connection.execute(select(_r.no, _r.uid).where(_r.no.in_(wanted))) if wanted else ()
    return {row.no: row.uid for row in rows}


def _single(connection: Connection, names: Names, query: Select[Any]) -> FlowRunAnswer | None:
    row = connection.execute(query).first()
    return None if row is None else _answers(connection, names, [row])[0]


def _has_left(row: Row[Any]) -> bool:
    """Whether a run left the cluster; runs of scripts were never in one."""
    return row.deleted is not None and row.kind == RunKind.DEPLOYED


def _left_out(column: ColumnElement[Any], fields: frozenset[str]) -> bool:
    return any(column is heavy and field not in fields for field, heavy in _HEAVY.items())


def _answers(connection: Connection, names: Names, rows: list[Row[Any]]) -> list[FlowRunAnswer]:
    texts = names.values(connection, [number for row in rows for number in (row.ns, row.deployment, row.flow, row.cluster)])
    family = uids(connection, [number for row in rows for number in (row.parent, row.root)])
    return [_answer(row, texts, family) for row in rows]


def _answer(row: Row[Any], texts: dict[int, str], family: dict[int, str]) -> FlowRunAnswer:
    values = row._mapping  # noqa: SLF001 - SQLAlchemy's public name for it
    parameters, tags, counts = values.get("parameters"), values.get("tags"), values.get("counts")
    conditions = values.get("conditions")
    return FlowRunAnswer(
        uid=row.uid,
        namespace=texts[row.ns],
        name=row.name,
        deployment=texts[row.deployment] if row.deployment is not None else None,
        state=StateAnswer(
            shown_state(row.state),
            shown_name(row.state, row.state_name),
            row.reason or "",
            row.message or "",
            optional_datetime(row.state_time),
        ),
        sequence=row.sequence,
        attempt=max(row.attempt, row.reported_attempt),
        failures=row.failures,
        crashes=row.crashes,
        created=from_microseconds(row.created),
        scheduled=optional_datetime(row.scheduled),
        started=optional_datetime(row.started),
        ended=optional_datetime(row.ended),
        tags=msgspec.json.decode(tags) if tags else [],
        parameters=msgspec.json.decode(parameters) if parameters else {},
        pod=row.pod,
        history_complete=_history_complete(row),
        deleted=optional_datetime(row.deleted),
        task_counts=msgspec.json.decode(counts) if counts else {},
        flow=texts[row.flow] if row.flow is not None else None,
        kind=_KINDS.get(row.kind, "unknown"),
        parent=family.get(row.parent),
        root=family.get(row.root),
        parent_n=row.parent_n,
        cluster=texts[row.cluster] if row.cluster is not None else None,
        revision=row.revision or None,
        next_time=optional_datetime(row.next_time),
        history_reason=row.history_reason or "",
        conditions=[
            ConditionAnswer(kind, status, reason, message, from_microseconds(changed))
            for kind, status, reason, message, changed in (msgspec.json.decode(conditions) if conditions else ())
        ],
    )


def _history_complete(row: Row[Any]) -> bool:
    """Whether the history of the current attempt is complete: its last report arrived, or the operator states that it has none."""
    if row.gap or row.history_reason in DATABASE_REASONS:
        return False
    if row.final_attempt and row.final_attempt >= row.attempt:
        return True
    return row.state in TERMINAL_CODES and row.history_condition is not False


def _transition(row: Row[Any]) -> TransitionAnswer:
    return TransitionAnswer(
        sequence=row.seq,
        from_=shown_state(row.from_state) if row.from_state else None,
        to=shown_state(row.to_state),
        name=shown_name(row.to_state, row.name),
        proposed=shown_state(row.proposed),
        rule=row.rule or "",
        verdict=row.verdict or "",
        reason=row.reason or "",
        message=row.message or "",
        attempt=row.attempt,
        time=from_microseconds(row.at),
        trail=msgspec.json.decode(row.trail) if row.trail else [(row.rule, row.verdict or "", row.reason or "")] if row.rule else [],
        facts=msgspec.json.decode(row.facts) if row.facts else {},
        until=optional_datetime(row.until),
    )
