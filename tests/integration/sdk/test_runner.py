"""The pod's process: what it reports and exits with, and what SIGTERM does to it."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest

from mintaka_core.history_reasons import HistoryReason
from mintaka_core.reports import Report, decode_report
from mintaka_core.wire_versions import WIRE_VERSION

if TYPE_CHECKING:
    from pathlib import Path

SOURCE = """
import asyncio, sys, threading, time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from mintaka import flow, task, get_run_logger, Completed, Failed, Cancelled, runtime

def mark(word):
    with open("marks", "a") as file:
        file.write(word + "\\n")

@task
def nap(seconds=30.0):
    try:
        time.sleep(seconds)
    finally:
        mark("task cleaned up")

@task
def add(a, b=1):
    return a + b

@task
async def nap_async():
    await asyncio.sleep(30)

@flow(log_prints=True)
def good(n: int = 1):
    print("working", n)
    get_run_logger().info("attempt %d of %s", runtime.flow_run.attempt, runtime.flow_run.name)
    return sum(add.map(range(n)).result())

@flow
def raises():
    raise ValueError("no rows")

@flow
def leaves():
    sys.exit(3)

@flow
def memory():
    raise MemoryError("too large")

@flow
def says_failed():
    return Failed(message="not today", reason="Holiday")

@flow
def says_cancelled():
    return Cancelled()

@flow
def says_skipped():
    return Completed(name="Skipped", message="nothing new")

@flow(timeout_seconds=0.1)
def late():
    time.sleep(30)

@flow
async def good_async(n: int = 1):
    await asyncio.sleep(0)
    return n

@flow
def naps():
    mark("started")
    try:
        nap()
    except Exception:
        mark("swallowed")
    finally:
        mark("flow cleaned up")

@flow
def naps_in_threads():
    futures = nap.map([30.0, 30.0])
    add.submit(futures[0])
    mark("started")
    futures.result()

@flow
async def naps_async():
    mark("started")
    try:
        await asyncio.gather(nap_async(), nap_async())
    finally:
        await asyncio.sleep(0.01)
        mark("flow cleaned up")

@flow
async def blocks_async():
    mark("started")
    time.sleep(30)

@flow
def stubborn():
    mark("started")
    try:
        time.sleep(30)
    except BaseException:
        mark("swallowed all")
    add(1)
    mark("went on")

@flow
def naps_in_a_pool():
    with ThreadPoolExecutor(2) as pool:
        future = pool.submit(time.sleep, 30)
        mark("started")
        future.result()

@flow
def leaves_a_pool():
    with ThreadPoolExecutor(2) as pool:
        pool.submit(time.sleep, 30)
        mark("started")

@flow
def naps_in_a_loop():
    async def thread():
        mark("started")
        await asyncio.to_thread(time.sleep, 30)
    asyncio.run(thread())

@flow
async def naps_in_a_thread_of_the_loop():
    mark("started")
    await asyncio.to_thread(time.sleep, 30)

@flow
async def naps_in_a_pool_in_a_loop():
    with ThreadPoolExecutor(2) as pool:
        mark("started")
        await asyncio.get_running_loop().run_in_executor(pool, time.sleep, 30)

@flow
def changes_the_exception():
    mark("started")
    try:
        time.sleep(30)
    except BaseException as error:
        raise RuntimeError("wrapped") from error

@flow
def finishes_anyway():
    mark("started")
    try:
        time.sleep(30)
    except BaseException:
        return 7

@flow
def busy():
    mark("started")
    for n in range(10_000_000):
        add(n)

@flow
def busy_in_threads():
    mark("started")
    while True:
        add.map(range(200)).result()

def hook(flow, run, state):
    mark(f"hook {state.type} {state.reason}")

hooks = {"on_failure": [hook], "on_cancellation": [hook], "on_crashed": [hook], "on_completion": [hook]}
hooked = naps.with_options(**hooks)
hooked_async = naps_async.with_options(**hooks)
hooked_in_threads = naps_in_threads.with_options(**hooks)
hooked_exception = changes_the_exception.with_options(**hooks)

@flow
def outer():
    mark("started")
    naps_in_threads()

