"""What `mintaka run` shows of a flow run while it goes on, and when it is over."""

from __future__ import annotations

import io
import logging
import sys
from typing import TYPE_CHECKING, Any

import pytest
from rich.console import Console

from mintaka import flow, task
from mintaka.cli.above import Above
from mintaka.cli.columns import columns, print_lines
from mintaka.cli.following import Followed
from mintaka.cli.live import JsonLines, Picture, Silence, counts_text, tally_lines
from mintaka.cli.run import followed_run
from mintaka.cli.showing import lasting
from mintaka.persisting.resuming import called
from mintaka.recording.launching import launched

if TYPE_CHECKING:
    from mintaka.cli.tally import Tally


@task
def even(n: int) -> int:
    if n % 2:
        raise ValueError("odd")
    return n


@task(retries=1)
def stubborn() -> None:
    raise ValueError("never")


@flow
def inner() -> int:
    return even(4)


@flow
def outer() -> str:
    futures = even.map([0, 1, 2])
    inner()
    inner()
    stubborn.submit().wait()
    return " ".join(future.state.name for future in futures)


def seen_of(flow_: Any) -> Tally:
    launch = launched(flow_.name)
    followed = Followed(launch)
    called(flow_, {}, launch)
    return followed.look()


def test_task_runs_are_counted_by_task_and_inside_of_their_subflow() -> None:
    groups = {(group.depth, group.name): (group.counts(), group.retried) for group in seen_of(outer).groups()}
    assert groups == {
        (0, "even"): ({"completed": 2, "failed": 1}, 0),
        (0, "inner"): ({"completed": 2}, 0),
        (1, "even"): ({"completed": 2}, 0),
        (0, "stubborn"): ({"failed": 1}, 1),
    }


def test_what_is_under_way_and_what_has_not_begun_are_told_apart() -> None:
    looks: list[dict[str, int]] = []

    @task
    def look() -> None:
        looks.append(followed.look().counts())

    @flow
    def looking() -> None:
        with_all = [look.submit(wait_for=[])]
        with_all += [even.submit(2, wait_for=with_all) for _ in range(3)]
        for future in with_all:
            future.wait()

    launch = launched("looking")
    followed = Followed(launch)
    called(looking, {}, launch)
    assert looks[0]["running"] == 1
    assert followed.look().counts() == {"completed": 4}


def test_a_run_that_is_tried_again_is_counted_once() -> None:
    assert seen_of(outer).counts() == {"completed": 6, "failed": 2, "retried": 1}


def test_a_terminal_that_is_too_low_keeps_what_goes_wrong() -> None:
    lines = [line.plain for line in tally_lines(seen_of(outer), 3)]
    assert [line.split()[0] for line in lines] == ["even", "stubborn", "…"]
    assert lines[-1] == "… and 2 more"


def test_ten_thousand_task_runs_are_one_line() -> None:
    @task
    def plain(n: int) -> int:
        return n

    @flow
    def many() -> None:
        for n in range(10_000):
            plain(n)

    (line,) = tally_lines(seen_of(many), 20)
    assert line.plain.split()[:2] == ["plain", "10000/10000"]


def test_the_picture_leaves_what_is_printed_above_it_and_gives_the_terminal_back(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    terminal = Terminal()
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr(sys, "stdout", terminal)
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setattr(sys, "breakpointhook", before := sys.breakpointhook)
    handler = logging.StreamHandler(terminal)
    logger = logging.getLogger("somebody")
    logger.addHandler(handler)
    launch = launched("outer")
    with Picture(Followed(launch)) as picture:
        sys.stdout.write("from the flow\n")
        logger.warning("from a library")
        called(outer, {}, launch)
        picture._draw()
        sys.stdout.write("no newline")
    logger.removeHandler(handler)
    told = terminal.getvalue()
    assert told.index("from the flow") < told.index("from a library") < told.index("even") < told.rindex("no newline") < told.rindex("even")
    assert told.rindex("\x1b[?25h") > told.rindex("\x1b[?25l"), "the cursor is visible again"
    assert (sys.stdout, sys.stderr, handler.stream, sys.breakpointhook) == (terminal, terminal, terminal, before)


def test_what_is_no_terminal_is_left_alone(capsys: pytest.CaptureFixture[str]) -> None:
    above = Above()
    out = sys.stdout
    above.take()
    assert sys.stdout is out
    print("straight")
    above.give_back()
    assert capsys.readouterr().out == "straight\n"


def test_json_lines_say_what_changed_and_nothing_twice(capsys: pytest.CaptureFixture[str]) -> None:
    launch = launched("outer")
    lines = JsonLines(Followed(launch), seconds=0)
    called(outer, {}, launch)
    lines._turn()
    lines._turn()
    assert capsys.readouterr().out.count('"kind": "progress"') == 1


def test_where_nothing_is_shown_nothing_that_was_noted_piles_up(capsys: pytest.CaptureFixture[str]) -> None:
    launch = launched("outer")
    followed = Followed(launch)
    called(outer, {}, launch)
    assert followed._recorder.changes
    capsys.readouterr()
    Silence(followed)._turn()
    assert not followed._recorder.changes
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("asynchronous", [False, True])
def test_ctrl_c_cancels_the_run_and_leaves_nothing_open(asynchronous: bool) -> None:
    @task
    def pressing() -> None:
        raise KeyboardInterrupt

    @flow
    def interrupted() -> None:
        pressing()

    @flow
    async def interrupted_async() -> None:
        pressing()

    ended = followed_run(interrupted_async if asynchronous else interrupted, {}, progress=False)
    assert (ended.interrupted, ended.state.name, ended.state.reason) == (True, "Cancelled", "Interrupted")
    assert ended.tally.counts() == {"cancelled": 1}, "the task it hit"
    assert ended.launch.ledger is not None
    assert not ended.launch.ledger.live


def test_columns_are_cut_on_a_terminal_and_nowhere_else() -> None:
    lines = columns(("NAME", "WHY"), [("a" * 10, "b" * 100), ("c", "")])
    for terminal, longest in ((True, 40), (False, 112)):
        out = Console(file=io.StringIO(), width=40, force_terminal=terminal, color_system=None)
        print_lines(out, lines)
        printed = out.file.getvalue().splitlines()  # type: ignore[attr-defined]
        assert max(map(len, printed)) == longest
        assert printed[0].rstrip() == "NAME        WHY"


@pytest.mark.parametrize(
    ("seconds", "told"),
    [
        (0.04, "40ms"),
        (0.3, "0.3s"),
        (9.96, "10.0s"),
        (12, "12s"),
        (75, "1m15s"),
        (3600, "1h"),
        (7800, "2h10m"),
        (1500, "25m"),
        (50000, "13h"),
        (90000, "1d"),
        (-1, "0.0s"),
    ],
)
def test_durations_are_told_as_people_do(seconds: float, told: str) -> None:
    assert lasting(seconds) == told


def test_no_task_runs_are_told_as_such() -> None:
    assert counts_text({}) == "no task runs"
