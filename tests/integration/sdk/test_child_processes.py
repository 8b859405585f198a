"""Nothing that a flow started outlives its interruption: neither what it waits for, nor what that left behind."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from kube import eventually
from terminal import Terminal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SOURCE = """
import asyncio, multiprocessing, os, subprocess, sys, threading, time
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path
from mintaka import flow, task
from mintaka.task_runners import ProcessPoolTaskRunner

FIRST, SECOND = os.environ["SLEEPS"].split()
SHELL = f"sleep {FIRST} & sleep {SECOND}"
ENVIRONMENT = {"PATH": os.environ["PATH"]}

def mark(word):
    with open("marks", "a") as file:
        file.write(word + "\\n")

def shell():
    subprocess.run(SHELL, shell=True)

def captured():
    subprocess.run(SHELL, shell=True, capture_output=True)

def system():
    os.system(SHELL)

def in_the_background():
    subprocess.Popen(SHELL, shell=True)
    time.sleep(60)

def left_by_their_parents():
    subprocess.run(f"(sleep {FIRST} &); setsid sleep {SECOND} &", shell=True)
    time.sleep(60)

def without_environment():
    subprocess.run(SHELL, shell=True, env=ENVIRONMENT)

def deaf():
    subprocess.run(f"trap '' TERM; sleep {FIRST} & sleep {SECOND}; sleep 60", shell=True)

def forked():
    for seconds in (FIRST, SECOND):
        if os.fork() == 0:
            os.execlp("sleep", "sleep", seconds)
    time.sleep(60)

def spawned():
    for seconds in (FIRST, SECOND):
        os.posix_spawnp("sleep", ["sleep", seconds], os.environ)
    time.sleep(60)

def in_threads():
    with ThreadPoolExecutor() as pool:
        list(pool.map(subprocess.run, (["sleep", FIRST], ["sleep", SECOND])))

def other_session():
    subprocess.run(SHELL, shell=True, start_new_session=True)

async def asynchronous():
    process = await asyncio.create_subprocess_shell(SHELL)
    await process.wait()

WAYS = {name: value for name, value in globals().items() if callable(value) and getattr(value, "__module__", "") == __name__}
WAY = os.environ["WAY"]

@task
def starts():
    WAYS[WAY]()

@task
async def starts_async():
    await asynchronous()

@task(timeout_seconds=4)
def starts_for_long():
    WAYS[WAY]()

@task(timeout_seconds=4)
async def starts_for_long_async():
    await asynchronous()

@flow
def main():
    starts()

@flow(timeout_seconds=4)
def late():
    starts()

@flow
def submits():
    starts.submit().result()

@flow(timeout_seconds=4)
def submits_late():
    starts.submit().result()

@flow
def goes_on():
    state = starts_for_long(return_state=True)
    mark(state.name)
    time.sleep(4)
    mark("went on")

@flow
def goes_on_with_submitted():
    starts_for_long.submit().wait()
    mark("TimedOut")
    time.sleep(4)
    mark("went on")

@flow(task_runner=ProcessPoolTaskRunner(2))
def goes_on_with_workers():
    starts_for_long.submit().wait()
    mark("TimedOut")
    time.sleep(4)
    mark("went on")

@flow
async def goes_on_async():
    state = await starts_for_long_async(return_state=True)
    mark(state.name)
    await asyncio.sleep(4)
    mark("went on")

@flow
def cancels():
    future = starts.submit()
    time.sleep(2)
    future.cancel()
    mark("TimedOut")
    time.sleep(4)
    mark("went on")

@flow
async def main_async():
    await starts_async()

@flow(timeout_seconds=4)
async def late_async():
    await starts_async()

@flow(task_runner=ProcessPoolTaskRunner(2))
def in_workers():
    starts.submit().result()

@flow
def dies():
    starts.submit()
    time.sleep(2)
    os._exit(7)

@flow
def crashes():
    import faulthandler, ctypes
    starts.submit()
    time.sleep(2)
    ctypes.string_at(0)

@flow
def fails():
    subprocess.Popen(SHELL, shell=True)
    time.sleep(1)
    raise ValueError("by itself")

@flow
def completes():
    subprocess.Popen(SHELL, shell=True)
    time.sleep(1)

@flow
def keeps():
    subprocess.Popen(SHELL, shell=True, env={**os.environ, "MINTAKA_KEEP_RUNNING": "1"}, start_new_session=True)
    time.sleep(60)

