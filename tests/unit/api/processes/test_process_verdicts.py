"""The verdict on a process, from its records."""

from __future__ import annotations

import errno
from datetime import UTC, datetime
from typing import Any

import pytest

from mintaka_api.local.processes.process_failure_table import CREATE_REASONS
from mintaka_api.local.processes.process_verdicts import PROCESS_VERDICTS
from mintaka_api.local.processes.process_view import ProcessView
from mintaka_api.local.processes.process_workload import process_workload
from mintaka_core.failure_rows import first_match
from mintaka_core.reports import Report
from mintaka_core.states import CANCELLED, COMPLETED, CRASHED, FAILED, PAUSED, State
from mintaka_core.workloads import Phase

REQUEST = {
    "uid": "u1",
    "name": "run-2",
    "namespace": "local",
    "run": "run",
    "run_uid": "r1",
    "attempt": 2,
    "reports": True,
    "container": "flow",
    "created": 1000.0,
    "program": "/venv/bin/python",
    "directory": "/work",
}
STARTED = {"pid": 7, "time": 1001.0}


def status(code: int = 0, number: int = 0) -> int:
    """A wait status (POSIX)."""
    return code << 8 | number


def view(report: str = "", *, reports: bool = True, asked: bool = False, **end: Any) -> ProcessView:
    """A process that ended with these records."""
    ended = {"began": 1001.0, "time": 1005.0, "status": 0, "asked": 1004.0 if asked else None, "tail": "bye\n", **end}
    stop = {"time": 1003.0, "grace_seconds": 30.0} if asked else None
    return ProcessView({**REQUEST, "reports": reports}, STARTED, stop, ended, report)


def reported(state: State, attempt: int = 2, **members: Any) -> str:
    """A report."""
    return Report(attempt, state, **members).encode()


COMPLETE = reported(State(COMPLETED))
EXAMPLES: dict[str, tuple[ProcessView, str, str, str]] = {
    "a report that matches the exit code": (view(COMPLETE), "P1", COMPLETED, ""),
    "a failure": (view(reported(State(FAILED, reason="KeyError")), status=status(1)), "P1", FAILED, "KeyError"),
    "a cancelled flow": (
        view(reported(State(CANCELLED, reason="Cancelled")), status=status(143), asked=True),
        "P1",
        CANCELLED,
        "Cancelled",
    ),
    "a suspension": (view(reported(State(PAUSED, "Suspended")), status=status(5)), "P1", PAUSED, ""),
    "a report whose process was lost": (view(COMPLETE, lost=True, status=None), "P1", COMPLETED, ""),
    "a report of another version": (view('{"mintaka":99,"attempt":2,', status=status(1)), "P1", FAILED, "WireVersionNotServed"),
    "a report that its exit code contradicts": (view(COMPLETE, status=status(1)), "P8", CRASHED, "ExitedWithoutReport"),
    "a report of another attempt": (view(reported(State(COMPLETED), attempt=1)), "P4", CRASHED, "ExitedWithoutReport"),
    "a program that is missing": (
        view(status=None, start_error={"errno": errno.ENOENT, "file": "/venv/bin/python", "message": "no"}),
        "P2",
        CRASHED,
        "CommandNotFound",
    ),
    "a folder that is missing": (
        view(status=None, start_error={"errno": errno.ENOENT, "file": "/work", "message": "no"}),
        "P2",
        CRASHED,
        "WorkingDirNotFound",
    ),
    "not executable": (
        view(status=None, start_error={"errno": errno.EACCES, "file": "x", "message": "no"}),
        "P2",
        CRASHED,
        "NotExecutable",
    ),
    "too many arguments": (view(status=None, start_error={"errno": errno.E2BIG, "message": "no"}), "P2", CRASHED, "ArgumentsTooLong"),
    "another error": (view(status=None, start_error={"errno": 0, "message": "embedded null byte"}), "P2", CRASHED, "StartError"),
    "no processes left": (view(status=None, start_error={"errno": errno.EAGAIN, "message": "no"}), "P2b", CRASHED, "NoResources"),
    "no space to start": (view(status=None, start_error={"errno": errno.ENOSPC, "message": "no"}), "P2b", CRASHED, "DiskFull"),
    "a lost supervisor": (view(status=None, lost=True), "P3", CRASHED, "ProcessLost"),
    "a restarted machine": (view(status=None, lost=True, machine_restarted=True), "P3", CRASHED, "MachineRestarted"),
    "a supervisor that failed": (view(status=None, lost=True, supervisor_error="OSError: no"), "P3", CRASHED, "ProcessLost"),
    "a process that cannot be killed": (view(status=None, given_up=True, asked=True), "P3", CRASHED, "ProcessLost"),
    "a command that exits 0": (view(reports=False), "P4", COMPLETED, ""),
    "a flow that exits 0 without a report": (view(), "P4", CRASHED, "ExitedWithoutReport"),
    "a flow that could not report": (view(disk_full=True), "P4", CRASHED, "DiskFull"),
    "killed for memory": (view(status=status(number=9), memory_kills=1, peak_kilobytes=2048), "P5", CRASHED, "OOMKilled"),
    "killed for memory beneath a wrapper": (view(status=status(137), memory_kills=1), "P5", CRASHED, "OOMKilled"),
    "killed by us while another was killed for memory": (
        view(status=status(number=9), memory_kills=1, asked=True, killed=True),
        "P6",
        CRASHED,
        "Stopped",
    ),
    "stopped by SIGTERM": (view(status=status(number=15), asked=True), "P6", CRASHED, "Stopped"),
    "a server that exits 0 when it is stopped": (view(reports=False, asked=True), "P6", CRASHED, "Stopped"),
    "a flow that reports only that it was stopped": (
        view(reported(State(CRASHED, reason="Terminated")), status=status(143), asked=True),
        "P6",
        CRASHED,
        "Stopped",
    ),
    "killed by another": (view(status=status(number=9)), "P7", CRASHED, "Killed"),
    "a segmentation fault": (view(status=status(number=11)), "P7", CRASHED, "SegmentationFault"),
    "terminated by another": (view(status=status(number=15)), "P7", CRASHED, "Terminated"),
    "an uncommon signal": (view(status=status(number=31)), "P7", CRASHED, "Signal31"),
    "a command that fails": (view(reports=False, status=status(3)), "P8", FAILED, "NonZeroExit"),
    "a flow that fails without a report": (view(status=status(3)), "P8", CRASHED, "ExitedWithoutReport"),
    "a flow that fails and could not report": (view(status=status(1), disk_full=True), "P8", CRASHED, "DiskFull"),
    "a command that fails when it is stopped": (view(reports=False, status=status(3), asked=True), "P8", FAILED, "NonZeroExit"),
}


