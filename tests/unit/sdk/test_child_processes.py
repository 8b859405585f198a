"""Finding and ending processes: which descend from one, which carry a token, whose code started which."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from mintaka import flow, task
from mintaka.context import CURRENT
from mintaka.engine import process_table
from mintaka.engine.child_processes import CHILD_PROCESSES
from mintaka.engine.process_table import KEEP_RUNNING, TOKENS, Process, descendants, end_processes, holders, is_kept, processes

if TYPE_CHECKING:
    from collections.abc import Iterator

TABLE = {pid: Process(pid, parent, 0) for pid, parent in {1: 0, 10: 1, 11: 10, 12: 11, 20: 1, 21: 20, 30: 30}.items()}


@pytest.fixture
def sleeper() -> Iterator[Any]:
    """Starts processes that sleep, and ends them after the test."""
    started: list[subprocess.Popen[bytes]] = []

    def start(command: str = "sleep 300", **environment: str) -> subprocess.Popen[bytes]:
        started.append(subprocess.Popen(["sh", "-c", command], env={**os.environ, **environment}, start_new_session=True))
        return started[-1]

    yield start
    for process in started:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@pytest.mark.parametrize(
    ("roots", "found"), [([10], {10, 11, 12}), ([12], {12}), ([99], set()), ([10, 20], {10, 11, 12, 20, 21}), ([30], {30})]
)
def test_descendants_are_found_whatever_the_order(roots: list[int], found: set[int]) -> None:
    """Also of one that is its own parent, and of none that is gone."""
    assert {process.pid for process in descendants(TABLE, roots)} == found


def test_ps_and_proc_agree(sleeper: Any) -> None:
    """What systems without /proc are asked gives the same processes."""
    pid = sleeper().pid
    from_ps = {process.pid: process.parent for process in process_table._of_ps()}
    assert (from_ps[pid], processes()[pid].parent) == (os.getpid(), os.getpid())
    assert from_ps[os.getpid()] == os.getppid()


def test_a_token_is_found_among_others(sleeper: Any) -> None:
    """A flow inside of a flow's process adds its own; no part of a token is one."""
    mine, other = sleeper(**{TOKENS: "outer-0 mine-1"}), sleeper(**{TOKENS: "mine-11"})
    time.sleep(0.2)
    found = {process.pid for process in holders(processes(), ["mine-1"])}
    assert (mine.pid in found, other.pid in found) == (True, False)


def test_what_is_to_be_kept_says_so(sleeper: Any) -> None:
    """An empty value does not count."""
    kept, empty = sleeper(**{KEEP_RUNNING: "1"}), sleeper(**{KEEP_RUNNING: ""})
    time.sleep(0.2)
    table = processes()
    assert (is_kept(table[kept.pid]), is_kept(table[empty.pid])) == (True, False)


@pytest.mark.parametrize(
    "command", ["sleep 300", "trap '' TERM; sleep 300; sleep 300", "kill -STOP $$; sleep 300"], ids=["plain", "deaf", "stopped"]
)
def test_processes_end_whether_they_want_to_or_not(sleeper: Any, command: str) -> None:
    """SIGTERM, and SIGKILL after the grace; a process that is stopped continues to get it."""
    process = sleeper(command)
    time.sleep(0.3)
    ended = end_processes(lambda table: descendants(table, [process.pid]), grace_seconds=0.5)
    assert process.pid in ended
    assert process.pid not in processes()
    process.wait(5)


def test_what_was_found_once_is_ended_even_if_it_is_not_found_again(sleeper: Any) -> None:
    """Its parent is gone by then."""
    process = sleeper("sleep 300 & sleep 300")
    time.sleep(0.3)
    caught = descendants(processes(), [process.pid])
    assert len(caught) >= 2
    process.kill()
    process.wait()
    assert {each.pid for each in caught} >= end_processes(lambda _: set(), caught)
    assert not {each.pid for each in caught} & set(processes())


