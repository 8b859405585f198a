"""How a pod was disrupted, by the pod's status rather than its containers': refused, evicted, preempted, deleted, lost.

Each function is one row of the failure table (pod_verdicts.py). Sources: Kubernetes "Pod lifecycle", "Disruptions", kubelet
sources.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from mintaka_core.json_values import text
from mintaka_core.states import CRASHED, State, timed_out

if TYPE_CHECKING:
    from collections.abc import Callable

    from mintaka_operator.podview import PodView

#: Exit codes from 128 on mean "killed by signal code - 128" (POSIX shells and container runtimes).
_SIGNALS = 128

#: The beginning of the kubelet's rejection messages; rejections by older kubelets are recognised by their reasons.
_REJECTED = "Pod was rejected"
_ADMISSION = re.compile(
    r"OutOf|NodeAffinity$|NodeName$|NodePorts$|TaintToleration$|UnexpectedAdmissionError$|UnexpectedPredicateFailureType$|"
    r"TopologyAffinityError$|SMTAlignmentError$|NodeShutdown$|InvalidNodeInfo$|InitContainerRestartPolicyForbidden$|"
    r"AppArmor$|PodOSNotSupported$|PodOSSelectorNodeLabelDoesNotMatch$|SupplementalGroupsPolicyNotSupported$|SysctlForbidden$"
)
#: How the kubelet begins to say that a pod passed a limit of its own.
_OVER_LIMIT = re.compile(
    r"Pod ephemeral local storage usage exceeds the total limit\b|"
    r'Usage of EmptyDir volume "[^"]*+" exceeds the limit\b|'
    r"Container \S++ exceeded its local ephemeral storage limit\b"
)


def crashed(reason: str, message: str) -> State:
    """CRASHED for a reason of the failure table."""
    return State(CRASHED, reason=reason, message=message.strip())


def refused(view: PodView) -> State | None:
    """The kubelet did not admit the pod."""
    if view.phase != "Failed" or view.started_time is not None:
        return None
    if view.message.startswith(_REJECTED) or _ADMISSION.match(view.reason):
        return crashed(view.reason or "PodRejected", view.message or "the kubelet refused the pod")
    return None


def lost_with_its_node(view: PodView) -> State | None:
    """Its node is gone and the end of the flow is unknown."""
    if not view.node_gone or view.terminated or view.is_terminal:
        return None
    return crashed("NodeLost", f"node {view.node} does not exist any more or is out of service: whether the pod has stopped is not known")


def deleted_by_force(view: PodView) -> State | None:
    """Its object was deleted without waiting for the kubelet."""
    if not view.forced or view.terminated:
        return None
    return crashed("ForceDeleted", "the pod was deleted without a grace period: whether it has stopped is not known")


def disrupted(reasons: str, reason: str, otherwise: str) -> Callable[[PodView], State | None]:
    """The DisruptionTarget condition has a reason that matches `reasons`, and the flow did not end by itself before."""

    def judge(view: PodView) -> State | None:
        if not re.fullmatch(reasons, view.disruption) or _ended_by_itself(view):
            return None
        message = text(view.condition("DisruptionTarget", "True").get("message"))
        return crashed(reason, view.message or message or otherwise)

    return judge


def _ended_by_itself(view: PodView) -> bool:
    """It had ended before the disruption began: a pod with our finalizer may be drained after its end.

    If only clocks say so, an exit by a signal is attributed to the disruption.
    """
    if view.ended_before_kubelet_knew:
        return True
    code = view.exit_code
    return code is not None and 0 < code < _SIGNALS and view.deleted and not view.stopped_before_it_ended


def node_shut_down(view: PodView) -> State | None:
    """The kubelet stopped the pod because its node is shutting down."""
    if view.reason in {"Terminated", "Shutdown", "NodeShutdown"} and view.phase == "Failed":
        return crashed("NodeShutdown", view.message or "the node was shut down")
    return None


def preempted_by_kubelet(view: PodView) -> State | None:
    """The kubelet stopped the pod to make room for a critical one."""
    return crashed("Preempted", view.message or "the kubelet preempted it for a critical pod") if view.reason == "Preempting" else None


def evicted(view: PodView) -> State | None:
    """The kubelet evicted the pod: because of pressure on its node, or because the pod exceeded a limit of its own."""
    if view.reason != "Evicted":
        return None
    over_limit = _OVER_LIMIT.match(view.message) and not view.disruption
    return crashed("StorageLimitExceeded" if over_limit else "Evicted", view.message)


def node_unreachable(view: PodView) -> State | None:
    """The pod was deleted because its node does not answer."""
    if view.reason == "NodeLost" or (view.disruption == "DeletionByTaintManager" and not _ended_by_itself(view)):
        return crashed("NodeLost", view.message or "the node stopped answering")
    return None


def past_its_deadline(view: PodView) -> State | None:
    """It was active for longer than activeDeadlineSeconds of its own spec."""
    return timed_out(view.message or "activeDeadlineSeconds of the pod is over") if view.reason == "DeadlineExceeded" else None


def deleted(view: PodView) -> State | None:
    """It was deleted, and its exit code is not one of its own choice."""
    if not view.deleted_before_it_ended or (view.exit_code and view.exit_code < _SIGNALS):
        return None
    return crashed("PodDeleted", "the pod was deleted before it was bound to a node" if view.never_bound else "the pod was deleted")


def failed_without_signs(view: PodView) -> State | None:
    """Its phase is Failed or Succeeded, without a reason."""
    return crashed(view.reason or "PodFailed", view.message or "the pod ended without saying why")