hooked_subflow = outer.with_options(**hooks)
no_flow = 3
"""


class Pod:
    """A runner process in a folder of its own."""

    def __init__(self, folder: Path, entrypoint: str, **variables: Any) -> None:
        self.folder = folder
        self.message = folder / "termination-log"
        environment = {key: value for key, value in os.environ.items() if not key.startswith("MINTAKA_")}
        given = {
            "FLOW_RUN": "run-1",
            "FLOW_RUN_UID": "uid",
            "NAMESPACE": "team",
            "ATTEMPT": 2,
            "DEPLOYMENT": "daily",
            "ENTRYPOINT": entrypoint,
            "SOURCE_INLINE": SOURCE,
            "TERMINATION_MESSAGE_PATH": self.message,
            "SPOOL_DIR": folder / "spool",
            "GRACE_SECONDS": 6,
            "HISTORY_GRACE_SECONDS": 10,
        } | variables
        environment |= {f"MINTAKA_{key}": str(value) for key, value in given.items() if value is not None}
        self.process = subprocess.Popen(
            [sys.executable, "-W", "error", "-m", "mintaka.runner"],
            cwd=folder,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def ended(self, seconds: float = 60) -> tuple[int, Report | None, str]:
        """Exit code, report and output."""
        output, _ = self.process.communicate(timeout=seconds)
        text = self.message.read_text() if self.message.exists() else ""
        assert len(text.encode()) <= 4096
        return self.process.returncode, decode_report(text), output

    def marks(self) -> list[str]:
        path = self.folder / "marks"
        return path.read_text().splitlines() if path.exists() else []

    def wait_for(self, mark: str) -> None:
        deadline = time.monotonic() + 30
        while mark not in self.marks():
            assert self.process.poll() is None, self.process.communicate()
            assert time.monotonic() < deadline
            time.sleep(0.01)
        time.sleep(0.1)  # the mark is written just before what it announces

    def terminate(self) -> None:
        self.process.send_signal(signal.SIGTERM)


ENDS: dict[str, tuple[dict[str, Any], int, str, str, str, bool, str]] = {
    "a flow that returns": ({"ENTRYPOINT": "f.py:good"}, 0, "COMPLETED", "Completed", "", True, ""),
    "a flow in a folder that is not there": ({"ENTRYPOINT": "sub/f.py:good"}, 0, "COMPLETED", "Completed", "", True, ""),
    "an async flow": ({"ENTRYPOINT": "f.py:good_async", "PARAMETERS": '{"n": "4"}'}, 0, "COMPLETED", "Completed", "", True, ""),
    "an exception": ({"ENTRYPOINT": "f.py:raises"}, 1, "FAILED", "Failed", "ValueError", True, r'no rows (File "'),
    "a failed state": ({"ENTRYPOINT": "f.py:says_failed"}, 1, "FAILED", "Failed", "Holiday", True, "not today"),
    "a cancelled state": ({"ENTRYPOINT": "f.py:says_cancelled"}, 3, "CANCELLED", "Cancelled", "", True, ""),
    "a completed state of its own name": ({"ENTRYPOINT": "f.py:says_skipped"}, 0, "COMPLETED", "Skipped", "", True, "nothing new"),
    "a timeout": ({"ENTRYPOINT": "f.py:late"}, 1, "FAILED", "TimedOut", "TimedOut", True, "ran longer than timeout_seconds=0.1"),
    "too much memory asked for": ({"ENTRYPOINT": "f.py:memory"}, 1, "FAILED", "Failed", "MemoryError", True, "too large"),
    "a system exit": ({"ENTRYPOINT": "f.py:leaves"}, 4, "CRASHED", "Crashed", "SystemExit", True, "3"),
    "a system exit while it is imported": ({"SOURCE_INLINE": "raise SystemExit(0)"}, 4, "CRASHED", "Crashed", "SystemExit", True, "0"),
    "no such function": (
        {"ENTRYPOINT": "f.py:nix"},
        1,
        "FAILED",
        "Failed",
        "EntrypointNotFound",
        False,
        "f.py has no 'nix'; flows there: ",
    ),
    "a function that is no flow": (
        {"ENTRYPOINT": "f.py:no_flow"},
        1,
        "FAILED",
        "Failed",
        "EntrypointNotFound",
        False,
        "of type int: put @flow",
    ),
    "no such module": (
        {"ENTRYPOINT": "nix.nada:f", "SOURCE_INLINE": None},
        1,
        "FAILED",
        "Failed",
        "EntrypointNotFound",
        False,
        "no module 'nix.nada'",
    ),
    "no such file": (
        {"ENTRYPOINT": "nix.py:f", "SOURCE_INLINE": None},
        1,
        "FAILED",
        "Failed",
        "EntrypointNotFound",
        False,
        "no file 'nix.py' in ",
    ),
    "inline source outside of its folder": (
        {"ENTRYPOINT": "../f.py:good"},
        1,
        "FAILED",
        "Failed",
        "EntrypointNotFound",
        False,
        "must be a relative path",
    ),
    "a source folder that is not there": (
        {"SOURCE_INLINE": None, "SOURCE_DIR": "/nowhere"},
        4,
        "CRASHED",
        "Crashed",
        "SourceUnreadable",
        True,
        "/nowhere is not there",
    ),
    "a module that the code imports is missing": (
        {"SOURCE_INLINE": "import nixda"},
        1,
        "FAILED",
        "Failed",
        "ModuleNotFoundError",
        True,
        "No module named 'nixda'",
    ),
    "code that is no Python": ({"SOURCE_INLINE": "def :"}, 1, "FAILED", "Failed", "SyntaxError", True, "invalid syntax"),
    "code that raises while it is imported": (
        {"SOURCE_INLINE": "1/0"},
        1,
        "FAILED",
        "Failed",
        "ZeroDivisionError",
        True,
        "line 1, in <module>",
    ),
    "parameters that do not fit": (
        {"PARAMETERS": '{"n": "x"}'},
        1,
        "FAILED",
        "Failed",
        "InvalidParameters",
        False,
        "good: n: Input should be a valid integer",
    ),
    "parameters unknown to the flow": (
        {"PARAMETERS": '{"m": 1}'},
        1,
        "FAILED",
        "Failed",
        "InvalidParameters",
        False,
        "unexpected keyword argument 'm'",
    ),
    "parameters that are no JSON": (
        {"PARAMETERS": "{"},
        1,
        "FAILED",
        "Failed",
        "InvalidParameters",
        False,
        "MINTAKA_PARAMETERS is not JSON",
    ),
    "parameters that are no object": ({"PARAMETERS": "[1]"}, 1, "FAILED", "Failed", "InvalidParameters", False, "should be a JSON object"),
}


@pytest.mark.parametrize(("variables", "code", "state_type", "name", "reason", "retriable", "said"), ENDS.values(), ids=ENDS)
def test_how_each_end_is_reported(
    tmp_path: Path, *, variables: dict[str, Any], code: int, state_type: str, name: str, reason: str, retriable: bool, said: str
) -> None:
    got, report, output = Pod(tmp_path, "f.py:good", **variables).ended()
    assert report is not None, output
    state = report.state
    assert (got, state.type, state.name, state.reason, report.retriable, report.attempt) == (
        code,
        state_type,
        name,
        reason,
        retriable,
        2,
    ), output
    assert said in state.message
    assert report.history_complete
    assert "engine.py" not in state.message


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"ENTRYPOINT": ""}, "MINTAKA_ENTRYPOINT is not set"),
        ({"ATTEMPT": "x"}, "MINTAKA_ATTEMPT should be a number"),
        ({"TAGS": "x"}, "MINTAKA_TAGS should be a JSON list"),
    ],
)
def test_an_environment_that_makes_no_sense_is_a_usage_error(tmp_path: Path, variables: dict[str, Any], said: str) -> None:
    code, report, output = Pod(tmp_path, "f.py:good", **variables).ended()
    assert (code, report) == (2, None)
    assert said in output


def test_a_file_in_a_config_map_folder_can_import_its_neighbours(tmp_path: Path) -> None:
    folder = tmp_path / "source"
    folder.mkdir()
    (folder / "etl.py").write_text("from neighbour import N\nfrom mintaka import flow\n@flow\ndef main():\n    print('n is', N)\n")
    (folder / "neighbour.py").write_text("N = 5\n")
    code, report, output = Pod(tmp_path, "etl.py:main", SOURCE_INLINE=None, SOURCE_DIR=folder).ended()
    assert (code, report is not None) == (0, True)
    assert "n is 5" in output


def test_code_in_the_image_is_found_by_module_name(tmp_path: Path) -> None:
    (tmp_path / "package").mkdir()
    (tmp_path / "package" / "etl.py").write_text("from mintaka import flow\n@flow\ndef main(): return 1\n")
    code, _, output = Pod(tmp_path, "package.etl:main", SOURCE_INLINE=None).ended()
    assert code == 0, output


def test_history_and_logs_reach_the_api(tmp_path: Path, api: Any) -> None:
    code, report, output = Pod(tmp_path, "f.py:good", API_URL=api.url, PARAMETERS='{"n": 50}', TAGS='["nightly"]').ended()
    assert (code, report is not None and report.history_complete) == (0, True)
    api.assert_complete(50)
    messages = [line["message"] for _, line in sorted(api.logs.items())]
    assert messages == ["flow run run-1: flow good, attempt 2", "working 50", "attempt 2 of run-1"]
    assert all(report["attempt"] == 2 for report in api.reports)
    assert "INFO    mintaka.flow_runs: working 50" in output
    assert output.splitlines()[0].split()[0].endswith("Z")


def test_an_api_that_is_away_changes_nothing_but_the_history(tmp_path: Path) -> None:
    code, report, output = Pod(
        tmp_path, "f.py:good", API_URL="http://127.0.0.1:9", HISTORY_GRACE_SECONDS=0.5, PARAMETERS='{"n": 50}'
    ).ended()
    assert code == 0, output
    assert report is not None
    assert (report.state.type, report.history_complete, report.spool) == ("COMPLETED", False, str(tmp_path / "spool" / "uid-2"))
    assert "the API does not take history" in output


def test_a_stale_attempt_stops_and_exits_75(tmp_path: Path, api: Any) -> None:
    api.fault_forever = 409
    code, report, output = Pod(tmp_path, "f.py:busy", API_URL=api.url).ended()
    assert code == 75, output
    assert report is not None
    assert (report.state.type, report.state.reason, report.history_complete) == ("CRASHED", "Fenced", False)


def test_a_stale_attempt_that_is_just_ending_exits_75_as_well(tmp_path: Path, api: Any) -> None:
    api.fault_forever = 409
    code, report, _ = Pod(tmp_path, "f.py:good", API_URL=api.url).ended()
    assert (code, report is not None and report.state.reason) == (75, "Fenced")


#: What the API says, the exit code, the report, the state of the task runs, and the hook that is called.
STOPS = {
    "its owner cancelled it": (
        "Cancelled",
        3,
        "CANCELLED",
        "Cancelled",
        ("CANCELLED", "Cancelled", "Cancelled"),
        "hook CANCELLED Cancelled",
    ),
    "its owner suspended it": ("Suspended", 143, "CRASHED", "Terminated", ("CANCELLED", "Stopped", "Suspended"), ""),
    "its time is over": ("TimedOut", 1, "FAILED", "TimedOut", ("CANCELLED", "Stopped", "TimedOut"), "hook FAILED TimedOut"),
    "a newer attempt has taken over": ("Replaced", 75, "CRASHED", "Fenced", ("CRASHED", "Crashed", "Fenced"), "hook CRASHED Fenced"),
    "its node is drained": ("Outside", 143, "CRASHED", "Terminated", ("CRASHED", "Crashed", "Terminated"), "hook CRASHED Terminated"),
    "the API does not say": ("", 143, "CRASHED", "Terminated", ("CRASHED", "Crashed", "Terminated"), ""),
}
VERDICTS = {why: STOPS[why][:4] for why in ("its owner cancelled it", "its node is drained")}


@pytest.mark.parametrize(("said", "code", "state_type", "reason", "task_state", "hook"), STOPS.values(), ids=STOPS)
@pytest.mark.parametrize("entrypoint", ["hooked", "hooked_async", "hooked_in_threads", "hooked_exception", "hooked_subflow"])
def test_why_it_is_stopped_decides_the_hooks_and_the_states_of_task_runs(
    tmp_path: Path,
    api: Any,
    *,
    entrypoint: str,
    said: str,
    code: int,
    state_type: str,
    reason: str,
    task_state: tuple[str, str, str],
    hook: str,
) -> None:
    """Each hook is for its own end: a run that its owner suspends calls none, nor does one of which no one can say why it ended."""
    api.stop_reason = said
    pod = Pod(tmp_path, f"f.py:{entrypoint}", API_URL=api.url, GRACE_SECONDS=12)
    pod.wait_for("started")
    time.sleep(0.3)
    pod.terminate()
    got, report, output = pod.ended()
    assert report is not None, output
    assert (got, report.state.type, report.state.reason) == (code, state_type, reason), output
    assert [mark for mark in pod.marks() if mark.startswith("hook")] == [hook] * bool(hook)
    states = {(row["state"], row["state_name"], row["reason"]) for row in api.tasks.values()}
    assert states == (set() if entrypoint == "hooked_exception" else {task_state})
    words = {row["message"].partition(":")[0] for row in api.tasks.values()} if said != "Replaced" else set()
    assert words <= {"stopped"}


def test_an_attempt_ends_itself_when_its_time_is_over(tmp_path: Path, api: Any) -> None:
    """Nobody has to stop it; what it does at its end is what it does for any other failure."""
    pod = Pod(tmp_path, "f.py:hooked_in_threads", API_URL=api.url, TIMEOUT_SECONDS=4)
    began = time.monotonic()
    code, report, output = pod.ended()
    assert report is not None, output
    assert (code, report.state.type, report.state.name, report.retriable) == (1, "FAILED", "TimedOut", True)
    assert 3.5 < time.monotonic() - began < 8
    assert [mark for mark in pod.marks() if mark.startswith("hook")] == ["hook FAILED TimedOut"]
    assert {(row["state"], row["reason"]) for row in api.tasks.values()} == {("CANCELLED", "TimedOut")}
    api.assert_complete(3)


@pytest.mark.parametrize("url", ["http://127.0.0.1:9", None], ids=["API away", "no API"])
def test_that_its_time_is_over_it_knows_without_the_api(tmp_path: Path, url: str | None) -> None:
    """The operator's SIGTERM may come a little before the process's own clock says so."""
    pod = Pod(tmp_path, "f.py:hooked", API_URL=url, TIMEOUT_SECONDS=5, HISTORY_GRACE_SECONDS=0.5)
    pod.wait_for("started")
    time.sleep(2.4)
    pod.terminate()
    code, report, output = pod.ended()
    assert report is not None, output
    assert (code, report.state.reason) == (1, "TimedOut")
    assert "hook FAILED TimedOut" in pod.marks()


def test_a_flow_that_is_over_in_time_is_not_timed_out_while_its_history_is_delivered(tmp_path: Path, api: Any) -> None:
    """The time is the flow's; what comes after it has a limit of its own."""
    api.faults = [4.0]
    code, report, output = Pod(tmp_path, "f.py:good", API_URL=api.url, TIMEOUT_SECONDS=3).ended()
    assert report is not None, output
    assert (code, report.state.type, report.history_complete) == (0, "COMPLETED", True)


