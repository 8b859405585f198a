"""What a user reads about a flow run in every situation: why it is in its state, when something happens next, what would change it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from mintaka_core.explaining import explain
from mintaka_core.explanation_facts import DecisionFacts, DeploymentFacts, PauseFacts, RunFacts, facts_of_document, facts_of_run
from mintaka_core.resources import FlowRun
from mintaka_core.states import DEFAULT_NAMES, StateType

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
SINCE = NOW - timedelta(seconds=10)
AT = NOW + timedelta(minutes=5)
QUOTA = 'pods "r-1" is forbidden: exceeded quota: team, requested: pods=1, used: pods=10, limited: pods=10'
_TAKEN_BACK = "Attempt 2 starts now."
_OPERATOR = "If it lasts, check that the operator (or mintaka server) runs and watches namespace n."
_CANCEL = "mintaka cancel r ends it."
_RERUN = "mintaka resume r runs it again."


def run(state: str = "SCHEDULED", reason: str = "", message: str = "", **fields: Any) -> RunFacts:
    """A run in `state`, TYPE or TYPE/Name, since ten seconds."""
    kind, _, name = state.partition("/")
    usual: dict[str, Any] = {"name": "r", "namespace": "n", "attempt": 1, "pod": "r-1", "sequence": 3, "time": SINCE}
    usual["local"] = fields.get("kind", "deployed") != "deployed"
    if kind == "SCHEDULED":
        usual |= {"attempt": 0, "pod": ""}
    return RunFacts(kind, name or kind.capitalize(), reason=reason, message=message, **{**usual, **fields})


def waits(rule: str, said: str, until: datetime | None = AT, verdict: str = "Wait") -> tuple[DecisionFacts, ...]:
    """The decision that a proposal to start has to wait, or is refused."""
    return (DecisionFacts("SCHEDULED", "PENDING", rule, verdict, said, until),)


def became(kind: str, *trail: tuple[str, str, str], proposed: str = "") -> tuple[DecisionFacts, ...]:
    """The decision with which the run entered its state, after these opinions (rule, verdict, reason)."""
    rule, verdict, said = trail[-1] if trail else ("", "Accept", "")
    return (DecisionFacts(kind, proposed or kind, rule, verdict, said, None, trail),)


OOM = "out of memory: raise the memory limit of container flow"
SLOT = "key etl has 1 slot, held by run etl-7c1a"
#: The kind, the facts, and what a user reads.
SITUATIONS: list[tuple[str, RunFacts, str]] = [
    # Before it starts.
    (
        "new: no operator has seen it",
        run(sequence=0, time=None),
        f"No operator has acted on it yet. It starts when one does. {_OPERATOR}",
    ),
    ("due", run(), "It is due. Attempt 1 starts now. mintaka cancel r ends it."),
    (
        "due in five minutes",
        run(next_time=AT, decisions=waits("wait_for_scheduled_time", "due at 2026-03-01T12:05:00Z")),
        "It waits for its scheduled time, 2026-03-01T12:05:00Z. It starts then. To run now, create another run without scheduledTime.",
    ),
    (
        "due in five minutes, as history alone shows",
        run(next_time=AT),
        "It waits for its scheduled time, 2026-03-01T12:05:00Z. It starts then. To run now, create another run without scheduledTime.",
    ),
    (
        "due two minutes ago, and no operator acts",
        run(next_time=NOW - timedelta(minutes=2), time=NOW - timedelta(hours=1)),
        f"It was due at 2026-03-01T11:58:00Z and has not started: no operator acts on it. It starts when one does. {_OPERATOR}",
    ),
    (
        "due a second ago by another clock",
        run(next_time=NOW - timedelta(seconds=1), time=NOW - timedelta(hours=1)),
        "It is due. Attempt 1 starts now. mintaka cancel r ends it.",
    ),
    (
        "its state began in the future: the clocks are apart",
        run(time=NOW + timedelta(minutes=10)),
        "It is due. Attempt 1 starts now. mintaka cancel r ends it. The clock here is 10 min behind the one that recorded its state.",
    ),
    (
        "its deployment is suspended, which does not hold it",
        run(next_time=AT),
        (
            "It waits for its scheduled time, 2026-03-01T12:05:00Z. It starts then: that its deployment is suspended stops schedules, not runs. "
            "To run now, create another run without scheduledTime."
        ),
    ),
    (
        "retry after a failure",
        run(
            "SCHEDULED/AwaitingRetry",
            "ValueError",
            "no such region",
            attempt=1,
            next_time=AT,
            failures=1,
            decisions=became("SCHEDULED", ("retry_failed", "Redirect", "failure 1 of 3 allowed, again in 300.0 s"), proposed="FAILED"),
        ),
        "Attempt 1 failed with ValueError: no such region. Attempt 2 starts at 2026-03-01T12:05:00Z (failure 1 of 3 allowed). mintaka cancel r ends it.",
    ),
    (
        "retry after a crash",
        run(
            "SCHEDULED/AwaitingRetry",
            "OOMKilled",
            OOM,
            attempt=1,
            next_time=AT,
            crashes=1,
            decisions=became("SCHEDULED", ("retry_crashed", "Redirect", "crash 1 of 5 allowed, again in 2.0 s"), proposed="CRASHED"),
        ),
        (
            f"Attempt 1 crashed with OOMKilled: {OOM}. Attempt 2 starts at 2026-03-01T12:05:00Z (crash 1 of 5 allowed). "
            "Give its container more memory in podTemplate."
        ),
    ),
    (
        "retry after a crash, without the decision: its history has a gap",
        run("SCHEDULED/AwaitingRetry", "Evicted", "the node was low on memory", attempt=2, next_time=AT),
        (
            "Attempt 2 ended with Evicted: the node was low on memory. Attempt 3 starts at 2026-03-01T12:05:00Z. "
            "Request what it uses in podTemplate, so that it is not the first to go."
        ),
    ),
    (
        "retry of a pod that was rejected before any code ran",
        run(
            "SCHEDULED/AwaitingRetry",
            "OutOfcpu",
            "Node didn't have enough resource",
            attempt=1,
            next_time=AT,
            rejections=1,
            decisions=became(
                "SCHEDULED", ("retry_what_never_ran", "Redirect", "rejection 1 of 5 allowed, again in 2.0 s"), proposed="CRASHED"
            ),
        ),
        (
            "Attempt 1 was rejected before its code ran, OutOfcpu: Node didn't have enough resource. "
            "Attempt 2 starts at 2026-03-01T12:05:00Z (rejection 1 of 5 allowed). mintaka cancel r ends it."
        ),
    ),
    (
        "a retry that is due",
        run("SCHEDULED/AwaitingRetry", "ValueError", "boom", attempt=1, next_time=NOW - timedelta(seconds=1)),
        "Attempt 1 ended with ValueError: boom. Attempt 2 starts now. mintaka cancel r ends it.",
    ),
    (
        "a retry that no operator starts",
        run("SCHEDULED/AwaitingRetry", "ValueError", "boom", attempt=1, next_time=NOW - timedelta(minutes=9)),
        f"Attempt 1 ended with ValueError: boom. Attempt 2 was due at 2026-03-01T11:51:00Z: no operator acts on it. {_OPERATOR}",
    ),
    (
        "its owner raised reruns",
        run("SCHEDULED", "Rerun", "spec.reruns was raised to 2", attempt=1),
        f"It runs again: spec.reruns was raised to 2. {_TAKEN_BACK} {_CANCEL}",
    ),
    (
        "its owner resumed it",
        run("SCHEDULED", "Resumed", "spec.suspend was taken back", attempt=1),
        f"It continues: spec.suspend was taken back. {_TAKEN_BACK} {_CANCEL}",
    ),
    (
        "a script's run that was answered",
        run("SCHEDULED/Resuming", "", "resumed", attempt=1, kind="script"),
        f"It continues: resumed. {_TAKEN_BACK} {_CANCEL}",
    ),
    # No workload can be created.
    (
        "a quota is used up",
        run("SCHEDULED", "QuotaExceeded", QUOTA),
        (
            f"A ResourceQuota has no room: {QUOTA}. The operator asks again within 2 min, or when a pod ends or the quota changes. "
            "Raise the quota, or wait until other pods have ended."
        ),
    ),
    (
        "a quota is used up, and older runs come first",
        run("SCHEDULED", "QuotaExceeded", f"waits behind 3 older runs: {QUOTA}"),
        (
            f"A ResourceQuota has no room: waits behind 3 older runs: {QUOTA}. "
            "The operator asks again within 2 min, or when a pod ends or the quota changes. Raise the quota, or wait until other pods have ended."
        ),
    ),
    (
        "a quota requires requests",
        run(
            "SCHEDULED", "ResourcesRequired", "failed quota: team: must specify cpu for: flow; set podTemplate.spec.containers[0].resources"
        ),
        (
            "A ResourceQuota asks for requests or limits: failed quota: team: must specify cpu for: flow; "
            "set podTemplate.spec.containers[0].resources. The operator asks again until 2026-03-01T12:09:50Z, then it ends CRASHED. "
            "Set the fields that the message names."
        ),
    ),
    (
        "a LimitRange is violated",
        run("SCHEDULED", "LimitRangeViolated", "maximum memory usage per Container is 1Gi"),
        (
            "A LimitRange does not allow its requests or limits: maximum memory usage per Container is 1Gi. "
            "The operator asks again until 2026-03-01T12:09:50Z, then it ends CRASHED. Set the fields that the message names."
        ),
    ),
    (
        "a ServiceAccount is missing",
        run("SCHEDULED", "ServiceAccountNotFound", "error looking up service account n/etl"),
        (
            "Its ServiceAccount does not exist: error looking up service account n/etl. "
            "The operator asks again until 2026-03-01T12:09:50Z, then it ends CRASHED. Create it, or change podTemplate.spec.serviceAccountName."
        ),
    ),
    (
        "a PriorityClass is missing",
        run("SCHEDULED", "PriorityClassNotFound", "no PriorityClass with name high was found"),
        (
            "Its PriorityClass does not exist: no PriorityClass with name high was found. "
            "The operator asks again until 2026-03-01T12:09:50Z, then it ends CRASHED. Create it, or change podTemplate.spec.priorityClassName."
        ),
    ),
    (
        "a RuntimeClass is missing",
        run("SCHEDULED", "RuntimeClassNotFound", 'RuntimeClass "kata" not found'),
        (
            'Its RuntimeClass does not exist: RuntimeClass "kata" not found. '
            "The operator asks again until 2026-03-01T12:09:50Z, then it ends CRASHED. Create it, or change podTemplate.spec.runtimeClassName."
        ),
    ),
    (
        "a policy denies the pod",
        run("SCHEDULED", "AdmissionDenied", 'admission webhook "p" denied the request: no latest'),
        (
            'An admission policy denies its pod: admission webhook "p" denied the request: no latest. '
            "The operator asks again until 2026-03-01T12:00:50Z, then it ends CRASHED. Change podTemplate as the policy asks."
        ),
    ),
    (
        "the operator has no right to create pods",
        run("SCHEDULED", "PodForbidden", 'pods is forbidden: User "op" cannot create resource "pods"'),
        (
            'The API server forbids its pod: pods is forbidden: User "op" cannot create resource "pods". '
            "The operator asks again until 2026-03-01T12:00:50Z, then it ends CRASHED. Give the operator the right, or change what the message names."
        ),
    ),
    (
        "another pod has its name",
        run("SCHEDULED", "PodNameTaken", "another pod is named r-1"),
        (
            "Another pod has the name of its pod: another pod is named r-1. "
            "The operator asks again until 2026-03-01T12:04:50Z, then it ends CRASHED. Delete or rename the other pod."
        ),
    ),
    (
        "a webhook does not answer",
        run("SCHEDULED", "AdmissionUnavailable", 'failed calling webhook "p"'),
        (
            'An admission webhook does not answer: failed calling webhook "p". '
            "The operator asks again within 10 s, without end. Repair the webhook, or remove its configuration."
        ),
    ),
    (
        "the API server is busy",
        run("SCHEDULED", "ApiServerBusy", "too many requests"),
        "The API server asks to come back later: too many requests. The operator asks again when it may, without end. mintaka cancel r ends it.",
    ),
    (
        "the API server is away",
        run("SCHEDULED", "ApiServerUnavailable", "connection refused"),
        "The API server does not answer: connection refused. The operator asks again within 10 s, without end. Check the API server, and the operator's credentials.",
    ),
    (
        "its deployment is missing",
        run("SCHEDULED", "DeploymentNotFound", "there is no FlowDeployment 'etl' in namespace 'n': apply it, then create the run again"),
        (
            "Its FlowDeployment does not exist: there is no FlowDeployment 'etl' in namespace 'n': apply it, then create the run again. "
            "The operator looks again until 2026-03-01T12:00:20Z, then it ends FAILED. Apply the FlowDeployment."
        ),
    ),
    (
        "the ConfigMap of its source is missing",
        run("SCHEDULED", "ConfigMapNotFound", "there is no ConfigMap 'code' in namespace 'n', which spec.source.configMap names"),
        (
            "A ConfigMap does not exist: there is no ConfigMap 'code' in namespace 'n', which spec.source.configMap names. "
            "The operator looks again for a while, then it ends CRASHED. Create the ConfigMap."
        ),
    ),
    (
        "a file with a secret is missing on this machine",
        run("SCHEDULED", "SecretNotFound", "there is no file MINTAKA_HOME/secrets/db"),
        (
            "A secret does not exist: there is no file MINTAKA_HOME/secrets/db. "
            "The operator looks again until 2026-03-01T12:09:50Z, then it ends CRASHED. Create it."
        ),
    ),
    (
        "the run to resume from has not ended",
        run("SCHEDULED", "InvalidResume", "FlowRun 'a', which spec.resumeFrom names, has not ended: wait for its end, or cancel it"),
        (
            "It cannot resume from the run that spec.resumeFrom names: FlowRun 'a', which spec.resumeFrom names, has not ended: "
            "wait for its end, or cancel it. The operator looks again until 2026-03-01T12:00:00Z, then it ends FAILED. "
            "Let that run end, or create a run without resumeFrom."
        ),
    ),
    (
        "its parameters wait for a check",
        run("SCHEDULED", "ParametersNotChecked", "the check of parameters takes too long"),
        (
            "Its parameters are not checked yet: the check of parameters takes too long. The operator tries again, without end. "
            "Simplify spec.parameterSchema of its deployment if it lasts."
        ),
    ),
    (
        "its revision cannot be read",
        run("SCHEDULED", "RevisionNotReadable", "ControllerRevision 'etl-1' cannot be read: forbidden"),
        (
            "The ControllerRevision that it runs cannot be read: ControllerRevision 'etl-1' cannot be read: forbidden. "
            "The operator tries again, without end. Give the operator the right to read controllerrevisions."
        ),
    ),
    (
        "this machine runs as many processes as it may",
        run("SCHEDULED", "ProcessLimitReached", "4 processes run, which is the limit"),
        (
            "The limit of processes is reached: 4 processes run, which is the limit. It starts when a process ends; the oldest run is the next. "
            "Start the server with a higher --max-processes."
        ),
    ),
    (
        "the disk is full",
        run("SCHEDULED", "DiskFull", "no space left on device"),
        "The disk is full: no space left on device. The server tries again until there is space. Free disk space.",
    ),
    (
        "a reason of a later release",
        run("SCHEDULED", "MoonFull", "the moon is full"),
        f"It cannot start, MoonFull: the moon is full. The operator tries again. {_CANCEL}",
    ),
    # Slots and rules.
    (
        "waits for a slot",
        run("SCHEDULED", "AwaitingConcurrencySlot", decisions=waits("wait_for_a_slot", SLOT)),
        (
            f"It waits for a concurrency slot: {SLOT}. It starts when a slot is free and its turn comes, asked again at 2026-03-01T12:05:00Z at the latest. "
            "Raise spec.concurrency.limit, or cancel the holder."
        ),
    ),
    (
        "waits for a slot: entered as a state",
        run(
            "SCHEDULED/AwaitingConcurrencySlot",
            "AwaitingConcurrencySlot",
            SLOT,
            decisions=became("SCHEDULED", ("wait_for_a_slot", "Redirect", SLOT), proposed="PENDING"),
        ),
        (
            f"It waits for a concurrency slot: {SLOT}. It starts when a slot is free and its turn comes. "
            "Raise spec.concurrency.limit, or cancel the holder."
        ),
    ),
    (
        "a slot is held by a run that the reader may not see",
        run("SCHEDULED", decisions=waits("wait_for_a_slot", "key cluster/gpu has 2 slots, held by a run of another namespace")),
        (
            "It waits for a concurrency slot: key cluster/gpu has 2 slots, held by a run of another namespace. "
            "It starts when a slot is free and its turn comes, asked again at 2026-03-01T12:05:00Z at the latest. "
            "Raise spec.concurrency.limit, or cancel the holder."
        ),
    ),
    (
        "cancelled as no slot was free",
        run(
            "CANCELLED", "ConcurrencyLimit", SLOT, decisions=became("CANCELLED", ("wait_for_a_slot", "Redirect", SLOT), proposed="PENDING")
        ),
        (
            f"It was cancelled because no concurrency slot was free: {SLOT}. Nothing follows. "
            "Create the run again when a slot is free, or use the policy Queue."
        ),
    ),
    (
        "held by a user's rule",
        run("SCHEDULED", decisions=waits("user/freeze", "no starts on Sundays")),
        (
            "Rule user/freeze holds it: no starts on Sundays. It is asked again at 2026-03-01T12:05:00Z. "
            "Change or delete the rule freeze, or cancel the run."
        ),
    ),
    (
        "held by a user's rule, evaluated last nine minutes ago",
        run("SCHEDULED", decisions=waits("user/freeze", "no starts on Sundays", NOW - timedelta(minutes=9))),
        f"Rule user/freeze holds it: no starts on Sundays. It was to be asked again at 2026-03-01T11:51:00Z: no operator acts on it. {_OPERATOR}",
    ),
    (
        "refused by a user's rule",
        run("SCHEDULED", decisions=waits("user/freeze", "not before the audit", None, "Abort")),
        (
            "Rule user/freeze does not let it start: not before the audit. It is asked again when something changes. "
            "Change or delete the rule freeze, or cancel the run."
        ),
    ),
    (
        "delayed by a user's rule",
        run(
            "SCHEDULED/Delayed",
            "Delayed",
            "nightly load",
            next_time=AT,
            decisions=became("SCHEDULED", ("user/later", "Redirect", "nightly load"), proposed="PENDING"),
        ),
        "Rule user/later put it off: nightly load. It starts at 2026-03-01T12:05:00Z. Change or delete the rule later, or cancel the run.",
    ),
    (
        "failed by a user's rule instead of a retry",
        run(
            "FAILED",
            "NoRetry",
            "licence expired",
            decisions=became("FAILED", ("user/no-retry", "Redirect", "a licence does not come back"), proposed="CRASHED"),
        ),
        "It failed with NoRetry: licence expired. Rule user/no-retry decided so: a licence does not come back. Nothing follows. mintaka resume r runs it again.",
    ),
    (
        "held by a rule of a later release",
        run("SCHEDULED", decisions=waits("wait_for_the_tide", "low tide at noon")),
        "Rule wait_for_the_tide holds it: low tide at noon. It is asked again at 2026-03-01T12:05:00Z. mintaka cancel r ends it.",
    ),
    # Its workload exists.
    (
        "its pod was created",
        run("PENDING", next_time=AT),
        "Pod r-1 was created and has not started yet. It crashes if it has not started by 2026-03-01T12:05:00Z. kubectl describe pod r-1 shows its events.",
    ),
    (
        "no node takes the pod",
        run("PENDING", "Unschedulable", "0/3 nodes are available: 3 Insufficient memory.", next_time=AT),
        (
            "No node takes pod r-1: 0/3 nodes are available: 3 Insufficient memory. It crashes if it has not started by 2026-03-01T12:05:00Z. "
            "Lower the requests, add a node, or correct nodeSelector, affinity and tolerations."
        ),
    ),
    (
        "its image cannot be pulled",
        run("PENDING", "ImagePullBackOff", "manifest unknown", next_time=AT),
        (
            "The image of pod r-1 cannot be pulled: manifest unknown. It crashes if it has not started by 2026-03-01T12:05:00Z. "
            "Correct the image, or its imagePullSecrets."
        ),
    ),
    (
        "a Secret or ConfigMap of the container is missing",
        run("PENDING", "CreateContainerConfigError", 'secret "db" not found', next_time=AT),
        (
            'A container of pod r-1 cannot be configured: secret "db" not found. It crashes if it has not started by 2026-03-01T12:05:00Z. '
            "Create the Secret or ConfigMap that the message names."
        ),
    ),
    (
        "a scheduling gate holds the pod",
        run("PENDING", "SchedulingGated", "waits until its scheduling gates are taken off: example.com/queue"),
        (
            "A scheduling gate holds pod r-1: waits until its scheduling gates are taken off: example.com/queue. "
            "It waits without a deadline; its time to start begins when the last gate goes. Whoever set the gate removes it."
        ),
    ),
    (
        "a sidecar restarts again and again",
        run("PENDING", "CrashLoopBackOff", "back-off 5m0s restarting", next_time=AT),
        (
            "A sidecar of pod r-1 restarts again and again: back-off 5m0s restarting. It crashes if it has not started by 2026-03-01T12:05:00Z. "
            "Read the sidecar's log: kubectl logs r-1 --all-containers."
        ),
    ),
    (
        "a volume cannot be mounted",
        run("PENDING", "FailedMount", "MountVolume.SetUp failed", next_time=AT),
        (
            "Pod r-1 does not start, FailedMount: MountVolume.SetUp failed. It crashes if it has not started by 2026-03-01T12:05:00Z. "
            "kubectl describe pod r-1 shows its events."
        ),
    ),
    (
        "it did not start in time and is stopped",
        run("PENDING/PendingTimeout", "Unschedulable", "0/3 nodes are available", next_time=SINCE),
        (
            "It did not start in time, Unschedulable: 0/3 nodes are available. It crashes when pod r-1 has been stopped. "
            "Raise pendingTimeoutSeconds if it needs longer."
        ),
    ),
    (
        "PENDING past its time, and no operator acts",
        run("PENDING", "Unschedulable", "0/3 nodes are available", next_time=NOW - timedelta(minutes=9)),
        f"No node takes pod r-1: 0/3 nodes are available. It should have been stopped at 2026-03-01T11:51:00Z: no operator acts on it. {_OPERATOR}",
    ),
    ("runs", run("RUNNING"), "Attempt 1 runs in pod r-1 since 2026-03-01T11:59:50Z. It has no deadline. mintaka logs r shows its log."),
    (
        "runs with a timeout",
        run("RUNNING", next_time=AT),
        "Attempt 1 runs in pod r-1 since 2026-03-01T11:59:50Z. It is stopped and fails TimedOut if it has not ended by 2026-03-01T12:05:00Z. mintaka logs r shows its log.",
    ),
    (
        "runs past its timeout",
        run("RUNNING", next_time=NOW - timedelta(seconds=5)),
        "Attempt 1 ran longer than timeoutSeconds and is being stopped. It fails TimedOut when pod r-1 has ended. Raise timeoutSeconds if it needs longer.",
    ),
    (
        "runs far past its timeout: no operator acts",
        run("RUNNING", next_time=NOW - timedelta(hours=1)),
        f"Attempt 1 ran longer than timeoutSeconds. It should have been stopped at 2026-03-01T11:00:00Z: no operator acts on it, or its node does not answer. {_OPERATOR}",
    ),
    (
        "runs, and is being suspended",
        run("RUNNING", suspending=True),
        "Its workload is being stopped for spec.suspend. It becomes PAUSED when pod r-1 has ended. mintaka resume r takes that back.",
    ),
    (
        "runs, and cancel was just set",
        run("RUNNING", cancel=True),
        "spec.cancel is set, and it is about to be stopped. It ends CANCELLED when pod r-1 has ended. Cancel cannot be taken back.",
    ),
    (
        "a script's run",
        run("RUNNING", kind="script", pod=""),
        "Attempt 1 runs in a process of its own since 2026-03-01T11:59:50Z. It has no deadline. mintaka logs r shows its log.",
    ),
    (
        "a flow that another one called in its process",
        run("RUNNING", kind="called", pod="", caller="6f0c"),
        "It runs in the process of flow run 6f0c since 2026-03-01T11:59:50Z. It has no deadline. mintaka explain 6f0c explains that one.",
    ),
    (
        "a run that another one created, and waits for",
        run("RUNNING", caller="parent-1"),
        "Attempt 1, called by flow run parent-1, runs in pod r-1 since 2026-03-01T11:59:50Z. It has no deadline. mintaka logs r shows its log.",
    ),
    (
        "runs under a name of its own",
        run("RUNNING/Retrying", "", "after ValueError", kind="script", pod=""),
        "Attempt 1 is Retrying in a process of its own since 2026-03-01T11:59:50Z: after ValueError. It has no deadline. mintaka logs r shows its log.",
    ),
    # Paused.
    (
        "suspended by its owner before it ran",
        run("PAUSED/Suspended", "Suspended", "suspended before it ran; set spec.suspend to false to go on", attempt=0, pod=""),
        "Its owner suspended it, and nothing runs. It waits without a deadline. mintaka resume r continues it.",
    ),
    (
        "suspended by its own code",
        run("PAUSED/Suspended", "SuspendedItself", "waits for approval"),
        "Its own code suspended it, and nothing runs: waits for approval. It waits without a deadline. mintaka resume r continues it.",
    ),
    (
        "suspended by its own code, for a while",
        run("PAUSED/Suspended", "SuspendedItself", "waits for approval", next_time=AT),
        "Its own code suspended it, and nothing runs: waits for approval. It fails TimedOut if nobody resumes it by 2026-03-01T12:05:00Z. mintaka resume r continues it.",
    ),
    (
        "suspended by its own code, resumed, but its owner suspends it too",
        run("PAUSED/Suspended", "SuspendedItself", "waits for approval", suspend=True, rerun_wanted=True),
        "It was resumed, but spec.suspend holds it. It waits without a deadline. Set spec.suspend to false.",
    ),
    (
        "paused: its process waits for an answer",
        run("PAUSED", "", "waits for input", next_time=AT),
        "It is paused, and its process waits in pod r-1: waits for input. It fails TimedOut if nobody resumes it by 2026-03-01T12:05:00Z. mintaka resume r continues it.",
    ),
    (
        "a script's suspended run",
        run("PAUSED/Suspended", "", "waits for approval", kind="script", pod=""),
        "Its own code suspended it, and nothing runs: waits for approval. It waits until it is resumed. mintaka resume r continues it.",
    ),
    (
        "a script's suspended run whose pause is known",
        run("PAUSED/Suspended", "", "waits for approval", kind="script", pod="", pause=PauseFacts("approve", AT, needs_input=True)),
        (
            "Its own code suspended it, and nothing runs: waits for approval. The wait fails if nobody answers by 2026-03-01T12:05:00Z. "
            "mintaka resume r --input JSON answers it."
        ),
    ),
    (
        "a script's process waits",
        run("PAUSED", "", "waits to be resumed", kind="script", pod="", pause=PauseFacts("pause-1")),
        "It is paused, and its process waits: waits to be resumed. It waits without a deadline. mintaka resume r continues it.",
    ),
    (
        "its pod waits for an answer",
        run("RUNNING", pause=PauseFacts("approve", AT, needs_input=True)),
        (
            "Attempt 1 waits in pod r-1 for an answer to approve. The wait fails if nobody answers by 2026-03-01T12:05:00Z. "
            "mintaka resume r --input JSON answers it."
        ),
    ),
    (
        "its pod waits for another answer than the one it got",
        run("RUNNING", pause=PauseFacts("approve", needs_input=True, refusal="n is missing")),
        (
            "Attempt 1 waits in pod r-1 for an answer to approve: the last answer was refused: n is missing. It waits without a deadline. "
            "mintaka resume r --input JSON answers it."
        ),
    ),
    # Cancelled.
    (
        "is being cancelled",
        run("CANCELLING", "Cancelling", "spec.cancel was set"),
        "It is being cancelled: spec.cancel was set. It ends CANCELLED when pod r-1 has ended. Cancel cannot be taken back.",
    ),
    (
        "is being cancelled on a node that does not answer",
        run("CANCELLING", "Cancelling", "spec.cancel was set", time=NOW - timedelta(minutes=4)),
        (
            "It is being cancelled since 2026-03-01T11:56:00Z: spec.cancel was set; pod r-1 has not ended, and its node may not answer. "
            "The pod is deleted by force 5 min after its grace period. kubectl get pod r-1 -o wide shows its node."
        ),
    ),
    (
        "cancelled before it ran",
        run("CANCELLED", "Cancelled", "cancelled before it ran", attempt=0, pod=""),
        "It was cancelled: cancelled before it ran. Nothing follows. A cancelled run does not run again: create another one with spec.resumeFrom.",
    ),
    (
        "cancelled with the run that called it",
        run("CANCELLED", "Cancelled", "flow run parent-1, which called it, was cancelled"),
        (
            "It was cancelled: flow run parent-1, which called it, was cancelled. Nothing follows. "
            "A cancelled run does not run again: create another one with spec.resumeFrom."
        ),
    ),
    (
        "left the cluster unfinished",
        run(
            "CANCELLED",
            "Deleted",
            "the flow run was deleted from the cluster before it ended",
            decisions=became("CANCELLED", ("end_what_was_deleted", "Accept", "")),
        ),
        (
            "It was cancelled: the flow run was deleted from the cluster before it ended. Nothing follows. "
            "A deleted run does not run again: create another one."
        ),
    ),
    (
        "a script that was interrupted",
        run("CANCELLED", "Interrupted", "Ctrl-C", kind="script", pod=""),
        f"It was cancelled: Ctrl-C. Nothing follows. {_RERUN}",
    ),
    # Ended.
    ("completed", run("COMPLETED"), "It completed. Nothing follows. mintaka resume r runs it again."),
    (
        "completed under another name",
        run("COMPLETED/Skipped", "", "nothing to do"),
        f"It completed as Skipped: nothing to do. Nothing follows. {_RERUN}",
    ),
    (
        "completed, its history incomplete",
        run("COMPLETED", history_reason="Spooled"),
        "It completed. Nothing follows. Its history is incomplete: the API was away when the run ended.",
    ),
    ("failed, no retry was allowed", run("FAILED", "ValueError", "boom"), f"It failed with ValueError: boom. Nothing follows. {_RERUN}"),
    (
        "failed after its retries",
        run("FAILED", "ValueError", "boom", attempt=4, failures=3),
        f"It failed with ValueError: boom, after 3 retries. Nothing follows. {_RERUN}",
    ),
    (
        "ran too long",
        run("FAILED/TimedOut", "TimedOut", "stopped after spec.timeoutSeconds"),
        "It failed, TimedOut: stopped after spec.timeoutSeconds. Nothing follows. Raise timeoutSeconds if it needs longer.",
    ),
    (
        "it was not resumed in time",
        run("FAILED/TimedOut", "SuspensionTimedOut", "nobody resumed it until 2026-03-01T11:00:00Z"),
        f"It failed with SuspensionTimedOut: nobody resumed it until 2026-03-01T11:00:00Z. Nothing follows. {_RERUN}",
    ),
    (
        "its parameters are not valid",
        run("FAILED", "InvalidParameters", "parameters.n: 'x' is not of type 'integer'", attempt=0, pod=""),
        "It failed with InvalidParameters: parameters.n: 'x' is not of type 'integer'. Nothing follows. Create another run with parameters that fit spec.parameterSchema.",
    ),
    (
        "its deployment did not come",
        run("FAILED", "DeploymentNotFound", "there is no FlowDeployment 'etl' in namespace 'n'", attempt=0, pod=""),
        "It failed with DeploymentNotFound: there is no FlowDeployment 'etl' in namespace 'n'. Nothing follows. Apply the FlowDeployment.",
    ),
    (
        "out of memory after its retries",
        run("CRASHED", "OOMKilled", OOM, attempt=6, crashes=5),
        f"It crashed with OOMKilled: {OOM}, after 5 retries. Nothing follows. Give its container more memory in podTemplate.",
    ),
    (
        "its node was lost",
        run("CRASHED", "NodeLost", "the pod was asked to stop and has not: its node does not answer"),
        (
            "It crashed with NodeLost: the pod was asked to stop and has not: its node does not answer. Nothing follows. "
            "Allow retries with spec.retries.onCrash; whether the old process has stopped is not known."
        ),
    ),
    (
        "its image was never pulled",
        run("CRASHED", "ImagePullBackOff", "manifest unknown"),
        "It crashed with ImagePullBackOff: manifest unknown. Nothing follows. Correct the image, or its imagePullSecrets.",
    ),
    (
        "its pod is not valid",
        run("CRASHED", "PodRejected", "spec.containers[0].image: Required value", attempt=0, pod=""),
        "It crashed with PodRejected: spec.containers[0].image: Required value. Nothing follows. Correct podTemplate as the message says, and create another run.",
    ),
    (
        "the process of a script died",
        run(
            "CRASHED",
            "ProcessDied",
            "the process of this run ended without reporting a result: it was killed or ran out of memory",
            kind="script",
            pod="",
        ),
        (
            "It crashed with ProcessDied: the process of this run ended without reporting a result: it was killed or ran out of memory. "
            f"Nothing follows. {_RERUN}"
        ),
    ),
    (
        "crashed, and its owner has raised reruns",
        run("CRASHED", "OOMKilled", OOM, rerun_wanted=True),
        f"It crashed with OOMKilled: {OOM}. Attempt 2 starts now: spec.reruns was raised. {_CANCEL}",
    ),
    (
        "it gave no reason",
        run("CRASHED", "", ""),
        f"It crashed. Nothing follows. {_RERUN}",
    ),
    # On this machine.
    (
        "a server on this machine starts its process",
        run("PENDING", local=True, next_time=AT),
        "Its process was created and has not started yet. It crashes if it has not started by 2026-03-01T12:05:00Z. mintaka logs r shows its log.",
    ),
    (
        "a server on this machine runs it",
        run("RUNNING", local=True),
        "Attempt 1 runs in a process of its own since 2026-03-01T11:59:50Z. It has no deadline. mintaka logs r shows its log.",
    ),
    (
        "a server on this machine cancels it",
        run("CANCELLING", "Cancelling", "spec.cancel was set", local=True, time=NOW - timedelta(minutes=4)),
        "It is being cancelled: spec.cancel was set. It ends CANCELLED when its process has ended. Cancel cannot be taken back.",
    ),
    (
        "cancel was set before it started",
        run(cancel=True),
        "It is cancelled, and nothing of it runs. It ends CANCELLED now. Cancel cannot be taken back.",
    ),
    # What this release does not know.
    (
        "a state of a later release",
        run("DREAMING/Deep", "Night", "rolls over"),
        "It is in state Deep (DREAMING), which this release does not know: Night: rolls over. What follows is not known. Upgrade mintaka here.",
    ),
    (
        "a name of a later release for a wait",
        run("SCHEDULED/AwaitingTide", "", "", next_time=AT),
        "It is AwaitingTide. It starts at 2026-03-01T12:05:00Z. mintaka cancel r ends it.",
    ),
    (
        "a long message of many lines",
        run("FAILED", "ValueError", "line\n" * 500),
        f"It failed with ValueError: {'line ' * 59}line …. Nothing follows. {_RERUN}",
    ),
]
assert len(SITUATIONS) >= 60


@pytest.mark.parametrize(("facts", "sentence"), [pytest.param(*each, id=kind) for kind, *each in SITUATIONS])
def test_what_a_user_reads(facts: RunFacts, sentence: str, request: pytest.FixtureRequest) -> None:
    """One text, whole: nothing else is shown."""
    suspended = "deployment is suspended" in request.node.callspec.id
    assert explain(facts, DeploymentFacts("etl", suspended=True) if suspended else None, NOW).text == sentence


@pytest.mark.parametrize("kind", list(StateType))
@pytest.mark.parametrize("name", [*DEFAULT_NAMES.values(), "Late", "AwaitingRetry", "AwaitingConcurrencySlot", "Suspended", "Cached", "X"])
@pytest.mark.parametrize("shape", ["deployed", "called", "script"])
def test_every_state_and_name_has_three_parts(kind: StateType, name: str, shape: str) -> None:
    """Whatever is missing: no part is empty, each ends with one full stop, and no text contains None."""
    bare = RunFacts(kind, name, name="r", kind=shape)
    for facts in (
        bare,
        replace(bare, reason="R", message="m.", next_time=AT, time=SINCE),
        replace(bare, next_time=SINCE - timedelta(days=1), time=AT),
    ):
        for now in (NOW, None):
            found = explain(facts, None, now)
            assert all(part.endswith(".") and not part.endswith("..") for part in (found.why, found.next, found.remedy))
            assert "None" not in found.text
            assert "\n" not in found.text
            assert found.why[0].isupper() or found.why.startswith("spec.")


def test_a_resource_and_its_history_give_the_same_explanation() -> None:
    """The operator reads the status, the API its own rows: a run that waits for a slot, by both."""
    record = {
        "sequence": 2, "from": "SCHEDULED", "to": "SCHEDULED", "name": "Scheduled", "proposed": "PENDING", "rule": "wait_for_a_slot",
        "verdict": "Wait", "attempt": 1, "time": SINCE.isoformat(), "until": AT.isoformat(),
    }  # fmt: skip
    state = {"type": "SCHEDULED", "name": "Scheduled", "time": SINCE.isoformat()}
    resource = FlowRun.model_validate({
        "metadata": {"name": "r", "namespace": "n", "uid": "u"},
        "spec": {"deployment": "etl", "parameters": {"password": "s3cr3t"}},
        "status": {"state": state, "sequence": 2, "transitions": [{**record, "reason": "", "message": SLOT}]},
    })  # fmt: skip
    document = {
        "uid": "u", "namespace": "n", "name": "r", "deployment": "etl", "state": {**state, "reason": "", "message": ""}, "sequence": 2,
        "attempt": 0, "failures": 0, "crashes": 0, "pod": None, "next_time": None, "kind": "deployed", "parent": None, "conditions": [],
        "history_reason": "", "scheduled": None, "parameters": {"password": "s3cr3t"},
    }  # fmt: skip
    by_status = explain(facts_of_run(resource), None, NOW)
    assert by_status == explain(
        facts_of_document(document, [{**record, "reason": "", "message": SLOT, "trail": [["wait_for_a_slot", "Wait", ""]]}]), None, NOW
    )
    assert by_status.text.startswith(f"It waits for a concurrency slot: {SLOT}. ")
    assert by_status.reason == "AwaitingConcurrencySlot"
    assert "s3cr3t" not in str(by_status)


@pytest.mark.parametrize(
    ("facts", "word"),
    [
        pytest.param(run(), "", id="due"),
        pytest.param(run("COMPLETED"), "", id="completed"),
        pytest.param(run("CANCELLED", "Cancelled"), "", id="cancelled"),
        pytest.param(run("PENDING", "Unschedulable"), "Unschedulable", id="held back"),
        pytest.param(run("SCHEDULED/AwaitingRetry", "OOMKilled"), "OOMKilled", id="a retry after a crash"),
        pytest.param(run("COMPLETED/Skipped"), "Skipped", id="a name of its own"),
        pytest.param(run("FAILED/TimedOut", "TimedOut"), "TimedOut", id="a name and the same reason"),
        pytest.param(run("RUNNING"), "", id="runs"),
        pytest.param(run(next_time=AT, decisions=waits("wait_for_scheduled_time", "due")), "", id="waits for its time"),
        pytest.param(run(decisions=waits("wait_for_a_slot", SLOT)), "AwaitingConcurrencySlot", id="waits for a slot"),
        pytest.param(run(decisions=waits("user/freeze", "no")), "HeldByRule", id="held by a user's rule"),
    ],
)
def test_the_word_in_the_column_reason(facts: RunFacts, word: str) -> None:
    """One word for programs, nothing for an ordinary state."""
    assert explain(facts, None, NOW).reason == word