def test_a_pid_that_is_used_again_is_another_process(sleeper: Any) -> None:
    """Only the one that was started then is ended."""
    process = sleeper()
    time.sleep(0.2)
    other = processes()[process.pid]._replace(started=1.0)
    assert end_processes(lambda _: set(), [other]) == set()
    assert process.poll() is None


def started_in(work: Any) -> list[int]:
    """The pids that a flow's code started, of those that live when it ends, by `work`."""
    found: list[int] = []

    @task
    def starts() -> None:
        work()

    @flow
    def main() -> None:
        starts()
        context = CURRENT.get()
        assert context is not None
        found.extend(process.pid for process in CHILD_PROCESSES.started_by(context.ledger, -1))

    main()
    return found


def test_a_start_belongs_to_the_run_whose_code_it_is(sleeper: Any) -> None:
    """Also in a thread that it starts; what another thread starts meanwhile is not of it."""
    own: list[int] = []
    others: list[int] = [sleeper().pid]
    begin, begun = threading.Event(), threading.Event()

    def elsewhere() -> None:
        begin.wait()
        others.append(sleeper().pid)
        begun.set()

    outside = threading.Thread(target=elsewhere)
    outside.start()

    def work() -> None:
        own.append(sleeper().pid)
        inside = threading.Thread(target=lambda: own.append(sleeper().pid))
        inside.start()
        inside.join()
        begin.set()
        begun.wait()
        time.sleep(0.1)

    found = started_in(work)
    outside.join()
    assert set(own) <= set(found)
    assert not set(others) & set(found)


@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
def test_a_fork_has_started_nothing(sleeper: Any) -> None:
    """It does not end what its parent has."""
    seen: list[int] = []

    def work() -> None:
        sleeper()
        reader, writer = os.pipe()
        if os.fork() == 0:
            os.write(writer, b"1" if CHILD_PROCESSES.starts or CHILD_PROCESSES.dedicated else b"0")
            os._exit(0)
        seen.append(int(os.read(reader, 1)))
        os.close(reader)
        os.close(writer)
        os.wait()

    started_in(work)
    assert seen == [0]


def test_the_environment_is_as_before_when_a_flow_is_over() -> None:
    """While it runs in the main thread, what it starts carries a token; flows inside of flows have the same."""
    seen: list[str] = []

    @flow
    def inner() -> None:
        seen.append(os.environ[TOKENS])

    @flow
    def outer() -> None:
        seen.append(os.environ[TOKENS])
        inner()

    os.environ[TOKENS] = "of-an-outer-process"
    try:
        outer()
        outer()
        assert os.environ[TOKENS] == "of-an-outer-process"
    finally:
        del os.environ[TOKENS]
    outer()
    assert TOKENS not in os.environ
    assert [len(words.split()) for words in seen] == [2, 2, 2, 2, 1, 1]
    assert len({words.split()[-1] for words in seen}) == 3


def test_flows_in_other_threads_leave_the_environment_alone() -> None:
    """Which is the whole program's."""
    seen: list[bool] = []

    @flow
    def main() -> None:
        seen.append(TOKENS in os.environ)

    thread = threading.Thread(target=main)
    thread.start()
    thread.join()
    assert seen == [False]


def test_the_guardian_ends_what_carries_the_token_when_its_process_dies(sleeper: Any) -> None:
    """And nothing else."""
    mine, other = sleeper(**{TOKENS: "guarded-0"}), sleeper(**{TOKENS: "another-0"})
    code = f"import subprocess, sys; subprocess.Popen([sys.executable, '-S', '-I', {process_table.__file__!r}, str(__import__('os').getpid()), 'guarded-0'])"
    subprocess.run([sys.executable, "-c", code + "; __import__('time').sleep(0.5)"], check=True)
    assert mine.wait(10) != 0
    assert other.poll() is None