@pytest.mark.parametrize(("state", "code", "state_type", "reason"), VERDICTS.values(), ids=VERDICTS)
@pytest.mark.parametrize("entrypoint", ["naps", "naps_in_threads", "naps_async", "blocks_async"])
def test_sigterm_ends_the_flow_and_its_tasks_and_delivers_all(
    tmp_path: Path, api: Any, *, entrypoint: str, state: str, code: int, state_type: str, reason: str
) -> None:
    api.stop_reason = state
    pod = Pod(tmp_path, f"f.py:{entrypoint}", API_URL=api.url)
    pod.wait_for("started")
    time.sleep(0.2)
    began = time.monotonic()
    pod.terminate()
    got, report, output = pod.ended()
    assert time.monotonic() - began < 6
    assert report is not None, output
    assert (got, report.state.type, report.state.reason, report.history_complete) == (code, state_type, reason, True), output
    api.assert_complete(len(api.tasks))
    assert {row["state"] for row in api.tasks.values()} <= {state_type}
    if entrypoint == "naps":
        assert pod.marks() == ["started", "task cleaned up", "flow cleaned up"]
    if entrypoint == "naps_async":
        assert pod.marks() == ["started", "flow cleaned up"]
        assert len(api.tasks) == 2
    if entrypoint == "naps_in_threads":
        assert len(api.tasks) == 3


