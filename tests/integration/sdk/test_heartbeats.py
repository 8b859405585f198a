"""Scripts against an API that die are found out by their silence; those that live are not, whatever happens to the API."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from mintaka import flow, task
from mintaka.context import LAUNCH, Launch
from mintaka.recording.delivery import HistoryRecorder
from mintaka.recording.delivery_settings import DeliverySettings
from mintaka.recording.sinks import ApiSink
from mintaka_history.writing.crashes import HEARTBEAT_LOST, RULE
from real_api import RealApi

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

SCRIPT = """
    import sys
    from mintaka import flow, task
    @task
    def add(n):
        return n
    @task
    def waits():
        print("busy", flush=True)
        return sys.stdin.readline()
    @flow(flow_run_name="script")
    def main():
        for n in range(20):
            add(n)
        return waits()
    main()
"""


@pytest.fixture
def api(database_url: str) -> Iterator[RealApi]:
    """An API that takes scripts for dead after three seconds of silence."""
    real = RealApi(database_url, MINTAKA_SILENCE_SECONDS="3")
    real.start()
    yield real
    real.kill()


@pytest.fixture
def started(api: RealApi, tmp_path: Path) -> Any:
    """A script against the API, in its last task."""
    environment = os.environ | {"MINTAKA_HISTORY": "on", "MINTAKA_HOME": str(tmp_path), "MINTAKA_API_URL": api.url}
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(SCRIPT)], env=environment, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "busy\n"
    eventually(lambda: state(api) == "RUNNING")
    yield process
    process.kill()
    process.communicate()


def state(api: RealApi) -> str:
    found = api.get("/flow-runs?name=script")["items"]
    return str(found[0]["state"]["type"]) if found else ""


def eventually(look: Callable[[], bool], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not look():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_killed_script_is_found_crashed_with_the_task_it_was_in(api: RealApi, started: Any) -> None:
    started.kill()
    eventually(lambda: state(api) == "CRASHED")
    (run,) = api.get("/flow-runs?name=script")["items"]
    assert (run["state"]["reason"], run["state"]["message"], run["history_complete"]) == ("ProcessDied", HEARTBEAT_LOST, False)
    assert api.get(f"/flow-runs/{run['uid']}/transitions")["items"][-1]["rule"] == RULE
    tasks = api.all_of(f"/flow-runs/{run['uid']}/task-runs")
    assert [each["state"] for each in tasks] == ["COMPLETED"] * 20 + ["CRASHED"]
    assert tasks[-1]["history"][-1][4] == [[RULE, "Accept", "ProcessDied"]]


def test_a_script_that_was_frozen_for_too_long_goes_on_where_it_was(api: RealApi, started: Any) -> None:
    started.send_signal(signal.SIGSTOP)
    eventually(lambda: state(api) == "CRASHED")
    started.send_signal(signal.SIGCONT)
    started.communicate("go on\n", timeout=30)
    (run,) = api.get("/flow-runs?name=script")["items"]
    assert (run["state"]["type"], run["history_complete"], run["crashes"]) == ("COMPLETED", True, 0)
    assert run["task_counts"] == {"COMPLETED": 21}
    transitions = api.get(f"/flow-runs/{run['uid']}/transitions")["items"]
    assert [each["to"] for each in transitions] == ["PENDING", "RUNNING", "COMPLETED"]
    tasks = api.all_of(f"/flow-runs/{run['uid']}/task-runs")
    assert [(each["state"], each["sequence"], len(each["history"])) for each in tasks] == [("COMPLETED", 3, 3)] * 21


SUSPENDS = """
from mintaka import flow, suspend_flow_run
@flow(flow_run_name="script")
def main(timeout):
    suspend_flow_run(timeout=timeout)
