"""The failure table by example: for each situation the pod's status as Kubernetes writes it, and what it must be taken for.

The texts are the ones that kubelet, scheduler, controllers and containerd of Kubernetes 1.34 write. All times lie within an
hour of one day, so that a test on a real cluster can move them to now.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from mintaka_core.names import API_VERSION
from mintaka_core.reports import Report
from mintaka_core.states import CANCELLED, COMPLETED, CRASHED, FAILED, PAUSED, State, StateType
from mintaka_core.wire_versions import WIRE_VERSION

DAY = "2026-03-04"
CREATED, STARTED, ASKED, ENDED = (f"{DAY}T05:{minute}Z" for minute in ("00:00", "00:04", "09:30", "10:00"))
GRACE_SECONDS = 30
DEADLINE = f"{DAY}T05:10:00Z"

TRACEBACK = 'Traceback (most recent call last):\n  File "/app/flow.py", line 7, in main\nValueError: no such region'


@dataclass(frozen=True)
class Case:
    """One situation: `rows` of the failure table, a sentence, the status, what is special about the pod, what follows.

    `end` is (state type, reason) or None for a pod that goes on; `says` stands in the message. `start_issue` is (reason,
    seconds of patience or None) for a pod that does not start. `deleted`: with its grace period, which is over at DEADLINE;
    `forced`: at ASKED, without one, as the kubelet deletes it in the end. `node_gone` is said of its node by another source than the
    pod. `generations`: the pod's own, and the one that the kubelet had seen when it wrote the status (Kubernetes 1.34).
    """

    rows: str
    sentence: str
    status: dict[str, Any]
    end: tuple[StateType, str] | None = None
    says: str = ""
    start_issue: tuple[str, float | None] | None = None
    never_ran: bool = False
    retriable: bool = True
    sdk: bool = False
    deleted: bool = False
    forced: bool = False
    bound: bool = True
    node_gone: bool = False
    generations: tuple[int, int] | None = None
    spec: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.rows}: {self.sentence}"


def pod(case: Case) -> dict[str, Any]:
    """The whole pod, as a watch would deliver it."""
    metadata: dict[str, Any] = {
        "name": "nightly-1",
        "namespace": "sales",
        "uid": "0b7cfd0e-6c4e-4e0b-8a38-c7c1ab2f5a11",
        "resourceVersion": "4711",
        "creationTimestamp": CREATED,
        "labels": {
            "app.kubernetes.io/managed-by": "mintaka",
            "mintaka.dev/flow-run": "nightly",
            "mintaka.dev/attempt": "1",
            **({"mintaka.dev/reports": "true"} if case.sdk else {}),
        },
        "ownerReferences": [{"apiVersion": API_VERSION, "kind": "FlowRun", "name": "nightly", "uid": "9f1c", "controller": True}],
    }
    if case.deleted:
        metadata |= {"deletionTimestamp": DEADLINE, "deletionGracePeriodSeconds": GRACE_SECONDS}
    if case.forced:
        metadata |= {"deletionTimestamp": ASKED, "deletionGracePeriodSeconds": 0}
    spec = {"containers": [{"name": "flow", "image": "sales:3"}], "restartPolicy": "Never", **case.spec}
    if case.bound:
        spec["nodeName"] = "node-7"
    status = case.status
    if case.generations:
        metadata["generation"] = case.generations[0]
        status = {**status, "observedGeneration": case.generations[1]}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec, "status": status}


def report(state: StateType, reason: str = "", message: str = "", *, retriable: bool = True, attempt: int = 1) -> str:
    """What the SDK writes into the termination message."""
    return Report(attempt, State(state, reason=reason, message=message), retriable).encode()


def report_of_another_version(state: StateType, version: int = 9) -> str:
    """The same from an SDK that is many releases away."""
    return report(state, "R", "m").replace(f'"mintaka":{WIRE_VERSION}', f'"mintaka":{version}', 1)


def condition(kind: str, status: str, reason: str = "", message: str = "", time: str = STARTED) -> dict[str, Any]:
    """One pod condition."""
    words = {key: value for key, value in {"reason": reason, "message": message}.items() if value}
    return {"type": kind, "status": status, "lastProbeTime": None, "lastTransitionTime": time, **words}


def target(reason: str, message: str, time: str = ASKED) -> dict[str, Any]:
    """The DisruptionTarget condition."""
    return condition("DisruptionTarget", "True", reason, message, time)


def ended(
    code: int, reason: str = "Error", message: str = "", *, started: str | None = STARTED, finished: str | None = ENDED
) -> dict[str, Any]:
    """A container that has terminated."""
    words = {"message": message} if message else {}
    state = {"exitCode": code, "reason": reason, **words, "startedAt": started, "finishedAt": finished, "containerID": "containerd://5d1c"}
    return {"terminated": state}


def running(since: str = STARTED) -> dict[str, Any]:
    """A container that runs."""
    return {"running": {"startedAt": since}}


def waiting(reason: str, message: str = "") -> dict[str, Any]:
    """A container that waits."""
    return {"waiting": {"reason": reason, **({"message": message} if message else {})}}


def container(state: dict[str, Any], name: str = "flow", **more: Any) -> dict[str, Any]:
    """The status of one container."""
    alive = "running" in state
    image = {"image": "docker.io/library/sales:3", "imageID": "sha256:77af4d6b9913e693e8d0b4b294fa62ade6054e6b2f1ffb617ac955dd63fb0182"}
    return {"name": name, "state": state, "lastState": {}, "ready": alive, "restartCount": 0, **image, "started": alive, **more}


def status(phase: str, *containers: dict[str, Any], conditions: tuple[dict[str, Any], ...] = (), **more: Any) -> dict[str, Any]:
    """The status of a pod that was given to a node."""
    ready = str(phase == "Running")
    usual = [
        condition("PodReadyToStartContainers", ready),
        condition("Initialized", "True"),
        condition("Ready", ready, *(("PodFailed",) if phase == "Failed" else ())),
        condition("ContainersReady", ready),
        condition("PodScheduled", "True", time=CREATED),
    ]
    place = {
        "hostIP": "10.0.0.7",
        "hostIPs": [{"ip": "10.0.0.7"}],
        "podIP": "10.1.2.3",
        "podIPs": [{"ip": "10.1.2.3"}],
        "startTime": CREATED,
    }
    return {
        "phase": phase,
        "conditions": [*conditions, *usual],
        "containerStatuses": list(containers),
        "qosClass": "Burstable",
        **place,
        **more,
    }


def flow(state: dict[str, Any], phase: str = "Failed", *, restarts: int = 0, **more: Any) -> dict[str, Any]:
    """The status of a pod with the flow's container only."""
    return status(phase, container(state, restartCount=restarts), **more)


