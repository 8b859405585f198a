"""How a pod ended: the failure table's first part, read from the top, the first match deciding.

The order matters: what the flow itself reported outranks everything; then come the reasons for which it was no fault of
the code (admission, disruption), then the exit code. Sources: Kubernetes "Pod lifecycle", "Disruptions", kubelet sources.
"""

from __future__ import annotations

import re
import signal
from typing import TYPE_CHECKING

from mintaka_core.reports import ExitCode
from mintaka_core.states import CANCELLED, COMPLETED, CRASHED, FAILED, PAUSED, State, timed_out
from mintaka_operator.failure_rows import Row

if TYPE_CHECKING:
    from collections.abc import Callable

    from mintaka_operator.podview import PodView

#: Exit codes from 128 on mean "killed by signal code - 128" (POSIX shells and container runtimes).
_SIGNALS = 128
_SIGNAL_REASONS = {signal.SIGKILL: "Killed", signal.SIGSEGV: "SegmentationFault", signal.SIGTERM: "Terminated", signal.SIGABRT: "Aborted"}

#: Which exit code belongs to which reported state; a report that its exit code contradicts is not believed.
_HONEST = {
    COMPLETED: {ExitCode.COMPLETED},
    FAILED: {ExitCode.FAILED},
    CANCELLED: {ExitCode.CANCELLED, ExitCode.TERMINATED},
    CRASHED: {ExitCode.CRASHED, ExitCode.TERMINATED, ExitCode.FENCED},
    PAUSED: {ExitCode.SUSPENDED},
}

#: What the kubelet's rejections begin with; older ones are known by their reasons.
_REJECTED = "Pod was rejected"
_ADMISSION = re.compile(
    r"OutOf|NodeAffinity$|NodeName$|NodePorts$|TaintToleration$|UnexpectedAdmissionError$|UnexpectedPredicateFailureType$|"
    r"TopologyAffinityError$|SMTAlignmentError$|NodeShutdown$|InvalidNodeInfo$|InitContainerRestartPolicyForbidden$|"
    r"AppArmor$|PodOSNotSupported$|PodOSSelectorNodeLabelDoesNotMatch$|SupplementalGroupsPolicyNotSupported$|SysctlForbidden$"
)
#: "Pod ephemeral local storage usage exceeds the total limit", "Usage of EmptyDir volume … exceeds the limit",
#: "Container … exceeded its local ephemeral storage limit".
_OVER_LIMIT = re.compile(r"exceed(s|ed) .*\blimit\b")


def _crashed(reason: str, message: str) -> State:
    return State(CRASHED, reason=reason, message=message.strip())


def _reported(view: PodView) -> State | None:
    report = view.report
    if report is None or view.exit_code not in _HONEST.get(report.state.type, set()):
        return None
    if view.terminated.get("reason") == "ContainerStatusUnknown":
        return None
    # That it was asked to stop is all a process can know; the rows below know why.
    return None if report.state.reason == "Terminated" else report.state


def _exit_zero(view: PodView) -> State | None:
    if view.exit_code != 0 or view.told_to_stop_before_it_ended:
        return None  # many servers exit 0 when they are told to stop, their work undone
    if view.report:
        return _crashed("ExitedWithoutReport", f"exit code 0 contradicts the report {view.report.state.name}")
    if view.reports:
        return _crashed("ExitedWithoutReport", "the flow's process exited with code 0 without saying how the run ended")
    return State(COMPLETED)


def _admission(view: PodView) -> State | None:
    if view.phase != "Failed" or view.started_time is not None:
        return None
    if view.message.startswith(_REJECTED) or _ADMISSION.match(view.reason):
        return _crashed(view.reason or "PodRejected", view.message or "the kubelet refused the pod")
    return None


def _disruption(reasons: str, reason: str, text: str) -> Callable[[PodView], State | None]:
    def judge(view: PodView) -> State | None:
        if re.fullmatch(reasons, view.disruption):
            told = view.condition("DisruptionTarget", "True").get("message") or ""
            return _crashed(reason, view.message or told or text)
        return None

    return judge


