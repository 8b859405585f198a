"""Flow deployments, flow runs and what belongs to a run: decisions, attempts, task runs, logs, artifacts, events."""

from __future__ import annotations

from sqlalchemy import (
    Boolean,
    Column,
    Identity,
    Index,
    Integer,
    PrimaryKeyConstraint,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    text,
)

from mintaka_core.states import COMPLETED
from mintaka_history.enum_codes import STATE_CODES
from mintaka_history.tables.columns import Big, Name, metadata

#: Few rows of many, which are queried again and again.
_NOT_COMPLETED = text(f"state <> {STATE_CODES[COMPLETED]}")
_ROOT = text("parent IS NULL")
#: The upper bounds of the classes of `SPAN` from 1 on, in microseconds: 10 s, 1 and 10 minutes, 1, 6 and 36 hours, 10 and 60 days.
SPAN_LIMITS = tuple(seconds * 1_000_000 for seconds in (10, 60, 600, 3600, 21_600, 129_600, 864_000, 5_184_000))
#: The class of the time from a run's creation to its end; 0: it has not ended. Runs of a class that were alive at an instant were
#: created at most the class's limit before it, which makes "alive in this window" a few ranges of an index.
SPAN = (
    "(CASE WHEN {0}ended IS NULL THEN 0 "
    + " ".join(f"WHEN {{0}}ended - {{0}}created < {limit} THEN {number}" for number, limit in enumerate(SPAN_LIMITS, 1))
    + f" ELSE {len(SPAN_LIMITS) + 1} END)"
)

names = Table(
    "names",
    metadata,
    Column("id", Integer, Identity(), primary_key=True),
    Column("used", Big, nullable=False, server_default="0"),
    Column("kind", SmallInteger, nullable=False),
    Column("value", Name, nullable=False),
    UniqueConstraint("kind", "value"),
)