@pytest.mark.parametrize(
    "entrypoint", ["naps_in_a_pool", "leaves_a_pool", "naps_in_a_loop", "naps_in_a_thread_of_the_loop", "naps_in_a_pool_in_a_loop"]
)
def test_sigterm_ends_a_flow_whose_pool_waits_for_its_threads(tmp_path: Path, api: Any, entrypoint: str) -> None:
    """Python joins them when the pool is left; the process would have been killed without a report."""
    api.stop_reason = "OUTSIDE"
    pod = Pod(tmp_path, f"f.py:{entrypoint}", API_URL=api.url)
    pod.wait_for("started")
    began = time.monotonic()
    pod.terminate()
    code, report, output = pod.ended()
    assert time.monotonic() - began < 4
    assert report is not None, output
    assert (code, report.state.type, report.state.reason, report.history_complete) == (143, "CRASHED", "Terminated", True), output


def test_with_the_api_away_sigterm_is_a_crash(tmp_path: Path) -> None:
    pod = Pod(tmp_path, "f.py:naps", API_URL="http://127.0.0.1:9")
    pod.wait_for("started")
    pod.terminate()
    code, report, output = pod.ended()
    assert report is not None, output
    assert (code, report.state.reason, report.history_complete) == (143, "Terminated", False)