@pytest.mark.parametrize(("process", "row", "state", "reason"), EXAMPLES.values(), ids=EXAMPLES)
def test_an_end_is_judged_by_its_row(process: ProcessView, row: str, state: str, reason: str) -> None:
    end, matched = first_match(PROCESS_VERDICTS, process)
    assert end is not None
    assert matched is not None
    assert (matched.number, end.type, end.reason) == (row, state, reason)
    assert not end.reason or end.type not in {CRASHED, FAILED} or end.message or row == "P1"
    assert row == "P1" or not reason or reason in (*matched.reasons, "Signal31")


def test_the_examples_cover_every_row_and_reason() -> None:
    rows = {row.number: set(row.reasons) for row in PROCESS_VERDICTS}
    seen: dict[str, set[str]] = {}
    for _, row, _, reason in EXAMPLES.values():
        seen.setdefault(row, set()).add(reason)
    assert seen.keys() == rows.keys()
    assert {number: reasons - seen[number] for number, reasons in rows.items() if reasons - seen[number]} == {"P7": {"Aborted"}}


def test_reasons_of_creation_are_not_reasons_of_ends_except_for_resources() -> None:
    """Resource shortages are both: they can prevent a start before or after the claim, and the message states what to do."""
    ends = {reason for row in PROCESS_VERDICTS for reason in row.reasons}
    assert {reason for reason, _, _ in CREATE_REASONS} & ends == {"DiskFull", "NoResources"}


class TestWorkloads:
    def test_one_that_is_to_start(self) -> None:
        workload = process_workload(ProcessView(REQUEST))
        assert (workload.name, workload.uid, workload.attempt, workload.phase) == ("run-2", "u1", 2, Phase.PENDING)
        assert (workload.alive, workload.held, workload.deleted, workload.created_time) == (
            True,
            True,
            False,
            datetime.fromtimestamp(1000, UTC),
        )

    def test_one_that_runs_and_was_asked_to_stop(self) -> None:
        workload = process_workload(ProcessView(REQUEST, STARTED, {"time": 1003.0, "grace_seconds": 30.0}))
        assert (workload.phase, workload.alive, workload.deleted) == (Phase.RUNNING, True, True)
        assert workload.stopping_time == datetime.fromtimestamp(1033, UTC)

    def test_one_that_ended_before_the_stop_reached_it(self) -> None:
        process = view(COMPLETE)
        workload = process_workload(
            ProcessView(process.request, process.started, {"time": 1004.9, "grace_seconds": 1}, process.ended, COMPLETE)
        )
        assert (workload.ended_unasked, workload.end) == (True, State(COMPLETED))

    def test_history_of_a_flow_without_a_report_is_incomplete(self) -> None:
        assert process_workload(view(status=status(number=9))).history_complete is False
        assert process_workload(view(reports=False)).history_complete is None
        assert process_workload(view(COMPLETE)).history_complete is True

    def test_what_did_not_run_has_not_started(self) -> None:
        workload = process_workload(view(status=None, start_error={"errno": errno.EAGAIN, "message": "no"}))
        assert (workload.started_time, workload.never_ran, workload.history_complete) == (None, True, None)

    def test_an_end_is_not_before_its_start_when_the_clock_jumps_back(self) -> None:
        workload = process_workload(view(COMPLETE, time=-2600.0))
        assert workload.ended_time == workload.started_time == datetime.fromtimestamp(1001, UTC)

    def test_what_cannot_be_ended_is_named(self) -> None:
        end = process_workload(view(status=status(number=9), remaining=[41, 42])).end
        assert end is not None
        assert end.message.endswith("processes that it started cannot be ended: 41, 42")

    @pytest.mark.parametrize("junk", [None, "x", [], {"status": "0"}, {"time": 1e300}, {"start_error": 3}])
    def test_records_of_a_wrong_shape_are_read_as_empty(self, junk: Any) -> None:
        ended = junk if isinstance(junk, dict) else {}
        workload = process_workload(
            ProcessView({**REQUEST, "attempt": junk, "created": junk}, {"time": junk}, {"time": junk}, ended, "junk")
        )
        assert workload.attempt == 0
