"""The transition reasons that Mintaka itself sets: those of the failure table, of the reconciler and of the runner.

A flow may report any word as its reason, such as the class of an exception, and so may other containers. Metrics by reason
count these together, so that users cannot increase the number of series.
"""

from __future__ import annotations

from mintaka_core.concurrency import KEY_NOT_ALLOWED, LIMIT_REACHED
from mintaka_core.rules import PENDING_TIMEOUT, SCHEDULING_GATED
from mintaka_core.states import AWAITING_CONCURRENCY_SLOT, SUSPENDED_ITSELF
from mintaka_operator.create_errors import CREATE_REASONS
from mintaka_operator.pending_reasons import PENDING_REASONS
from mintaka_operator.pod_verdicts import POD_VERDICTS

OTHER = "other"

#: The reconciler's own.
_RUNS = {PENDING_TIMEOUT, SCHEDULING_GATED, SUSPENDED_ITSELF, "Cancelled", "Cancelling", "Suspended", "Resumed", "Rerun", "TimedOut"} | {
    "SuspensionTimedOut",
    "TooManySuspensions",
    AWAITING_CONCURRENCY_SLOT,
    LIMIT_REACHED,
    KEY_NOT_ALLOWED,
}
#: Of resources that cannot be run as they are.
_RESOURCES = {
    "DeploymentNotFound",
    "ConfigMapNotFound",
    "InvalidTemplate",
    "InvalidParameters",
    "ParametersNotChecked",
    "InvalidResource",
    "ResourceTooLarge",
    "TooDeep",
    "Unreadable",
    "InvalidResume",
    "InvalidSchedule",
} | {
    "ParametersTooLarge",
    "ResourceTooLarge",
    "SourceTooLarge",
    "TooDeep",
    "NotJson",
}
#: Of pods that are gone, and of Warning events about pods that do not start.
_PODS = {"PodDisappeared", "NodeLost", "FailedMount", "FailedAttachVolume", "FailedCreatePodSandBox", "FailedScheduling"}
#: What the runner reports about itself, not about the flow (docs/exit-codes.md).
_RUNNER = {"EntrypointNotFound", "SourceUnreadable", "ResultStorageAway", "ContainerRestarted", "Terminated", "Fenced"} | {
    "SystemExit",
    "KeyboardInterrupt",
}

KNOWN_REASONS: frozenset[str] = frozenset(
    {reason for row in POD_VERDICTS for reason in row.reasons}
    | {reason for row in PENDING_REASONS for reason in row.reasons}
    | {reason for reason, _, _ in CREATE_REASONS}
    | _RUNS
    | _RESOURCES
    | _PODS
    | _RUNNER
)


def reason_class(reason: str) -> str:
    """`reason` if Mintaka sets it, "" if it is empty, else `other`."""
    return reason if not reason or reason in KNOWN_REASONS else OTHER