def refused(reason: str, message: str) -> dict[str, Any]:
    """The status of a pod that the kubelet did not admit: nothing but phase, reason and message."""
    return {"phase": "Failed", "reason": reason, "message": message, "startTime": CREATED, "qosClass": "Burstable"}


def starting(state: dict[str, Any], **more: Any) -> dict[str, Any]:
    """The status of a pod whose flow has not started."""
    return flow(state, "Pending", **more)


_WITH_SIDECAR = {"containers": [{"name": "flow", "image": "sales:3"}, {"name": "proxy", "image": "envoy:2"}]}
_NATIVE_SIDECAR = {
    "initContainers": [{"name": "proxy", "image": "envoy:2", "restartPolicy": "Always"}, {"name": "fetch", "image": "git:1"}]
}

CASES = (
    Case("1", "a plain container that exits 1 has failed", flow(ended(1, message="no such region")), (FAILED, "NonZeroExit"), "exit code 1: no such region"),
    Case("1", "exit code 255 is no signal", flow(ended(255)), (FAILED, "NonZeroExit"), "exit code 255"),
    Case("1", "what the flow reported counts, with its own reason", flow(ended(1, message=report(FAILED, "ValueError", "no such region"))), (FAILED, "ValueError"), "no such region", sdk=True),
    Case("1", "a report may say that trying again is no use", flow(ended(1, message=report(FAILED, "ValueError", retriable=False))), (FAILED, "ValueError"), retriable=False, sdk=True),
    Case("1", "the SDK ran and exited 1 without a report", flow(ended(1, message=TRACEBACK)), (CRASHED, "ExitedWithoutReport"), "last words: Traceback", sdk=True),
    Case("2", "a plain container that exits 0 has completed", flow(ended(0, "Completed"), "Succeeded"), (COMPLETED, "")),
    Case("2", "a report of its completion is believed", flow(ended(0, "Completed", report(COMPLETED)), "Succeeded"), (COMPLETED, ""), sdk=True),
    Case("2", "the SDK ran and exited 0 without a report", flow(ended(0, "Completed"), "Succeeded"), (CRASHED, "ExitedWithoutReport"), "without saying how the run ended", sdk=True),
    Case("3", "out of memory", flow(ended(137, "OOMKilled")), (CRASHED, "OOMKilled"), "raise the memory limit of container flow"),
    Case("3", "out of memory, with the end of the log", flow(ended(137, "OOMKilled", "loading 40 GB")), (CRASHED, "OOMKilled"), "last words: loading 40 GB", sdk=True),
    Case("3", "a child killed for memory, and the shell ends with its exit code", flow(ended(137, "OOMKilled")), (CRASHED, "OOMKilled"), "raise the memory limit"),
    Case("1", "a child killed for memory, and the plain container makes exit code 1 of it", flow(ended(1, "OOMKilled", "worker died")), (FAILED, "NonZeroExit"), "exit code 1: worker died; a process in this pod was killed for memory (container flow)"),
    Case("2", "a child killed for memory, and the plain container copes", flow(ended(0, "OOMKilled"), "Succeeded"), (COMPLETED, ""), "a process in this pod was killed for memory (container flow)"),
    Case("0", "a child killed for memory, and the flow raises", flow(ended(1, "OOMKilled", report(FAILED, "BrokenProcessPool", "a child died"))), (FAILED, "BrokenProcessPool"), "a child died; a process in this pod was killed for memory (container flow)", sdk=True),
    Case("0", "a child killed for memory, and the flow copes", flow(ended(0, "OOMKilled", report(COMPLETED)), "Succeeded"), (COMPLETED, ""), "a process in this pod was killed for memory (container flow)", sdk=True),
    Case("0", "a child killed for memory, and the flow is not to be tried again", flow(ended(1, "OOMKilled", report(FAILED, "ValueError", retriable=False))), (FAILED, "ValueError"), "killed for memory", sdk=True, retriable=False),
    Case("3", "a child killed for memory, and the SDK ends without a report", flow(ended(1, "OOMKilled", "gone")), (CRASHED, "OOMKilled"), "last words: gone", sdk=True),
    Case("22", "a sidecar was killed for memory, and the flow failed without it", status("Failed", container(ended(1, message="no proxy")), container(ended(137, "OOMKilled"), "proxy")), (FAILED, "NonZeroExit"), "exit code 1: no proxy; a process in this pod was killed for memory (container proxy)", spec=_WITH_SIDECAR),
    Case("22", "a native sidecar was killed for memory and restarted", status("Failed", container(ended(1, message="no proxy")), initContainerStatuses=[container(running(), "proxy", lastState=ended(137, "OOMKilled"), restartCount=1)]), (FAILED, "NonZeroExit"), "(container proxy)", spec=_NATIVE_SIDECAR),
    Case("26", "the runtime lost the container when its node was reset", flow(ended(255, "Unknown")), (CRASHED, "ContainerStatusUnknown"), "exit code 255 is made up"),
    Case("26", "the runtime lost the container of the SDK when its node was reset", flow(ended(255, "Unknown")), (CRASHED, "ContainerStatusUnknown"), "as after a reset of its node", sdk=True),
    Case("26", "the runtime lost the container before it had said more than that it was asked to stop", flow(ended(255, "Unknown", report(CRASHED, "Terminated", "SIGTERM"))), (CRASHED, "ContainerStatusUnknown"), sdk=True),
    Case("0", "the runtime lost the container, and its report is there", flow(ended(255, "Unknown", report(COMPLETED))), (COMPLETED, ""), sdk=True),
    Case("0", "the runner finds that it is started again", flow(ended(4, message=report(CRASHED, "ContainerRestarted", "again")), restarts=1), (CRASHED, "ContainerRestarted"), "again", sdk=True),
    Case("1 32", "a plain container that was started again and ended", flow(ended(3), restarts=2), (FAILED, "NonZeroExit"), "the container was started 3 times, so its work may have been done more than once"),
    Case("2 32", "a plain container that was started again and completed", flow(ended(0, "Completed"), "Succeeded", restarts=1), (COMPLETED, ""), "started 2 times"),
    Case("32", "a plain container that was started again runs", flow(running(), "Running", restarts=1), (CRASHED, "ContainerRestarted"), "started again in its pod"),
    Case("32", "a container that is about to be started again", flow(waiting("CrashLoopBackOff", "back-off 10s restarting failed container"), "Running", restarts=1), (CRASHED, "ContainerRestarted")),
    Case("3", "a child killed for memory is only seen as exit code 137", flow(ended(137)), (CRASHED, "Killed"), "killed by signal 9"),
    Case("4", "terminated by hand inside the pod", flow(ended(143)), (CRASHED, "Terminated"), "killed by signal 15"),
    Case("4", "a segmentation fault", flow(ended(139, message="Fatal Python error: Segmentation fault")), (CRASHED, "SegmentationFault"), "last words: Fatal Python error", sdk=True),
    Case("4", "aborted", flow(ended(134)), (CRASHED, "Aborted"), "signal 6"),
    Case("4", "a signal without a name of its own", flow(ended(159)), (CRASHED, "Signal31"), "signal 31"),
    Case(
        "5", "evicted under node pressure",
        flow(ended(137), reason="Evicted", message="The node was low on resource: memory. Threshold quantity: 100Mi, available: 91Mi. Container flow was using 7Gi, request is 1Gi, has larger consumption of memory. ", conditions=(target("TerminationByKubelet", "The node was low on resource: memory. "),)),
        (CRASHED, "Evicted"), "low on resource: memory",
    ),
    Case(
        "5", "evicted under node pressure, and the kubelet lost the container",
        flow(ended(137, "ContainerStatusUnknown", "The container could not be located when the pod was terminated", started=None, finished=None), reason="Evicted", message="The node was low on resource: ephemeral-storage. ", conditions=(target("TerminationByKubelet", "The node was low on resource: ephemeral-storage. "),)),
        (CRASHED, "Evicted"), "ephemeral-storage",
    ),
    Case("5", "terminated by the kubelet, which says no more than that", flow(ended(143), conditions=(target("TerminationByKubelet", "Pod was terminated"),)), (CRASHED, "Evicted"), "Pod was terminated"),
    Case("6", "evicted for passing the pod's storage limit", flow(ended(137), reason="Evicted", message="Pod ephemeral local storage usage exceeds the total limit of containers 1Gi. "), (CRASHED, "StorageLimitExceeded"), "limit of containers 1Gi"),
    Case("6", "evicted for passing the container's storage limit", flow(ended(137), reason="Evicted", message='Container flow exceeded its local ephemeral storage limit "1Gi". '), (CRASHED, "StorageLimitExceeded"), "exceeded its local"),
    Case("6", "evicted for passing the limit of an emptyDir", flow(ended(143), reason="Evicted", message='Usage of EmptyDir volume "cache" exceeds the limit "500Mi". '), (CRASHED, "StorageLimitExceeded"), "EmptyDir"),
    Case("7", "preempted by the scheduler", flow(ended(143), conditions=(target("PreemptionByScheduler", "default-scheduler: preempting to accommodate a higher priority pod"),)), (CRASHED, "Preempted"), "higher priority", deleted=True),
    Case("7", "preempted by the kubelet", flow(ended(137), reason="Preempting", message="Preempted in order to admit critical pod", conditions=(target("TerminationByKubelet", "Preempted in order to admit critical pod"),)), (CRASHED, "Preempted"), "critical pod"),
    Case("8", "drained", flow(ended(143), conditions=(target("EvictionByEvictionAPI", "Eviction API: evicting"),)), (CRASHED, "Drained"), "Eviction API", deleted=True),
    Case("9", "told to stop on an unreachable node: not over yet", flow(running(), "Running", conditions=(target("DeletionByTaintManager", "Taint manager: deleting due to NoExecute taint"),)), None, deleted=True),
    Case("9", "on a node that came back, after it was told to stop", flow(ended(137), conditions=(target("DeletionByTaintManager", "Taint manager: deleting due to NoExecute taint"),)), (CRASHED, "NodeLost"), deleted=True),
    Case("9", "lost with its node, as old controllers say it", flow(running(), "Failed", reason="NodeLost", message="Node node-7 which was running pod nightly-1 is unresponsive"), (CRASHED, "NodeLost"), "unresponsive", deleted=True),
    Case("10", "the node was deleted", flow(running(), "Failed", conditions=(target("DeletionByPodGC", "PodGC: node no longer exists"),)), (CRASHED, "NodeDeleted"), "node no longer exists"),
    Case("11", "deleted by hand, killed by SIGTERM", flow(ended(143)), (CRASHED, "PodDeleted"), deleted=True),
    Case("11", "deleted by hand, killed by SIGKILL", flow(ended(137)), (CRASHED, "PodDeleted"), deleted=True),
    Case("11", "deleted by hand, a plain container that exits 0 when told to stop", flow(ended(0, "Completed"), "Succeeded"), (CRASHED, "PodDeleted"), deleted=True),
    Case("13", "the image cannot be pulled", starting(waiting("ErrImagePull", 'failed to pull and unpack image "docker.io/library/sales:4": not found')), start_issue=("ImagePullBackOff", None), says="not found"),
    Case("13", "the image still cannot be pulled", starting(waiting("ImagePullBackOff", 'Back-off pulling image "sales:4": ErrImagePull: not found')), start_issue=("ImagePullBackOff", None), says="Back-off"),
    Case("14", "the image's name makes no sense", starting(waiting("InvalidImageName", 'Failed to apply default image tag "sales::3": couldn\'t parse image name')), start_issue=("InvalidImageName", 0), says="couldn't parse"),
    Case("14", "the image is not on the node and must not be pulled", starting(waiting("ErrImageNeverPull", 'Container image "sales:4" is not present with pull policy of Never')), start_issue=("ErrImageNeverPull", 0), says="pull policy of Never"),
    Case("15", "a Secret is missing", starting(waiting("CreateContainerConfigError", 'secret "sales-db" not found')), start_issue=("CreateContainerConfigError", 60), says="sales-db"),
    Case("16", "the container cannot be created", starting(waiting("CreateContainerError", "failed to generate container spec: no command specified")), start_issue=("CreateContainerError", 60), says="no command specified"),
    Case("17", "the command does not exist", flow(ended(128, "StartError", 'exec: "pyhton": executable file not found in $PATH', started="1970-01-01T00:00:00Z")), (CRASHED, "StartError"), "executable file not found"),
    Case("17", "the command does not exist, as old runtimes say it", flow(ended(127, "ContainerCannotRun", "no such file")), (CRASHED, "StartError"), "no such file"),
    Case("18", "a container that is being created is waiting for nothing that its pod shows", starting(waiting("ContainerCreating"))),
    Case("19", "no node takes the pod", {"phase": "Pending", "qosClass": "Burstable", "conditions": [condition("PodScheduled", "False", "Unschedulable", "0/3 nodes are available: 3 Insufficient memory. preemption: 0/3 nodes are available")]}, start_issue=("Unschedulable", None), says="Insufficient memory"),
    Case("19", "a scheduling gate that has just been taken off is no start issue", {"phase": "Pending", "qosClass": "Burstable", "conditions": [condition("PodScheduled", "False", "SchedulingGated", "Scheduling is blocked due to non-empty scheduling gates")]}),
    Case("20", "longer than activeDeadlineSeconds", flow(ended(143), reason="DeadlineExceeded", message="Pod was active on the node longer than the specified deadline"), (FAILED, "TimedOut"), "longer than the specified deadline"),
    Case("20", "longer than activeDeadlineSeconds, and exits 0 when it is stopped", flow(ended(0, "Completed"), reason="DeadlineExceeded", message="Pod was active on the node longer than the specified deadline"), (FAILED, "TimedOut"), "longer than"),
    Case(
        "21", "an init container failed",
        status("Failed", container(waiting("PodInitializing")), initContainerStatuses=[container(ended(1, message="fatal: repository not found"), "fetch")]),
        (CRASHED, "InitContainerFailed"), "init container fetch exited 1: fatal: repository not found",
        spec={"initContainers": [{"name": "fetch", "image": "git:1"}]},
    ),
    Case(
        "21", "an init container failed, and its native sidecar was stopped for it",
        status("Failed", container(waiting("PodInitializing")), initContainerStatuses=[container(ended(137), "proxy"), container(ended(137, "OOMKilled"), "fetch")]),
        (CRASHED, "InitContainerFailed"), "init container fetch exited 137: OOMKilled",
        spec=_NATIVE_SIDECAR,
    ),
    Case("22", "the flow exited 0 and a sidecar still runs", status("Running", container(ended(0, "Completed")), container(running(), "proxy")), (COMPLETED, ""), spec=_WITH_SIDECAR),
    Case("22", "the flow exited 3 and a sidecar still runs", status("Running", container(ended(3)), container(running(), "proxy")), (FAILED, "NonZeroExit"), "exit code 3", spec=_WITH_SIDECAR),
    Case("22", "the flow exited 0 and a sidecar failed", status("Failed", container(ended(0, "Completed")), container(ended(1), "proxy")), (COMPLETED, ""), spec=_WITH_SIDECAR),
    Case("22", "a sidecar has failed and the flow still runs", status("Running", container(running()), container(ended(1), "proxy")), None, spec=_WITH_SIDECAR),
    Case("23", "phase Unknown is no end", flow(running(), "Unknown", reason="NodeLost", message="Node node-7 which was running pod nightly-1 is unresponsive"), None),
    Case("24", "refused for lack of CPU", refused("OutOfcpu", "Pod was rejected: Node didn't have enough resource: cpu, requested: 2000, used: 7500, capacity: 8000"), (CRASHED, "OutOfcpu"), "enough resource: cpu", never_ran=True),
    Case("24", "refused by a node that shuts down", refused("NodeShutdown", "Pod was rejected as the node is shutting down."), (CRASHED, "NodeShutdown"), "shutting down", never_ran=True),
    Case("24", "refused by a node under pressure", refused("Evicted", "Pod was rejected: The node had condition: [MemoryPressure]. "), (CRASHED, "Evicted"), "MemoryPressure", never_ran=True),
    Case("24", "refused by a device plugin", refused("UnexpectedAdmissionError", "Allocate failed due to no healthy devices present; cannot allocate unhealthy devices nvidia.com/gpu, which is unexpected"), (CRASHED, "UnexpectedAdmissionError"), "no healthy devices", never_ran=True),
    Case("24", "refused because the node's labels had changed", refused("NodeAffinity", "Predicate NodeAffinity failed: node(s) didn't match Pod's node affinity/selector"), (CRASHED, "NodeAffinity"), never_ran=True),
    Case(
        "25", "stopped by a graceful node shutdown",
        flow(ended(143), reason="Terminated", message="Pod was terminated in response to imminent node shutdown.", conditions=(target("TerminationByKubelet", "Pod was terminated in response to imminent node shutdown."),)),
        (CRASHED, "NodeShutdown"), "imminent node shutdown",
    ),
    Case(
        "25", "a graceful node shutdown that a plain container answers with 0 has undone its work",
        flow(ended(0, "Completed"), reason="Terminated", message="Pod was terminated in response to imminent node shutdown.", conditions=(target("TerminationByKubelet", "Pod was terminated in response to imminent node shutdown."),)),
        (CRASHED, "NodeShutdown"), "imminent node shutdown",
    ),
    Case(
        "25", "done within the grace of a node shutdown, by its own report",
        flow(ended(0, "Completed", report(COMPLETED)), reason="Terminated", message="Pod was terminated in response to imminent node shutdown.", conditions=(target("TerminationByKubelet", "Pod was terminated in response to imminent node shutdown."),)),
        (COMPLETED, ""), sdk=True,
    ),
    Case("26", "the kubelet does not know how it ended", flow(ended(137, "ContainerStatusUnknown", "The container could not be located when the pod was terminated", started=None, finished=None)), (CRASHED, "ContainerStatusUnknown"), "made up"),
    Case(
        "27", "a native sidecar that restarts again and again before the flow starts",
        status("Pending", container(waiting("PodInitializing")), initContainerStatuses=[container(waiting("CrashLoopBackOff", "back-off 20s restarting failed container=proxy"), "proxy", lastState=ended(1), restartCount=2)]),
        start_issue=("CrashLoopBackOff", None), says="container=proxy", spec=_NATIVE_SIDECAR,
    ),
    Case("27", "a native sidecar that restarts again and again beside a flow that runs", status("Running", container(running()), initContainerStatuses=[container(waiting("CrashLoopBackOff", "back-off 40s restarting failed container=proxy"), "proxy", lastState=ended(1), restartCount=3)]), None, spec=_NATIVE_SIDECAR),
    Case("27", "a native sidecar that restarts again and again after the flow ended", status("Succeeded", container(ended(0, "Completed")), initContainerStatuses=[container(waiting("CrashLoopBackOff", "back-off 40s restarting failed container=proxy"), "proxy", lastState=ended(1), restartCount=3)]), (COMPLETED, ""), spec=_NATIVE_SIDECAR),
)  # fmt: skip

