"""Locks of keys: in memory, and in the file system between processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from typing import TYPE_CHECKING, Any

import pytest

from mintaka.locking.filesystem import FileSystemLockManager
from mintaka.locking.memory import MemoryLockManager

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(params=["memory", "files"])
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    return MemoryLockManager() if request.param == "memory" else FileSystemLockManager(tmp_path / "locks")


def test_a_key_has_one_holder_at_a_time(manager: Any) -> None:
    """The holder may ask again; others wait or are told no."""
    assert manager.acquire_lock("one/1", "a")
    assert manager.acquire_lock("one/1", "a", 0)
    assert not manager.acquire_lock("one/1", "b", 0)
    assert manager.acquire_lock("one/2", "b", 0)
    assert manager.is_locked("one/1")
    assert (manager.is_lock_holder("one/1", "a"), manager.is_lock_holder("one/1", "b")) == (True, False)
    manager.release_lock("one/1", "a")
    manager.release_lock("one/2", "b")
    assert not manager.is_locked("one/1")
    assert manager.wait_for_lock("one/1", 0)


def test_only_the_holder_lets_go(manager: Any) -> None:
    """Anything else is an error of the code."""
    with pytest.raises(ValueError, match="b does not hold the lock of k"):
        manager.release_lock("k", "b")
    manager.acquire_lock("k", "a")
    with pytest.raises(ValueError, match="b does not hold the lock of k"):
        manager.release_lock("k", "b")
    manager.release_lock("k", "a")


def test_whoever_waits_gets_it_next(manager: Any) -> None:
    """And a wait has an end."""
    manager.acquire_lock("w", "a")
    assert not manager.acquire_lock("w", "b", 0.02)
    assert not manager.wait_for_lock("w", 0.02)
    got: list[bool] = []
    thread = threading.Thread(target=lambda: got.append(manager.acquire_lock("w", "b", 10)))
    thread.start()
    manager.release_lock("w", "a")
    thread.join(10)
    assert got == [True]
    manager.release_lock("w", "b")


def test_a_hold_may_end_by_itself(manager: Any) -> None:
    """hold_timeout is for holders that may forget."""
    assert manager.acquire_lock("h", "a", hold_timeout=0.01)
    assert manager.acquire_lock("h", "b", 10)
    manager.release_lock("h", "b")


def test_many_threads_enter_one_by_one(manager: Any) -> None:
    """Nobody is inside with somebody else."""
    inside, most = 0, 0
    guard = threading.Lock()

    def work(name: str) -> None:
        nonlocal inside, most
        for _ in range(20):
            assert manager.acquire_lock("many", name, 30)
            with guard:
                inside += 1
                most = max(most, inside)
            with guard:
                inside -= 1
            manager.release_lock("many", name)

    threads = [threading.Thread(target=work, args=(str(n),)) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert most == 1


PROGRAM = """
import sys
from mintaka.locking.filesystem import FileSystemLockManager
manager = FileSystemLockManager(sys.argv[1])
assert manager.acquire_lock("k", "child", 20)
print("held", flush=True)
sys.stdin.readline()
manager.release_lock("k", "child")
"""


def test_the_lock_of_a_process_that_is_killed_is_free_at_once(tmp_path: Path) -> None:
    """The operating system lets go; no lock is ever stale."""
    manager = FileSystemLockManager(tmp_path)
    for kill in (True, False):
        with subprocess.Popen(
            [sys.executable, "-c", PROGRAM, tmp_path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as process:
            assert process.stdout is not None
            assert process.stdin is not None
            assert process.stdout.readline() == "held\n"
            assert not manager.acquire_lock("k", "me", 0)
            assert manager.is_locked("k")
            if kill:
                os.kill(process.pid, signal.SIGKILL)
            else:
                process.stdin.write("\n")
                process.stdin.flush()
            assert manager.acquire_lock("k", "me", 20)
            manager.release_lock("k", "me")
    assert list(tmp_path.iterdir()) == []


CACHED = """
import os, sys
from mintaka import task
from mintaka.cache_policies import INPUTS, IsolationLevel
from mintaka.locking.filesystem import FileSystemLockManager

folder = sys.argv[1]
policy = INPUTS.configure(lock_manager=FileSystemLockManager(folder + "/locks"), isolation_level=IsolationLevel.SERIALIZABLE)

@task(cache_policy=policy, result_storage=folder + "/results")
def once(number):
    with open(folder + "/ran", "a") as ran:
        ran.write(f"{number} {os.getpid()}\\n")
    return [number, os.getpid()]

print("ready", flush=True)
sys.stdin.readline()
print([once(number)[1] for number in range(20)], flush=True)
"""


def test_two_processes_with_a_lock_manager_do_the_same_work_once(tmp_path: Path) -> None:
    """Whoever comes second has the other's results; both see the same values."""
    program = tmp_path / "work.py"
    program.write_text(CACHED, encoding="utf-8")
    command = [sys.executable, str(program), str(tmp_path)]
    processes = [subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    try:
        for process in processes:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
        for process in processes:
            assert process.stdin is not None
            process.stdin.write("\n")
            process.stdin.flush()
        answers = [process.communicate(timeout=60)[0] for process in processes]
    finally:
        for process in processes:
            process.kill()
    assert answers[0] == answers[1]
    assert len((tmp_path / "ran").read_text(encoding="utf-8").splitlines()) == 20


@pytest.mark.parametrize("seconds", [float("inf"), 1e20, 10**400], ids=["infinity", "a float", "an integer beyond a float"])
def test_times_beyond_every_clock_are_for_ever(manager: Any, seconds: float) -> None:
    assert manager.acquire_lock("one/1", "a", seconds, seconds)
    assert manager.is_lock_holder("one/1", "a")
    manager.release_lock("one/1", "a")
    assert manager.wait_for_lock("one/1", seconds)
