"""Why a pod does not start: the failure table's second part, read from the top, the first match deciding."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from mintaka_core.workloads import StartIssue
from mintaka_operator.failure_rows import Row

if TYPE_CHECKING:
    from collections.abc import Callable

    from mintaka_operator.podview import PodView

#: Waiting for these cannot end well.
_HOPELESS_IMAGE = {"InvalidImageName", "ErrImageNeverPull", "ImageInspectError", "SignatureValidationFailed"}
_PULLING = {"ErrImagePull", "ImagePullBackOff", "RegistryUnavailable"}
#: A Secret or ConfigMap may still arrive; longer than this it was forgotten.
_CONFIGURATION_PATIENCE = timedelta(seconds=60)


def _pulling(view: PodView) -> StartIssue | None:
    waiting = view.waiting_anywhere
    return (
        StartIssue("ImagePullBackOff", waiting.get("message") or "the image cannot be pulled")
        if waiting.get("reason") in _PULLING
        else None
    )


def _hopeless_image(view: PodView) -> StartIssue | None:
    waiting = view.waiting_anywhere
    if waiting.get("reason") in _HOPELESS_IMAGE:
        return StartIssue(waiting["reason"], waiting.get("message") or "the image cannot be used", timedelta(0))
    return None


def _waiting(reasons: set[str]) -> Callable[[PodView], StartIssue | None]:
    def judge(view: PodView) -> StartIssue | None:
        waiting = view.waiting_anywhere
        if waiting.get("reason") in reasons:
            return StartIssue(waiting["reason"], waiting.get("message") or "the container cannot be created", _CONFIGURATION_PATIENCE)
        return None

    return judge


def _crash_loop(view: PodView) -> StartIssue | None:
    waiting = view.waiting_anywhere
    if waiting.get("reason") == "CrashLoopBackOff":
        return StartIssue("CrashLoopBackOff", waiting.get("message") or "a container restarts again and again", timedelta(0))
    return None


def _unschedulable(view: PodView) -> StartIssue | None:
    condition = view.condition("PodScheduled", "False")
    return (
        StartIssue("Unschedulable", condition.get("message") or "no node takes the pod")
        if condition.get("reason") == "Unschedulable"
        else None
    )


#: For pods that have not started.
PENDING_REASONS: tuple[Row[StartIssue], ...] = (
    Row("13", "image cannot be pulled", "waiting ErrImagePull or ImagePullBackOff", "waits until pendingTimeoutSeconds, then CRASHED ImagePullBackOff", _pulling),
    Row("14", "image cannot be used", "waiting InvalidImageName, ErrImageNeverPull, ImageInspectError, SignatureValidationFailed", "CRASHED with that reason, at once", _hopeless_image),
    Row("15", "configuration missing", "waiting CreateContainerConfigError", "waits 60 s, then CRASHED CreateContainerConfigError", _waiting({"CreateContainerConfigError"})),
    Row("16", "container cannot be created", "waiting CreateContainerError or RunContainerError", "waits 60 s, then CRASHED with that reason", _waiting({"CreateContainerError", "RunContainerError"})),
    Row("27", "restarts again and again", "waiting CrashLoopBackOff (an init container's sidecar; the flow itself is never restarted)", "CRASHED CrashLoopBackOff", _crash_loop),
    Row("19", "no node takes it", "PodScheduled False, reason Unschedulable", "waits until pendingTimeoutSeconds, then CRASHED Unschedulable", _unschedulable),
)  # fmt: skip