_UNSCHEDULABLE = {"phase": "Pending", "qosClass": "Burstable", "conditions": [condition("PodScheduled", "False", "Unschedulable", "0/3 nodes are available: 3 Insufficient memory.")]}  # fmt: skip

_GATES = {"schedulingGates": [{"name": "example.com/queue"}, {"name": "example.com/budget"}]}

#: Pods that no kubelet writes about: held by gates, never bound to a node, their node gone, deleted by force. No status alone shows them.
UNWRITTEN = (
    Case("31", "held by scheduling gates", {"phase": "Pending", "qosClass": "Burstable", "conditions": [condition("PodScheduled", "False", "SchedulingGated", "Scheduling is blocked due to non-empty scheduling gates")]}, start_issue=("SchedulingGated", None), says="example.com/queue, example.com/budget", bound=False, spec=_GATES),
    Case("11", "deleted while scheduling gates hold it", {"phase": "Pending"}, (CRASHED, "PodDeleted"), "before it was bound", forced=True, bound=False, spec=_GATES),
    Case("11", "deleted before it was bound to a node", _UNSCHEDULABLE, (CRASHED, "PodDeleted"), "before it was bound", forced=True, bound=False),
    Case("11", "deleted before it was bound to a node, by a client that gives it time", _UNSCHEDULABLE, (CRASHED, "PodDeleted"), "before it was bound", deleted=True, bound=False),
    Case("29", "its Node object is gone while it runs", flow(running(), "Running"), (CRASHED, "NodeLost"), "node-7 does not exist any more or is out of service: whether the pod has stopped is not known", node_gone=True),
    Case("29", "its Node object is gone before it started", starting(waiting("ContainerCreating")), (CRASHED, "NodeLost"), "is not known", node_gone=True),
    Case("29", "its Node object is gone after it was told to stop", flow(running(), "Running", conditions=(target("DeletionByTaintManager", "Taint manager: deleting due to NoExecute taint"),)), (CRASHED, "NodeLost"), "is not known", node_gone=True, deleted=True),
    Case("29", "phase Unknown, and its Node object is gone", flow(running(), "Unknown", reason="NodeLost", message="unresponsive"), (CRASHED, "NodeLost"), "is not known", node_gone=True),
    Case("30", "deleted by force while it runs", flow(running(), "Running"), (CRASHED, "ForceDeleted"), "whether it has stopped is not known", forced=True),
    Case("30", "deleted by force before it started", starting(waiting("ContainerCreating")), (CRASHED, "ForceDeleted"), "is not known", forced=True),
    Case("30", "drained from a node that does not answer, then deleted by force", flow(running(), "Running", conditions=(target("EvictionByEvictionAPI", "Eviction API: evicting"),)), (CRASHED, "ForceDeleted"), "is not known", forced=True),
    Case("0 over 29", "what it reported before its node went counts", flow(ended(0, "Completed", report(COMPLETED)), "Succeeded"), (COMPLETED, ""), sdk=True, node_gone=True),
    Case("1 over 29", "its exit code from before its node went counts", flow(ended(3)), (FAILED, "NonZeroExit"), "exit code 3", node_gone=True),
    Case("2 over 30", "exit 0 before it was deleted by force, a sidecar going on", status("Running", container(ended(0, "Completed", finished=f"{DAY}T05:09:29Z")), container(running(), "proxy")), (COMPLETED, ""), forced=True, spec=_WITH_SIDECAR),
    Case("10 over 29", "collected because its node is gone", flow(running(), "Failed", conditions=(target("DeletionByPodGC", "PodGC: node no longer exists"),)), (CRASHED, "NodeDeleted"), "no longer exists", node_gone=True, forced=True),
)  # fmt: skip