def _node_shutdown(view: PodView) -> State | None:
    if view.reason in {"Terminated", "Shutdown", "NodeShutdown"} and view.phase == "Failed":
        return _crashed("NodeShutdown", view.message or "the node was shut down")
    return None


def _pod_reason(reason: str, verdict: str, text: str) -> Callable[[PodView], State | None]:
    def judge(view: PodView) -> State | None:
        return _crashed(verdict, view.message or text) if view.reason == reason else None

    return judge


def _evicted(view: PodView) -> State | None:
    if view.reason != "Evicted":
        return None
    over_limit = _OVER_LIMIT.search(view.message) and not view.disruption
    return _crashed("StorageLimitExceeded" if over_limit else "Evicted", view.message)


def _node_lost(view: PodView) -> State | None:
    if view.reason == "NodeLost" or view.disruption == "DeletionByTaintManager":
        return _crashed("NodeLost", view.message or "the node stopped answering")
    return None


def _deadline(view: PodView) -> State | None:
    return timed_out(view.message or "activeDeadlineSeconds of the pod is over") if view.reason == "DeadlineExceeded" else None


def _unknown_end(view: PodView) -> State | None:
    if view.terminated.get("reason") == "ContainerStatusUnknown":
        return _crashed("ContainerStatusUnknown", "the kubelet lost track of the container; its exit code is made up")
    return None


def _out_of_memory(view: PodView) -> State | None:
    if view.terminated.get("reason") == "OOMKilled":
        tail = f"; last words: {view.log_tail}" if view.log_tail else ""
        return _crashed("OOMKilled", f"out of memory: raise the memory limit of container {view.flow.get('name', 'flow')}{tail}")
    return None


def _start_error(view: PodView) -> State | None:
    if view.terminated.get("reason") in {"StartError", "ContainerCannotRun"}:
        return _crashed("StartError", view.log_tail or "the container could not be started")
    return None


def _init_failed(view: PodView) -> State | None:
    init = view.failed_init
    if not init or view.exit_code is not None:
        return None
    parts = (f"init container {init['name']} exited {init['exitCode']}", init.get("reason") or "", (init.get("message") or "").strip())
    return _crashed("InitContainerFailed", ": ".join(part for part in parts if part and part != "Error"))


def _pod_deleted(view: PodView) -> State | None:
    if view.metadata.get("deletionTimestamp") and (not view.exit_code or view.exit_code >= _SIGNALS):
        return _crashed("PodDeleted", "the pod was deleted")
    return None


def _signalled(view: PodView) -> State | None:
    code = view.exit_code
    if code is None or code <= _SIGNALS or code > _SIGNALS + 64:
        return None
    number = code - _SIGNALS
    reason = _SIGNAL_REASONS.get(number, f"Signal{number}")  # type: ignore[call-overload]
    tail = f"; last words: {view.log_tail}" if view.log_tail else ""
    return _crashed(reason, f"exit code {code}: killed by signal {number}{tail}")


def _non_zero(view: PodView) -> State | None:
    code = view.exit_code
    if not code:
        return None
    if view.report:
        return _crashed("ExitedWithoutReport", f"exit code {code} contradicts the report {view.report.state.name}")
    if view.reports:
        return _crashed("ExitedWithoutReport", f"exit code {code} without a report; last words: {view.log_tail or 'none'}")
    return State(FAILED, reason="NonZeroExit", message=f"exit code {code}" + (f": {view.log_tail}" if view.log_tail else ""))


def _failed_without_signs(view: PodView) -> State | None:
    return _crashed(view.reason or "PodFailed", view.message or "the pod ended without saying why")


