"""Reading a pod's JSON without falling over what is missing in it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any

from mintaka_core.names import FLOW_CONTAINER, LABEL_ATTEMPT, LABEL_REPORTS
from mintaka_core.reports import Report, decode_report

#: Reasons of a terminated container whose exit code the runtime or the kubelet made up: it may never have run.
NEVER_STARTED = {"StartError", "ContainerCannotRun", "ContainerStatusUnknown"}


def parse_time(text: str | None) -> datetime | None:
    """A Kubernetes timestamp as an aware datetime; None where there is none, or it is one of the zeros runtimes write."""
    if not text or text.startswith(("1970-", "0001-")):
        return None
    return datetime.fromisoformat(text)


@dataclass(frozen=True)
class PodView:
    """A pod as the diagnosis sees it."""

    pod: dict[str, Any]

    @cached_property
    def metadata(self) -> dict[str, Any]:
        """The pod's metadata."""
        return self.pod.get("metadata") or {}

    @cached_property
    def status(self) -> dict[str, Any]:
        """The pod's status."""
        return self.pod.get("status") or {}

    @property
    def phase(self) -> str:
        """Pending, Running, Succeeded, Failed or Unknown."""
        return self.status.get("phase") or "Pending"

    @property
    def reason(self) -> str:
        """The pod's own reason, such as Evicted or OutOfcpu."""
        return self.status.get("reason") or ""

    @property
    def message(self) -> str:
        """The pod's own message."""
        return self.status.get("message") or ""

    @cached_property
    def flow(self) -> dict[str, Any]:
        """The status of the flow's container: the one named so; in a pod that has none of that name, the first one."""
        statuses = self.status.get("containerStatuses") or []
        named = [status for status in statuses if status.get("name") == FLOW_CONTAINER]
        others = [] if FLOW_CONTAINER in self._names("containers") else statuses
        found: dict[str, Any] = (named or others or [{}])[0]
        return found

    def _names(self, kind: str, **having: str) -> set[str]:
        """Names of the containers in the pod's spec, of those that have all of `having`."""
        containers = (self.pod.get("spec") or {}).get(kind) or []
        return {container.get("name") for container in containers if having.items() <= container.items()}

    @property
    def terminated(self) -> dict[str, Any]:
        """How the flow's container ended; empty while it has not."""
        return (self.flow.get("state") or {}).get("terminated") or {}

    @property
    def waiting(self) -> dict[str, Any]:
        """What the flow's container waits for; empty where it does not."""
        return (self.flow.get("state") or {}).get("waiting") or {}

    @property
    def running(self) -> dict[str, Any]:
        """Set while the flow's container runs."""
        return (self.flow.get("state") or {}).get("running") or {}

    @property
    def exit_code(self) -> int | None:
        """The flow's exit code, None while there is none."""
        code = self.terminated.get("exitCode")
        return code if isinstance(code, int) else None

    @property
    def started_time(self) -> datetime | None:
        """When the flow's container began to run; an exit code of its own proves that it did."""
        started = parse_time(self.running.get("startedAt")) or parse_time(self.terminated.get("startedAt"))
        if started is None and self.exit_code is not None and self.terminated.get("reason") not in NEVER_STARTED:
            return self.ended_time or parse_time(self.metadata.get("creationTimestamp"))
        return started

    @property
    def ended_time(self) -> datetime | None:
        """When the flow's container ended."""
        return parse_time(self.terminated.get("finishedAt"))

    @property
    def told_to_stop_before_it_ended(self) -> bool:
        """True where the flow still ran when the pod was deleted, or when the kubelet began to stop it.

        `deletionTimestamp` includes the grace period. A pod that is Failed for a reason of its own (DeadlineExceeded,
        Evicted, Terminated) was stopped by the kubelet, which says when in the DisruptionTarget condition or not at all.
        """
        moments = []
        deadline = parse_time(self.metadata.get("deletionTimestamp"))
        if deadline is not None:
            moments.append(deadline - timedelta(seconds=self.metadata.get("deletionGracePeriodSeconds") or 0))
        if self.phase == "Failed" and self.reason:
            told = parse_time(self.condition("DisruptionTarget", "True").get("lastTransitionTime"))
            if told is None:
                return True
            moments.append(told)
        return bool(moments) and (self.ended_time is None or self.ended_time >= min(moments))

    @property
    def reports(self) -> bool:
        """True where the flow's container runs the SDK, which leaves a report."""
        return (self.metadata.get("labels") or {}).get(LABEL_REPORTS) == "true"

    @cached_property
    def report(self) -> Report | None:
        """What the SDK wrote into the termination message, if it did and it is of this attempt."""
        if not self.reports:
            return None
        report = decode_report(self.terminated.get("message") or "")
        return report if report and report.attempt == self.attempt else None

    @property
    def attempt(self) -> int:
        """The attempt the pod belongs to; 0 where the label is missing or damaged."""
        label = (self.metadata.get("labels") or {}).get(LABEL_ATTEMPT, "")
        return int(label) if label.isdecimal() else 0

    @property
    def log_tail(self) -> str:
        """The end of the flow's log as the kubelet handed it over (terminationMessagePolicy FallbackToLogsOnError).

        "" where the termination message is a report: that is for programs.
        """
        message = self.terminated.get("message") or ""
        return "" if decode_report(message) else message.strip()

    @cached_property
    def disruption(self) -> str:
        """The reason of the DisruptionTarget condition, "" where there is none."""
        return self.condition("DisruptionTarget", "True").get("reason") or ""

    def condition(self, kind: str, status: str) -> dict[str, Any]:
        """The pod condition of that type and status; empty where there is none."""
        for condition in self.status.get("conditions") or []:
            if condition.get("type") == kind and condition.get("status") == status:
                return dict(condition)
        return {}

    @cached_property
    def failed_init(self) -> dict[str, Any]:
        """The first init container that ended with a non-zero exit code; empty where none did.

        Native sidecars are none of them: they are restarted, or killed because a later init container failed.
        """
        sidecars = self._names("initContainers", restartPolicy="Always")
        for status in self.status.get("initContainerStatuses") or []:
            terminated = (status.get("state") or {}).get("terminated") or {}
            if terminated.get("exitCode") and status.get("name") not in sidecars:
                return {"name": status.get("name"), **terminated}
        return {}

    @cached_property
    def waiting_anywhere(self) -> dict[str, Any]:
        """The first reason to wait that is more than the ordinary course of starting, init containers included."""
        for status in [*(self.status.get("initContainerStatuses") or []), *(self.status.get("containerStatuses") or [])]:
            waiting = (status.get("state") or {}).get("waiting") or {}
            if waiting.get("reason") not in {None, "", "PodInitializing", "ContainerCreating"}:
                return dict(waiting)
        return {}

    @property
    def anything_runs(self) -> bool:
        """True while any container may run that nobody else stops (the kubelet itself stops native sidecars)."""
        if self.phase in {"Succeeded", "Failed"}:
            return False
        statuses = self.status.get("containerStatuses") or []
        return not self.terminated or any(not (status.get("state") or {}).get("terminated") for status in statuses)
