"""Deletes revisions of deployments that no run needs any more."""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mintaka_controller.context import Context
    from mintaka_controller.ports import ListedRevision, Name

_logger = logging.getLogger(__name__)

#: The most that one pass deletes.
DELETED_AT_ONCE = 50
#: A run that takes a revision may not be recorded yet, and another controller may have created it.
SETTLED = timedelta(minutes=10)


async def collect_revisions(context: Context) -> int:
    """Delete revisions that no run needs and that are not the newest of their deployment; return how many. Raises PortError.

    Runs that did not complete still need theirs: their owner may run them again.
    """
    listed = [revision async for page in context.ports.revisions.list_all() for revision in page]
    context.revisions.keep_only({revision.key for revision in listed})
    newest: dict[Name, int] = {}
    for revision in listed:
        group = revision.key[0], revision.deployment
        newest[group] = max(revision.number, newest.get(group, 0))
    needed = context.runs.needed_revisions() | _of_workloads(context)
    unneeded = [each for each in listed if each.number < newest[each.key[0], each.deployment] and _is_over(context, each, needed)]
    for revision in sorted(unneeded, key=lambda each: each.created)[:DELETED_AT_ONCE]:
        await context.ports.revisions.delete(revision.key, revision.uid)
        context.revisions.remove(revision.key)
        _logger.info("ControllerRevision %s/%s was deleted: no run needs it", *revision.key)
    return min(len(unneeded), DELETED_AT_ONCE)


def _is_over(context: Context, revision: ListedRevision, needed: set[Name]) -> bool:
    now = context.ports.clock.now()
    if revision.key in needed or context.revisions.is_newest(revision.key[0], revision.deployment, revision.key[1]):
        return False
    return now - revision.created >= SETTLED and not context.revisions.is_fresh(revision.key, now, SETTLED)


def _of_workloads(context: Context) -> set[Name]:
    """The revisions of workloads: the start of their attempt may not be recorded yet."""
    known = [(key, context.workloads.get(key)) for key in context.workloads.names()]
    return {(key[0], owned.workload.revision) for key, owned in known if owned and owned.workload.revision and owned.workload.end is None}
