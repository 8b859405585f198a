"""Writes what the mirror saw of flow deployments: the deployments, their versions, and what vanished."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import and_, or_, select, update

from mintaka_history.queries.dialects import insert
from mintaka_history.tables import flow_deployment_versions, flow_deployments

if TYPE_CHECKING:
    from collections.abc import Collection

    from sqlalchemy import Connection

_CHUNK = 500
_d, _v = flow_deployments.c, flow_deployment_versions.c


def write_deployments(connection: Connection, rows: list[dict[str, Any]]) -> None:
    """Write flow deployments (each uid once); an older resourceVersion changes nothing.

    One that exists replaces the row of another cluster; one that left its cluster does not end another cluster's.
    """
    statement = insert(connection, flow_deployments)
    new = statement.excluded
    changed = {column.name: new[column.name] for column in flow_deployments.c if column.name not in {"uid", "revision"}}
    older = or_(_d.resource_version <= new.resource_version, new.deleted.is_not(None), _d.cluster != new.cluster)
    ours = or_(_d.cluster == new.cluster, new.deleted.is_(None))
    statement = statement.on_conflict_do_update(index_elements=["uid"], set_=changed, where=and_(older, ours))
    connection.execute(statement, sorted(rows, key=lambda row: row["uid"]))
    _note_newest(connection, [row["uid"] for row in rows])


def write_versions(connection: Connection, rows: list[dict[str, Any]]) -> None:
    """Write versions of flow deployments. A version that becomes the current one again has a higher generation than before."""
    statement = insert(connection, flow_deployment_versions)
    new = statement.excluded
    statement = statement.on_conflict_do_update(
        index_elements=["deployment", "revision"], set_={"generation": new.generation}, where=_v.generation < new.generation
    )
    connection.execute(statement, sorted(rows, key=lambda row: (row["deployment"], row["revision"])))
    _note_newest(connection, [row["deployment"] for row in rows])


def _note_newest(connection: Connection, uids: Collection[str]) -> None:
    """Note the newest version of each of these deployments in its row."""
    newest = select(_v.revision).where(_v.deployment == _d.uid).order_by(_v.generation.desc(), _v.created.desc()).limit(1).scalar_subquery()
    changed = update(flow_deployments).where(_d.uid.in_(sorted(set(uids))), _d.revision.is_distinct_from(newest))
    connection.execute(changed.values(revision=newest))


def live_deployments(connection: Connection, cluster: int, namespace: int | None) -> dict[str, str]:
    """Resource version by uid of the deployments that are in the cluster as far as the database knows."""
    query = select(_d.uid, _d.resource_version).where(_d.deleted.is_(None), _d.cluster == cluster)
    if namespace is not None:
        query = query.where(_d.ns == namespace)
    return {row.uid: str(row.resource_version) for row in connection.execute(query)}


def vanish_deployments(connection: Connection, uids: Collection[str], now: int, cluster: int) -> None:
    """Record that deployments left the cluster without an event."""
    ordered = sorted(uids)
    for start in range(0, len(ordered), _CHUNK):
        gone = _d.uid.in_(ordered[start : start + _CHUNK])
        connection.execute(update(flow_deployments).where(gone, _d.deleted.is_(None), _d.cluster == cluster).values(deleted=now))
