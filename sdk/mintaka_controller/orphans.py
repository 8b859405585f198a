"""Workloads whose run is gone, or was replaced by another of its name: once they have ended, nothing else removes our finalizer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mintaka_controller.ports import Conflict, Missing
from mintaka_core.reconciling.cleanup import needs_log_copy

if TYPE_CHECKING:
    from mintaka_controller.context import Context
    from mintaka_controller.ports import Name, OwnedWorkload


async def release_orphans(context: Context, key: Name, uid: str | None) -> None:
    """Release the ended workloads of that name that do not belong to the run with `uid` (None: the run does not exist).

    Raises Conflict if the run of one of them exists after all.
    """
    orphans = [owned for owned in context.workloads.owned_by(key) if owned.owner_uid != uid and _is_over(owned)]
    if any(owned.owner_uid for owned in orphans):
        await _make_sure_that_owners_are_gone(context, key, {owned.owner_uid for owned in orphans})
    for owned in orphans:
        if _has_copied_log(context, key, owned):
            await context.ports.workloads.release(key[0], owned.workload.name, owned.workload.uid)
            context.workloads.remove((key[0], owned.workload.name), owned.workload.uid)
            context.log_copies.forget(owned.workload.uid)


def _is_over(owned: OwnedWorkload) -> bool:
    return owned.workload.held and owned.workload.end is not None and not owned.workload.alive


async def _make_sure_that_owners_are_gone(context: Context, key: Name, owners: set[str]) -> None:
    """Read the run: an unknown run may exist, with a late event, and its workload's end may not be recorded yet."""
    try:
        found = await context.ports.resources.read_run(key)
    except Missing:
        return
    if found.document["metadata"].get("uid") in owners:
        context.runs.put(found)
        message = f"flow run {'/'.join(key)} exists after all"
        raise Conflict(message)


def _has_copied_log(context: Context, key: Name, owned: OwnedWorkload) -> bool:
    """True if the log is copied or lost, which its run cannot record any more; else it is being copied, and the key will be woken."""
    workload, retention = owned.workload, context.settings.retention
    if retention is None or not owned.owner_uid or not needs_log_copy(workload):
        return True
    copy = context.log_copies.request(key, owned.owner_uid, workload, context.ports.clock.now() + retention.deleted_log_patience)
    return copy.done or bool(copy.lost)
