"""What the processes that go on with a run are asked."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from time import monotonic, sleep
from typing import TYPE_CHECKING, Any

import pytest

from mintaka.cli import supervising
from mintaka.persisting.kept_runs import KeptRun
from mintaka_core.reports import ExitCode

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("words", [[], ["--json"], ["--no-progress"], ["--json", "--no-progress"]], ids=" ".join)
def test_a_run_that_goes_on_in_another_process_is_shown_as_it_was(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, words: list[str]
) -> None:
    """By the same options."""
    asked: list[list[str]] = []

    def child(_self: object, arguments: list[str], _run: str) -> int:
        asked.append(arguments)
        return 4 if len(asked) == 1 else 0

    monkeypatch.setenv("MINTAKA_HISTORY", "on")
    monkeypatch.setenv("MINTAKA_HOME", str(tmp_path))
    monkeypatch.setattr("sys.argv", ["mintaka", "run", "flow.py:main", "--restart-on-crash", "1", *words, "-p", "token=x"])
    monkeypatch.setattr(supervising.AskedToEnd, "child", child)
    kept = KeptRun("r", "r", "r", "f", "flow.py:main", None, (), ("token",))
    monkeypatch.setattr(supervising, "_kept", lambda _: kept)
    assert supervising.supervised(1, progress="--no-progress" not in words, json="--json" in words) == 0
    first, second = asked
    assert first == ["run", "flow.py:main", *words, "-p", "token=x"]
    assert (second[0], second[2:]) == ("resume", ["-p", "token=x", *words])


HOLDS_THE_INTERPRETER = """
import ctypes, pathlib, time
from mintaka import flow, task

@task
def quick() -> int:
    return 1

@task
def holds() -> None:
    time.sleep(1)  # what has happened until now is on record
    pathlib.Path("begun").touch()
    ctypes.PyDLL(None).sleep(60)

@flow
def main() -> None:
    quick()
    holds.submit().result()
"""


def test_a_process_in_which_python_cannot_run_is_ended_and_none_of_its_tasks_stays_running(tmp_path: Path) -> None:
    """C code that holds the interpreter's lock: no signal handler and no thread can run, so the supervisor kills it."""
    (tmp_path / "flow.py").write_text(HOLDS_THE_INTERPRETER)
    environment = {
        **os.environ,
        "MINTAKA_HOME": str(tmp_path / "home"),
        "MINTAKA_HISTORY": "on",
        "MINTAKA_GRACE_SECONDS": "0.5",
    }
    command = [sys.executable, "-c", "from mintaka.cli import main; main()"]
    supervised = [*command, "run", "flow.py:main", "--restart-on-crash", "1", "--no-progress"]
    with subprocess.Popen(supervised, cwd=tmp_path, env=environment, stderr=subprocess.PIPE, text=True) as supervisor:
        deadline = monotonic() + 30
        while not (tmp_path / "begun").exists() and monotonic() < deadline:
            sleep(0.05)
        sleep(0.1)
        supervisor.send_signal(signal.SIGTERM)
        _, told = supervisor.communicate(timeout=20)
    assert supervisor.returncode == ExitCode.CRASHED
    assert "did not end within the grace period (MINTAKA_GRACE_SECONDS): killed" in told

    def shown(*words: str) -> Any:
        return json.loads(subprocess.run([*command, "get", *words, "--json"], env=environment, capture_output=True, check=True).stdout)

    (run,) = shown()
    assert run["state"]["type"] == "CRASHED"
    tasks = {each["name"]: each["state"] for each in shown(run["uid"])["task_runs"]}
    assert tasks == {"quick-0": "COMPLETED", "holds-1": "CRASHED"}
