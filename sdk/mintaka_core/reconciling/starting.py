"""Runs that wait for their next attempt: its workload is created once it is due and nothing prevents it.

Each step gets the pass and returns True if it changed the run's state.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from mintaka_core import names
from mintaka_core.concurrency import Outcome, renewal_of
from mintaka_core.reconciling.attempts import begin_attempt, record_revision
from mintaka_core.reconciling.observation import TRY_AGAIN
from mintaka_core.reconciling.plans import CancelRun, CreateWorkload
from mintaka_core.states import AWAITING_CONCURRENCY_SLOT, PENDING, SCHEDULED, State

if TYPE_CHECKING:
    from datetime import datetime

    from mintaka_core.concurrency import Standing
    from mintaka_core.reconciling.observation import Reconciliation
    from mintaka_core.workloads import CreateError


def adopt(reconciliation: Reconciliation, state: State) -> bool:
    """Adopt a workload whose creation was not recorded: its creator died in between, or was too busy to write."""
    unrecorded = [attempt for attempt in reconciliation.seen.workloads if attempt > reconciliation.ledger.status.attempt]
    return (
        state.type == SCHEDULED
        and bool(unrecorded)
        and _pending(reconciliation, min(unrecorded), reconciliation.seen.pending_since, begun=True)
    )


def start(reconciliation: Reconciliation, state: State) -> bool:
    """SCHEDULED: create the next attempt's workload once it is due and no older one is left."""
    for older in reconciliation.seen.workloads.values():
        if older.alive and older.attempt <= reconciliation.ledger.status.attempt:
            reconciliation.stop(older, "another attempt is to start")
            return False
    create_error = reconciliation.seen.create_error
    due = state.scheduled_time is None or state.scheduled_time <= reconciliation.now
    if create_error and due and not reconciliation.seen.run.spec.suspend:
        return _record_create_error(reconciliation, state, create_error)
    attempt = reconciliation.ledger.status.attempt + 1
    if attempt > reconciliation.seen.run.status.attempt + 1:
        # Found ended before it was ever recorded. Record it first: otherwise its name would be reused once it is deleted.
        reconciliation.due.append(reconciliation.now)
        return False
    before = reconciliation.ledger.state
    moved = _pending(reconciliation, attempt, slot=reconciliation.seen.slot)
    after = reconciliation.ledger.state
    if after is not None and before is not None and after.type == PENDING != before.type:
        reconciliation.effects.append(CreateWorkload(attempt, reconciliation.ledger.status.revision))
        return False  # nothing more can be decided before it exists
    if not moved and due and _leave_queue(reconciliation, state):
        return True
    if not moved:
        _wait_for_slot(reconciliation, state)
    return moved


def _leave_queue(reconciliation: Reconciliation, state: State) -> bool:
    """Enter Scheduled if a run that waited for a slot has one, but something else holds it now: its state must not name the slot."""
    slot = reconciliation.seen.slot
    if state.name != AWAITING_CONCURRENCY_SLOT or (slot is not None and slot.outcome is not Outcome.FREE):
        return False
    return reconciliation.ledger.propose(State(SCHEDULED, scheduled_time=state.scheduled_time)).accepted


def _wait_for_slot(reconciliation: Reconciliation, state: State) -> None:
    """Cancel the runs that it replaces, and renew its message in time with the holders of the slots; the end of a holder wakes it in any case."""
    slot = reconciliation.seen.slot
    if slot is None or state.reason != AWAITING_CONCURRENCY_SLOT:
        return
    metadata, now = reconciliation.seen.run.metadata, reconciliation.now
    since = reconciliation.seen.run.spec.scheduled_time or metadata.creation_timestamp or now
    reconciliation.due.append(now + renewal_of(slot.position, now - since))
    reconciliation.effects += [CancelRun(victim) for victim in slot.victims]


def _record_create_error(reconciliation: Reconciliation, state: State, create_error: CreateError) -> bool:
    since = state.time if state.reason == create_error.reason and state.time else reconciliation.now
    if create_error.patience is not None and reconciliation.now >= since + create_error.patience:
        return reconciliation.ledger.propose(
            State(create_error.verdict, reason=create_error.reason, message=create_error.message), retriable=False
        ).accepted
    reconciliation.due.append(create_error.retry_time or reconciliation.now + TRY_AGAIN)
    if state.reason == create_error.reason:
        return False
    name = "" if state.name == AWAITING_CONCURRENCY_SLOT else state.name
    reconciliation.ledger.propose(State(SCHEDULED, name, create_error.reason, create_error.message))
    return False


def _pending(
    reconciliation: Reconciliation, attempt: int, since: datetime | None = None, *, slot: Standing | None = None, begun: bool = False
) -> bool:
    since = since or reconciliation.now
    accepted = reconciliation.ledger.propose(State(PENDING, time=since), attempt=attempt, slot=slot, begun=begun).state
    if accepted is None or accepted.type != PENDING:
        return accepted is not None
    record_revision(reconciliation, attempt)
    pod_name = names.pod_name(reconciliation.seen.run.metadata.name, attempt)
    begin_attempt(reconciliation, attempt, pod_name)
    reconciliation.ledger.update(pod_name=pod_name, next_time=pending_deadline(reconciliation, since))
    if reconciliation.seen.concurrency != reconciliation.ledger.status.concurrency and reconciliation.seen.concurrency is not None:
        reconciliation.ledger.update(concurrency=reconciliation.seen.concurrency)
    if reconciliation.seen.resumed_from:
        reconciliation.ledger.update(resumed_from=reconciliation.seen.resumed_from)
    return True


def pending_deadline(reconciliation: Reconciliation, since: datetime) -> datetime:
    """When a workload that was created at `since` must have started."""
    seconds = reconciliation.seen.template.pending_timeout_seconds if reconciliation.seen.template else 600
    return since + timedelta(seconds=seconds)