main(PATIENCE)
"""


def test_a_script_that_suspended_itself_is_silent_and_well(api: RealApi, tmp_path: Path) -> None:
    """Another one that is killed afterwards is found; by then this one would have been."""
    environment = os.environ | {"MINTAKA_HISTORY": "on", "MINTAKA_HOME": str(tmp_path), "MINTAKA_API_URL": api.url}
    for text, name in ((SUSPENDS.replace("PATIENCE", "None"), "script"), (SCRIPT.replace('"script"', '"other"'), "other")):
        process = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(text)], env=environment, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        if name == "other":
            assert process.stdout is not None
            process.stdout.readline()
            eventually(lambda: bool(api.get("/flow-runs?name=other")["items"]))
            process.kill()
        process.communicate(timeout=30)
    eventually(lambda: api.get("/flow-runs?name=other")["items"][0]["state"]["type"] == "CRASHED")
    assert state(api) == "PAUSED"


def test_a_script_that_nobody_resumes_in_time_fails_by_itself(api: RealApi, tmp_path: Path) -> None:
    """The API looks, since nobody else does."""
    environment = os.environ | {"MINTAKA_HISTORY": "on", "MINTAKA_HOME": str(tmp_path), "MINTAKA_API_URL": api.url}
    subprocess.run([sys.executable, "-c", textwrap.dedent(SUSPENDS.replace("PATIENCE", "0.1"))], env=environment, check=False)
    eventually(lambda: state(api) == "FAILED")
    (run,) = api.get("/flow-runs?name=script")["items"]
    assert (run["state"]["name"], run["state"]["reason"]) == ("TimedOut", "SuspensionTimedOut")
    assert api.get(f"/flow-runs/{run['uid']}/pauses")["items"] == []


def long_flow(api: RealApi, folder: Path, meanwhile: Callable[[], None], *, local: bool = True, **settings: Any) -> Any:
    """Run a flow with one task in which `meanwhile` happens; the flow run as the API has it then, and its transitions."""
    launch = Launch(flow_run_id="0190f5fe-0000-7000-8000-000000000007", name="script", namespace="local", local=local, flow="long")
    recorder = HistoryRecorder(ApiSink(api.url), launch, DeliverySettings(spool_folder=folder, retry_max_seconds=0.3, **settings))
    launch.recorder = recorder
    done = threading.Event()

    @task
    def waits() -> None:
        assert done.wait(60)

    def body() -> None:
        future = waits.submit()
        meanwhile()
        done.set()
        future.result()

    token = LAUNCH.set(launch)
    try:
        flow(body)()
    finally:
        LAUNCH.reset(token)
    assert recorder.close(time.monotonic() + 20).complete
    run = api.get(f"/flow-runs/{launch.flow_run_id}")
    return run, [each["to"] for each in api.get(f"/flow-runs/{launch.flow_run_id}/transitions")["items"]]


def test_an_idle_script_says_so_and_is_left_alone(api: RealApi, tmp_path: Path) -> None:
    run, transitions = long_flow(api, tmp_path, lambda: time.sleep(7), beat_seconds=0.5)
    assert (run["state"]["type"], transitions) == ("COMPLETED", ["PENDING", "RUNNING", "COMPLETED"])
    assert run["crashes"] == 0


def test_an_api_that_was_away_waits_for_everybody_to_speak_again(api: RealApi, tmp_path: Path) -> None:
    seen = []

    def meanwhile() -> None:
        eventually(lambda: state(api) == "RUNNING")
        api.kill()
        time.sleep(4)
        api.start()
        until = time.monotonic() + 5
        while time.monotonic() < until:
            seen.append(state(api))
            time.sleep(0.1)

    run, transitions = long_flow(api, tmp_path, meanwhile, beat_seconds=0.5)
    assert set(seen) == {"RUNNING"}
    assert (run["state"]["type"], transitions) == ("COMPLETED", ["PENDING", "RUNNING", "COMPLETED"])


def test_a_silent_run_of_a_cluster_is_the_operators_to_judge(api: RealApi, tmp_path: Path) -> None:
    run, _ = long_flow(api, tmp_path, lambda: time.sleep(5), local=False)
    assert (run["state"]["type"], run["crashes"]) == ("RUNNING", 0)