_HOUR_OF_GRACE = {"terminationGracePeriodSeconds": 3600}
_DRAIN = (target("EvictionByEvictionAPI", "Eviction API: evicting"),)


def _at(minute: str, code: int, reason: str = "Error", message: str = "", **more: Any) -> dict[str, Any]:
    """A flow that ended at that time of the hour."""
    return flow(ended(code, reason, message, finished=f"{DAY}T05:{minute}Z"), "Failed" if code else "Succeeded", **more)


#: Pods that are held after their end, and that somebody deletes or drains then: what befalls them later changes nothing. The last
#: deletion, the kubelet's own, moves `deletionTimestamp` to its own time: then generations tell, or else a minute between the two.
HELD = (
    Case("1", "drained after it exited 1", _at("05:00", 1, conditions=_DRAIN), (FAILED, "NonZeroExit"), "exit code 1", forced=True),
    Case("4", "deleted after a segmentation fault", _at("05:00", 139), (CRASHED, "SegmentationFault"), "signal 11", forced=True),
    Case("2", "drained after it completed", _at("05:00", 0, "Completed", conditions=_DRAIN), (COMPLETED, ""), forced=True),
    Case("0", "its node went after it had reported its failure", _at("05:00", 1, message=report(FAILED, "ValueError", "no such region"), conditions=(target("DeletionByTaintManager", "Taint manager: deleting due to NoExecute taint"),)), (FAILED, "ValueError"), sdk=True, node_gone=True, forced=True),
    Case("2", "deleted a second after it completed", _at("09:29", 0, "Completed"), (COMPLETED, ""), forced=True, generations=(2, 1)),
    Case("2", "deleted in the same second, by a node whose clock is ahead", _at("59:59", 0, "Completed"), (COMPLETED, ""), forced=True, generations=(2, 1)),
    Case("4", "drained a second after a segmentation fault", _at("09:29", 139, conditions=_DRAIN), (CRASHED, "SegmentationFault"), "signal 11", forced=True, generations=(2, 1)),
    Case("2", "deleted while a sidecar went on, after it completed", status("Running", container(ended(0, "Completed", finished=f"{DAY}T05:09:00Z")), container(running(), "proxy")), (COMPLETED, ""), deleted=True, generations=(2, 1), spec=_WITH_SIDECAR),
    Case("11", "deleted while it ran, a plain container that exits 0 then, in the end", _at("09:29", 0, "Completed"), (CRASHED, "PodDeleted"), forced=True, generations=(2, 2)),
    Case("11", "deleted while it ran, killed at the end of its grace, in the end", _at("09:29", 137), (CRASHED, "PodDeleted"), forced=True, generations=(2, 2)),
    Case("11", "deleted while it ran, a plain container that exits 0 then, before Kubernetes 1.34", _at("09:28", 0, "Completed"), (CRASHED, "PodDeleted"), forced=True),
    Case("2", "drained after it completed, an hour of grace left, before Kubernetes 1.34", _at("05:00", 0, "Completed", conditions=_DRAIN), (COMPLETED, ""), forced=True, spec=_HOUR_OF_GRACE),
    Case("2", "drained seconds after it completed, before Kubernetes 1.34", _at("09:15", 0, "Completed", conditions=_DRAIN), (COMPLETED, ""), forced=True),
    Case("2", "collected with its node after it completed, an hour of grace left, before Kubernetes 1.34", _at("05:00", 0, "Completed", conditions=(target("DeletionByPodGC", "PodGC: node no longer exists"),)), (COMPLETED, ""), forced=True, spec=_HOUR_OF_GRACE),
    Case("4", "preempted after a segmentation fault, which clocks alone do not prove, before Kubernetes 1.34", _at("05:00", 139, conditions=(target("PreemptionByScheduler", "preempting"),)), (CRASHED, "Preempted"), forced=True, spec=_HOUR_OF_GRACE),
    Case("8", "drained while it ran, a plain container that exits 0 then, before Kubernetes 1.34", _at("09:28", 0, "Completed", conditions=(target("EvictionByEvictionAPI", "Eviction API: evicting", f"{DAY}T05:09:20Z"),)), (CRASHED, "Drained"), forced=True, spec=_HOUR_OF_GRACE),
    Case("8", "drained while it ran, a plain container that exits 0 then, on a node whose clock is seconds behind", _at("09:25", 0, "Completed", conditions=_DRAIN), (CRASHED, "Drained"), forced=True),
    Case("8", "deleted by hand, and drained before the kubelet had stopped all of it, before Kubernetes 1.34", _at("05:00", 0, "Completed", conditions=(target("EvictionByEvictionAPI", "Eviction API: evicting", f"{DAY}T05:07:00Z"),)), (CRASHED, "Drained"), forced=True, spec=_HOUR_OF_GRACE),
    Case("8", "drained while it ran, in the end", _at("09:29", 143, conditions=_DRAIN), (CRASHED, "Drained"), forced=True, generations=(2, 2)),
    Case("1 over 11", "its own exit code while it was being deleted, in the end", _at("09:29", 7), (FAILED, "NonZeroExit"), "exit code 7", forced=True, generations=(2, 2)),
)  # fmt: skip

