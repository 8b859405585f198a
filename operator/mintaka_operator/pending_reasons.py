"""Why a pod does not start: the second part of the failure table, evaluated in order; the first match decides."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from mintaka_core.failure_rows import Row
from mintaka_core.json_values import items, text
from mintaka_core.rules import SCHEDULING_GATED
from mintaka_core.workloads import StartIssue

if TYPE_CHECKING:
    from collections.abc import Callable

    from mintaka_operator.podview import PodView

_AT_ONCE = timedelta(0)
#: A Secret or ConfigMap may still be created; after this time it was probably forgotten.
_CONFIGURATION_PATIENCE = timedelta(seconds=60)


def _waiting(
    reasons: tuple[str, ...], otherwise: str, patience: timedelta | None, named: str = ""
) -> Callable[[PodView], StartIssue | None]:
    """A container waits for one of `reasons`; the issue's reason is `named`, or else the container's."""

    def judge(view: PodView) -> StartIssue | None:
        reason = text(view.waiting.get("reason"))
        return StartIssue(named or reason, text(view.waiting.get("message")) or otherwise, patience) if reason in reasons else None

    return judge


def _unschedulable(view: PodView) -> StartIssue | None:
    condition = view.condition("PodScheduled", "False")
    if condition.get("reason") != "Unschedulable":
        return None
    return StartIssue("Unschedulable", text(condition.get("message")) or "no node takes the pod")


def _gated(view: PodView) -> StartIssue | None:
    gates = ", ".join(text(gate.get("name")) for gate in items(view.spec.get("schedulingGates")))
    return StartIssue(SCHEDULING_GATED, f"waits until its scheduling gates are taken off: {gates}", intended=True) if gates else None


#: For pods that have not started.
PENDING_REASONS: tuple[Row[PodView, StartIssue], ...] = (
    Row(
        "31",
        "held by scheduling gates",
        signs="spec.schedulingGates is not empty",
        conclusion="waits for ever; pendingTimeoutSeconds counts from when the last gate is taken off",
        judge=_gated,
        reasons=(SCHEDULING_GATED,),
    ),
    Row(
        "13",
        "image cannot be pulled",
        signs="waiting ErrImagePull or ImagePullBackOff",
        conclusion="waits until pendingTimeoutSeconds, then CRASHED ImagePullBackOff",
        judge=_waiting(
            ("ErrImagePull", "ImagePullBackOff", "RegistryUnavailable"), "the image cannot be pulled", None, named="ImagePullBackOff"
        ),
        reasons=("ImagePullBackOff",),
    ),
    Row(
        "14",
        "image cannot be used",
        signs="waiting InvalidImageName, ErrImageNeverPull, ImageInspectError, SignatureValidationFailed",
        conclusion="CRASHED with that reason, at once",
        judge=_waiting(
            ("InvalidImageName", "ErrImageNeverPull", "ImageInspectError", "SignatureValidationFailed"),
            "the image cannot be used",
            _AT_ONCE,
        ),
        reasons=("InvalidImageName", "ErrImageNeverPull", "ImageInspectError", "SignatureValidationFailed"),
    ),
    Row(
        "15",
        "configuration missing",
        signs="waiting CreateContainerConfigError",
        conclusion="waits 60 s, then CRASHED CreateContainerConfigError",
        judge=_waiting(("CreateContainerConfigError",), "the container cannot be created", _CONFIGURATION_PATIENCE),
        reasons=("CreateContainerConfigError",),
    ),
    Row(
        "16",
        "container cannot be created",
        signs="waiting CreateContainerError or RunContainerError",
        conclusion="waits 60 s, then CRASHED with that reason",
        judge=_waiting(("CreateContainerError", "RunContainerError"), "the container cannot be created", _CONFIGURATION_PATIENCE),
        reasons=("CreateContainerError", "RunContainerError"),
    ),
    Row(
        "27",
        "a sidecar restarts again and again",
        signs="waiting CrashLoopBackOff (a native sidecar; the flow itself is never restarted)",
        conclusion="waits until pendingTimeoutSeconds, then CRASHED CrashLoopBackOff",
        judge=_waiting(("CrashLoopBackOff",), "a sidecar restarts again and again", None),
        reasons=("CrashLoopBackOff",),
    ),
    Row(
        "19",
        "no node takes it",
        signs="PodScheduled False, reason Unschedulable",
        conclusion="waits until pendingTimeoutSeconds, then CRASHED Unschedulable",
        judge=_unschedulable,
        reasons=("Unschedulable",),
    ),
)
