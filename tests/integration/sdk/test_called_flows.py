"""Flows called in flows are flow runs of their own in history: in a script's file, and at an API with either database."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
from contextlib import closing
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from api_testing import report
from api_testing import task as row
from command_calls import call_command
from mintaka import flow, get_run_logger, task
from mintaka.artifacts import create_markdown_artifact
from mintaka.histories import Wanted, history
from mintaka.persisting.resuming import called, resume
from mintaka.recording.homes import home
from mintaka_history.batches import decode
from mintaka_history.embedded_sqlite import EmbeddedDatabase

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from mintaka.histories import Document

FAILS: list[str] = []


@task
def add(n: int) -> int:
    get_run_logger().info("adding %d", n)
    return n + 1


@flow(flow_run_name="below {n}", tags=["deep"])
def below(n: int) -> int:
    get_run_logger().info("below")
    create_markdown_artifact("# below", key="below")
    return add(n)


@flow
def middle(n: int) -> int:
    return below(n) + below(add.submit(n))


@flow
def outermost() -> int:
    get_run_logger().info("outermost")
    return middle(1)


def runs(**wanted: Any) -> list[Document]:
    """The flow runs, the oldest first."""
    with history() as where:
        return list(reversed(where.flow_runs(Wanted(**wanted), limit=5000)))


def only(**wanted: Any) -> Document:
    (found,) = runs(**wanted)
    return found


def states(run: Document) -> list[tuple[int, int, str]]:
    """Its transitions: attempt, number, state."""
    with history() as where:
        return [(each["attempt"], each["sequence"], each["to"]) for each in where.transitions(run["uid"])]


@pytest.mark.usefixtures("reached")
def test_each_is_there_with_what_is_its_own() -> None:
    assert outermost() == 5
    root = only(name="outermost")
    assert root["uid"] not in {run["uid"] for run in runs(called=True)}
    assert [run["name"] for run in runs() if run["kind"] == "called"] == []
    child = only(parent=root["uid"])
    assert (child["kind"], child["parent"], child["root"], child["flow"], child["parameters"]) == (
        *("called", root["uid"], root["uid"], "middle", {"n": 1}),
    )
    grandchildren = {run["name"]: run for run in runs(parent=child["uid"])}
    assert grandchildren.keys() == {"below 1", "below 2"}
    assert len(runs(root=root["uid"])) == 3
    inner = grandchildren["below 2"]
    assert (inner["root"], inner["tags"], inner["state"]["type"], inner["task_counts"]) == (
        root["uid"],
        ["deep"],
        "COMPLETED",
        {"COMPLETED": 1},
    )
    assert [state for _, _, state in states(inner)] == ["PENDING", "RUNNING", "COMPLETED"]
    assert (root["task_counts"], child["task_counts"]) == ({"COMPLETED": 1}, {"COMPLETED": 3})
    with history() as where:
        (call,) = where.task_runs(root["uid"])
        assert (call["kind"], call["n"], call["name"]) == ("subflow", child["parent_n"], child["name"])
        calls = [(row["kind"], row["name"], row["parent"], row["inputs"]) for row in where.task_runs(child["uid"])]
        added = calls[1][1]
        assert calls == [
            ("subflow", "below 1", None, {}),
            ("task", added, None, {}),
            ("subflow", "below 2", None, {"n": [int(added.removeprefix("add-"))]}),
        ]
        assert [(line["message"], line["n"]) for line in where.logs(root["uid"])] == [("outermost", None)]
        lines = [(line["message"], line["n"] is None) for line in where.logs(inner["uid"])]
        assert lines == [("below", True), ("adding 2", False)]
        assert [artifact["key"] for artifact in where.artifacts(inner["uid"])] == ["below"]
        assert where.flow_run("below 2")["uid"] == inner["uid"]


@pytest.mark.usefixtures("reached")
def test_a_thousand_are_there_when_the_flow_returns() -> None:
    @flow(flow_run_name="many")
    def many() -> None:
        for day in range(1000):
            nothing(day)

    many()
    root = only(name="many")
    found = runs(root=root["uid"])
    assert sorted(run["parameters"]["day"] for run in found) == list(range(1000))
    assert {run["state"]["type"] for run in found} == {"COMPLETED"}
    assert root["task_counts"] == {"COMPLETED": 1000}


@flow
def nothing(day: int) -> int:
    return day


@flow(persist_result=True)
def done(n: int) -> int:
    return add(n)


@flow
def fails_once(n: int) -> int:
    if not FAILS:
        FAILS.append("once")
        raise ValueError(n)
    return add(n)


@flow(flow_run_name="twice", persist_result=True)
def twice() -> int:
    return done(1) + fails_once(2)


@pytest.mark.usefixtures("reached")
def test_a_further_attempt_continues_with_the_same_flow_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A completed flow run is replaced by its persisted result and stays in its attempt; a failed one runs in the next attempt."""
    monkeypatch.setenv("MINTAKA_RESULT_STORAGE", str(tmp_path / "results"))
    FAILS.clear()
    with pytest.raises(ValueError, match="2"):
        twice()
    root = only(name="twice")
    before = {run["flow"]: run for run in runs(root=root["uid"])}
    assert {name: run["state"]["type"] for name, run in before.items()} == {"done": "COMPLETED", "fails-once": "FAILED"}
    assert resume(root["uid"], entrypoint=f"{__file__}:twice", call=_called).state.type == "COMPLETED"
    after = {run["flow"]: run for run in runs(root=root["uid"])}
    assert {name: run["uid"] for name, run in after.items()} == {name: run["uid"] for name, run in before.items()}
    assert after["done"] == before["done"]
    again = after["fails-once"]
    assert (again["attempt"], again["state"]["type"], again["created"]) == (2, "COMPLETED", before["fails-once"]["created"])
    assert states(again) == [
        *((1, number, state) for number, state in enumerate(["PENDING", "RUNNING", "FAILED"], 1)),
        *((2, number, state) for number, state in enumerate(["PENDING", "RUNNING", "COMPLETED"], 4)),
    ]
    with history() as where:
        assert [row["state"] for row in where.task_runs(again["uid"])] == ["COMPLETED"]
        assert [row["state_name"] for row in where.task_runs(root["uid"])] == ["Cached", "Completed"]


