"""The tables, identical for SQLite and PostgreSQL.

One row per task run, its history and upstream edges as columns: normalised they take three times the bytes and a third of
the ingest rate. Times are microseconds since the epoch, states small integers (`enum_codes.py`), frequently repeated names
small integers too (`names`). Keys begin with the flow run's number, which is ordered by time: a range of numbers is a range
of time, so the three big tables are partitioned by it on PostgreSQL (`partitions.py`). Indexes over time ascend,
because new rows are then inserted at the right edge; they are read backwards for "newest first".
"""

from __future__ import annotations

from mintaka_history.tables.columns import Big, Name, metadata
from mintaka_history.tables.derived import ALL, changes, flow_run_counts, schema_compatibility
from mintaka_history.tables.documents import document_counter, document_owners, documents
from mintaka_history.tables.runs import (
    SPAN,
    SPAN_LIMITS,
    artifacts,
    attempts,
    events,
    flow_deployment_versions,
    flow_deployments,
    flow_run_tags,
    flow_run_transitions,
    flow_runs,
    logs,
    names,
    task_run_tags,
    task_runs,
)
from mintaka_history.tables.sharing import concurrency_leases, concurrency_limits, pauses, variables

__all__ = [
    "ALL",
    "PARTITIONED",
    "SPAN",
    "SPAN_LIMITS",
    "Big",
    "Name",
    "artifacts",
    "attempts",
    "changes",
    "concurrency_leases",
    "concurrency_limits",
    "document_counter",
    "document_owners",
    "documents",
    "events",
    "flow_deployment_versions",
    "flow_deployments",
    "flow_run_counts",
    "flow_run_tags",
    "flow_run_transitions",
    "flow_runs",
    "logs",
    "metadata",
    "names",
    "pauses",
    "prepare_for_postgresql",
    "schema_compatibility",
    "task_run_tags",
    "task_runs",
    "variables",
]

#: The tables that are partitioned on PostgreSQL, by the number of the flow run, which is ordered by time.
PARTITIONED = (task_runs, task_run_tags, logs)


def prepare_for_postgresql() -> None:
    """Set the options of PostgreSQL alone: partial indexes and partitions. Done here so that SQLite loads only one dialect."""
    for table in metadata.sorted_tables:
        for index in table.indexes:
            where = index.dialect_options["sqlite"]["where"]
            if where is not None:
                index.dialect_options["postgresql"]["where"] = where
    for table in PARTITIONED:
        table.dialect_options["postgresql"]["partition_by"] = "RANGE (flow_run)"
