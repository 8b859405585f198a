"""Announces what was written about a run: in the log, as Events for its owner, and in the metrics."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from mintaka_controller.context import Context
    from mintaka_core.reconciling.observation import RunObservation
    from mintaka_core.resources import FlowRun
    from mintaka_core.resources.runs import TransitionStatus

_logger = logging.getLogger(__name__)


async def announce_transitions(context: Context, run: FlowRun, transitions: Iterable[TransitionStatus]) -> None:
    """Announce decisions that were written; those that change no state are not counted as transitions."""
    for transition in transitions:
        if transition.accepted:
            context.ports.telemetry.transitioned(transition.to, transition.reason)
        _log(run, transition)
        await context.ports.events.record_transition(run, transition)


async def announce_missing_revision(context: Context, seen: RunObservation) -> None:
    """Record once, with the first state of a run, that it has no revision of its own."""
    if seen.revision != "" or seen.run.status.state is not None:
        return
    deployment = seen.run.spec.deployment or ""
    why = context.revisions.refusal((seen.run.metadata.namespace, deployment), context.ports.clock.now())
    message = f"further attempts run FlowDeployment {deployment!r} as it is then, since no revision can be stored: {why}"
    await context.ports.events.record_warning(seen.run, "RevisionNotStored", message)


def _log(run: FlowRun, transition: TransitionStatus) -> None:
    metadata = run.metadata
    _logger.info(
        "flow run %s/%s: %s%s",
        metadata.namespace,
        metadata.name,
        _outcome_of(transition),
        f" ({transition.message})" if transition.message else "",
        extra={
            "flow_run": metadata.name,
            "namespace": metadata.namespace,
            "flow_run_uid": metadata.uid,
            "sequence": transition.sequence,
            "attempt": transition.attempt,
            "state": transition.to,
            "rule": transition.rule,
            "reason": transition.reason,
        },
    )


def _outcome_of(transition: TransitionStatus) -> str:
    if transition.accepted:
        return f"{transition.from_type or 'new'} -> {transition.name}"
    return f"stays {transition.name}, {transition.proposed} {'has to wait' if transition.verdict == 'Wait' else 'was refused'}"
