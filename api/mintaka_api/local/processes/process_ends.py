"""How a process ended: its report, its exit code, or why it never started.

Each function is one row of the failure table of processes (process_verdicts.py).
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from mintaka_core import exit_codes
from mintaka_core.history_reasons import HistoryReason
from mintaka_core.json_values import integer, text
from mintaka_core.states import COMPLETED, CRASHED, FAILED, State

if TYPE_CHECKING:
    from mintaka_api.local.processes.process_view import ProcessView

_SIGKILL, _SIGTERM = 9, 15
_MISSING = {errno.ENOENT, errno.ENOTDIR}
_RESOURCES = {errno.ENOMEM, errno.EAGAIN, errno.EMFILE, errno.ENFILE}
_MIB = 1024 * 1024


def reported(view: ProcessView) -> State | None:
    """The process left a report that matches its exit code, or there is no exit code to contradict it."""
    if view.unserved_report:
        return _of_another_version(view)
    report = view.report
    if report is None or (not exit_codes.matches(report.state.type, view.exit_code) and not view.lost):
        return None
    # The process can only report that it received a request to stop; the rows below give the reason.
    return None if report.state.reason == "Terminated" else report.state


def _of_another_version(view: ProcessView) -> State | None:
    """A report that this release cannot read: the exit code gives the end that it reported."""
    end = exit_codes.end_of(view.exit_code)
    if end is None or (end == COMPLETED and view.was_asked_to_stop):
        return None
    return State(end, reason="" if end == COMPLETED else str(HistoryReason.WIRE_VERSION_NOT_SERVED), message=view.unserved_report)


def not_started(view: ProcessView) -> State | None:
    """The program cannot be started, now or later."""
    error = view.start_error
    if not error or integer(error.get("errno")) in {*_RESOURCES, errno.ENOSPC}:
        return None
    number, file, message = integer(error.get("errno")) or 0, text(error.get("file")), text(error.get("message"))
    directory = text(view.request.get("directory"))
    if number in _MISSING and file == directory:
        why = f"the working directory {file} does not exist: create it, or correct process.workingDir"
        return _crashed("WorkingDirNotFound", why)
    if number in _MISSING:
        return _crashed("CommandNotFound", f"{view.command} was not found: {_remedy(view)}")
    if number in {errno.EACCES, errno.EPERM, errno.ENOEXEC}:
        return _crashed("NotExecutable", f"{view.command} cannot be executed ({message}): {_remedy(view)}")
    if number == errno.E2BIG:
        return _crashed(
            "ArgumentsTooLong", "parameters and variables of the process are larger than the system allows: pass large values in a file"
        )
    return _crashed("StartError", f"{view.command} could not be started: {message}")


def _remedy(view: ProcessView) -> str:
    """What to correct."""
    return text(view.request.get("remedy")) or "correct the command of podTemplate's container"


def no_resources(view: ProcessView) -> State | None:
    """The program could not be started because memory, processes or disk space ran out; a later start may succeed."""
    error = view.start_error
    if not error:
        return None
    if integer(error.get("errno")) == errno.ENOSPC:
        return _crashed("DiskFull", f"the process could not be started: {text(error.get('message'))}: free disk space")
    return _crashed(
        "NoResources", f"the process could not be started: {text(error.get('message'))}: too many processes, or too little memory"
    )


def lost(view: ProcessView) -> State | None:
    """Its supervisor was killed, so that its end is not known."""
    if view.given_up:
        return _crashed("ProcessLost", "the process was killed but did not end; it is no longer awaited")
    if not view.lost:
        return None
    if view.supervisor_error:
        return _crashed("ProcessLost", f"the supervisor of the process failed, and the process was ended: {view.supervisor_error}")
    if view.machine_restarted:
        return _crashed("MachineRestarted", "the machine was restarted while the process ran")
    return _crashed("ProcessLost", "the supervisor of the process was killed, and the process with it: was its whole user session ended?")


def exited_zero(view: ProcessView) -> State | None:
    """Exit code 0 without a request to stop, after which many servers exit 0 with their work unfinished."""
    if view.exit_code != 0 or view.was_asked_to_stop:
        return None
    if view.report:
        return _crashed("ExitedWithoutReport", f"exit code 0 contradicts the report {view.report.state.name}")
    if view.reports:
        return _disk_full(view) or _crashed("ExitedWithoutReport", "the flow's process exited with code 0 without saying how the run ended")
    return State(COMPLETED)


def out_of_memory(view: ProcessView) -> State | None:
    """Killed by the kernel, judged by its counter, since SIGKILL does not identify its sender."""
    if exit_codes.signal_of(view.exit_code) != _SIGKILL or view.was_killed_by_us or not view.memory_kills:
        return None
    size = f" when it had {view.peak_bytes // _MIB} MiB" if view.peak_bytes else ""
    return _crashed(
        "OOMKilled",
        f"the kernel killed the process for lack of memory{size}: use less, or run fewer processes at once (--max-processes){_last_words(view)}",
    )


def stopped(view: ProcessView) -> State | None:
    """It ended because of a request to stop."""
    if not view.was_asked_to_stop or (view.exit_code != 0 and exit_codes.signal_of(view.exit_code) not in {_SIGTERM, _SIGKILL}):
        return None
    if view.was_killed_by_us:
        return _crashed("Stopped", "it was asked to stop, did not within its grace period, and was killed")
    return _crashed("Stopped", "it was asked to stop")


def killed_by_signal(view: ProcessView) -> State | None:
    """A signal ended it, or a process whose exit code it passes on."""
    number = exit_codes.signal_of(view.exit_code)
    if number is None:
        return None
    return _crashed(exit_codes.signal_reason(number), f"killed by signal {number}{_last_words(view)}")


def exited_non_zero(view: ProcessView) -> State | None:
    """Any exit code other than 0."""
    code = view.exit_code
    if not code:
        return None
    if view.report:
        return _crashed("ExitedWithoutReport", f"exit code {code} contradicts the report {view.report.state.name}")
    if view.reports:
        return _disk_full(view) or _crashed("ExitedWithoutReport", f"exit code {code} without a report; last words: {view.tail or 'none'}")
    return State(FAILED, reason="NonZeroExit", message=f"exit code {code}" + (f": {view.tail}" if view.tail else ""))


def _disk_full(view: ProcessView) -> State | None:
    """Why there is no report, if the disk was full."""
    if not view.disk_was_full:
        return None
    return _crashed(
        "DiskFull",
        f"the disk was full, so that the flow could not report its end (exit code {view.exit_code}): free disk space{_last_words(view)}",
    )


def _crashed(reason: str, message: str) -> State:
    return State(CRASHED, reason=reason, message=message)


def _last_words(view: ProcessView) -> str:
    return f"; last words: {view.tail}" if view.tail else ""
