"""Queries for what became of flow deployments: their versions and their last runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
from sqlalchemy import Integer, column, select, true, values

from mintaka_api.response_models import LastRunAnswer, VersionAnswer
from mintaka_history.enum_codes import NameKind, shown_state
from mintaka_history.queries import pages
from mintaka_history.queries.dialects import is_postgresql
from mintaka_history.tables import flow_deployment_versions, flow_deployments, flow_runs
from mintaka_history.timestamps import from_microseconds

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection, Row, Select

    from mintaka_history.paging import Page, Part
    from mintaka_history.queries.names import Names

_d, _v = flow_deployments.c, flow_deployment_versions.c
VERSION_KEY_TYPES: tuple[type, ...] = (int, str)
#: The number of a deployment's newest runs that are shown with it.
LAST_RUNS = 20
#: SQLite has at most 500 parts of a union.
_CHUNK = 400


def versions(connection: Connection, names: Names, namespace: str, name: str, page: Page) -> Part[VersionAnswer] | None:
    """A page of the versions of the flow deployment of this name, newest first, or of the last one that had it; None: there was none."""
    number = names.known(connection, NameKind.NAMESPACE, namespace)
    query = select(_d.uid).where(_d.name == name, _d.ns == number)
    newest = query.order_by(_d.deleted.is_(None).desc(), _d.created.desc(), _d.uid).limit(1)
    uid = None if number is None else connection.scalar(newest)
    if uid is None:
        return None
    found = select(flow_deployment_versions).where(_v.deployment == uid)
    rows, ends = pages.fetch(connection, found, (_v.created, _v.revision), page)
    return pages.part(rows, ends, _version)


def last_runs(connection: Connection, names: Names, deployments: Sequence[tuple[int, str]]) -> dict[tuple[int, str], list[LastRunAnswer]]:
    """The newest runs of flow deployments (namespace's id and name), oldest first: one statement, a range of the index for each."""
    ids = names.known_of(connection, NameKind.DEPLOYMENT, [name for _, name in deployments])
    pairs = [(namespace, ids[name]) for namespace, name in deployments if name in ids]
    found: dict[tuple[int, int], list[LastRunAnswer]] = {}
    for start in range(0, len(pairs), _CHUNK):
        for row in connection.execute(_newest_of_each(connection, pairs[start : start + _CHUNK])):
            found.setdefault((row.ns, row.deployment), []).append(_last_run(row))
    runs = {(namespace, name): found.get((namespace, ids.get(name, 0)), []) for namespace, name in deployments}
    return {key: sorted(each, key=lambda run: (run.created, run.uid)) for key, each in runs.items()}


def _newest_of_each(connection: Connection, pairs: Sequence[tuple[int, int]]) -> Select[Any]:
    """The newest runs of each pair of namespace and deployment."""
    wanted = values(column("ns", Integer), column("deployment", Integer)).data(list(pairs)).cte("wanted")
    r, other = flow_runs.alias("r"), flow_runs.alias("other")
    shown = (r.c.uid, r.c.name, r.c.ns, r.c.deployment, r.c.state, r.c.created, r.c.started, r.c.ended)
    if is_postgresql(connection):
        newest = select(*shown).where(r.c.ns == wanted.c.ns, r.c.deployment == wanted.c.deployment)
        newest_of_each = newest.order_by(r.c.created.desc()).limit(LAST_RUNS).lateral()
        return select(newest_of_each).select_from(wanted.join(newest_of_each, true()))
    # SQLite has no LATERAL, and PostgreSQL would run this once for each run.
    numbers = select(other.c.no).where(other.c.ns == wanted.c.ns, other.c.deployment == wanted.c.deployment)
    newest = numbers.order_by(other.c.created.desc()).limit(LAST_RUNS).correlate(wanted)
    return select(*shown).select_from(wanted.join(r, r.c.no.in_(newest)))


def _last_run(row: Row[Any]) -> LastRunAnswer:
    seconds = None if row.started is None or row.ended is None else max(0, row.ended - row.started) / 1e6
    return LastRunAnswer(row.uid, row.name, shown_state(row.state), from_microseconds(row.created), seconds)


def _version(row: Row[Any]) -> VersionAnswer:
    return VersionAnswer(row.revision, row.generation, from_microseconds(row.created), msgspec.Raw(row.spec.encode()))
