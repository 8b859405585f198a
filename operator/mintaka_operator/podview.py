"""Reading a pod's JSON without falling over what is missing in it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any

from mintaka_core.names import FLOW_CONTAINER, LABEL_ATTEMPT, LABEL_REPORTS
from mintaka_core.reports import Report, decode_report


def parse_time(text: str | None) -> datetime | None:
    """A Kubernetes timestamp as an aware datetime; None where there is none, or it is the epoch some runtimes write."""
    if not text or text.startswith("1970-"):
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
        """The status of the flow's container: the one named so, else the only or first one."""
        statuses = self.status.get("containerStatuses") or []
        named = [status for status in statuses if status.get("name") == FLOW_CONTAINER]
        found: dict[str, Any] = (named or statuses or [{}])[0]
        return found

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
        """When the flow's container began to run."""
        return parse_time(self.running.get("startedAt")) or parse_time(self.terminated.get("startedAt"))

    @property
    def ended_time(self) -> datetime | None:
        """When the flow's container ended."""
        return parse_time(self.terminated.get("finishedAt"))

    @property
    def told_to_stop_before_it_ended(self) -> bool:
        """True where the pod was deleted while the flow still ran; `deletionTimestamp` includes the grace period."""
        deadline = parse_time(self.metadata.get("deletionTimestamp"))
        if deadline is None:
            return False
        asked = deadline - timedelta(seconds=self.metadata.get("deletionGracePeriodSeconds") or 0)
        return self.ended_time is None or self.ended_time >= asked

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
        return int(label) if label.isdigit() else 0

    @property
    def log_tail(self) -> str:
        """The end of the flow's log as the kubelet handed it over (terminationMessagePolicy FallbackToLogsOnError)."""
        return (self.terminated.get("message") or "").strip()

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
        """The first init container that ended with a non-zero exit code; empty where none did."""
        for status in self.status.get("initContainerStatuses") or []:
            terminated = (status.get("state") or {}).get("terminated") or {}
            if terminated.get("exitCode"):
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
        """True while any container may run."""
        if self.phase in {"Succeeded", "Failed"}:
            return False
        statuses = self.status.get("containerStatuses") or []
        return not statuses or any("terminated" not in (status.get("state") or {}) for status in statuses)