def _called(flow_again: Any, given: dict[str, Any], launch: Any) -> Any:  # noqa: ARG001 - the same flow, which counts here
    return called(twice, given, launch)


SUSPENDING = """
    from mintaka import flow, suspend_flow_run

    @flow(flow_run_name="waits below")
    def suspends():
        suspend_flow_run()

    @flow(flow_run_name="held", persist_result=True)
    def held():
        suspends()

    held()
"""


def test_one_that_is_suspended_is_cancelled_with_its_root(
    reached: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, terminal: Callable[..., tuple[int, str, str]]
) -> None:
    """Only the root can be cancelled; the command for the called flow run reports that."""
    monkeypatch.setenv("MINTAKA_RESULT_STORAGE", str(tmp_path / "results"))
    assert subprocess.run([sys.executable, "-c", textwrap.dedent(SUSPENDING)], capture_output=True, check=False).returncode == 5
    root, child = only(name="held"), only(name="waits below")
    assert (root["state"]["name"], child["state"]["name"]) == ("Suspended", "Suspended")
    for command in ("cancel", "suspend", "resume"):
        code, _, error = terminal(command, child["uid"])
        assert (code, f"mintaka {command} {root['uid']}" in error) == (2, True), error
    if reached is not None:
        for action in ("cancel", "suspend", "resume", "rerun"):
            answer = httpx.post(f"{reached.url}/api/v1/flow-runs/{child['uid']}/{action}")
            assert (answer.status_code, root["uid"] in answer.json()["detail"]) == (409, True), answer.text
        assert httpx.post(f"{reached.url}/api/v1/flow-runs/{child['uid']}/attempts").status_code == 404
    assert terminal("cancel", root["uid"])[0] == 0
    child = only(name="waits below")
    assert (child["state"]["type"], child["state"]["reason"]) == ("CANCELLED", "Cancelled")
    assert [state for _, _, state in states(child)][-2:] == ["PAUSED", "CANCELLED"]


