"""Commands that go on until something is over: logs across attempts, lists that change, a run that is watched."""

from __future__ import annotations

import copy
import json
from typing import TYPE_CHECKING, Any, Self

import pytest

from command_calls import call_command
from mintaka.cli import get, logs, watch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

RUN: dict[str, Any] = {
    "uid": "u",
    "namespace": "ns",
    "name": "etl",
    "deployment": "etl",
    "state": {"type": "RUNNING", "name": "Running", "reason": "", "message": "", "time": None},
    "sequence": 1,
    "attempt": 1,
    "failures": 0,
    "crashes": 0,
    "created": "2026-11-22T10:00:00Z",
    "scheduled": None,
    "started": "2026-11-22T10:00:01Z",
    "ended": None,
    "tags": [],
    "parameters": {},
    "pod": None,
    "task_counts": {},
}


def run(kind: str = "RUNNING", attempt: int = 1, **more: Any) -> dict[str, Any]:
    state = {**RUN["state"], "type": kind, "name": kind.capitalize()}
    return {**copy.deepcopy(RUN), "state": state, "attempt": attempt, **more}


class Story:
    """A place that changes at each pause: `runs` has the run at each pause, `lines` the lines of each attempt that are written by then."""

    pause_seconds = 1.0

    def __init__(self, runs: list[dict[str, Any]], lines: dict[int, list[tuple[int, str]]] | None = None) -> None:
        self.runs, self.lines, self.now = runs, lines or {}, 0

    def pause(self, _seconds: float) -> None:
        """Time goes on; after the last run nobody waits any more."""
        self.now += 1
        if self.now == len(self.runs):
            raise KeyboardInterrupt

    def flow_run(self, _run: str) -> dict[str, Any]:
        return self.runs[self.now]

    def flow_runs(self, _wanted: Any, *, limit: int) -> list[dict[str, Any]]:
        assert limit
        return [self.runs[self.now]]

    def task_runs(self, _uid: str, **_: Any) -> Iterator[dict[str, Any]]:
        names = ("load", "check")
        return iter([{"n": n, "name": f"{name}-{n}"} for n, name in enumerate(names)])

    def logs(self, _uid: str, *, attempt: int | None, after: int | None, level: int | None) -> Iterator[dict[str, Any]]:
        assert level is not None
        for number, (written, message) in enumerate(self.lines.get(attempt or self.runs[self.now]["attempt"], [])):
            if written <= self.now and (after is None or number > after):
                yield {
                    "seq": number,
                    "time": f"2026-11-22T10:00:{number:02}Z",
                    "level": 20,
                    "logger": "",
                    "n": number % 2,
                    "message": message,
                }

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, list[str], str]]:
    """Calls a command against a story; its exit code, lines of standard output, and standard error."""

    def call(story: Story, *arguments: str) -> tuple[int, list[str], str]:
        for module in (get, logs, watch):
            monkeypatch.setattr(module, "place", lambda **_: story)
            monkeypatch.setattr(module, "sleep", story.pause)
        code, out, error = call_command(monkeypatch, capsys, *arguments)
        return code, out.splitlines(), error

    return call


def test_a_log_is_followed_to_the_end_of_each_attempt_and_no_line_is_told_twice(told: Any) -> None:
    """A line of the first attempt comes in when the second has begun; the run's last when it is over."""
    story = Story(
        [run(), run(), run(attempt=2), run(attempt=2), run("COMPLETED", attempt=2)],
        {1: [(0, "one"), (1, "two"), (2, "late")], 2: [(2, "three"), (4, "last")]},
    )
    code, lines, error = told(story, "logs", "etl", "--follow")
    assert (code, [line.split()[-1] for line in lines]) == (0, ["one", "two", "late", "three", "last"])
    assert error == "attempt 2\n"


def test_an_attempt_that_is_asked_for_is_followed_to_its_end(told: Any) -> None:
    """Not into the next one."""
    story = Story([run(), run(attempt=2), run("COMPLETED", attempt=2)], {1: [(0, "one"), (1, "late")], 2: [(1, "three")]})
    assert [line.split()[-1] for line in told(story, "logs", "etl", "-f", "--attempt", "1")[1]] == ["one", "late"]


def test_the_tail_is_of_what_is_there_and_all_that_follows_is_told(told: Any) -> None:
    story = Story([run(), run("COMPLETED")], {1: [(0, "one"), (0, "two"), (0, "three"), (1, "four")]})
    assert [line.split()[-1] for line in told(story, "logs", "etl", "--tail", "1", "--follow")[1]] == ["three", "four"]


def test_lines_of_one_task_run_and_since_a_time(told: Any) -> None:
    story = Story([run("COMPLETED")], {1: [(0, "one"), (0, "two"), (0, "three")]})
    assert [line.split()[-1] for line in told(story, "logs", "etl", "check-1")[1]] == ["two"]
    assert [line.split()[-1] for line in told(story, "logs", "etl", "0")[1]] == ["one", "three"]
    assert [line.split()[-1] for line in told(story, "logs", "etl", "--since", "2026-11-22T10:00:01")[1]] == ["two", "three"]
    assert told(story, "logs", "etl", "--since", "1m")[1] == []
    assert [line.split()[-1] for line in told(story, "logs", "etl", "--since", "99999999999d")[1]][-2:] == ["two", "three"]
    code, _, error = told(story, "logs", "etl", "--since", "soon")
    assert code == 2
    assert "--since takes 30s, 10m" in error


def test_a_list_is_told_again_where_it_changes_until_ctrl_c(told: Any) -> None:
    story = Story([run(), run(), run(attempt=2), run("COMPLETED", attempt=2)])
    code, lines, _ = told(story, "get", "--watch")
    assert code == 130
    assert [line.split()[2:4] for line in lines] == [["STATE", "ATTEMPT"], ["Running", "1"], ["Running", "2"], ["Completed", "2"]]
    story = Story([run(), run("COMPLETED")])
    _, lines, _ = told(story, "get", "--watch", "--json")
    assert [type(json.loads(line)) for line in lines] == [list, dict]


@pytest.mark.parametrize(("kind", "exit_code"), [("COMPLETED", 0), ("FAILED", 1), ("CANCELLED", 3), ("CRASHED", 4)])
def test_a_run_is_watched_until_it_is_over(told: Any, kind: str, exit_code: int) -> None:
    story = Story([run(), run(), run(attempt=2), run(kind, attempt=2)])
    code, lines, error = told(story, "watch", "etl")
    assert (code, [line.split()[1] for line in lines]) == (exit_code, ["Running", "Running", kind.capitalize()])
    assert ("mintaka explain u" in error) == (kind != "COMPLETED")
    story = Story([run(), run(kind)])
    assert [json.loads(line)["state"]["type"] for line in told(story, "watch", "etl", "--json")[1]] == ["RUNNING", kind]
