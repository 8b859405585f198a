"""How the flow's own container ended: its process's report, its exit code, or why it never started.

Each function is one row of the failure table (pod_verdicts.py).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mintaka_core import exit_codes
from mintaka_core.history_reasons import HistoryReason
from mintaka_core.json_values import text
from mintaka_core.states import COMPLETED, FAILED, State
from mintaka_operator.disruptions import crashed
from mintaka_operator.other_containers import failed_init

if TYPE_CHECKING:
    from mintaka_operator.podview import PodView


def reported(view: PodView) -> State | None:
    """The process left a report that matches its exit code, or there is no exit code to contradict it."""
    report = view.report
    if report is None or _reason(view) == "ContainerStatusUnknown":
        return None
    if not exit_codes.matches(report.state.type, view.exit_code) and not _lost_by_the_runtime(view):
        return None
    # The process only knows that it was asked to stop; the rows below know why.
    return None if report.state.reason == "Terminated" else report.state


def reported_in_another_version(view: PodView) -> State | None:
    """The process left a report that this release cannot read: its exit code says which end it reported."""
    end = exit_codes.end_of(view.exit_code) if view.unserved_report else None
    if end is None or _reason(view) == "ContainerStatusUnknown" or (end == COMPLETED and view.stopped_before_it_ended):
        return None
    return State(end, reason="" if end == COMPLETED else str(HistoryReason.WIRE_VERSION_NOT_SERVED), message=view.unserved_report)


def exited_zero(view: PodView) -> State | None:
    """Exit code 0, and not because it was asked to stop: many servers then exit 0 with their work unfinished."""
    if view.exit_code != 0 or view.stopped_before_it_ended:
        return None
    if view.report:
        return crashed("ExitedWithoutReport", f"exit code 0 contradicts the report {view.report.state.name}")
    if view.reports:
        return crashed("ExitedWithoutReport", "the flow's process exited with code 0 without saying how the run ended")
    return State(COMPLETED)


def end_unknown(view: PodView) -> State | None:
    """The kubelet or the container runtime does not know how the container ended."""
    if _reason(view) == "ContainerStatusUnknown":
        return crashed("ContainerStatusUnknown", "the kubelet lost track of the container; its exit code is made up")
    if _lost_by_the_runtime(view):
        message = f"the container runtime lost track of the container, as after a reset of its node; exit code {view.exit_code} is made up"
        return crashed("ContainerStatusUnknown", message)
    return None


def _lost_by_the_runtime(view: PodView) -> bool:
    """The reason that containerd gives for a container whose task it cannot find again."""
    return _reason(view) == "Unknown"


def started_again(view: PodView) -> State | None:
    """The flow's container was restarted and is still running: that is not an attempt of its own."""
    if not view.starts_again or view.terminated or view.is_terminal:
        return None
    return crashed("ContainerRestarted", "the container was started again in its pod, as after a reset of its node")


def out_of_memory(view: PodView) -> State | None:
    """A process was OOM-killed and ended the flow's process; an exit code that the flow chose itself takes precedence."""
    if _reason(view) != "OOMKilled" or (not view.reports and exit_codes.is_chosen(view.exit_code)):
        return None
    return crashed("OOMKilled", f"out of memory: raise the memory limit of container {view.container_name}{_last_words(view)}")


def not_started(view: PodView) -> State | None:
    """The container's process could not be started."""
    if _reason(view) in {"StartError", "ContainerCannotRun"}:
        return crashed("StartError", view.log_tail or "the container could not be started")
    return None


def init_failed(view: PodView) -> State | None:
    """An init container failed, so that the flow never started."""
    init = failed_init(view)
    if not init or view.exit_code is not None:
        return None
    parts = (f"init container {init['name']} exited {init['exitCode']}", text(init.get("reason")), text(init.get("message")).strip())
    return crashed("InitContainerFailed", ": ".join(part for part in parts if part and part != "Error"))


def killed_by_signal(view: PodView) -> State | None:
    """The exit code of a process that a signal ended."""
    number = exit_codes.signal_of(view.exit_code)
    if number is None:
        return None
    return crashed(exit_codes.signal_reason(number), f"exit code {view.exit_code}: killed by signal {number}{_last_words(view)}")


def exited_non_zero(view: PodView) -> State | None:
    """Any exit code other than 0."""
    code = view.exit_code
    if not code:
        return None
    if view.report:
        return crashed("ExitedWithoutReport", f"exit code {code} contradicts the report {view.report.state.name}")
    if view.reports:
        return crashed("ExitedWithoutReport", f"exit code {code} without a report; last words: {view.log_tail or 'none'}")
    return State(FAILED, reason="NonZeroExit", message=f"exit code {code}" + (f": {view.log_tail}" if view.log_tail else ""))


def _reason(view: PodView) -> str:
    return text(view.terminated.get("reason"))


def _last_words(view: PodView) -> str:
    return f"; last words: {view.log_tail}" if view.log_tail else ""
