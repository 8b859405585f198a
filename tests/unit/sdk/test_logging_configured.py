"""Whatever a program does to the configuration of logging, and in whatever thread it logs: the run's log has the lines."""

from __future__ import annotations

import asyncio
import logging
import logging.config
import os
import subprocess
import sys
import textwrap
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from mintaka import flow, get_run_logger, task
from mintaka.exceptions import MissingContextError
from mintaka.logger_tree import hear, own_logger, stop_hearing
from mintaka.logging import HistoryHandler, get_logger
from mintaka.task_runners import ProcessPoolTaskRunner
from mintaka.testing import MemoryRecorder, recorded

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

PLAIN: dict[str, Any] = {
    "version": 1,
    "handlers": {"console": {"class": "logging.StreamHandler", "stream": "ext://sys.stderr"}},
    "root": {"level": "WARNING", "handlers": ["console"]},
}


def by_file(**defaults: Any) -> None:
    from tempfile import NamedTemporaryFile  # noqa: PLC0415 - one of many ways

    with NamedTemporaryFile("w", suffix=".ini") as file:
        file.write("[loggers]\nkeys=root\n[handlers]\nkeys=\n[formatters]\nkeys=\n[logger_root]\nlevel=ERROR\nhandlers=\n")
        file.flush()
        logging.config.fileConfig(file.name, **defaults)


CONFIGURATIONS: dict[str, Callable[[], object]] = {
    "dictConfig": lambda: logging.config.dictConfig(PLAIN),
    "dictConfig that leaves other loggers alone": lambda: logging.config.dictConfig({**PLAIN, "disable_existing_loggers": False}),
    "dictConfig that names our logger without a level": lambda: logging.config.dictConfig(
        {**PLAIN, "loggers": {"mintaka": {"handlers": ["console"], "propagate": False}}}
    ),
    "dictConfig of nothing": lambda: logging.config.dictConfig({"version": 1}),
    "fileConfig": by_file,
    "basicConfig by force": lambda: logging.basicConfig(level=logging.ERROR, force=True),
    "logging.disable": lambda: logging.disable(logging.CRITICAL),
    "shutdown": logging.shutdown,
    "handlers cleared": lambda: [logging.getLogger(name).handlers.clear() for name in (None, "mintaka", "mintaka.task_runs")],
    "handlers replaced": lambda: [setattr(logging.getLogger(name), "handlers", []) for name in (None, "mintaka")],
    "the root silenced": lambda: logging.getLogger().setLevel(logging.CRITICAL + 1),
    "our loggers kept apart": lambda: [setattr(logging.getLogger(name), "propagate", False) for name in ("mintaka", "mintaka.task_runs")],
    "two of them": lambda: (logging.config.dictConfig(PLAIN), logging.disable(logging.CRITICAL)),
}


@pytest.fixture(autouse=True)
def logging_as_before() -> Iterator[None]:
    """A test may do what it likes with logging."""
    root = logging.getLogger()
    kept = [
        (logger, logger.handlers[:], logger.level, logger.propagate, logger.disabled)
        for logger in (root, *(each for each in list(root.manager.loggerDict.values()) if isinstance(each, logging.Logger)))
    ]
    handlers = logging._handlerList[:]
    yield
    logging.disable(logging.NOTSET)
    logging._handlerList[:] = handlers
    for logger, own, level, propagate, disabled in kept:
        logger.handlers, logger.propagate, logger.disabled = own, propagate, disabled
        logger.setLevel(level)


@pytest.fixture
def history() -> Iterator[MemoryRecorder]:
    """What a pod's history has."""
    with recorded() as recorder:
        handler = HistoryHandler(recorder)
        hear(handler, None)
        yield recorder
        stop_hearing(handler)


def messages(history: MemoryRecorder) -> list[tuple[int | None, str]]:
    return [(line.n, line.message) for line in history.lines]


