"""What triggers derive from runs: counts and the feed of changes; and the compatibility of the schema."""

from __future__ import annotations

from sqlalchemy import Column, Identity, Index, Integer, PrimaryKeyConstraint, SmallInteger, Table, Text, Uuid, text

from mintaka_history.tables.columns import Big, metadata

#: In `flow_run_counts`: all namespaces, all deployments.
ALL = -1

#: How many flow runs were created in an hour, by namespace, deployment (0: none) and state; also for all deployments of a namespace and
#: for all namespaces (`ALL`), and by day: then `hour` is -1 - day. Triggers keep it (`triggers.py`). `part` is 0, or the transaction that
#: added the row: so no two writers wait for each other; maintenance adds the parts up.
flow_run_counts = Table(
    "flow_run_counts",
    metadata,
    Column("hour", Integer, nullable=False),
    Column("ns", Integer, nullable=False),
    Column("deployment", Integer, nullable=False),
    Column("state", SmallInteger, nullable=False),
    Column("part", Big, nullable=False),
    Column("n", Integer, nullable=False),
    PrimaryKeyConstraint("hour", "ns", "deployment", "state", "part"),
    Index(None, "deployment", "ns", "hour"),
    Index("ix_flow_run_counts_parts", "part", sqlite_where=text("part <> 0")),
    sqlite_with_rowid=False,
)

#: What changed, for live readers, in the order of (`tx`, `seq`); triggers write it. `tx` is PostgreSQL's transaction, 0 on SQLite.
changes = Table(
    "changes",
    metadata,
    Column("seq", Big, Identity(), primary_key=True),
    Column("tx", Big, nullable=False),
    Column("at", Big, nullable=False),
    Column("object", Uuid(as_uuid=False), nullable=False),
    Column("ns", Integer, nullable=False),
    Column("kind", SmallInteger, nullable=False),
    Index(None, "tx", "seq"),
    sqlite_autoincrement=True,  # a number that was trimmed is not used again: a reader's position would be mistaken for a later change
)

#: One row: the oldest revision whose code can use this schema.
schema_compatibility = Table("schema_compatibility", metadata, Column("oldest", Text, primary_key=True))