def by_itself():
    "As a program does that starts processes of its own while a flow runs, before it, and after it."
    own = [subprocess.Popen(["sleep", "300.25"])]
    late_one = threading.Thread(target=lambda: (time.sleep(1), own.append(subprocess.Popen(["sleep", "300.25"]))))
    late_one.start()
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        worker = pool.submit(os.getpid)
        try:
            late()
        except TimeoutError:
            mark("TimedOut")
        time.sleep(1)
        assert [process.poll() for process in own] == [None, None]
        assert pool.submit(os.getpid).result() == worker.result()
        mark("own processes live")
        time.sleep(2)
        for process in own:
            process.kill()

if __name__ == "__main__" and sys.argv[1] == "by_itself":
    by_itself()
elif __name__ == "__main__":
    entry = globals()[sys.argv[1]]
    asyncio.run(entry()) if entry.is_async else entry()
"""


def sleeping(seconds: str) -> list[int]:
    """The processes that sleep for so long."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().split(b"\0")
        except OSError:
            continue
        if words[:2] == [b"sleep", seconds.encode()]:
            found.append(int(path.parent.name))
    return found


class Started:
    """A flow that starts two processes, as a script or by `mintaka run`, its output in a pipe to `cat`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.sleeps = tuple(f"98{random.randrange(10**6, 10**7)}" for _ in range(2))
        (folder / "etl.py").write_text(SOURCE)
        self.terminal = Terminal(folder, MINTAKA_HOME=str(folder / "home"), MINTAKA_HISTORY="on")
        self.process: subprocess.Popen[bytes] | None = None
        self.reader: subprocess.Popen[bytes] | None = None

    def begin(self, kind: str, entry: str, way: str = "shell") -> None:
        """Start it, and wait until what it starts is there."""
        environment = {**os.environ, **self.terminal.environment, "WAY": way, "SLEEPS": " ".join(self.sleeps)}
        if kind == "script":
            command = [sys.executable, "etl.py", entry]
        elif kind == "runner":
            command = [sys.executable, "-m", "mintaka.runner"]
            environment |= {"MINTAKA_ENTRYPOINT": f"etl.py:{entry}", "MINTAKA_TERMINATION_MESSAGE_PATH": str(self.folder / "report")}
            environment |= {"MINTAKA_SOURCE_DIR": str(self.folder), "MINTAKA_GRACE_SECONDS": "6"}
        else:
            command = [sys.executable, "-c", "from mintaka.cli import main; main()", "run", f"etl.py:{entry}"]
        self.process = subprocess.Popen(command, cwd=self.folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        self.reader = subprocess.Popen(["cat"], stdin=self.process.stdout, stdout=subprocess.DEVNULL)
        assert self.process.stdout is not None
        self.process.stdout.close()
        eventually(lambda: all(map(sleeping, self.sleeps)), "both sleep", seconds=60)

    def assert_over(self, seconds: float = 30) -> None:
        """The process ends, nothing that it started is left, and the pipe behind it is closed."""
        assert self.process is not None
        assert self.reader is not None
        self.process.wait(seconds)
        eventually(lambda: not self.left(), "nothing is left", seconds=5)
        self.reader.wait(5)

    def left(self) -> list[int]:
        return [pid for seconds in self.sleeps for pid in sleeping(seconds)]

    def marks(self) -> list[str]:
        path = self.folder / "marks"
        return path.read_text().splitlines() if path.exists() else []

    def stop(self) -> None:
        for process in (self.process, self.reader):
            if process is not None and process.poll() is None:
                process.kill()
                process.wait()
        for pid in self.left():
            os.kill(pid, signal.SIGKILL)


@pytest.fixture
def started(tmp_path: Path) -> Iterator[Started]:
    made = Started(tmp_path)
    yield made
    made.stop()


def cancel(started: Started) -> None:
    """From another process, by the name of the run."""
    assert started.process is not None

    def uid() -> str:
        said = started.terminal("get", "--json")
        return said.out.split('"uid": "', 1)[1].split('"', 1)[0] if '"uid": "' in said.out else ""

    said = started.terminal("cancel", eventually(uid, "the run in the history"))
    assert said.code == 0, said


def interrupt(started: Started) -> None:
    assert started.process is not None
    started.process.send_signal(signal.SIGINT)


def terminate(started: Started) -> None:
    assert started.process is not None
    started.process.terminate()


def kill(started: Started) -> None:
    assert started.process is not None
    started.process.kill()


def wait(_started: Started) -> None:
    """Its time is over by itself."""


WAYS = ["shell", "captured", "system", "in_the_background", "left_by_their_parents", "without_environment", "deaf"]
WAYS += ["forked", "spawned", "in_threads", "other_session"]


@pytest.mark.parametrize("kind", ["script", "run"])
@pytest.mark.parametrize("way", WAYS)
def test_nothing_is_left_when_the_time_of_a_flow_is_over(started: Started, kind: str, way: str) -> None:
    """However it was started, and whatever became of its parent."""
    started.begin(kind, "late", way)
    started.assert_over()


STOPS = [("script", cancel), ("script", interrupt), ("script", terminate), ("script", kill)]
STOPS += [("run", cancel), ("run", interrupt), ("run", terminate), ("run", kill), ("runner", terminate), ("runner", kill)]


@pytest.mark.parametrize(("kind", "stop"), STOPS, ids=[f"{kind}-{stop.__name__}" for kind, stop in STOPS])
@pytest.mark.parametrize("entry", ["main", "submits", "main_async", "in_workers"])
def test_nothing_is_left_when_a_flow_is_stopped(started: Started, kind: str, stop: Callable[[Started], None], entry: str) -> None:
    """By whomever, and wherever its tasks run."""
    started.begin(kind, entry)
    stop(started)
    started.assert_over()


@pytest.mark.parametrize("kind", ["script", "run"])
@pytest.mark.parametrize("entry", ["submits_late", "late_async", "dies", "crashes"])
def test_nothing_is_left_when_a_flow_ends_early(started: Started, kind: str, entry: str) -> None:
    """Its time is over, or its process ends without a word."""
    started.begin(kind, entry)
    started.assert_over()


@pytest.mark.parametrize("way", ["shell", "system"])
@pytest.mark.parametrize("stop", [cancel, terminate], ids=lambda stop: stop.__name__)
def test_a_call_that_python_cannot_interrupt_is_ended_too(started: Started, way: str, stop: Callable[[Started], None]) -> None:
    """While os.system waits, no signal handler of Python's runs."""
    started.begin("script", "main", way)
    stop(started)
    started.assert_over()


