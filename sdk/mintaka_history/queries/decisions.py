"""The recorded decisions about flow runs of deployments, run after run, for dry runs of rules."""

from __future__ import annotations

from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
from sqlalchemy import func, or_, select, tuple_

from mintaka_core.rule_dry_run import RecordedDecision, RecordedRun
from mintaka_core.user_rules import RunFacts
from mintaka_history.enum_codes import STATE_CODES, STATE_OF_CODE, RunKind, shown_name
from mintaka_history.tables import flow_run_transitions, flow_runs
from mintaka_history.timestamps import from_microseconds, optional_datetime

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from sqlalchemy import Connection

    from mintaka_core.transitions import Edge
    from mintaka_history.queries.names import Names

_r, _t = flow_runs.c, flow_run_transitions.c
_COLUMNS = (
    *(_t.flow_run, _t.seq, _t.at, _t.from_state, _t.proposed, _t.to_state, _t.name, _t.rule, _t.verdict, _t.reason, _t.message),
    *(_t.attempt, _t.until, _t.trail, _t.facts),
)
_RUNS = 400
_trail = msgspec.json.Decoder(list[tuple[str, str, str]]).decode
_object = msgspec.json.Decoder(dict).decode

type Position = tuple[int, int]


class Page(NamedTuple):
    """Decisions by run, how many there are with those that were not read, and the position after them (None: there are no more)."""

    decisions: list[tuple[RecordedRun, list[RecordedDecision]]]
    total: int
    after: Position | None


def page(
    connection: Connection,
    names: Names,
    since: int,
    after: Position | None,
    spoken: Collection[Edge],
    namespace: int | None = None,
    run: str | None = None,
) -> Page:
    """The decisions about the next runs that were created at `since` (microseconds) or later.

    Only those are read that propose one of the transitions `spoken`, or that a rule of users decided; all are counted. `namespace` is its
    number in `names` (None: all); `run` a uid (None: all).
    """
    query = select(_r.no, _r.created, _r.uid, _r.ns, _r.name, _r.deployment, _r.tags, _r.parameters)
    query = query.where(_r.kind == int(RunKind.DEPLOYED), _r.created >= since).order_by(_r.created, _r.no).limit(_RUNS)
    if after is not None:
        query = query.where(tuple_(_r.created, _r.no) > tuple_(*after))
    if namespace is not None:
        query = query.where(_r.ns == namespace)
    if run is not None:
        query = query.where(_r.uid == run)
    runs = connection.execute(query).all()
    if not runs:
        return Page([], 0, None)
    texts = names.values(connection, [number for row in runs for number in (row.ns, row.deployment)])
    theirs = _t.flow_run.in_([row.no for row in runs])
    about = [(_t.from_state == STATE_CODES[before]) & (_t.proposed == STATE_CODES[after]) for before, after in spoken if before]
    found = connection.execute(
        select(*_COLUMNS).where(theirs, or_(*about, _t.rule.like("%/%"), _t.trail.like("%/%"))).order_by(_t.flow_run, _t.seq)
    ).all()
    decisions = {number: [_decision(row) for row in rows] for number, rows in groupby(found, key=itemgetter(0))}
    position = (runs[-1].created, runs[-1].no) if len(runs) == _RUNS else None
    count = connection.execute(select(func.count()).where(theirs)).scalar_one()
    return Page([(_run(row, texts), decisions[row.no]) for row in runs if row.no in decisions], count, position)


def _run(row: Any, texts: Mapping[int, str]) -> RecordedRun:
    tags = msgspec.json.decode(row.tags) if row.tags else ()
    deployment = texts[row.deployment] if row.deployment is not None else ""
    facts = RunFacts(texts[row.ns], row.name, deployment, {}, tuple(tags), _parameters(row.parameters))
    return RecordedRun(row.uid, facts)


def _parameters(text: str | None) -> Callable[[], Mapping[str, Any]]:
    return lambda: _object(text) if text else {}


def _decision(row: Sequence[Any]) -> RecordedDecision:
    _, seq, at, before, proposed, to, name, rule, verdict, reason, message, attempt, until, trail, facts = row
    opinions = _trail(trail) if trail else [(rule, verdict or "", message or "")] if rule else ()
    return RecordedDecision(
        seq,
        from_microseconds(at),
        STATE_OF_CODE.get(before) if before else None,
        STATE_OF_CODE.get(proposed, STATE_OF_CODE[to]),
        STATE_OF_CODE[to],
        shown_name(to, name),
        rule or "",
        verdict or "",
        reason or "",
        message or "",
        attempt,
        optional_datetime(until),
        opinions,
        facts or "",
    )
