"""What the reasons of states mean to a user: why a run cannot start yet, until when, and what would change it. Data for `explaining`.

The reasons and times are those of the operator's tables (`create_errors`, `pending_reasons`) and of the server's, which tests compare.
"""

from __future__ import annotations

from datetime import timedelta
from typing import NamedTuple

_CONFIGURATION = timedelta(minutes=10)
_SOON = timedelta(seconds=60)
_FOR_EVER = "{actor} asks again within 10 s, without end"


class Refusal(NamedTuple):
    """Why no workload can be created: a clause, what would change it, and what follows.

    After `patience` the run ends in `end`; without one, `follows` says what happens (`{actor}` is the operator or the server).
    `asks` is how it is tried again.
    """

    clause: str
    remedy: str
    patience: timedelta | None = None
    end: str = "CRASHED"
    follows: str = "{actor} tries again, without end"
    asks: str = "asks"


class Issue(NamedTuple):
    """Why a workload does not start: a clause about `{workload}`, and what would change it (`{pod}` is its name)."""

    clause: str
    remedy: str


_FIELDS = "Set the fields that the message names"

#: Reasons of SCHEDULED runs that are due.
REFUSALS: dict[str, Refusal] = {
    "QuotaExceeded": Refusal(
        "A ResourceQuota has no room",
        "Raise the quota, or wait until other pods have ended",
        follows="{actor} asks again within 2 min, or when a pod ends or the quota changes",
    ),
    "ResourcesRequired": Refusal("A ResourceQuota asks for requests or limits", _FIELDS, _CONFIGURATION),
    "LimitRangeViolated": Refusal("A LimitRange does not allow its requests or limits", _FIELDS, _CONFIGURATION),
    "ServiceAccountNotFound": Refusal(
        "Its ServiceAccount does not exist", "Create it, or change podTemplate.spec.serviceAccountName", _CONFIGURATION
    ),
    "PriorityClassNotFound": Refusal(
        "Its PriorityClass does not exist", "Create it, or change podTemplate.spec.priorityClassName", _CONFIGURATION
    ),
    "RuntimeClassNotFound": Refusal(
        "Its RuntimeClass does not exist", "Create it, or change podTemplate.spec.runtimeClassName", _CONFIGURATION
    ),
    "AdmissionDenied": Refusal("An admission policy denies its pod", "Change podTemplate as the policy asks", _SOON),
    "PodForbidden": Refusal(
        "The API server forbids its pod", "Give the operator the right, or change what the message names", _SOON
    ),
    "PodNameTaken": Refusal("Another pod has the name of its pod", "Delete or rename the other pod", timedelta(minutes=5)),
    "AdmissionUnavailable": Refusal(
        "An admission webhook does not answer", "Repair the webhook, or remove its configuration", follows=_FOR_EVER
    ),
    "ApiServerBusy": Refusal("The API server asks to come back later", "", follows="{actor} asks again when it may, without end"),
    "ApiServerUnavailable": Refusal(
        "The API server does not answer", "Check the API server, and the operator's credentials", follows=_FOR_EVER
    ),
    "DeploymentNotFound": Refusal(
        "Its FlowDeployment does not exist", "Apply the FlowDeployment", timedelta(seconds=30), "FAILED", asks="looks"
    ),
    "ConfigMapNotFound": Refusal(
        "A ConfigMap does not exist", "Create the ConfigMap", follows="{actor} looks again for a while, then it ends CRASHED"
    ),
    "SecretNotFound": Refusal("A secret does not exist", "Create it", _CONFIGURATION, asks="looks"),
    "InvalidResume": Refusal(
        "It cannot resume from the run that spec.resumeFrom names",
        "Let that run end, or create a run without resumeFrom",
        timedelta(seconds=10),
        "FAILED",
        asks="looks",
    ),
    "ParametersNotChecked": Refusal(
        "Its parameters are not checked yet", "Simplify spec.parameterSchema of its deployment if it lasts"
    ),
    "RevisionNotReadable": Refusal(
        "The ControllerRevision that it runs cannot be read", "Give the operator the right to read controllerrevisions"
    ),
    "ProcessLimitReached": Refusal(
        "The limit of processes is reached",
        "Start the server with a higher --max-processes",
        follows="It starts when a process ends; the oldest run is the next",
    ),
    "DiskFull": Refusal("The disk is full", "Free disk space", follows="The server tries again until there is space"),
    "NoResources": Refusal(
        "The system has no memory or processes left", "End other processes", follows="The server tries again until it succeeds"
    ),
    "HomeUnusable": Refusal(
        "The folder of the attempt cannot be created",
        "Correct the folder's permissions, or MINTAKA_HOME",
        follows="The server tries again until it succeeds",
    ),
}  # fmt: skip

