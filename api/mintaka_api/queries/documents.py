"""The documents of a local server as rows: JSON text by kind, namespace and name, and by owner."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import and_, bindparam, delete, or_, select, update

from mintaka_history.queries.dialects import insert
from mintaka_history.tables import document_counter, document_owners, documents

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from sqlalchemy import Connection

_d, _o, _c = documents.c, document_owners.c, document_counter.c
_COUNTER = 1
_KEY = (_d.kind == bindparam("of_kind"), _d.ns == bindparam("of_ns"), _d.name == bindparam("of_name"))
_one = select(_d.document).where(*_KEY)
_generation = select(_d.uid, _d.generation).where(*_KEY)
_version = select(_d.version).where(*_KEY)
_replace = (
    update(documents)
    .where(_d.uid == bindparam("of"))
    .values(version=bindparam("new_version"), generation=bindparam("new_generation"), document=bindparam("new_document"))
)
_set_counter = update(document_counter).where(_c.id == _COUNTER).values(version=bindparam("new_version"))


class DocumentRow(NamedTuple):
    """A row of the table: `document` is the JSON of all of it."""

    kind: str
    ns: str
    name: str
    uid: str
    version: int
    generation: int
    document: str


def lock_counter(connection: Connection) -> int:
    """The last resource version (0: none was assigned yet); no other transaction gets one before this one has ended."""
    statement = insert(connection, document_counter).values(id=_COUNTER, version=0)
    same = statement.on_conflict_do_update(index_elements=["id"], set_={"version": _c.version}).returning(_c.version)
    return int(connection.execute(same).scalar_one())


def set_counter(connection: Connection, version: int) -> None:
    """Store the last resource version that was assigned."""
    connection.execute(_set_counter, {"new_version": version})


def read(connection: Connection, kind: str, key: tuple[str, str]) -> str | None:
    """The JSON of a document; None if there is none."""
    found: str | None = connection.scalar(_one, {"of_kind": kind, "of_ns": key[0], "of_name": key[1]})
    return found


def generation_of(connection: Connection, kind: str, key: tuple[str, str]) -> tuple[str, int] | None:
    """The uid and generation of a document; None if there is none."""
    row = connection.execute(_generation, {"of_kind": kind, "of_ns": key[0], "of_name": key[1]}).first()
    return (row.uid, row.generation) if row else None


def version_of(connection: Connection, kind: str, key: tuple[str, str]) -> int | None:
    """The version of a document; None if there is none."""
    found: int | None = connection.scalar(_version, {"of_kind": kind, "of_ns": key[0], "of_name": key[1]})
    return found


def page(connection: Connection, kind: str, namespace: str | None, after: tuple[str, str] | None, limit: int) -> list[str]:
    """The JSON of at most `limit` documents of a kind after (namespace, name), in that order; in all namespaces if that is None."""
    query = select(_d.document).where(*_range(kind, namespace, after)).order_by(_d.ns, _d.name).limit(limit)
    return list(connection.scalars(query))


def versions(connection: Connection, kind: str, after: tuple[str, str] | None, limit: int) -> list[tuple[str, str, int]]:
    """Namespace, name and version of at most `limit` documents of a kind after (namespace, name), in that order."""
    query = select(_d.ns, _d.name, _d.version).where(*_range(kind, None, after)).order_by(_d.ns, _d.name).limit(limit)
    return [(row.ns, row.name, row.version) for row in connection.execute(query)]


def _range(kind: str, namespace: str | None, after: tuple[str, str] | None) -> list[Any]:
    conditions: list[Any] = [_d.kind == kind]
    if namespace is not None:
        conditions.append(_d.ns == namespace)
    if after is not None:
        conditions.append(or_(_d.ns > after[0], and_(_d.ns == after[0], _d.name > after[1])))
    return conditions


def uids_of(connection: Connection, kind: str) -> set[str]:
    """The uids of all documents of a kind."""
    return set(connection.scalars(select(_d.uid).where(_d.kind == kind)))


def existing(connection: Connection, uids: Collection[str]) -> set[str]:
    """Those of `uids` that belong to documents."""
    return set(connection.scalars(select(_d.uid).where(_d.uid.in_(sorted(uids))))) if uids else set()


def owned_by(connection: Connection, uid: str, kind: str | None = None) -> list[str]:
    """The JSON of the documents, of a kind or of any, that name `uid` as an owner, in the order of their names."""
    query = select(_d.document).join(document_owners, _o.document == _d.uid).where(_o.owner == uid)
    if kind is not None:
        query = query.where(_d.kind == kind)
    return list(connection.scalars(query.order_by(_d.kind, _d.ns, _d.name)))


def add(connection: Connection, row: DocumentRow) -> bool:
    """Store a new document; False if there is one of its kind, namespace and name."""
    statement = insert(connection, documents).on_conflict_do_nothing().returning(_d.uid)
    return connection.execute(statement, row._asdict()).first() is not None


def replace(connection: Connection, row: DocumentRow) -> None:
    """Store another version of a document."""
    values = {"new_version": row.version, "new_generation": row.generation, "new_document": row.document}
    connection.execute(_replace, {"of": row.uid, **values})


def remove(connection: Connection, uid: str) -> None:
    """Remove a document and its owner rows."""
    connection.execute(delete(documents).where(_d.uid == uid))
    connection.execute(delete(document_owners).where(_o.document == uid))


def set_owners(connection: Connection, uid: str, owners: Iterable[str]) -> None:
    """Replace the owners of a document."""
    connection.execute(delete(document_owners).where(_o.document == uid))
    rows = [{"owner": owner, "document": uid} for owner in sorted(set(owners))]
    if rows:
        connection.execute(insert(connection, document_owners).on_conflict_do_nothing(), rows)
