"""Tasks and flows that fork: the flow goes on, once, and nothing of the child is recorded."""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import traceback
import warnings
from concurrent.futures import ProcessPoolExecutor
from time import sleep
from typing import TYPE_CHECKING, Any

import pytest

from mintaka import flow, task
from mintaka.testing import recorded

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from multiprocessing.connection import Connection
    from pathlib import Path


def leave_by_exit() -> None:
    raise SystemExit(3)


def leave_by_sys_exit() -> None:
    sys.exit()


def leave_with_a_message() -> None:
    sys.exit("no")


def leave_at_once() -> None:
    os._exit(4)


def raises() -> None:
    raise ValueError("of the child")


def interrupted() -> None:
    raise KeyboardInterrupt


def terminated() -> None:
    os.kill(os.getpid(), signal.SIGTERM)
    sleep(5)


def returns() -> None:
    """Goes on as the parent does."""


@task
def another() -> int:
    return 1


def calls_a_task() -> None:
    another()


LEAVING: dict[str, tuple[Callable[[], None], int]] = {
    "SystemExit": (leave_by_exit, 3),
    "sys.exit()": (leave_by_sys_exit, 0),
    "sys.exit(message)": (leave_with_a_message, 1),
    "os._exit": (leave_at_once, 4),
    "an exception": (raises, 1),
    "Ctrl-C": (interrupted, 130),
    "SIGTERM": (terminated, -signal.SIGTERM),
    "returning": (returns, 0),
    "calling a task, then returning": (calls_a_task, 0),
}


def fork(leave: Callable[[], None]) -> int:
    pid = os.fork()
    if pid == 0:
        leave()
        return -1
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


@task
def forks(leave: Callable[[], None]) -> int:
    return fork(leave)


@task
async def forks_async(leave: Callable[[], None]) -> int:
    return fork(leave)


@task(timeout_seconds=20)
def forks_with_a_deadline(leave: Callable[[], None]) -> int:
    return fork(leave)


@task
def yields(leave: Callable[[], None]) -> Iterator[int]:
    yield fork(leave)


def in_an_async_flow(leave: Callable[[], None]) -> int:
    @flow
    async def inner() -> Any:
        return await forks_async(leave)

    return asyncio.run(inner())


@flow
def forks_in_a_subflow(leave: Callable[[], None]) -> int:
    return fork(leave)


PLACES: dict[str, Callable[[Callable[[], None]], int]] = {
    "a task that is called": forks,
    "a submitted task": lambda leave: forks.submit(leave).result(),
    "mapped tasks": lambda leave: max(forks.map([leave, leave]).result()),
    "an async task": lambda leave: forks_async.submit(leave).result(),
    "an async flow": in_an_async_flow,
    "a task with a deadline": lambda leave: forks_with_a_deadline.submit(leave).result(),
    "a task with a deadline in the main thread": forks_with_a_deadline,
    "a generator": lambda leave: next(iter(yields.submit(leave).result())),
    "a flow": fork,
    "a subflow": forks_in_a_subflow,
}


#: Cases start in a process without the threads and libraries that other tests left in this one: in a fork of this one, a library's
#: own handlers at its end may crash it.
CLEAN = multiprocessing.get_context("forkserver")
CLEAN.set_forkserver_preload([__name__])


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("leaving", LEAVING)
def test_the_flow_goes_on_when_its_child_leaves(place: str, leaving: str, tmp_path: Path) -> None:
    """Each in a process of its own, because a child that got away would run the tests a second time."""
    output = tmp_path / "output"
    run_clean(_write, output, place, leaving)
    value, ends = json.loads(output.read_text().splitlines()[0])
    assert len(output.read_text().splitlines()) == 1
    assert value == LEAVING[leaving][1]
    assert {tuple(end) for end in ends} <= {("Pending", "Running", "Completed")}


def run_clean(body: Callable[..., None], *arguments: Any) -> None:
    """Run `body` in a new process without threads; fail with the traceback if it raises, and after 20 seconds."""
    receiver, sender = CLEAN.Pipe(duplex=False)
    process = CLEAN.Process(target=_send_traceback, args=(sender, body, arguments))
    process.start()
    sender.close()
    try:
        raised = receiver.recv()
    except EOFError:
        raised = "it ended early"
    process.join()
    assert (raised, process.exitcode) == ("", 0), raised


def _send_traceback(sender: Connection, body: Callable[..., None], arguments: tuple[Any, ...]) -> None:
    warnings.filterwarnings("ignore", ".*multi-threaded.*fork", DeprecationWarning)
    signal.alarm(20)
    try:
        body(*arguments)
    except BaseException:  # noqa: BLE001 - the parent fails with it
        sender.send(traceback.format_exc())
    else:
        sender.send("")


def _write(output: Path, place: str, leaving: str) -> None:
    @flow
    def main() -> int:
        value = PLACES[place](LEAVING[leaving][0])
        return value if another() else -1

    with recorded() as history:
        value = main()
    with output.open("a", encoding="utf-8") as file:
        file.write(json.dumps([value, [[entry.name for entry in run.history] for run in history.runs.values()]]) + "\n")


def run_and_exit_code(leave: Callable[[], None]) -> int:
    process = multiprocessing.get_context("fork").Process(target=leave)
    process.start()
    process.join()
    return process.exitcode or 0


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
@pytest.mark.parametrize(("leave", "code"), [LEAVING["SystemExit"], LEAVING["an exception"], LEAVING["SIGTERM"], LEAVING["returning"]])
def test_processes_of_multiprocessing_leave_as_ever(leave: Any, code: int) -> None:
    @task
    def starts() -> int:
        return run_and_exit_code(leave)

    with recorded() as history:
        assert flow(lambda: starts.submit().result())() == code
    assert [entry.name for entry in history.run("starts-0").history] == ["Pending", "Running", "Completed"]


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
@pytest.mark.parametrize("in_thread", [True, False], ids=["in a submitted task", "in the flow"])
def test_pools_that_are_forked_end(in_thread: bool) -> None:
    @task
    def pools() -> list[int]:
        context = multiprocessing.get_context("fork")
        with context.Pool(2) as pool:
            squares = pool.map(abs, [-1, 2])
        with ProcessPoolExecutor(2, mp_context=context) as executor:
            return squares + list(executor.map(abs, [-3]))

    assert flow(lambda: pools.submit().result() if in_thread else pools())() == [1, 2, 3]


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_what_is_done_before_a_program_is_executed_may_exit() -> None:
    @task
    def starts() -> str:
        try:
            subprocess.run(["true"], preexec_fn=leave_by_exit, check=True)
        except subprocess.SubprocessError as error:
            return str(error)
        return ""

    assert flow(lambda: starts.submit().result())() == "Exception occurred in preexec_fn."


def test_a_fork_in_a_thread_of_the_users_ends_with_that_thread() -> None:
    run_clean(_fork_in_a_thread)


def _fork_in_a_thread() -> None:
    @task
    def forks_in_a_thread() -> list[int]:
        codes: list[int] = []
        thread = threading.Thread(target=lambda: codes.append(fork(returns)))
        thread.start()
        thread.join()
        return codes

    assert flow(lambda: forks_in_a_thread.submit().result())() == [0]
