"""The documents of a local server: the resources that a cluster's API server would store, as JSON."""

from __future__ import annotations

from sqlalchemy import Column, Index, PrimaryKeyConstraint, SmallInteger, Table, Text, Uuid

from mintaka_history.tables.columns import Big, Name, metadata

#: One row per document. `version` is its resource version; queries search the columns beside `document`.
documents = Table(
    "documents",
    metadata,
    Column("kind", Name, nullable=False),
    Column("ns", Name, nullable=False),
    Column("name", Name, nullable=False),
    Column("uid", Uuid(as_uuid=False), nullable=False, unique=True),
    Column("version", Big, nullable=False),
    Column("generation", Big, nullable=False),
    Column("document", Text, nullable=False),
    PrimaryKeyConstraint("kind", "ns", "name"),
)

#: The owner references of documents, by uid: a document that owns others is deleted with them.
document_owners = Table(
    "document_owners",
    metadata,
    Column("owner", Uuid(as_uuid=False), nullable=False),
    Column("document", Uuid(as_uuid=False), nullable=False),
    PrimaryKeyConstraint("owner", "document"),
    Index(None, "document"),
    sqlite_with_rowid=False,
)

#: One row, as soon as there is a document: the last resource version that was assigned. It never shrinks, and its lock orders the writers.
document_counter = Table(
    "document_counter",
    metadata,
    Column("id", SmallInteger, primary_key=True, autoincrement=False),
    Column("version", Big, nullable=False),
)