@task(log_prints=True)
def configures(name: str) -> None:
    get_run_logger().info("before")
    CONFIGURATIONS[name]()
    get_run_logger().info("after %s", 1)
    print("printed", 2)


@task(log_prints=True)
async def configures_async(name: str) -> None:
    configures.fn(name)


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_lines_and_prints_after_a_configuration_are_in_the_log(name: str, history: MemoryRecorder) -> None:
    @flow(log_prints=True)
    def main() -> None:
        earlier = get_run_logger()
        configures(name)
        configures.submit(name).result()
        asyncio.run(configures_async(name))
        earlier.info("a logger from before")
        get_run_logger().warning("the end")
        print("of the flow")

    main()
    of_tasks = [(n, message) for n in range(3) for message in ("before", "after 1", "printed 2")]
    assert messages(history) == [*of_tasks, (None, "a logger from before"), (None, "the end"), (None, "of the flow")]


@pytest.mark.parametrize("name", ["dictConfig", "basicConfig by force", "logging.disable"])
def test_lines_of_a_body_in_another_process_are_in_the_log_too(name: str, history: MemoryRecorder) -> None:
    @flow(task_runner=ProcessPoolTaskRunner(max_workers=1))
    def main() -> None:
        configures.submit(name).result()
        configures.submit(name).result()

    main()
    assert messages(history) == [(n, message) for n in range(2) for message in ("before", "after 1", "printed 2")]


def test_what_was_configured_at_import_and_the_failures_that_follow_are_in_the_log(history: MemoryRecorder) -> None:
    CONFIGURATIONS["dictConfig"]()

    @task(retries=1)
    def breaks() -> None:
        raise ValueError("no")

    @flow
    def main() -> None:
        breaks(return_state=True)

    main()
    first, second = [message.partition("\n")[0] for _, message in messages(history)]
    assert first.startswith("breaks-0 Failed: ValueError: no; failure 1 of 1 allowed")
    assert second == "breaks-0 ended Failed: ValueError: no"


def test_what_somebody_sets_on_our_loggers_by_name_is_respected(history: MemoryRecorder) -> None:
    @flow
    def main() -> None:
        logging.config.dictConfig({**PLAIN, "loggers": {"mintaka": {"level": "ERROR"}}})
        get_run_logger().warning("too quiet")
        get_run_logger().error("loud enough")
        own_logger("mintaka.flow_runs").disabled = True
        get_run_logger().error("disabled")
        own_logger("mintaka.flow_runs").disabled = False
        logging.config.dictConfig({**PLAIN, "root": {"level": "DEBUG"}, "loggers": {"mintaka": {"level": "NOTSET"}}})
        get_run_logger().debug("more than INFO")

    main()
    assert [message for _, message in messages(history)] == ["loud enough", "more than INFO"]


def test_logging_disable_is_respected_everywhere_but_in_the_log(history: MemoryRecorder, caplog: pytest.LogCaptureFixture) -> None:
    @flow
    def main() -> None:
        logging.disable(logging.CRITICAL)
        get_run_logger().error("only there")
        get_logger("part").error("this one too")

    with caplog.at_level(logging.INFO):
        main()
    assert [message for _, message in messages(history)] == ["only there", "this one too"]
    assert caplog.text == ""


def test_loggers_that_hand_nothing_on_are_in_the_log_of_a_pod(history: MemoryRecorder) -> None:
    @flow
    def main() -> None:
        logger = logging.getLogger("orders")
        logging.config.dictConfig({**PLAIN, "loggers": {"orders": {"handlers": ["console"], "level": "INFO", "propagate": False}}})
        logger.info("ordered")

    main()
    assert messages(history) == [(None, "ordered")]


