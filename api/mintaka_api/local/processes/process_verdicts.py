"""How a process ended: the failure table of processes, evaluated in order; the first match decides.

docs/process-failure-table.md is generated from it (process_failure_table.py). The order is that of the table of pods: the
flow's own report first, then what happened to the process, then its exit code.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mintaka_api.local.processes import process_ends
from mintaka_core.failure_rows import Row

if TYPE_CHECKING:
    from mintaka_api.local.processes.process_view import ProcessView
    from mintaka_core.states import State

PROCESS_VERDICTS: tuple[Row[ProcessView, State], ...] = (
    Row(
        "P1",
        "the flow reported its own end",
        signs="a report that the exit code bears out, or whose process was lost",
        conclusion="as reported",
        judge=process_ends.reported,
        overrides=("ValueError: CRASHED",),
    ),
    Row(
        "P2",
        "could not start",
        signs="the system refused to start the program: it or the folder is missing, is not executable, its arguments are too long, …",
        conclusion="CRASHED CommandNotFound, WorkingDirNotFound, NotExecutable, ArgumentsTooLong or StartError; the message says what to correct",
        judge=process_ends.not_started,
        reasons=("CommandNotFound", "WorkingDirNotFound", "NotExecutable", "ArgumentsTooLong", "StartError"),
        overrides=("CommandNotFound: FAILED",),
    ),
    Row(
        "P2b",
        "could not start for lack of resources",
        signs="the system has no memory, processes or disk space left for another process",
        conclusion="CRASHED NoResources or DiskFull; tried again without drawing on a budget",
        judge=process_ends.no_resources,
        reasons=("NoResources", "DiskFull"),
        overrides=("NoResources: FAILED",),
        never_ran=True,
    ),
    Row(
        "P3",
        "lost",
        signs="the supervisor is gone and has recorded no end: the machine was restarted, or the supervisor killed; or a process that was killed does not end",
        conclusion="CRASHED MachineRestarted or ProcessLost; its remaining processes have been ended",
        judge=process_ends.lost,
        reasons=("MachineRestarted", "ProcessLost"),
        overrides=("ProcessLost: FAILED",),
    ),
    Row(
        "P4",
        "exit 0",
        signs="exit code 0 without a request to stop",
        conclusion="COMPLETED; CRASHED ExitedWithoutReport if the SDK ran but left no report, DiskFull if the disk was full",
        judge=process_ends.exited_zero,
        reasons=("ExitedWithoutReport", "DiskFull"),
        overrides=("ExitedWithoutReport: FAILED",),
    ),
    Row(
        "P5",
        "killed by the kernel for memory",
        signs="SIGKILL that the supervisor did not send, and the kernel's count of processes killed for memory has grown",
        conclusion="CRASHED OOMKilled",
        judge=process_ends.out_of_memory,
        reasons=("OOMKilled",),
        overrides=("OOMKilled: FAILED",),
    ),
    Row(
        "P6",
        "stopped",
        signs="a request to stop, then an end by SIGTERM, SIGKILL or exit code 0",
        conclusion="CRASHED Stopped: the reason for the stop decides what that means for the run",
        judge=process_ends.stopped,
        reasons=("Stopped",),
        overrides=("Stopped: FAILED",),
    ),
    Row(
        "P7",
        "killed by a signal",
        signs="ended by a signal, or exit code 129 to 192 (128 and the number of the signal)",
        conclusion="CRASHED Killed, Terminated, SegmentationFault, Aborted, SignalN",
        judge=process_ends.killed_by_signal,
        reasons=("Killed", "Terminated", "SegmentationFault", "Aborted"),
        overrides=("Killed: FAILED", "SegmentationFault: FAILED"),
    ),
    Row(
        "P8",
        "non-zero exit",
        signs="any other exit code",
        conclusion="FAILED NonZeroExit for a command; CRASHED ExitedWithoutReport if the SDK ran, DiskFull if the disk was full",
        judge=process_ends.exited_non_zero,
        reasons=("NonZeroExit", "ExitedWithoutReport", "DiskFull"),
        overrides=("NonZeroExit: CRASHED", "ExitedWithoutReport: FAILED"),
    ),
)
