"""Logs of runs, and `runtime`."""

from __future__ import annotations

import asyncio
import builtins
import io
import logging
import sys
from typing import TYPE_CHECKING, Any, Self
from uuid import UUID

import pytest

from mintaka import flow, get_run_logger, runtime, task
from mintaka.context import FlowRunContext, TaskRunContext, get_run_context
from mintaka.engine.bookkeeping import in_bookkeeping
from mintaka.engine.called_flows import CalledFlow, CallNumbers
from mintaka.exceptions import InvalidSettingError, MissingContextError
from mintaka.logger_tree import hear, stop_hearing
from mintaka.logging import HistoryHandler, disable_run_logger, own_loggers
from mintaka.task_runners import ProcessPoolTaskRunner
from mintaka.testing import MemoryRecorder, recorded
from mintaka_core.run_ids import flow_run_id, task_run_id

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


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


class Records(logging.Handler):
    """Keeps the fields of records that say which run they are of."""

    def __init__(self) -> None:
        super().__init__()
        self.kept: list[dict[str, Any]] = []

    def emit(self, record: logging.LogRecord) -> None:
        ordinary = {*logging.makeLogRecord({}).__dict__, "message", "asctime"}
        self.kept.append({name: value for name, value in record.__dict__.items() if name not in ordinary and not name.startswith("_")})


@pytest.fixture
def records() -> Iterator[list[dict[str, Any]]]:
    handler, logger = Records(), logging.getLogger("mintaka")
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    yield handler.kept
    logger.setLevel(level)
    logger.removeHandler(handler)


@task(name="the task", task_run_name="look", log_prints=True)
def logs_fields(**fields: Any) -> None:
    get_run_logger(**fields).warning("a line")


UID = "0190f5fe-0000-7000-8000-000000000003"
AROUND = {"flow_run_id": UID, "flow_run_name": "run-1", "flow_name": "main"}
OF_FLOW = {**AROUND, "deployment_name": "daily"}


def of_task(n: int, flow: dict[str, Any] = AROUND) -> dict[str, Any]:
    own = {
        "task_run_id": str(task_run_id(flow_run_id(flow["flow_run_id"]), 1, n)),
        "task_run_name": "look",
        "task_name": "the task",
        "run_name": "look",
    }
    return {**flow, **own}


@task(name="the task", task_run_name="look", log_prints=True)
def prints_line() -> None:
    print("a line")


@task(name="the task", task_run_name="look")
async def logs_async() -> None:
    get_run_logger().warning("a line")


class Logs:
    """A class with a task."""

    @task(name="the task", task_run_name="look")
    def line(self) -> None:
        get_run_logger().warning("a line")


@flow(name="below", flow_run_name="run below")
def logs_below() -> None:
    get_run_logger().warning("a line")
    logs_fields()


_BELOW_UID = CalledFlow("below", logs_below.key, flow_run_id(UID), CallNumbers(), nested=False).uid
BELOW = {"flow_run_id": str(_BELOW_UID), "flow_run_name": "run below", "flow_name": "below"}
LINES: dict[str, tuple[Callable[[], Any], list[dict[str, Any]]]] = {
    "the flow itself": (lambda: get_run_logger().warning("a line"), [{**OF_FLOW, "run_name": "run-1"}]),
    "a task": (logs_fields, [of_task(0)]),
    "a submitted task": (lambda: logs_fields.submit().wait(), [of_task(0)]),
    "a mapped task": (lambda: logs_fields.with_options(task_run_name="look").map(job=["a"]).wait(), [{**of_task(0), "job": "a"}]),
    "a method": (lambda: Logs().line(), [of_task(0)]),
    "an async task": (lambda: logs_async.submit().wait(), [of_task(0)]),
    "a printed line": (prints_line, [of_task(0)]),
    "fields of its own": (lambda: logs_fields(job="nightly", n=3), [{**of_task(0), "job": "nightly", "n": 3}]),
    "fields of one call": (
        lambda: get_run_logger(job="a", n=1).warning("a line", extra={"n": 2}),
        [{**OF_FLOW, "run_name": "run-1", "job": "a", "n": 2}],
    ),
    "a subflow and its task": (logs_below, [{**BELOW, "deployment_name": "daily", "run_name": "run below"}, of_task(1, BELOW)]),
}


@pytest.mark.parametrize("kind", LINES)
@pytest.mark.parametrize("runner", [None, ProcessPoolTaskRunner(1)], ids=["threads", "processes"])
def test_records_say_which_run_they_are_of(kind: str, runner: Any, records: list[dict[str, Any]]) -> None:
    line, told = LINES[kind]
    with recorded(flow_run_id=UID, name="run-1", deployment="daily"):
        flow(line, name="main", task_runner=runner)()
    assert records == told


def test_records_outside_of_flows_are_of_a_task_alone(records: list[dict[str, Any]]) -> None:
    logs_fields()
    (told,) = records
    assert UUID(told.pop("task_run_id"))
    assert told == {
        "flow_run_id": None,
        "flow_run_name": "<unknown>",
        "flow_name": "<unknown>",
        "task_run_name": "look",
        "task_name": "the task",
        "run_name": "look",
    }


def test_the_logger_of_a_context_is_that_of_its_run(records: list[dict[str, Any]]) -> None:
    @task
    def logs_of_flow() -> None:
        get_run_logger(FlowRunContext.get(), job="a").warning("a line")
        get_run_logger(context=TaskRunContext.get()).warning("a line")

    with recorded(flow_run_id=UID, name="run-1", deployment="daily"):
        flow(logs_of_flow, name="main")()
    assert records[0] == {**OF_FLOW, "run_name": "run-1", "job": "a"}
    assert records[1]["task_name"] == "logs_of_flow"


@pytest.mark.parametrize("name", ["message", "args", "name", "msg", "asctime", "levelname"])
def test_a_field_that_records_have_of_their_own_is_refused(name: str) -> None:
    """It would be an error at each line."""

    @flow
    def main() -> None:
        get_run_logger(**{name: 1})

    with pytest.raises(InvalidSettingError, match=rf"cannot give records a field '{name}'"):
        main()


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
