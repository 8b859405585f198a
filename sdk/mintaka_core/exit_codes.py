"""What the exit code of a flow's process says about its end; pure."""

from __future__ import annotations

import signal

from mintaka_core.reports import ExitCode
from mintaka_core.states import CANCELLED, COMPLETED, CRASHED, FAILED, PAUSED, StateType

#: Exit codes from 128 on mean "killed by signal code - 128" (POSIX shells and container runtimes).
_SIGNALS, _HIGHEST_SIGNAL = 128, 64
_SIGNAL_REASONS = {
    int(signal.SIGKILL): "Killed",
    int(signal.SIGSEGV): "SegmentationFault",
    int(signal.SIGTERM): "Terminated",
    int(signal.SIGABRT): "Aborted",
}

#: The exit codes that match each reported state.
_MATCHING = {
    COMPLETED: {ExitCode.COMPLETED},
    FAILED: {ExitCode.FAILED},
    CANCELLED: {ExitCode.CANCELLED, ExitCode.TERMINATED},
    CRASHED: {ExitCode.CRASHED, ExitCode.TERMINATED, ExitCode.FENCED},
    PAUSED: {ExitCode.SUSPENDED},
}
#: The ends that an exit code alone identifies; the name of a suspension is only in the report.
_ENDS = {
    int(ExitCode.COMPLETED): COMPLETED,
    int(ExitCode.FAILED): FAILED,
    int(ExitCode.CANCELLED): CANCELLED,
    int(ExitCode.CRASHED): CRASHED,
}


def is_chosen(code: int | None) -> bool:
    """Whether a process that failed chose the exit code itself."""
    return code is not None and 0 < code < _SIGNALS


def matches(state: StateType, code: int | None) -> bool:
    """Whether a process that ended with `code` can have reported `state`; a report that contradicts its exit code is ignored."""
    return code in _MATCHING.get(state, set())


def end_of(code: int | None) -> StateType | None:
    """The end that the SDK reports with this exit code; None if it identifies none."""
    return None if code is None else _ENDS.get(code)


def signal_of(code: int | None) -> int | None:
    """The signal that ended a process with this exit code; None if no signal did."""
    return code - _SIGNALS if code is not None and _SIGNALS < code <= _SIGNALS + _HIGHEST_SIGNAL else None


def signal_reason(number: int) -> str:
    """The reason of a crash by a signal, such as `Killed`."""
    return _SIGNAL_REASONS.get(number, f"Signal{number}")