def test_a_second_sigterm_does_not_break_the_delivery(tmp_path: Path, api: Any) -> None:
    api.faults = [None, 0.2, 0.2, 0.2]
    pod = Pod(tmp_path, "f.py:busy_in_threads", API_URL=api.url)
    pod.wait_for("started")
    time.sleep(0.5)
    for _ in range(20):
        pod.terminate()
        time.sleep(0.05)
        if pod.process.poll() is not None:
            break
    code, report, output = pod.ended()
    assert report is not None, output
    assert (code, report.history_complete) == (143, True), output
    api.assert_complete(len(api.tasks))


def test_an_api_that_hangs_does_not_keep_the_process_beyond_its_grace(tmp_path: Path, api: Any) -> None:
    api.fault_forever = 60.0
    pod = Pod(tmp_path, "f.py:busy_in_threads", API_URL=api.url)
    pod.wait_for("started")
    time.sleep(0.3)
    began = time.monotonic()
    pod.terminate()
    code, report, output = pod.ended()
    assert time.monotonic() - began < 6.5, output
    assert (code, report is not None and report.history_complete) == (143, False)


def test_sigterm_during_the_last_delivery_shortens_it(tmp_path: Path, api: Any) -> None:
    api.fault_forever = 503
    pod = Pod(tmp_path, "f.py:good", API_URL=api.url, HISTORY_GRACE_SECONDS=60, GRACE_SECONDS=3)
    deadline = time.monotonic() + 30
    while not list((tmp_path / "spool").glob("*/*")) and time.monotonic() < deadline:
        time.sleep(0.05)
    time.sleep(0.3)
    pod.terminate()
    began = time.monotonic()
    code, report, output = pod.ended()
    assert time.monotonic() - began < 5
    assert report is not None, output
    assert (code, report.state.type, report.history_complete) == (0, "COMPLETED", False)


