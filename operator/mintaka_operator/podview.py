"""A pod's JSON as the failure table reads it: a field that is missing or of a wrong type reads as empty."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any

from mintaka_core.errors import MintakaError
from mintaka_core.instants import later, parse_time
from mintaka_core.json_values import integer, items, mapping, text
from mintaka_core.names import (
    ANNOTATION_CONTAINER,
    ANNOTATION_REVISION,
    FLOW_CONTAINER,
    LABEL_ATTEMPT,
    LABEL_REPORTS,
    NAME_LIMIT,
    POD_FINALIZER,
)
from mintaka_core.reports import Report, decode_report, is_cut_report, unserved_version
from mintaka_core.wire_versions import why_unserved
from mintaka_operator.durations import LONGEST, parse_seconds

#: Reasons of a terminated container whose exit code the runtime or the kubelet made up: it may never have run.
NEVER_STARTED = {"StartError", "ContainerCannotRun", "ContainerStatusUnknown"}
_TERMINAL_PHASES = {"Succeeded", "Failed"}
_ORDINARY_WAITS = {"", "PodInitializing", "ContainerCreating"}
#: Kubernetes writes whole seconds: two clocks that agree may differ by as much.
_WHOLE_SECOND = timedelta(seconds=1)
#: The kubelet stores 12 KiB of termination messages for all containers of a pod; a longer one is not the kubelet's.
_LONGEST_TERMINATION_MESSAGE = 12 * 1024
#: Kubernetes' default terminationGracePeriodSeconds, and how long a kubelet may take to write that the containers are dead.
_USUAL_GRACE, _KUBELET_DELAY = timedelta(seconds=30), timedelta(seconds=10)
#: How long an eviction may take from the pod's condition to the pod's deletion, two writes of one request.
_EVICTION = timedelta(seconds=2)
#: The clock of a node may be behind by as much: an end that seems to be just before a disruption may have followed from it.
_CLOCK_SKEW = timedelta(seconds=10)


class PodWithoutIdentity(MintakaError, ValueError):
    """A pod without a name or a creation time, which no API server sends."""


@dataclass(frozen=True)
class PodView:
    """A pod as the diagnosis sees it. `without_node`: the Node it is bound to does not exist any more, or is tainted out-of-service."""

    pod: Mapping[str, Any]
    without_node: bool = False

    @cached_property
    def metadata(self) -> Mapping[str, Any]:
        """The pod's metadata."""
        return mapping(self.pod.get("metadata"))

    @cached_property
    def spec(self) -> Mapping[str, Any]:
        """The pod's spec."""
        return mapping(self.pod.get("spec"))

    @cached_property
    def status(self) -> Mapping[str, Any]:
        """The pod's status."""
        return mapping(self.pod.get("status"))

    # -- identity -----------------------------------------------------------------------------------------------------

    @property
    def name(self) -> str:
        """The pod's name. Raises PodWithoutIdentity."""
        name = text(self.metadata.get("name"))
        if not name:
            message = "a pod has no name"
            raise PodWithoutIdentity(message)
        return name

    @property
    def created_time(self) -> datetime:
        """When the API server created the pod. Raises PodWithoutIdentity."""
        created = parse_time(self.metadata.get("creationTimestamp"))
        if created is None:
            message = f"pod {self.metadata.get('name')} has no creationTimestamp"
            raise PodWithoutIdentity(message)
        return created

    @property
    def node(self) -> str:
        """The node it is bound to, "" before that."""
        return text(self.spec.get("nodeName"))

    @property
    def node_gone(self) -> bool:
        """True if it is bound to a node that is gone."""
        return self.without_node and bool(self.node)

    @property
    def attempt(self) -> int:
        """The attempt the pod belongs to, by the end of its name, which no one can change; else by its label; else 0."""
        label = text(mapping(self.metadata.get("labels")).get(LABEL_ATTEMPT))
        return _attempt(text(self.metadata.get("name")).rpartition("-")[2]) or _attempt(label)

    @property
    def revision(self) -> str:
        """The revision that it runs, "" if it is not stored."""
        return text(mapping(self.metadata.get("annotations")).get(ANNOTATION_REVISION))[:NAME_LIMIT]

    @property
    def reports(self) -> bool:
        """True if the flow's container runs the SDK, which leaves a report."""
        return mapping(self.metadata.get("labels")).get(LABEL_REPORTS) == "true"

    @cached_property
    def container_name(self) -> str:
        """The name of the flow's container: `flow`, the one that an annotation names, or the only one of the spec."""
        named = text(mapping(self.metadata.get("annotations")).get(ANNOTATION_CONTAINER))
        there = [text(container.get("name")) for container in items(self.spec.get("containers"))]
        if named or FLOW_CONTAINER in there or not there:
            return named or FLOW_CONTAINER
        return there[0]

    # -- disruptions ------------------------------------------------------------------------------------------------------

    @property
    def phase(self) -> str:
        """Pending, Running, Succeeded, Failed or Unknown."""
        return text(self.status.get("phase")) or "Pending"

    @property
    def reason(self) -> str:
        """The pod's own reason, such as Evicted or OutOfcpu."""
        return text(self.status.get("reason"))

    @property
    def message(self) -> str:
        """The pod's own message."""
        return text(self.status.get("message"))

    def condition(self, kind: str, status: str) -> Mapping[str, Any]:
        """The pod condition of that type and status; empty if there is none."""
        for condition in items(self.status.get("conditions")):
            if condition.get("type") == kind and condition.get("status") == status:
                return condition
        return {}

    @property
    def held(self) -> bool:
        """True while the object has our finalizer."""
        finalizers = self.metadata.get("finalizers")
        return isinstance(finalizers, list) and POD_FINALIZER in finalizers

    @property
    def deleted(self) -> bool:
        """True once its deletion was requested."""
        return self.stopping_time is not None

    @cached_property
    def stopping_time(self) -> datetime | None:
        """`deletionTimestamp`, which is when the grace period is over (Kubernetes API conventions); None if it was not deleted."""
        return parse_time(self.metadata.get("deletionTimestamp"))

    @property
    def never_bound(self) -> bool:
        """True if it was deleted before it was bound to a node, after which it never will be."""
        return self.deleted and not self.node and not self.is_terminal

    @property
    def forced(self) -> bool:
        """True if it was deleted without a grace period before the kubelet reported how it ended.

        Once its containers are dead, the kubelet itself deletes a pod without one; its phase is terminal then.
        """
        return self.deleted and self.metadata.get("deletionGracePeriodSeconds") == 0 and bool(self.node) and not self.is_terminal

    @property
    def is_terminal(self) -> bool:
        """True if the pod's phase is terminal."""
        return self.phase in _TERMINAL_PHASES

    # -- the flow's container -----------------------------------------------------------------------------------------

    @cached_property
    def flow(self) -> Mapping[str, Any]:
        """The status of the flow's container; empty if it is missing."""
        statuses = items(self.status.get("containerStatuses"))
        named = [status for status in statuses if status.get("name") == self.container_name]
        others = [] if items(self.spec.get("containers")) else statuses
        return next(iter(named or others), {})

    @cached_property
    def terminated(self) -> Mapping[str, Any]:
        """How the flow's container ended; empty while it has not."""
        return terminated(self.flow)

    @property
    def running(self) -> Mapping[str, Any]:
        """Set while the flow's container runs."""
        return mapping(mapping(self.flow.get("state")).get("running"))

    @property
    def exit_code(self) -> int | None:
        """The flow's exit code, None while there is none."""
        return integer(self.terminated.get("exitCode"))

    @property
    def starts_again(self) -> int:
        """How many times the flow's container was restarted, by the kubelet's count."""
        return max(integer(self.flow.get("restartCount")) or 0, 0)

    @cached_property
    def started_time(self) -> datetime | None:
        """When the flow's container began to run; an exit code of its own proves that it did."""
        started = self._by_its_node(self.running.get("startedAt")) or self._by_its_node(self.terminated.get("startedAt"))
        if started is None and self.exit_code is not None and text(self.terminated.get("reason")) not in NEVER_STARTED:
            return self.ended_time or parse_time(self.metadata.get("creationTimestamp"))
        return started

    @cached_property
    def ended_time(self) -> datetime | None:
        """When the flow's container ended."""
        return self._by_its_node(self.terminated.get("finishedAt"))

    @cached_property
    def _node_lag(self) -> timedelta:
        """How far the clock of its node is provably behind: its kubelet started the pod before the pod was scheduled.

        At most ten years, so that a time with the lag added still fits into a datetime.
        """
        scheduled = parse_time(self.condition("PodScheduled", "True").get("lastTransitionTime"))
        begun = parse_time(self.status.get("startTime"))
        if scheduled is None or begun is None or scheduled - begun <= _WHOLE_SECOND:
            return timedelta(0)
        return min(scheduled - begun, LONGEST)

    def _by_its_node(self, value: Any) -> datetime | None:
        time = parse_time(value)
        return None if time is None else later(time, self._node_lag)

    @property
    def stopped_before_it_ended(self) -> bool:
        """True if the flow was still running when the pod was deleted, or when the kubelet began to stop it.

        A pod that is Failed for a reason of its own (DeadlineExceeded, Evicted, Terminated) was stopped by the kubelet,
        which records the time in the DisruptionTarget condition or not at all.
        """
        if self.deleted_before_it_ended:
            return True
        if self.phase == "Failed" and self.reason:
            begun = parse_time(self.condition("DisruptionTarget", "True").get("lastTransitionTime"))
            return begun is None or self.ended_time is None or self.ended_time >= begun
        return False

    @cached_property
    def deleted_before_it_ended(self) -> bool:
        """True if the pod's deletion was requested before the flow's container ended; also if that is not known.

        During a pod's grace period, `deletionTimestamp` minus that period is when the deletion was requested. Once the
        containers are dead, the kubelet deletes the pod again without a grace period, and `deletionTimestamp` is the time
        of that.
        """
        if self.stopping_time is None or self.ended_before_kubelet_knew or self._ended_before_disruption:
            return False
        grace = parse_seconds(self.metadata.get("deletionGracePeriodSeconds"))
        if not grace and self.is_terminal:
            own = self.spec.get("terminationGracePeriodSeconds")
            grace = (_USUAL_GRACE if own is None else parse_seconds(own)) + _KUBELET_DELAY
        return self.ended_time is None or self.ended_time >= self.stopping_time - grace

    @cached_property
    def _ended_before_disruption(self) -> bool:
        """True if the pod was deleted because of a disruption that began after the flow had ended.

        Evictions, taints, preemption and the garbage collector write the DisruptionTarget condition, then delete the pod; one
        that has ended is gone without a grace period, however long its own is. A condition that is older than that
        deletion proves nothing: the kubelet moves `deletionTimestamp` in the end. A kubelet that observes generations
        knows better.
        """
        begun = parse_time(self.condition("DisruptionTarget", "True").get("lastTransitionTime"))
        if begun is None or self.stopping_time is None or self.ended_time is None or not self.is_terminal:
            return False
        if integer(self.status.get("observedGeneration")) is not None or parse_seconds(self.metadata.get("deletionGracePeriodSeconds")):
            return False
        return begun - self.ended_time > _CLOCK_SKEW and abs(self.stopping_time - begun) <= _EVICTION

    @cached_property
    def ended_before_kubelet_knew(self) -> bool:
        """True if the kubelet wrote the end of the pod before it knew of its deletion, which increments the pod's generation.

        Kubernetes has observed generations of pods since 1.34 (PodObservedGenerationTracking); they need no clocks.
        """
        observed, current = integer(self.status.get("observedGeneration")), integer(self.metadata.get("generation"))
        if not self.deleted or not self.terminated or observed is None or current is None:
            return False
        return 0 < observed < current

    @property
    def termination_message(self) -> str:
        """What the flow wrote into its termination message, or the end of its log."""
        return text(self.terminated.get("message"))[:_LONGEST_TERMINATION_MESSAGE]

    @cached_property
    def report(self) -> Report | None:
        """The report that the SDK wrote into the termination message, if there is one and it is of this attempt."""
        if not self.reports:
            return None
        report = decode_report(self.termination_message)
        return report if report and report.attempt == self.attempt else None

    @cached_property
    def unserved_report(self) -> str:
        """What is wrong with a report of a wire version that this release does not read, as a sentence; "" for any other message."""
        version = unserved_version(self.termination_message) if self.reports else None
        return "" if version is None else f"the flow's report cannot be read: {why_unserved(version, 'this operator')}"

    @cached_property
    def log_tail(self) -> str:
        """The end of the flow's log as the kubelet provides it (terminationMessagePolicy FallbackToLogsOnError).

        "" if the termination message is a report: that is for programs.
        """
        message = self.termination_message
        if self.unserved_report:
            return self.unserved_report
        if is_cut_report(message):
            return "its report, of which the kubelet kept too little: the containers of a pod share 12 KiB of termination messages"
        return "" if decode_report(message) else message.strip()

    @cached_property
    def disruption(self) -> str:
        """The reason of the DisruptionTarget condition, "" if there is none."""
        return text(self.condition("DisruptionTarget", "True").get("reason"))

    @cached_property
    def waiting(self) -> Mapping[str, Any]:
        """The waiting state of the first container that waits for more than ordinary startup; empty if none does."""
        for status in (*items(self.status.get("initContainerStatuses")), *items(self.status.get("containerStatuses"))):
            waiting = mapping(mapping(status.get("state")).get("waiting"))
            if text(waiting.get("reason")) not in _ORDINARY_WAITS:
                return waiting
        return {}

    @property
    def anything_runs(self) -> bool:
        """True while any container may be running that nothing else stops (the kubelet itself stops native sidecars)."""
        if self.is_terminal or self.never_bound or self.forced or self.node_gone:
            return False
        return not self.terminated or any(not terminated(status) for status in items(self.status.get("containerStatuses")))


def _attempt(number: str) -> int:
    """A number of an attempt; 0 if it is not a number or is too large for a status."""
    return int(number) if number.isdecimal() and number.isascii() and len(number) < 10 else 0  # noqa: PLR2004


def terminated(status: Mapping[str, Any]) -> Mapping[str, Any]:
    """How the container of that status ended; empty while it has not."""
    return mapping(mapping(status.get("state")).get("terminated"))