RUNNING = """
    import signal, sys
    from mintaka import flow, task

    @task
    def busy():
        from mintaka.recording.historian import historian
        historian()._leave()  # what the next flush would do
        print("busy", flush=True)
        sys.stdin.read()

    @flow(flow_run_name="inner")
    def inner():
        busy()

    @flow(flow_run_name="outer")
    def outer():
        inner()

    outer()
"""
ENDS = {
    "killed": (signal.SIGKILL, "CRASHED", "ProcessDied"),
    "asked to end": (signal.SIGTERM, "CRASHED", "Terminated"),
    "cancelled": (None, "CANCELLED", "Cancelled"),
}


@pytest.mark.parametrize("how", ENDS)
def test_a_process_that_ends_takes_them_along(
    how: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, terminal: Callable[..., tuple[int, str, str]]
) -> None:
    monkeypatch.setenv("MINTAKA_HISTORY", "on")
    monkeypatch.setenv("MINTAKA_HOME", str(tmp_path))
    number, state, reason = ENDS[how]
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(RUNNING)],
        env=os.environ,
        text=True,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "busy\n"
    if number is None:
        assert terminal("cancel", only(name="outer")["uid"])[0] == 0
    else:
        process.send_signal(number)
    process.communicate(timeout=60)
    for name in ("outer", "inner"):
        found = only(name=name)
        assert (found["state"]["type"], found["state"]["reason"]) == (state, reason), name
    with history() as where:
        assert [row["state"] for row in where.task_runs(only(name="inner")["uid"])] == [state]


def test_commands_show_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, terminal: Callable[..., tuple[int, str, str]]) -> None:
    monkeypatch.setenv("MINTAKA_HISTORY", "on")
    monkeypatch.setenv("MINTAKA_HOME", str(tmp_path))
    outermost()
    root = only()
    child = only(parent=root["uid"])
    assert child["name"] not in terminal("get")[1]
    assert {run["name"] for run in runs(called=True)} <= set(terminal("get", "--called", "-o", "name")[1].splitlines())
    assert terminal("get", "--called", child["uid"], "-o", "name")[1].splitlines() == ["below 2", "below 1"]
    shown = terminal("get", "below 2")[1]
    assert child["uid"] in shown
    assert root["uid"] in shown
    assert child["name"] in terminal("get", root["uid"])[1]
    assert "RUNNING" in terminal("explain", "below 2")[1]
    assert terminal("watch", "below 2")[0] == 0
    assert "diff" not in terminal("diff", "below 1", "below 2")[2]
    own = terminal("logs", root["uid"])[1]
    assert "outermost" in own
    assert "adding" not in own
    lines = [line.split("]")[0].split("[")[-1] if "[" in line else "" for line in terminal("logs", root["uid"], "--called")[1].splitlines()]
    assert lines == ["", "below 1", "below 1 2", f"{child['name']} 3", "below 2", "below 2 5"]
    assert len(terminal("logs", child["uid"], "--called", "--tail", "2")[1].splitlines()) == 2


def test_a_file_of_a_release_without_them_is_read_as_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In such a file, a subflow and the tasks it called are task runs of the flow run."""
    monkeypatch.setenv("MINTAKA_HISTORY", "on")
    monkeypatch.setenv("MINTAKA_HOME", str(tmp_path))
    local = {"flow": "main", "created": 1, "transitions": [[1, "COMPLETED", "", 2, "", [], "", ""]]}
    old = report(1, [row(0, kind="subflow"), row(1, parent=0)], flow_run={"name": "old", "namespace": "local", "local": local})
    database = home().database
    assert database is not None
    with closing(EmbeddedDatabase(database)) as opened:
        opened.store_batch("0190f5fe-0000-7000-8000-000000000009", decode(json.dumps(old).encode()))
    with history() as where:
        assert [(each["kind"], each["parent"]) for each in where.task_runs(only()["uid"])] == [("subflow", None), ("task", 0)]


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Runs a command; returns its exit code and output."""

    def run(*arguments: str) -> tuple[int, str, str]:
        return call_command(monkeypatch, capsys, *arguments)

    return run