#: For pods that have ended.
POD_VERDICTS: tuple[Row[State], ...] = (
    Row("0", "the flow reported its own end", "termination message with a report that the exit code bears out", "as reported", _reported, ("ValueError: CRASHED",)),
    Row("2", "exit 0", "flow terminated, exitCode 0, and nobody had asked it to stop", "COMPLETED; CRASHED ExitedWithoutReport where the SDK ran but left no report", _exit_zero, ("ExitedWithoutReport: FAILED",)),
    Row("24", "refused by the kubelet", "Failed, message beginning with Pod was rejected, or reason OutOf…, NodeAffinity, UnexpectedAdmissionError, …; the flow never started", "CRASHED with that reason; tried again at nobody's expense", _admission, ("OutOfcpu: FAILED",), never_ran=True),
    Row("25", "node shut down", "Failed, reason Terminated, DisruptionTarget TerminationByKubelet", "CRASHED NodeShutdown", _node_shutdown, ("NodeShutdown: FAILED",)),
    Row("5, 6", "evicted by the kubelet", "Failed, reason Evicted", "CRASHED Evicted; StorageLimitExceeded where the pod passed its own limit", _evicted, ("Evicted: FAILED", "StorageLimitExceeded: FAILED")),
    Row("7", "preempted", "DisruptionTarget PreemptionByScheduler", "CRASHED Preempted", _disruption("PreemptionByScheduler", "Preempted", "a pod of higher priority took its place"), ("Preempted: FAILED",)),
    Row("7b", "preempted by the kubelet", "reason Preempting", "CRASHED Preempted", _pod_reason("Preempting", "Preempted", "the kubelet preempted it for a critical pod"), ("Preempted: FAILED",)),
    Row("8", "drained", "DisruptionTarget EvictionByEvictionAPI", "CRASHED Drained", _disruption("EvictionByEvictionAPI", "Drained", "the pod was evicted, as by kubectl drain"), ("Drained: FAILED",)),
    Row("10", "node deleted", "DisruptionTarget DeletionByPodGC", "CRASHED NodeDeleted", _disruption("DeletionByPodGC", "NodeDeleted", "the node does not exist any more"), ("NodeDeleted: FAILED",)),
    Row("9, 23", "node unreachable", "DisruptionTarget DeletionByTaintManager, or reason NodeLost", "CRASHED NodeLost", _node_lost, ("NodeLost: FAILED",)),
    Row("5b", "terminated by the kubelet", "DisruptionTarget TerminationByKubelet", "CRASHED Evicted", _disruption("TerminationByKubelet", "Evicted", "the kubelet terminated the pod"), ("Evicted: FAILED",)),
    Row("20", "pod deadline", "Failed, reason DeadlineExceeded", "FAILED TimedOut", _deadline, ("TimedOut: CRASHED",)),
    Row("26", "end unknown", "terminated reason ContainerStatusUnknown", "CRASHED ContainerStatusUnknown", _unknown_end, ("ContainerStatusUnknown: FAILED",)),
    Row("3", "out of memory", "terminated reason OOMKilled", "CRASHED OOMKilled", _out_of_memory, ("OOMKilled: FAILED",)),
    Row("17", "cannot be started", "terminated reason StartError or ContainerCannotRun", "CRASHED StartError", _start_error, ("StartError: FAILED",)),
    Row("21", "init container failed", "an init container terminated with a non-zero code, the flow never started", "CRASHED InitContainerFailed", _init_failed, ("InitContainerFailed: FAILED",)),
    Row("11", "pod deleted by hand", "deletionTimestamp, no DisruptionTarget, exit by signal or none", "CRASHED PodDeleted", _pod_deleted, ("PodDeleted: FAILED",)),
    Row("4", "killed by a signal", "exitCode 129 to 192 (128 and the number of the signal)", "CRASHED Killed, Terminated, SegmentationFault, Aborted, SignalN", _signalled, ("Killed: FAILED", "SegmentationFault: FAILED")),
    Row("1, 22", "non-zero exit", "any other exitCode but 0; a sidecar may still run", "FAILED NonZeroExit for a plain container; CRASHED ExitedWithoutReport where the SDK ran", _non_zero, ("NonZeroExit: CRASHED", "ExitedWithoutReport: FAILED")),
    Row("1b", "ended without signs", "Failed or Succeeded, no container status", "CRASHED with the pod's reason, or PodFailed", _failed_without_signs, ("PodFailed: FAILED",)),
)  # fmt: skip