def test_a_flow_that_swallows_the_interruption_starts_no_task(tmp_path: Path) -> None:
    pod = Pod(tmp_path, "f.py:stubborn")
    pod.wait_for("started")
    pod.terminate()
    code, report, _ = pod.ended()
    assert (code, report is not None and report.state.reason) == (143, "Terminated")
    assert pod.marks() == ["started", "swallowed all"]


def test_an_exception_made_of_the_interruption_is_still_the_interruption(tmp_path: Path) -> None:
    pod = Pod(tmp_path, "f.py:changes_the_exception")
    pod.wait_for("started")
    pod.terminate()
    code, report, output = pod.ended()
    assert (code, report is not None and report.state.reason) == (143, "Terminated"), output


def test_a_flow_that_returns_in_spite_of_sigterm_completed(tmp_path: Path) -> None:
    pod = Pod(tmp_path, "f.py:finishes_anyway")
    pod.wait_for("started")
    pod.terminate()
    code, report, _ = pod.ended()
    assert (code, report is not None and report.state.type) == (0, "COMPLETED")


def test_a_flow_killed_in_its_grace_has_left_a_report(tmp_path: Path) -> None:
    source = (
        SOURCE
        + "\n@flow\ndef endless():\n    mark('started')\n    while True:\n        try:\n            time.sleep(30)\n        except BaseException:\n            mark('again')\n"
    )
    pod = Pod(tmp_path, "f.py:endless", SOURCE_INLINE=source)
    pod.wait_for("started")
    pod.terminate()
    pod.wait_for("again")
    time.sleep(0.2)
    pod.process.kill()
    code, report, _ = pod.ended()
    assert (code, report is not None and (report.state.reason, report.history_complete)) == (-9, ("Terminated", False))