flow_deployments = Table(
    "flow_deployments",
    metadata,
    Column("uid", Uuid(as_uuid=False), primary_key=True),
    Column("cluster", Integer, nullable=False),
    Column("ns", Integer, nullable=False),
    Column("name", Name, nullable=False),
    Column("resource_version", Big, nullable=False),
    Column("created", Big, nullable=False),
    Column("deleted", Big),
    Column("generation", Big, nullable=False),
    Column("tags", Text),
    Column("spec", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("revision", Text),
    Index(None, "name", "uid"),
    Index(None, "created", "uid"),
)

flow_deployment_versions = Table(
    "flow_deployment_versions",
    metadata,
    Column("deployment", Uuid(as_uuid=False), nullable=False),
    Column("created", Big, nullable=False),
    Column("generation", Big, nullable=False),
    Column("revision", Text, nullable=False),
    Column("spec", Text, nullable=False),
    PrimaryKeyConstraint("deployment", "revision"),
    Index(None, "deployment", "created", "revision"),
    sqlite_with_rowid=False,
)

flow_runs = Table(
    "flow_runs",
    metadata,
    Column("no", Big, primary_key=True, autoincrement=False),
    Column("uid", Uuid(as_uuid=False), nullable=False, unique=True),
    Column("created", Big, nullable=False),
    Column("scheduled", Big),
    Column("started", Big),
    Column("ended", Big),
    Column("deleted", Big),
    Column("state_time", Big),
    Column("next_time", Big),
    Column("resource_version", Big, nullable=False, server_default="0"),
    Column("parent", Big),
    Column("root", Big),
    Column("cluster", Integer),
    Column("ns", Integer, nullable=False),
    Column("deployment", Integer),
    Column("parent_n", Integer),
    Column("sequence", Integer, nullable=False, server_default="0"),
    Column("attempt", Integer, nullable=False, server_default="0"),
    Column("failures", Integer, nullable=False, server_default="0"),
    Column("crashes", Integer, nullable=False, server_default="0"),
    Column("reported_attempt", Integer, nullable=False, server_default="0"),
    Column("reported", Integer, nullable=False, server_default="0"),
    Column("final_attempt", Integer, nullable=False, server_default="0"),
    Column("state", SmallInteger, nullable=False),
    Column("kind", SmallInteger, nullable=False),
    Column("gap", Boolean, nullable=False, server_default=text("false")),
    Column("history_condition", Boolean),
    Column("history_reason", Text),
    Column("name", Name, nullable=False),
    Column("state_name", Text),
    Column("reason", Text),
    Column("message", Text),
    Column("pod", Text),
    Column("revision", Text),
    Column("conditions", Text),
    Column("tags", Text),
    Column("counts", Text),
    Column("parameters", Text),
    Column("flow", Integer),
    Column("holder", Big),
    Column("heard", Big),
    Index(None, "created", "no"),
    Index(None, "ns", "created"),
    Index(None, "deployment", "created"),
    Index(None, "ns", "deployment", "created"),
    Index(None, "name", "ns"),
    Index("ix_flow_runs_unfinished", "state", "created", sqlite_where=_NOT_COMPLETED),
    Index("ix_flow_runs_live", "cluster", "ns", sqlite_where=text("deleted IS NULL")),
    Index("ix_flow_runs_children", "parent", "created", sqlite_where=text("parent IS NOT NULL")),
    Index("ix_flow_runs_tree", "root", "created", sqlite_where=text("root IS NOT NULL")),
    Index("ix_flow_runs_roots", "created", "no", sqlite_where=_ROOT),
    Index("ix_flow_runs_roots_of_namespace", "ns", "created", "no", sqlite_where=_ROOT),
    Index("ix_flow_runs_kind", "kind", "created", sqlite_where=text("kind <> 1")),
    Index("ix_flow_runs_span", text(SPAN.format("")), "created"),
)

flow_run_tags = Table(
    "flow_run_tags",
    metadata,
    Column("created", Big, nullable=False),
    Column("flow_run", Big, nullable=False),
    Column("tag", Integer, nullable=False),
    PrimaryKeyConstraint("tag", "created", "flow_run"),
    sqlite_with_rowid=False,
)

flow_run_transitions = Table(
    "flow_run_transitions",
    metadata,
    Column("flow_run", Big, nullable=False),
    Column("at", Big, nullable=False),
    Column("seq", Integer, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("from_state", SmallInteger),
    Column("to_state", SmallInteger, nullable=False),
    Column("proposed", SmallInteger, nullable=False),
    Column("name", Text),
    Column("rule", Text),
    Column("verdict", Text),
    Column("reason", Text),
    Column("message", Text),
    Column("until", Big),
    Column("trail", Text),
    Column("facts", Text),
    PrimaryKeyConstraint("flow_run", "seq"),
    sqlite_with_rowid=False,
)

attempts = Table(
    "attempts",
    metadata,
    Column("flow_run", Big, nullable=False),
    Column("created", Big),
    Column("started", Big),
    Column("ended", Big),
    Column("attempt", SmallInteger, nullable=False),
    Column("state", SmallInteger),
    Column("exit_code", Integer),
    Column("pod", Text),
    Column("pod_uid", Text),
    Column("node", Text),
    Column("revision", Text),
    Column("reason", Text),
    Column("diagnosis", Text),
    Column("log_tail", Text),
    PrimaryKeyConstraint("flow_run", "attempt"),
    sqlite_with_rowid=False,
)

task_runs = Table(
    "task_runs",
    metadata,
    Column("flow_run", Big, nullable=False),
    Column("created", Big, nullable=False),
    Column("started", Big),
    Column("ended", Big),
    Column("n", Integer, nullable=False),
    Column("ns", Integer, nullable=False),
    Column("task", Integer, nullable=False),
    Column("seq", Integer, nullable=False),
    Column("parent", Integer),
    Column("runs", Integer, nullable=False),
    Column("attempt", SmallInteger, nullable=False),
    Column("state", SmallInteger, nullable=False),
    Column("subflow", Boolean, nullable=False),
    Column("state_name", Text),
    Column("name", Name),
    Column("reason", Text),
    Column("message", Text),
    Column("upstream", Text),
    Column("tags", Text),
    Column("history", Text, nullable=False),
    PrimaryKeyConstraint("flow_run", "attempt", "n"),
    Index(None, "created"),
    Index(None, "ns", "created"),
    Index(None, "task", "created"),
    Index("ix_task_runs_unfinished", "state", "created", sqlite_where=_NOT_COMPLETED),
    Index("ix_task_runs_named", "name", sqlite_where=text("name IS NOT NULL")),
    sqlite_with_rowid=False,
)

task_run_tags = Table(
    "task_run_tags",
    metadata,
    Column("created", Big, nullable=False),
    Column("flow_run", Big, nullable=False),
    Column("tag", Integer, nullable=False),
    Column("n", Integer, nullable=False),
    Column("attempt", SmallInteger, nullable=False),
    PrimaryKeyConstraint("tag", "created", "flow_run", "attempt", "n"),
    sqlite_with_rowid=False,
)

logs = Table(
    "logs",
    metadata,
    Column("flow_run", Big, nullable=False),
    Column("at", Big, nullable=False),
    Column("seq", Big, nullable=False),
    Column("n", Integer),
    Column("logger", Integer),
    Column("attempt", SmallInteger, nullable=False),
    Column("level", SmallInteger, nullable=False),
    Column("message", Text, nullable=False),
    PrimaryKeyConstraint("flow_run", "attempt", "seq"),
    sqlite_with_rowid=False,
)

artifacts = Table(
    "artifacts",
    metadata,
    Column("id", Uuid(as_uuid=False), nullable=False),
    Column("flow_run", Big, nullable=False),
    Column("created", Big, nullable=False),
    Column("updated", Big, nullable=False),
    Column("n", Integer),
    Column("seq", Integer, nullable=False),
    Column("attempt", SmallInteger, nullable=False),
    Column("kind", Text, nullable=False),
    Column("key", Name),
    Column("description", Text),
    Column("data", Text, nullable=False),
    PrimaryKeyConstraint("flow_run", "id"),
    Index(None, "created", "id"),
    Index(None, "flow_run", "created", "id"),
    Index("ix_artifacts_key", "key", "created", "id"),
)

events = Table(
    "events",
    metadata,
    Column("at", Big, nullable=False),
    Column("flow_run", Big),
    Column("ns", Integer, nullable=False),
    Column("id", Uuid(as_uuid=False), nullable=False),
    Column("name", Name, nullable=False),
    Column("resource", Name, nullable=False),
    Column("payload", Text, nullable=False),
    PrimaryKeyConstraint("id"),
    Index(None, "at", "id"),
    Index(None, "ns", "at", "id"),
    Index(None, "resource", "at", "id"),
    Index("ix_events_flow_run", "flow_run", "at", "id", sqlite_where=text("flow_run IS NOT NULL")),
    sqlite_with_rowid=False,
)