#: What outranks what, where a pod shows the signs of two rows.
PRECEDENCE = (
    Case("0b", "a completion in a newer wire version", flow(ended(0, "Completed", report_of_another_version(COMPLETED)), "Succeeded"), (COMPLETED, ""), "it has wire version 9, but this operator serves 1: upgrade the Helm release", sdk=True),
    Case("0b", "a failure in a newer wire version", flow(ended(1, message=report_of_another_version(FAILED))), (FAILED, "WireVersionNotServed"), "upgrade the Helm release", sdk=True),
    Case("0b", "a failure in a wire version that is not served any more", flow(ended(1, message=report_of_another_version(FAILED, 0))), (FAILED, "WireVersionNotServed"), "rebuild the flow's image", sdk=True),
    Case("0b", "a cancellation in another wire version", flow(ended(3, message=report_of_another_version(CANCELLED))), (CANCELLED, "WireVersionNotServed"), "wire version 9", sdk=True),
    Case("0b", "a crash in another wire version", flow(ended(4, message=report_of_another_version(CRASHED))), (CRASHED, "WireVersionNotServed"), "wire version 9", sdk=True),
    Case("1b over 0b", "a suspension in another wire version, whose name cannot be read", flow(ended(5, message=report_of_another_version(PAUSED))), (CRASHED, "ExitedWithoutReport"), "wire version 9", sdk=True),
    Case("8 over 0b", "exit 0 in another wire version, in answer to a drain", flow(ended(0, "Completed", report_of_another_version(COMPLETED)), conditions=(target("EvictionByEvictionAPI", "Eviction API: evicting"),)), (CRASHED, "Drained"), deleted=True, sdk=True),
    Case("0 over 8", "what it reported before it was drained counts", flow(ended(1, message=report(FAILED, "ValueError", "no such region")), conditions=(target("EvictionByEvictionAPI", "Eviction API: evicting"),)), (FAILED, "ValueError"), "no such region", sdk=True, deleted=True),
    Case("0 over 11", "a report of completion counts after a deletion", flow(ended(0, "Completed", report(COMPLETED)), "Succeeded"), (COMPLETED, ""), sdk=True, deleted=True),
    Case("0 over 11", "a cancelled flow that says so while it is deleted", flow(ended(143, message=report(CANCELLED, "Cancelled", "by hand"))), (CANCELLED, "Cancelled"), "by hand", sdk=True, deleted=True),
    Case("8 over 0", "that it was told to stop is all a process knows: the pod knows why", flow(ended(143, message=report(CRASHED, "Terminated", "SIGTERM")), conditions=(target("EvictionByEvictionAPI", "Eviction API: evicting"),)), (CRASHED, "Drained"), "Eviction API", sdk=True, deleted=True),
    Case("2 over 8", "exit 0 before the drain began", status("Running", container(ended(0, "Completed", finished=f"{DAY}T05:09:29Z")), container(running(), "proxy"), conditions=(target("EvictionByEvictionAPI", "Eviction API: evicting"),)), (COMPLETED, ""), deleted=True, spec=_WITH_SIDECAR),
    Case("2 over 10", "exit 0 beats a disruption that did not come to pass", flow(ended(0, "Completed"), "Succeeded", conditions=(target("PreemptionByScheduler", "default-scheduler: preempting to accommodate a higher priority pod"),)), (COMPLETED, "")),
    Case("8 over 1", "a drain outranks the exit code that followed from it", flow(ended(1, message="interrupted"), conditions=(target("EvictionByEvictionAPI", "Eviction API: evicting"),)), (CRASHED, "Drained"), deleted=True),
    Case("8 over 2", "exit 0 in answer to a drain is no completion", flow(ended(0, "Completed"), "Succeeded", conditions=(target("EvictionByEvictionAPI", "Eviction API: evicting"),)), (CRASHED, "Drained"), deleted=True),
    Case("8 over 2", "exit 0 in answer to a drain, the SDK without a word", flow(ended(0, "Completed"), "Succeeded", conditions=(target("EvictionByEvictionAPI", "Eviction API: evicting"),)), (CRASHED, "Drained"), deleted=True, sdk=True),
    Case("5 over 20", "evicted past its deadline", flow(ended(137), reason="Evicted", message="The node was low on resource: memory. ", conditions=(target("TerminationByKubelet", "The node was low on resource: memory. "),)), (CRASHED, "Evicted")),
    Case("3 over 11", "out of memory while it was being deleted", flow(ended(137, "OOMKilled")), (CRASHED, "OOMKilled"), deleted=True),
    Case("1 over 11", "its own exit code while it was being deleted", flow(ended(7, message="bad input")), (FAILED, "NonZeroExit"), "exit code 7: bad input", deleted=True),
    Case("3 over 0", "a report that is followed by a kill for memory", flow(ended(137, "OOMKilled", report(COMPLETED))), (CRASHED, "OOMKilled"), "raise the memory limit of container flow", sdk=True),
    Case("1 over 0", "a report of completion that exit code 1 contradicts", flow(ended(1, message=report(COMPLETED, retriable=False))), (CRASHED, "ExitedWithoutReport"), "contradicts the report Completed", sdk=True),
    Case("2 over 0", "a report of failure that exit code 0 contradicts", flow(ended(0, "Completed", report(FAILED, "ValueError")), "Succeeded"), (CRASHED, "ExitedWithoutReport"), "contradicts the report Failed", sdk=True),
    Case("4 over 0", "a report of completion that a signal contradicts", flow(ended(139, message=report(COMPLETED))), (CRASHED, "SegmentationFault"), "killed by signal 11", sdk=True),
    Case("1 over 0", "a report of another attempt", flow(ended(1, message=report(FAILED, "ValueError", attempt=2))), (CRASHED, "ExitedWithoutReport"), "without a report; last words: none", sdk=True),
    Case("26 over 0", "a report where the kubelet made the exit code up", flow(ended(137, "ContainerStatusUnknown", report(COMPLETED), started=None, finished=None)), (CRASHED, "ContainerStatusUnknown"), sdk=True),
    Case("1 over 0", "a plain container that writes like the SDK", flow(ended(1, message=report(CANCELLED))), (FAILED, "NonZeroExit"), "exit code 1"),
    Case("1b", "failed with nothing to tell", {"phase": "Failed"}, (CRASHED, "PodFailed"), "without saying why"),
    Case("1b", "failed for a reason that nobody knows", {"phase": "Failed", "reason": "Gremlins", "message": "they came at night"}, (CRASHED, "Gremlins"), "at night"),
    Case("11", "deleted before it had any container", {"phase": "Failed"}, (CRASHED, "PodDeleted"), deleted=True),
    Case("0 over 22", "the flow is judged though another container is listed before it", status("Running", container(running(), "aaa"), container(ended(1, message=report(FAILED, "ValueError")))), (FAILED, "ValueError"), sdk=True, spec={"containers": [{"name": "aaa"}, {"name": "flow"}]}),
    Case("22", "a sidecar's status does not stand in for the flow's", status("Running", container(ended(1), "proxy")), None, spec=_WITH_SIDECAR),
)  # fmt: skip
