"""Kubernetes Events for what a run's owner needs to know: retries, failures, crashes, pauses; never for normal progress.

An Event is named after its transition, so that recording it twice creates one Event.
"""

from __future__ import annotations

import contextlib
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from mintaka_core import names
from mintaka_core.instants import format_time
from mintaka_core.rules import SCHEDULING_GATED
from mintaka_core.states import CANCELLED, COMPLETED, CRASHED, FAILED, PAUSED, PENDING, SCHEDULED
from mintaka_kubernetes.resources import EVENTS
from mintaka_operator.cluster import ApiError, Cluster

if TYPE_CHECKING:
    from mintaka_core.resources import FlowDeployment, FlowRun
    from mintaka_core.resources.runs import TransitionStatus

#: Limits of the API server's validation of Events; it counts bytes.
_REASON_BYTES, _MESSAGE_BYTES = 128, 1024

_ALWAYS = {FAILED, CRASHED, CANCELLED, PAUSED}
#: Recorded only with a reason: a retry, a pod that does not start.
_WITH_REASON = {SCHEDULED, PENDING}


def transition_event(run: FlowRun, transition: TransitionStatus) -> dict[str, Any] | None:
    """The Event for a transition; None for an ordinary one, and for a proposal that waits or was refused: the run did nothing."""
    if not transition.accepted:
        return None
    if transition.to not in _ALWAYS and not (transition.to in _WITH_REASON and transition.reason):
        return None
    normal = transition.to in {COMPLETED, CANCELLED, PAUSED} or transition.reason == SCHEDULING_GATED
    return _event(
        "FlowRun",
        run,
        suffix=f".{run.metadata.uid[:8]}.{transition.sequence}",
        kind="Normal" if normal else "Warning",
        reason=transition.name if transition.name != "Scheduled" else transition.reason,
        message=": ".join(part for part in (transition.reason, transition.message) if part),
    )


def warning_event(resource: FlowRun | FlowDeployment, reason: str, message: str) -> dict[str, Any]:
    """An Event about something that is wrong with a resource."""
    suffix = f".{names.shortened(message.encode().hex(), '', 40)}"
    return _event(resource.kind, resource, suffix=suffix, kind="Warning", reason=reason, message=message)


def _event(owner_kind: str, owner: FlowRun | FlowDeployment, *, suffix: str, kind: str, reason: str, message: str) -> dict[str, Any]:
    now = format_time(datetime.now(UTC))
    metadata = owner.metadata
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": names.shortened(metadata.name, suffix, names.NAME_LIMIT), "namespace": metadata.namespace},
        "involvedObject": {
            "apiVersion": names.API_VERSION,
            "kind": owner_kind,
            "name": metadata.name,
            "namespace": metadata.namespace,
            "uid": metadata.uid,
        },
        "type": kind,
        "reason": _cut(reason, _REASON_BYTES),
        "message": _cut(message, _MESSAGE_BYTES),
        "eventTime": now,
        "firstTimestamp": now[:19] + "Z",
        "lastTimestamp": now[:19] + "Z",
        "count": 1,
        "action": "Reconcile",
        "reportingComponent": "mintaka-operator",
        "reportingInstance": "mintaka-operator",
        "source": {"component": "mintaka-operator"},
    }


def _cut(text: str, limit: int) -> str:
    return text.encode()[:limit].decode(errors="ignore")


class KubernetesEventRecorder:
    """Creates Events: the controller's port `EventRecorder`."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster

    async def record_transition(self, run: FlowRun, transition: TransitionStatus) -> None:
        """Record a transition of a run, unless it is an ordinary one."""
        event = transition_event(run, transition)
        if event is not None:
            await self._send(event)

    async def record_warning(self, resource: FlowRun | FlowDeployment, reason: str, message: str) -> None:
        """Record something that is wrong with a resource."""
        await self._send(warning_event(resource, reason, message))

    async def _send(self, event: dict[str, Any]) -> None:
        """Create an Event; errors are logged, because a lost Event must not stop anything."""
        with contextlib.suppress(ApiError):
            await self._cluster.create(EVENTS.path(event["metadata"]["namespace"]), event)
