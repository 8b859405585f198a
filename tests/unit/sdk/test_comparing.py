"""What differs between two runs, and how it is shown."""

from __future__ import annotations

import json
from typing import Any, Self

import pytest

from mintaka.cli import diff
from mintaka.persisting.comparing import compared


def run(state: str = "Completed", **parameters: Any) -> dict[str, Any]:
    return {"state": {"type": state.upper(), "name": state}, "parameters": parameters}


def task_run(n: int, task: str = "etl.load", state: str = "Completed", seconds: float = 1, **more: Any) -> dict[str, Any]:
    return {
        "n": n,
        "task": task,
        "state": state.upper(),
        "state_name": state,
        "reason": "",
        "message": "",
        "started": "2026-11-22T10:00:00Z",
        "ended": f"2026-11-22T10:00:{seconds:09.6f}Z",
    } | more


def test_runs_that_are_alike_do_not_differ() -> None:
    """Small differences of time are none; nor is the number of a task run."""
    tasks = [task_run(0), task_run(1, "etl.clean")]
    others = [task_run(5, seconds=1.5), task_run(7, "etl.clean", ended=None)]
    assert compared(run(day=1), run(day=1), tasks, others) == []


def test_how_often_a_task_was_tried_is_told() -> None:
    """Retries are a difference, though both completed."""
    found = compared(run(), run(), [task_run(0, runs=1)], [task_run(0, runs=3)])
    assert [tuple(each) for each in found] == [("tries", "load #1", "1", "3")]


def test_each_kind_of_difference_is_found() -> None:
    """State, parameters, a failure with its cause, a task that is only in one, a duration."""
    first = [task_run(0), task_run(1, seconds=1), task_run(2, "etl.clean")]
    second = [task_run(0, state="Failed", reason="ValueError", message="no"), task_run(1, seconds=9), task_run(2, "etl.report")]
    found = compared(run(day=1, region="south"), run("Failed", day=2, dry=True), first, second)
    assert [tuple(each) for each in found] == [
        ("state", "flow run", "Completed", "Failed"),
        ("parameter", "day", "1", "2"),
        ("parameter", "dry", "", "True"),
        ("parameter", "region", "'south'", ""),
        ("state", "load #1", "Completed", "Failed (ValueError: no)"),
        ("duration", "load #2", "1.00 s", "9.00 s"),
        ("task", "clean #1", "Completed", ""),
        ("task", "report #1", "", "Completed"),
    ]


class Source:
    """A history with two runs."""

    def flow_run(self, run_id: str) -> dict[str, Any]:
        return {"uid": run_id, "name": f"run-{run_id}", **run(day=1)}

    def task_runs(self, uid: str) -> list[dict[str, Any]]:
        return [task_run(0), task_run(1, state="Completed" if uid == "a" else "Cached")]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass


def test_the_command_says_by_its_exit_code_whether_they_differ(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Like diff: 0 for the same, 1 for different."""
    monkeypatch.setattr(diff, "place", lambda **_: Source())
    with pytest.raises(SystemExit) as ended:
        diff.command("a", "b")
    assert ended.value.code == 1
    assert capsys.readouterr().out == "WHAT   OF       run-a      run-b\nstate  load #2  Completed  Cached\n"
    with pytest.raises(SystemExit) as ended:
        diff.command("a", "b", json=True)
    assert ended.value.code == 1
    assert json.loads(capsys.readouterr().out) == {
        "first": {"uid": "a", "name": "run-a"},
        "second": {"uid": "b", "name": "run-b"},
        "differences": [{"kind": "state", "what": "load #2", "first": "Completed", "second": "Cached"}],
    }
    with pytest.raises(SystemExit) as ended:
        diff.command("a", "a")
    assert ended.value.code == 0
    assert capsys.readouterr().out == "no difference\n"