SCRIPT = """
    import logging, logging.config, sys
    from mintaka import flow, get_run_logger, task

    @task(log_prints=True)
    def configures():
        {configuration}
        get_run_logger().info("a line")
        print("a print")

    @flow(flow_run_name="this-run")
    def main():
        configures()

    main()
"""
IN_SCRIPTS = {
    "dictConfig": "logging.config.dictConfig({'version': 1, 'root': {'level': 'WARNING'}})",
    "basicConfig by force": "logging.basicConfig(force=True, level=logging.ERROR)",
    "logging.disable": "logging.disable(logging.CRITICAL)",
}


@pytest.mark.parametrize("configuration", IN_SCRIPTS.values(), ids=IN_SCRIPTS)
def test_mintaka_logs_shows_what_a_script_logged_after_it_configured_logging(configuration: str, tmp_path: Path) -> None:
    variables = {**os.environ, "MINTAKA_HOME": str(tmp_path), "MINTAKA_HISTORY": ""}
    script = tmp_path / "script.py"
    script.write_text(textwrap.dedent(SCRIPT).format(configuration=configuration))
    subprocess.run([sys.executable, str(script)], env=variables, check=True, capture_output=True)
    shown = subprocess.run(
        [sys.executable, "-c", "from mintaka.cli import main; main()", "logs", "this-run"],
        env=variables,
        check=False,
        capture_output=True,
        text=True,
    )
    assert ["a line" in shown.stdout, "a print" in shown.stdout, len(shown.stdout.splitlines())] == [True, True, 2], shown


def in_a_thread(work: Callable[[], None]) -> None:
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()


def in_a_thread_of_a_thread(work: Callable[[], None]) -> None:
    in_a_thread(lambda: in_a_thread(work))


def in_a_timer(work: Callable[[], None]) -> None:
    timer = threading.Timer(0, work)
    timer.start()
    timer.join()


def in_a_pool(work: Callable[[], None]) -> None:
    with ThreadPoolExecutor(2) as pool:
        pool.submit(work).result()


def in_the_executor_of_a_loop(work: Callable[[], None]) -> None:
    async def main() -> None:
        await asyncio.get_running_loop().run_in_executor(None, work)

    asyncio.run(main())


def in_a_thread_of_asyncio(work: Callable[[], None]) -> None:
    asyncio.run(asyncio.to_thread(work))


def in_a_class_of_threads(work: Callable[[], None]) -> None:
    class Own(threading.Thread):
        def run(self) -> None:
            work()

    thread = Own(daemon=True)
    thread.start()
    thread.join()


THREADS = [
    in_a_thread,
    in_a_thread_of_a_thread,
    in_a_timer,
    in_a_pool,
    in_the_executor_of_a_loop,
    in_a_thread_of_asyncio,
    in_a_class_of_threads,
]


@pytest.mark.parametrize("start", THREADS, ids=lambda start: start.__name__)
@pytest.mark.parametrize("runner", ["threads", "processes"])
def test_a_thread_of_the_users_own_logs_and_prints_for_the_run_that_started_it(runner: str, start: Any, history: MemoryRecorder) -> None:
    @task(log_prints=True)
    def starts() -> None:
        def work() -> None:
            get_run_logger().info("a line")
            print("a print")

        start(work)

    @flow(log_prints=True, task_runner=None if runner == "threads" else ProcessPoolTaskRunner(max_workers=1))
    def main() -> None:
        if runner == "threads":
            starts.fn()
        starts.submit().result()

    main()
    of_flow = [(None, "a line"), (None, "a print")] if runner == "threads" else []
    assert messages(history) == [*of_flow, (0, "a line"), (0, "a print")]


def test_a_thread_that_outlives_its_run_and_one_of_no_run_log_without_one() -> None:
    go_on = threading.Event()
    told: list[Any] = []

    def work() -> None:
        go_on.wait(10)
        get_run_logger().info("late")
        told.append("late")

    @flow
    def main() -> threading.Thread:
        thread = threading.Thread(target=work)
        thread.start()
        return thread

    thread = main()
    go_on.set()
    thread.join()
    in_a_thread(work)
    assert told == ["late", "late"]
    with pytest.raises(MissingContextError):
        get_run_logger()
