"""Counts of flow runs by hour, from the rows that triggers maintain (`flow_run_counts`); never by counting runs.

A histogram reads the rows of the coarsest kind that its filter allows: those of everything, of a namespace or of a deployment.
Counts read the rows of whole days, and those of hours at both ends of the window.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from sqlalchemy import func, select, union_all

from mintaka_history.enum_codes import NameKind, shown_state
from mintaka_history.history_responses import BucketAnswer, CountAnswer
from mintaka_history.queries import pages
from mintaka_history.tables import ALL, flow_run_counts
from mintaka_history.tables import names as names_table
from mintaka_history.timestamps import from_microseconds

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy import ColumnElement, Connection

    from mintaka_history.queries.names import Names

_c = flow_run_counts.c
HOUR_MICROSECONDS = 3_600_000_000
_HOURS = 24
#: The maximum number of groups of an answer: those with most runs.
GROUPS = 1000

type Group = Literal["state", "namespace", "deployment"]


@dataclass(frozen=True, slots=True)
class CountFilter:
    """Runs created in the hours [`first`, `end`), as numbers of hours since the epoch; of these namespaces ((): all) and this deployment."""

    first: int
    end: int
    namespaces: tuple[str, ...] = ()
    deployment: str | None = None


def histogram(connection: Connection, names: Names, wanted: CountFilter, buckets: int) -> list[BucketAnswer]:
    """At most `buckets` buckets of equal width (the last one may be shorter), a whole number of hours, each with its counts by state."""
    width = max(1, -(-(wanted.end - wanted.first) // buckets))
    starts = range(wanted.first, wanted.end, width)
    found: list[dict[str, int]] = [{} for _ in starts]
    conditions = _scope(connection, names, wanted)
    if conditions is not None:
        bucket = (_c.hour - pages.written(wanted.first)) // pages.written(width)
        query = select(bucket.label("bucket"), _c.state, func.sum(_c.n).label("n")).where(*conditions, *_hours(wanted.first, wanted.end))
        for row in connection.execute(query.group_by(bucket, _c.state)):
            found[row.bucket][shown_state(row.state)] = int(row.n)
    return [
        BucketAnswer(_instant(start), _instant(min(start + width, wanted.end)), _positive(counts))
        for start, counts in zip(starts, found, strict=True)
    ]


def counts(connection: Connection, names: Names, wanted: CountFilter, by: Group) -> tuple[list[CountAnswer], bool]:
    """The counts by state of each group, most runs first, and whether there are more groups than `GROUPS`."""
    conditions = _scope(connection, names, wanted, fine=True)
    if conditions is None:
        return [], False
    keys = {"state": (), "namespace": (_c.ns,), "deployment": (_c.ns, _c.deployment)}[by]
    parts = [select(*keys, _c.state, _c.n).where(*conditions, *hours) for hours in _ranges(wanted.first, wanted.end)]
    rows = union_all(*parts).subquery("rows")
    columns = [*(rows.c[key.name] for key in keys), rows.c.state]
    found: dict[tuple[int, ...], dict[str, int]] = {}
    for *key, state, number in connection.execute(select(*columns, func.sum(rows.c.n)).group_by(*columns)):
        found.setdefault(tuple(key), {})[shown_state(state)] = int(number)
    groups = sorted(((key, _positive(states)) for key, states in found.items()), key=lambda group: (-sum(group[1].values()), group[0]))
    groups = [group for group in groups if group[1]]
    shown = groups[:GROUPS]
    texts = names.values(connection, [number for key, _ in shown for number in key if number])
    return [_count(key, texts, states) for key, states in shown], len(groups) > GROUPS


def _scope(connection: Connection, names: Names, wanted: CountFilter, *, fine: bool = False) -> list[ColumnElement[bool]] | None:
    """The conditions of the coarsest rows that the filter allows (`fine`: of those of deployments); None if there can be none."""
    conditions: list[ColumnElement[bool]] = []
    if wanted.deployment is not None:
        deployment = names.known(connection, NameKind.DEPLOYMENT, wanted.deployment)
        if deployment is None:
            return None
        conditions.append(_c.deployment == deployment)
    else:
        conditions.append(_c.deployment > ALL if fine else _c.deployment == pages.written(ALL))
    if wanted.namespaces:
        ids = [names.known(connection, NameKind.NAMESPACE, namespace) for namespace in wanted.namespaces]
        conditions.append(_c.ns.in_([number for number in ids if number is not None]))
    elif wanted.deployment is not None:  # a range of the index for each namespace
        conditions.append(_c.ns.in_(select(names_table.c.id).where(names_table.c.kind == int(NameKind.NAMESPACE))))
    elif not fine:
        conditions.append(_c.ns == pages.written(ALL))
    return conditions


def _ranges(first: int, end: int) -> list[list[ColumnElement[bool]]]:
    """The rows that make up the hours [`first`, `end`): whole days, and hours before and after them."""
    first_day, end_day = -(-first // _HOURS), end // _HOURS
    if first_day >= end_day:
        return [_hours(first, end)]
    days = [_c.hour >= pages.written(-end_day), _c.hour <= pages.written(-1 - first_day)]
    return [days, *(_hours(*edge) for edge in ((first, first_day * _HOURS), (end_day * _HOURS, end)) if edge[0] < edge[1])]


def _hours(first: int, end: int) -> list[ColumnElement[bool]]:
    return [_c.hour >= pages.written(first), _c.hour <= pages.written(end - 1)]


def _count(key: tuple[int, ...], texts: dict[int, str], states: dict[str, int]) -> CountAnswer:
    namespace = texts[key[0]] if key else None
    deployment = texts[key[1]] if len(key) > 1 and key[1] else None
    return CountAnswer(namespace, deployment, states)


def _positive(counts: dict[str, int]) -> dict[str, int]:
    return {state: number for state, number in sorted(counts.items()) if number > 0}


def _instant(hour: int) -> datetime:
    return from_microseconds(hour * HOUR_MICROSECONDS)