_EVENTS = "kubectl describe pod {pod} shows its events"
_CONFIGURE = "Create the Secret or ConfigMap that the message names"
_IMAGE = "Correct the image, or its imagePullSecrets"

#: Reasons of PENDING runs; that of an event, such as FailedMount, is not among them.
ISSUES: dict[str, Issue] = {
    "": Issue("{workload} was created and has not started yet", _EVENTS),
    "Unschedulable": Issue("No node takes {workload}", "Lower the requests, add a node, or correct nodeSelector, affinity and tolerations"),
    "ImagePullBackOff": Issue("The image of {workload} cannot be pulled", _IMAGE),
    "InvalidImageName": Issue("The image name of {workload} is not valid", "Correct the image"),
    "ErrImageNeverPull": Issue(
        "The image of {workload} is not on its node, and must not be pulled", "Correct the image, or imagePullPolicy"
    ),
    "ImageInspectError": Issue("The image of {workload} cannot be read", "Correct the image"),
    "SignatureValidationFailed": Issue("The signature of the image of {workload} is not valid", "Correct the image, or sign it"),
    "CreateContainerConfigError": Issue("A container of {workload} cannot be configured", _CONFIGURE),
    "CreateContainerError": Issue("A container of {workload} cannot be created", _EVENTS),
    "RunContainerError": Issue("A container of {workload} cannot be started", _EVENTS),
    "CrashLoopBackOff": Issue(
        "A sidecar of {workload} restarts again and again", "Read the sidecar's log: kubectl logs {pod} --all-containers"
    ),
    "SchedulingGated": Issue("A scheduling gate holds {workload}", "Whoever set the gate removes it"),
}
OTHER_ISSUE = Issue("{workload} does not start, {reason}", _EVENTS)

_RETRY = "Allow retries with spec.retries.onCrash"
_UNKNOWN_END = f"{_RETRY}; whether the old process has stopped is not known"
_TEMPLATE = "Correct podTemplate as the message says, and create another run"

#: What would change the end of a run, or of an attempt that is tried again; other ends can only be run again.
REMEDIES: dict[str, str] = {
    **{reason: refusal.remedy for reason, refusal in REFUSALS.items() if refusal.remedy},
    **{reason: issue.remedy for reason, issue in ISSUES.items() if reason and issue.remedy != _EVENTS},
    "OOMKilled": "Give its container more memory in podTemplate",
    "Evicted": "Request what it uses in podTemplate, so that it is not the first to go",
    "StorageLimitExceeded": "Raise the limit of ephemeral storage in podTemplate, or write less",
    **dict.fromkeys(("Preempted", "Drained", "NodeShutdown", "NodeDeleted", "PodDeleted", "ContainerStatusUnknown"), _RETRY),
    **dict.fromkeys(("NodeLost", "ForceDeleted", "PodDisappeared"), _UNKNOWN_END),
    "PendingTimeout": "Raise pendingTimeoutSeconds if it needs longer",
    "TimedOut": "Raise timeoutSeconds if it needs longer",
    "InvalidParameters": "Create another run with parameters that fit spec.parameterSchema",
    "PodRejected": _TEMPLATE,
    "PodTooLarge": "Make the pod smaller as the message says, and create another run",
    "InvalidTemplate": "Correct what the message names, and create another run",
    "InvalidRevision": "Create another run, which takes the newest revision",
    "RevisionNotFound": "Create another run, which takes the newest revision",
    "NamespaceTerminating": "Create the run in another namespace",
    "EntrypointNotFound": "Correct spec.entrypoint, or the code that it names",
    "SourceUnreadable": "Correct spec.source",
    "InitContainerFailed": "Read the log of its init containers",
    "WireVersionNotServed": "Upgrade the older of the operator and the image",
    "TooManySuspensions": "Suspend it less often",
}
