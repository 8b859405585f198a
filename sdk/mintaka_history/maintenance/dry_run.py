"""What retention would delete now, as an answer of the API and the command line."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mintaka_history.history_responses import PartitionAnswer, RetentionAnswer
from mintaka_history.maintenance.retention import plan
from mintaka_history.timestamps import from_microseconds, now_microseconds, optional_datetime

if TYPE_CHECKING:
    from mintaka_history.database import Database
    from mintaka_history.maintenance.policy import RetentionPolicy


def dry_run(database: Database, policy: RetentionPolicy) -> RetentionAnswer:
    """What retention would delete now; only reads, in several short transactions. Must be called outside of the event loop."""
    now = now_microseconds()
    found = plan(database, policy, now)
    return RetentionAnswer(
        time=from_microseconds(now),
        enabled=policy.shortest() is not None,
        complete=found.complete,
        flow_runs=found.flow_runs,
        states=dict(found.states),
        deployments=dict(found.deployments.most_common()),
        oldest=optional_datetime(found.oldest),
        newest=optional_datetime(found.newest),
        first=found.names,
        estimated_rows=found.rows,
        estimated_bytes=found.size,
        partitions=[PartitionAnswer(each.name, each.rows, each.size) for each in found.partitions],
    )