@pytest.mark.parametrize("way", ["shell", "left_by_their_parents", "in_threads"])
@pytest.mark.parametrize("entry", ["goes_on", "goes_on_with_submitted", "goes_on_with_workers", "goes_on_async", "cancels"])
def test_what_a_task_started_ends_with_it(started: Started, entry: str, way: str) -> None:
    """A task whose time is over, or that is cancelled, while its flow goes on; and the thread that waited comes back."""
    started.begin("script", entry, way)
    eventually(lambda: "TimedOut" in started.marks(), "the task is over")
    eventually(lambda: not started.left(), "nothing is left", seconds=3.8)
    assert "went on" not in started.marks()
    started.assert_over()
    assert started.marks()[-1] == "went on"


@pytest.mark.parametrize("entry", ["fails", "completes"])
def test_what_is_started_on_purpose_goes_on_in_a_program_and_ends_with_a_run(started: Started, entry: str) -> None:
    """A flow that ends by itself leaves a program as it is; `mintaka run` is a run, as a pod is."""
    started.begin("run", entry)
    started.assert_over()
    started.begin("script", entry)
    assert started.process is not None
    started.process.wait(30)
    assert len(started.left()) == 2


@pytest.mark.parametrize("kind", ["script", "run"])
def test_what_says_that_it_is_to_be_kept_is_kept(started: Started, kind: str) -> None:
    """MINTAKA_KEEP_RUNNING in its environment."""
    started.begin(kind, "keeps")
    terminate(started)
    assert started.process is not None
    started.process.wait(30)
    time.sleep(3)
    assert len(started.left()) == 2


def test_processes_of_the_program_around_a_flow_are_left_alone(started: Started) -> None:
    """Those it had before, those another thread starts meanwhile, and workers of multiprocessing."""
    started.begin("script", "by_itself")
    eventually(lambda: "own processes live" in started.marks(), "what is the program's own")
    assert started.left() == []
    started.assert_over()
