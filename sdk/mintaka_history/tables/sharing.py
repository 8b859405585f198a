"""State that runs share: variables, concurrency limits with their leases, and pauses."""

from __future__ import annotations

from sqlalchemy import Boolean, Column, Double, Index, Integer, PrimaryKeyConstraint, SmallInteger, Table, Text, Uuid, text

from mintaka_history.tables.columns import Big, Name, metadata

#: Few rows of many, which are queried again and again: suspensions that can still be ended.
_OPEN_SUSPENSION = text("suspended = true AND answered IS NULL AND ended IS NULL")

variables = Table(
    "variables",
    metadata,
    Column("ns", Name, nullable=False),
    Column("name", Name, nullable=False),
    Column("created", Big, nullable=False),
    Column("updated", Big, nullable=False),
    Column("value", Text, nullable=False),
    Column("tags", Text, nullable=False),
    PrimaryKeyConstraint("ns", "name"),
    sqlite_with_rowid=False,
)

concurrency_limits = Table(
    "concurrency_limits",
    metadata,
    Column("ns", Name, nullable=False),
    Column("name", Name, nullable=False),
    Column("created", Big, nullable=False),
    Column("updated", Big, nullable=False),
    Column("slots", Integer, nullable=False),
    Column("decay_per_second", Double, nullable=False),
    Column("taken", Double, nullable=False),
    Column("taken_time", Big, nullable=False),
    PrimaryKeyConstraint("ns", "name"),
    sqlite_with_rowid=False,
)

concurrency_leases = Table(
    "concurrency_leases",
    metadata,
    Column("id", Text, nullable=False),
    Column("ns", Name, nullable=False),
    Column("name", Name, nullable=False),
    Column("asked", Big, nullable=False),
    Column("granted", Big),
    Column("expires", Big, nullable=False),
    Column("slots", Integer, nullable=False),
    Column("holder", Big),
    Column("flow_run", Uuid(as_uuid=False)),
    Column("attempt", SmallInteger, nullable=False),
    Column("who", Text, nullable=False),
    PrimaryKeyConstraint("id", "ns", "name"),
    Index(None, "ns", "name", "asked", "id"),
    Index("ix_concurrency_leases_holders", "ns", "name", sqlite_where=text("granted IS NOT NULL")),
    Index(None, "flow_run"),
    sqlite_with_rowid=False,
)

pauses = Table(
    "pauses",
    metadata,
    Column("flow_run", Uuid(as_uuid=False), nullable=False),
    Column("created", Big, nullable=False),
    Column("deadline", Big),
    Column("answered", Big),
    Column("ended", Big),
    Column("attempt", SmallInteger, nullable=False),
    Column("suspended", Boolean, nullable=False),
    Column("ns", Name, nullable=False),
    Column("key", Name, nullable=False),
    Column("schema", Text),
    Column("answer", Text),
    Column("refusal", Text),
    PrimaryKeyConstraint("flow_run", "key"),
    Index("ix_pauses_open_suspensions", "deadline", sqlite_where=_OPEN_SUSPENSION),
)
