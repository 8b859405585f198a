"""Logs of runs, and `runtime`."""

from __future__ import annotations

import asyncio
import builtins
import io
import logging
import sys
from typing import TYPE_CHECKING, Any, Self

import pytest

from mintaka import flow, get_run_logger, runtime, task
from mintaka.context import FlowRunContext, TaskRunContext, get_run_context
from mintaka.engine.bookkeeping import in_bookkeeping
from mintaka.exceptions import MissingContextError
from mintaka.logger_tree import hear, stop_hearing
from mintaka.logging import HistoryHandler, disable_run_logger, own_loggers
from mintaka.testing import MemoryRecorder, recorded
from mintaka_core.run_ids import flow_run_id, task_run_id

if TYPE_CHECKING:
    from collections.abc import Iterator


@task
def talks(word: str) -> None:
    get_run_logger().info("said %s", word)
    logging.getLogger("library").warning("heard %s", word)
    print("printed", word, sep="-")


@pytest.fixture
def history() -> Iterator[MemoryRecorder]:
    with recorded(flow_run_id="uid", name="run-1", namespace="team", deployment="daily", attempt=2, tags=("nightly",)) as recorder:
        handler = HistoryHandler(recorder)
        root = logging.getLogger()
        level = root.level
        root.addHandler(handler)
        root.setLevel(logging.INFO)
        yield recorder
        root.removeHandler(handler)
        root.setLevel(level)


def lines(history: MemoryRecorder) -> list[tuple[int, str, int | None, str]]:
    return [(line.level, line.logger, line.n, line.message) for line in history.lines]


def test_lines_carry_the_run_they_were_logged_in(history: MemoryRecorder) -> None:
    @flow
    def main() -> None:
        get_run_logger().info("begin")
        talks("a")
        talks.submit("b").result()

    main()
    assert lines(history) == [
        (20, "mintaka.flow_runs", None, "begin"),
        (20, "mintaka.task_runs", 0, "said a"),
        (30, "library", 0, "heard a"),
        (20, "mintaka.task_runs", 1, "said b"),
        (30, "library", 1, "heard b"),
    ]


def test_log_prints_makes_print_a_line_in_the_flow_and_its_tasks(history: MemoryRecorder, capsys: pytest.CaptureFixture[str]) -> None:
    real = builtins.print

    @flow(log_prints=True)
    def main() -> None:
        print("flow", 1)
        talks.submit("a").result()
        talks.with_options(log_prints=False)("b")

    main()
    assert [line for line in lines(history) if "printed" in line[3] or "flow" in line[3]] == [
        (20, "mintaka.flow_runs", None, "flow 1"),
        (20, "mintaka.task_runs", 0, "printed-a"),
    ]
    assert capsys.readouterr().out == "printed-b\n"
    assert builtins.print is real


def test_print_into_a_file_of_its_own_stays_there(history: MemoryRecorder, capsys: pytest.CaptureFixture[str]) -> None:
    file = io.StringIO()

    @flow(log_prints=True)
    async def main() -> None:
        print("kept", file=file)

    asyncio.run(main())
    assert (file.getvalue(), lines(history), capsys.readouterr().out) == ("kept\n", [], "")


def test_a_failed_task_leaves_its_traceback_in_the_log_without_our_frames(history: MemoryRecorder) -> None:
    @task
    def breaks() -> None:
        raise LookupError("lost")

    @flow
    def main() -> None:
        breaks(return_state=True)

    main()
    (line,) = lines(history)
    assert line[:3] == (40, "mintaka.task_runs", 0)
    assert line[3].startswith("breaks-0 ended Failed: LookupError: lost\nTraceback (most recent call last):\n  File ")
    assert "engine.py" not in line[3]
    assert line[3].endswith("LookupError: lost")


def test_a_line_that_cannot_be_formatted_does_not_end_the_flow(capsys: pytest.CaptureFixture[str]) -> None:
    recorder = MemoryRecorder()
    HistoryHandler(recorder).emit(logging.LogRecord("library", logging.INFO, "", 0, "%d", ("text",), None))
    assert recorder.lines == []
    assert "TypeError" in capsys.readouterr().err


def test_endless_lines_lose_their_middle(history: MemoryRecorder) -> None:
    @flow
    def main() -> None:
        get_run_logger().info("x" * 100_000)

    main()
    assert len(history.lines[0].message) < 33_000


def test_there_is_no_run_logger_outside_of_runs() -> None:
    with pytest.raises(MissingContextError, match="get_run_logger"):
        get_run_logger()


def test_runtime_tells_where_one_is(history: MemoryRecorder) -> None:
    @task(tags=["t"], retries=1)
    def asks() -> Any:
        if runtime.task_run.run_count == 1:
            raise ValueError("once more")
        return (
            runtime.task_run.id,
            runtime.task_run.n,
            runtime.task_run.name,
            runtime.task_run.task_name,
            runtime.task_run.run_count,
            runtime.task_run.tags,
        )

    @flow(tags=["f"])
    def main(n: int, label: str = "x") -> Any:  # noqa: ARG001 - runtime.flow_run.parameters tells them
        run = runtime.flow_run
        here = (
            run.id,
            run.name,
            run.flow_name,
            run.namespace,
            run.attempt,
            run.run_count,
            run.parameters,
            run.tags,
            runtime.deployment.name,
        )
        return here, asks.submit().result(), runtime.task_run.id

    here, inside, outside = main(1)
    assert here == ("uid", "run-1", "main", "team", 2, 1, {"n": 1, "label": "x"}, ["f", "nightly"], "daily")
    assert inside == (str(task_run_id(flow_run_id("uid"), 2, 0)), 0, "asks-0", "asks", 2, ["t"])
    assert outside is None
    assert history.row("asks-0")["started"] is not None