@pytest.mark.parametrize("seed", range(12))
def test_sigterm_at_any_moment_leaves_a_whole_history(tmp_path: Path, api: Any, seed: int) -> None:
    draw = random.Random(seed)
    entrypoint = draw.choice(["busy", "busy_in_threads"])
    api.stop_reason = draw.choice(["Outside", "Cancelled", "Suspended", ""])
    pod = Pod(tmp_path, f"f.py:{entrypoint}", API_URL=api.url)
    pod.wait_for("started")
    time.sleep(draw.random())
    pod.terminate()
    code, report, output = pod.ended()
    assert report is not None, output
    assert (code, report.history_complete) == (3 if api.stop_reason == "Cancelled" else 143, True), output
    api.assert_complete(len(api.tasks))
    assert all(row["ended"] for row in api.tasks.values())
    json.dumps(report.state.message)


@pytest.mark.parametrize("delay", [0.0, 0.1, 0.2, 0.3, 0.4, 0.6])
def test_sigterm_while_it_starts_leaves_a_report_once_the_runner_is_up(tmp_path: Path, delay: float) -> None:
    pod = Pod(tmp_path, "f.py:naps")
    time.sleep(delay)
    pod.terminate()
    code, report, output = pod.ended()
    assert code in (-signal.SIGTERM, 143), output
    if report is None:
        assert output == ""
    else:
        assert (code, report.state.reason) == (143, "Terminated")


class TestSecondStarts:
    """A kubelet that lost its record of a container starts it again in the same pod: one attempt is one start."""

    def test_a_second_start_does_no_work_and_says_so(self, tmp_path: Path) -> None:
        shared = tmp_path / "attempt"
        shared.mkdir()
        first = Pod(tmp_path, "f.py:naps", ATTEMPT_DIR=shared)
        first.wait_for("started")
        first.process.kill()
        assert first.ended()[0] == -signal.SIGKILL
        code, report, output = Pod(tmp_path, "f.py:naps", ATTEMPT_DIR=shared).ended()
        assert report
        assert (code, report.attempt, report.state.type, report.state.reason) == (4, 2, "CRASHED", "ContainerRestarted")
        assert (report.retriable, report.history_complete) == (True, False)
        assert "started again in its pod" in report.state.message
        assert first.marks() == ["started"]
        assert "ContainerRestarted" in output

    def test_the_next_attempt_is_no_second_start(self, tmp_path: Path) -> None:
        shared = tmp_path / "attempt"
        shared.mkdir()
        assert [Pod(tmp_path, "f.py:good", ATTEMPT_DIR=shared, ATTEMPT=attempt).ended()[0] for attempt in (1, 2, 2)] == [0, 0, 4]

    @pytest.mark.parametrize("place", [None, "nowhere", "a-file"], ids=["no volume", "a folder that is missing", "a file"])
    def test_a_pod_without_the_volume_runs_all_the_same(self, tmp_path: Path, place: str | None) -> None:
        (tmp_path / "a-file").touch()
        code, report, _ = Pod(tmp_path, "f.py:good", ATTEMPT_DIR=tmp_path / place if place else None).ended()
        assert report
        assert (code, report.state.type) == (0, "COMPLETED")


def test_a_run_whose_wire_version_the_api_does_not_serve_says_so_at_its_end(api: Any, tmp_path: Path) -> None:
    """The flow itself completes; it logs once why, and what to do."""
    api.members = {"version": WIRE_VERSION, "oldest": WIRE_VERSION + 1, "newest": WIRE_VERSION + 3, "detail": "rebuild the image"}
    api.problem, api.fault_forever = "https://mintaka.dev/problems/unserved-version", 426
    code, report, output = Pod(tmp_path, "f.py:good", API_URL=api.url).ended()
    assert (code, report and (report.state.type, report.history_complete, report.history_reason)) == (
        0,
        ("COMPLETED", False, HistoryReason.WIRE_VERSION_NOT_SERVED),
    )
    assert output.count("rebuild the image") == 1


@pytest.mark.parametrize(
    ("version", "warned"), [(None, ""), (WIRE_VERSION, ""), (WIRE_VERSION + 2, ""), (WIRE_VERSION + 3, "rebuild the flow's image")]
)
def test_a_pod_of_an_operator_of_another_version_warns(api: Any, tmp_path: Path, version: int | None, warned: str) -> None:
    code, _, output = Pod(tmp_path, "f.py:good", API_URL=api.url, WIRE_VERSION=version).ended()
    assert (code, warned in output, "wire version" in output) == (0, True, bool(warned))
