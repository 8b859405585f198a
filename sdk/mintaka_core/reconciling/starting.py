"""Runs that wait for their next attempt: its workload is created once it is due and nothing prevents it.

Each step gets the pass and returns True if it changed the run's state.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from mintaka_core import names
from mintaka_core.reconciling.observation import TRY_AGAIN
from mintaka_core.reconciling.plans import CreateWorkload
from mintaka_core.states import PENDING, SCHEDULED, State

if TYPE_CHECKING:
    from datetime import datetime

    from mintaka_core.reconciling.observation import Pass
    from mintaka_core.workloads import CreateError


def adopt(going: Pass, state: State) -> bool:
    """Adopt a workload whose creation was not recorded: its creator died in between, or was too busy to write."""
    unrecorded = [attempt for attempt in going.seen.workloads if attempt > going.ledger.status.attempt]
    return state.type == SCHEDULED and bool(unrecorded) and _pending(going, min(unrecorded), going.seen.pending_since)


def start(going: Pass, state: State) -> bool:
    """SCHEDULED: create the next attempt's workload once it is due and no older one is left."""
    for older in going.seen.workloads.values():
        if older.alive and older.attempt <= going.ledger.status.attempt:
            going.stop(older, "another attempt is to start")
            return False
    create_error = going.seen.create_error
    due = state.scheduled_time is None or state.scheduled_time <= going.now
    if create_error and due and not going.seen.run.spec.suspend:
        return _record_create_error(going, state, create_error)
    attempt = going.ledger.status.attempt + 1
    if attempt > going.seen.run.status.attempt + 1:
        # Found ended before it was ever recorded. Record it first: otherwise its name would be reused once it is deleted.
        going.due.append(going.now)
        return False
    before = going.ledger.state
    moved = _pending(going, attempt)
    after = going.ledger.state
    if after is not None and before is not None and after.type == PENDING != before.type:
        going.effects.append(CreateWorkload(attempt))
        return False  # nothing more can be decided before it exists
    if not moved and state.scheduled_time:
        going.due.append(state.scheduled_time)
    return moved


def _record_create_error(going: Pass, state: State, create_error: CreateError) -> bool:
    since = state.time if state.reason == create_error.reason and state.time else going.now
    if create_error.patience is not None and going.now >= since + create_error.patience:
        return going.ledger.propose(
            State(create_error.verdict, reason=create_error.reason, message=create_error.message), retriable=False
        ).accepted
    going.due.append(create_error.retry_time or going.now + TRY_AGAIN)
    if state.reason == create_error.reason:
        return False
    going.ledger.propose(State(SCHEDULED, state.name, create_error.reason, create_error.message))
    return False


def _pending(going: Pass, attempt: int, since: datetime | None = None) -> bool:
    since = since or going.now
    accepted = going.ledger.propose(State(PENDING, time=since), attempt=attempt).state
    if accepted is None or accepted.type != PENDING:
        return accepted is not None
    going.ledger.update(pod_name=names.pod_name(going.seen.run.metadata.name, attempt), next_time=pending_deadline(going, since))
    if going.seen.resumed_from:
        going.ledger.update(resumed_from=going.seen.resumed_from)
    return True


def pending_deadline(going: Pass, since: datetime) -> datetime:
    """When a workload that was created at `since` must have started."""
    seconds = going.seen.template.pending_timeout_seconds if going.seen.template else 600
    return since + timedelta(seconds=seconds)
