"""The attempts of a run in its status: one entry each, completed with the writes of the status that happen anyway."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mintaka_core.reconciling.plans import CreateRevision
from mintaka_core.resources.runs import ATTEMPTS_KEPT, AttemptStatus
from mintaka_core.states import PAUSED
from mintaka_core.transitions import Redirect

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from mintaka_core.reconciling.observation import Reconciliation
    from mintaka_core.resources.runs import FlowRunStatus
    from mintaka_core.states import State
    from mintaka_core.transitions import Decision
    from mintaka_core.workloads import Workload

_TEXT, _REASON = 1024, 200


def record_revision(reconciliation: Reconciliation, attempt: int) -> None:
    """Record which revision `attempt` runs: its workload states it, if there is one; else it is created if necessary."""
    status, workload = reconciliation.ledger.status, reconciliation.seen.workloads.get(attempt)
    revision = (workload.revision or status.revision) if workload else reconciliation.seen.revision
    if revision is None or revision == status.revision:
        return
    reconciliation.ledger.update(revision=revision)
    if revision and workload is None:
        reconciliation.effects.append(CreateRevision(revision))


def begin_attempt(reconciliation: Reconciliation, attempt: int, pod_name: str) -> None:
    """Enter an attempt that begins."""
    status = reconciliation.ledger.status
    entry = AttemptStatus(number=attempt, pod_name=pod_name, revision=status.revision)
    reconciliation.ledger.update(attempts=_with_entry(status.attempts, entry))


def end_attempt(reconciliation: Reconciliation, attempt: int, decision: Decision) -> None:
    """Enter how an attempt ended: the state before any retry. An end that is recorded already stays."""
    state = _before_retry(decision)
    known = next((entry for entry in reconciliation.ledger.status.attempts if entry.number == attempt), None)
    if known is None or known.state is not None or not decision.accepted or not _ends(state):
        return
    ended = {"state": state.type, "reason": state.reason[:_REASON], "diagnosis": state.message[:_TEXT], "ended": reconciliation.now}
    reconciliation.ledger.update(attempts=_with_entry(reconciliation.ledger.status.attempts, known.model_copy(update=ended)))


def complete_attempts(status: FlowRunStatus, workloads: Mapping[int, Workload], now: datetime) -> FlowRunStatus:
    """The status with what the workloads show of its attempts; also of those that were never entered."""
    attempts = status.attempts
    for number in sorted(workloads):
        if 0 < number <= status.attempt:
            known = next((entry for entry in attempts if entry.number == number), None)
            if known is None and attempts and number < attempts[0].number and len(attempts) == ATTEMPTS_KEPT:
                continue  # it has left the list
            attempts = _with_entry(attempts, _completed(known or AttemptStatus(number=number), workloads[number], now))
    return status if attempts == status.attempts else status.model_copy(update={"attempts": attempts})


def _completed(entry: AttemptStatus, workload: Workload, now: datetime) -> AttemptStatus:
    """The entry with what its workload shows; another workload of its name says nothing about it."""
    if entry.pod_uid and entry.pod_uid != workload.uid:
        return entry
    started, ended = workload.started_time, workload.ended_time
    fields = {
        "pod_name": workload.name[:253],
        "pod_uid": workload.uid[:64],
        "node": workload.node[:253] or entry.node,
        "created": workload.created_time,
        # A node's clock may be hours off.
        "started": min(max(started, workload.created_time), now) if started else entry.started,
        "exit_code": entry.exit_code if workload.exit_code is None else workload.exit_code,
        "revision": entry.revision or workload.revision[:253],
    }
    if workload.end is not None:
        fields["log_tail"] = workload.log_tail[-_TEXT:] or entry.log_tail
        fields["ended"] = min(max(ended, workload.created_time), now) if ended else entry.ended or now
        if entry.state is None:
            end = workload.end
            fields |= {"state": end.type, "reason": end.reason[:_REASON], "diagnosis": end.message[:_TEXT]}
    return entry.model_copy(update=fields)


def _before_retry(decision: Decision) -> State:
    """The last ending state that was proposed: what follows it, such as AwaitingRetry, is not a state of the attempt."""
    state = decision.transition.proposed
    for opinion in decision.trail:
        if isinstance(opinion.verdict, Redirect):
            if not _ends(opinion.verdict.state):
                break
            state = opinion.verdict.state
    return state


def _ends(state: State) -> bool:
    return state.type.is_terminal or state.type == PAUSED


def _with_entry(entries: tuple[AttemptStatus, ...], entry: AttemptStatus) -> tuple[AttemptStatus, ...]:
    """The entries with that one, in order, the last ones."""
    others = [each for each in entries if each.number != entry.number]
    return tuple(sorted([*others, entry], key=lambda each: each.number)[-ATTEMPTS_KEPT:])