def test_runtime_is_empty_outside_of_runs() -> None:
    assert (runtime.flow_run.id, runtime.flow_run.parameters, runtime.task_run.n, runtime.deployment.name, runtime.flow_run.tags) == (
        None,
        {},
        None,
        None,
        [],
    )


def test_an_interruption_cannot_leave_the_lock_of_a_handler_taken() -> None:
    """A signal that hits inside of a handler is raised a moment later, when the lock is free."""
    seen: list[bool] = []

    class Looking(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            seen.append(in_bookkeeping(sys._getframe()) and record.name == "looked.at")

    logger = logging.getLogger("looked.at")
    handler = Looking()
    logger.addHandler(handler)
    logger.warning("now")
    logger.removeHandler(handler)
    assert seen == [True]
    assert not in_bookkeeping(sys._getframe())


def test_run_loggers_can_be_switched_off_for_tests_of_a_task_alone() -> None:
    """Outside of runs `get_run_logger()` works then; afterwards everything is as before."""
    with disable_run_logger():
        assert talks.fn("x") is None
        assert logging.getLogger("mintaka.task_runs").disabled
    assert not logging.getLogger("mintaka.task_runs").disabled
    with pytest.raises(MissingContextError):
        talks.fn("x")


class Heard(logging.Handler):
    """Keeps the names of the loggers whose lines it is handed; deaf again after the block."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.names.append(record.name)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        stop_hearing(self)


@pytest.mark.parametrize(
    ("named", "heard"),
    [
        ("", ["mintaka.x"]),
        ("lib, lib.part,other", ["mintaka.x", "lib.part", "lib"]),
        ("mintaka.x,root", ["mintaka.x", "lib.part", "lib"]),
        ("lib.quiet,lib", ["mintaka.x", "lib.part", "lib", "lib.quiet"]),
    ],
)
def test_the_lines_of_the_loggers_that_are_named_are_heard_once_each(monkeypatch: pytest.MonkeyPatch, named: str, heard: list[str]) -> None:
    """Also where one of them gets the lines of another, or from some time on no longer."""
    monkeypatch.setenv("MINTAKA_LOGGING_EXTRA_LOGGERS", named)
    with Heard() as handler:
        hear(handler, tuple(own_loggers()))
        monkeypatch.setattr(logging.getLogger("lib.quiet"), "propagate", False)  # as libraries do when they are imported
        for name in ("mintaka.x", "lib.part", "lib", "lib.quiet"):
            logging.getLogger(name).warning("a line")
    assert handler.names == heard
    assert all(logging.getLogger(name.strip()).isEnabledFor(logging.INFO) for name in named.split(",") if name not in ("", "root"))


def test_in_a_pod_the_root_logger_is_heard_and_those_that_do_not_get_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MINTAKA_LOGGING_EXTRA_LOGGERS", "lib,aloof")
    with Heard() as handler:
        hear(handler, None)
        monkeypatch.setattr(logging.getLogger("aloof"), "propagate", False)
        for name in ("lib", "aloof", "aloof.part", "anybody", "mintaka.x"):
            logging.getLogger(name).error("a line")
    assert handler.names == ["lib", "aloof", "aloof.part", "anybody", "mintaka.x"]


def test_contexts_tell_of_the_run_that_is_running() -> None:
    """Of the task, of the flow around it, and nothing outside."""

    @task(tags=["t"])
    def look(n: int, m: int = 2) -> tuple[Any, ...]:
        inner, outer = TaskRunContext.get(), FlowRunContext.get()
        assert inner is not None
        assert outer is not None
        assert isinstance(get_run_context(), TaskRunContext)
        assert (inner.task.name, inner.parameters, inner.task_run.tags, inner.task_run.state.name) == (
            "look",
            {"n": n, "m": m},
            ["t"],
            "Running",
        )
        assert (inner.task_run.flow_run_id, outer.task_runner is not None) == (outer.flow_run.id, True)
        return inner.task_run.id, inner.task_run.start_time, outer.start_time, outer.flow_run.deployment

    @flow(flow_run_name="run-{n}")
    def main(n: int) -> tuple[Any, ...]:
        outer = get_run_context()
        assert isinstance(outer, FlowRunContext)
        assert (outer.flow.name, outer.parameters, outer.flow_run.name, outer.flow_run.run_count) == ("main", {"n": 1}, "run-1", 1)
        return look.submit(n).result()

    with recorded(flow_run_id="uid", deployment="daily"):
        identity, began, outer_began, deployment = main("1")  # type: ignore[arg-type]
    assert (identity, deployment) == (task_run_id(flow_run_id("uid"), 1, 0), "daily")
    assert outer_began <= began
    assert (FlowRunContext.get(), TaskRunContext.get()) == (None, None)
    with pytest.raises(MissingContextError, match=r"get_run_context\(\)"):
        get_run_context()
