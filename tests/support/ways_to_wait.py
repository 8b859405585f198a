"""Flows that wait, in as many ways as there are, each in a process of its own that is sent a signal while it waits.

`python ways_to_wait.py CASES.json RESULTS.json` runs them: it imports everything once and forks, a few at a time. A case is a way to wait,
the place whose code waits, and a signal; its result says how the process ended, how long after the signal, and what became of
its runs. A child leaves as any script does, by way of the interpreter's shutdown.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import fcntl
import json
import multiprocessing
import os
import queue
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import warnings
from contextlib import suppress
from contextvars import Context
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from mintaka import ThreadPoolTaskRunner, as_completed, flow, pause_flow_run, task
from mintaka import wait as wait_for_all
from mintaka.concurrency.asyncio import concurrency as concurrency_async
from mintaka.concurrency.sync import concurrency, rate_limit
from mintaka.sharing import shared
from mintaka.testing import recorded

if TYPE_CHECKING:
    from collections.abc import Callable

    from mintaka.testing import MemoryRecorder

LONG = 60
#: So many children at a time, and how long one may take before it is killed.
AT_A_TIME = 4
LIMIT_SECONDS = 6.0
#: Between the moment at which a flow says that it is about to wait and the signal.
SETTLE_SECONDS = 0.15


class Case(NamedTuple):
    """See the module's words."""

    way: str
    place: str
    signal: int


# -- ways that block ----------------------------------------------------------------------------------------------------


def _held(lock: Any) -> Any:
    lock.acquire()
    return lock


def _started(target: Callable[[], object], *, daemon: bool = True) -> threading.Thread:
    thread = threading.Thread(target=target, daemon=daemon)
    thread.start()
    return thread


def _sleeping() -> subprocess.Popen[bytes]:
    return subprocess.Popen(["sleep", str(LONG)], stdout=subprocess.PIPE, stdin=subprocess.PIPE)


def _condition() -> None:
    condition = threading.Condition()
    with condition:
        condition.wait()


def _poll_condition() -> None:
    condition = threading.Condition()
    with condition:
        condition.wait_for(lambda: False, timeout=LONG)


def _future_of_a_pool() -> None:
    concurrent.futures.ThreadPoolExecutor(1).submit(time.sleep, LONG).result()


def _with_a_pool() -> None:
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        pool.submit(time.sleep, LONG).result()


def _pool_shutdown() -> None:
    pool = concurrent.futures.ThreadPoolExecutor(1)
    pool.submit(time.sleep, LONG)
    pool.shutdown(wait=True)


def _pool_map() -> None:
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        list(pool.map(time.sleep, [LONG, LONG, LONG]))


def _process_pool() -> None:
    with concurrent.futures.ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("fork")) as pool:
        pool.submit(time.sleep, LONG).result()


def _multiprocessing_pool() -> None:
    with multiprocessing.get_context("fork").Pool(1) as pool:
        pool.map(time.sleep, [LONG])


def _multiprocessing_process() -> None:
    process = multiprocessing.get_context("fork").Process(target=time.sleep, args=(LONG,))
    process.start()
    process.join()


def _receive_of_a_pipe() -> None:
    reader, _writer = multiprocessing.Pipe()
    reader.recv()


def _pipe_of_a_process() -> None:
    process = _sleeping()
    if process.stdout is not None:
        process.stdout.read()


def _waits_for_futures() -> None:
    concurrent.futures.wait([concurrent.futures.Future()])


def _completed_futures() -> None:
    next(concurrent.futures.as_completed([concurrent.futures.Future()]))


def _fork_and_waitpid() -> None:
    pid = os.fork()
    if pid == 0:
        time.sleep(LONG)
        os._exit(0)
    os.waitpid(pid, 0)


def _pipe() -> None:
    reader, writer = os.pipe()
    try:
        os.read(reader, 1)
    finally:
        os.close(writer)


def _select() -> None:
    reader, _writer = os.pipe()
    select.select([reader], [], [])


def _poll() -> None:
    reader, _writer = os.pipe()
    poll = select.poll()
    poll.register(reader)
    poll.poll()


def _accept() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.accept()


def _receive() -> None:
    one, other = socket.socketpair()
    with one, other:
        one.recv(1)


def _file_lock() -> None:
    with tempfile.NamedTemporaryFile() as file, Path(file.name).open() as again:
        fcntl.flock(file, fcntl.LOCK_EX)
        fcntl.flock(again, fcntl.LOCK_EX)


def _input() -> None:
    reader, _writer = os.pipe()
    sys.stdin = os.fdopen(reader)
    input()


def _asyncio_run() -> None:
    asyncio.run(asyncio.sleep(LONG))


def _asyncio_run_in_a_thread() -> None:
    _started(_asyncio_run).join()


def _to_thread() -> None:
    asyncio.run(asyncio.to_thread(time.sleep, LONG))


def _loop_in_a_thread() -> None:
    loop = asyncio.new_event_loop()
    _started(loop.run_forever)
    asyncio.run_coroutine_threadsafe(asyncio.sleep(LONG), loop).result()


def _non_daemon_thread() -> None:
    _started(lambda: time.sleep(LONG), daemon=False).join()


def _non_daemon_thread_left() -> None:
    _started(lambda: time.sleep(LONG), daemon=False)
    time.sleep(LONG)


def _computes() -> None:
    while True:
        sum(range(1000))


def _swallows_exceptions() -> None:
    while True:
        with suppress(Exception):
            time.sleep(LONG)


def _cleans_up() -> None:
    try:
        time.sleep(LONG)
    finally:
        time.sleep(0.2)


def _loops_over_sleeps() -> None:
    while True:
        time.sleep(0.01)


def _queue_join() -> None:
    items: queue.Queue[int] = queue.Queue()
    items.put(1)
    items.join()


def _full_queue() -> None:
    items: queue.Queue[int] = queue.Queue(1)
    items.put(1)
    items.put(2)


@task
def sleeps() -> None:
    time.sleep(LONG)


@task
async def sleeps_async() -> None:
    await asyncio.sleep(LONG)


@task(retries=3, retry_delay_seconds=LONG)
def is_retried() -> None:
    raise ValueError("no")


_TAKEN: list[Any] = []


def _taken() -> None:
    """Take the slot in a context of its own: code of the run that holds it would share it."""
    slot = concurrency("one-at-a-time", occupy=1)
    Context().run(slot.__enter__)
    _TAKEN.append(slot)  # or it would be released with its generator


def _limit() -> None:
    _taken()
    with concurrency("one-at-a-time", occupy=1):
        pass


def _rate_limit() -> None:
    rate_limit("seldom")
    rate_limit("seldom")


@flow
def subflow() -> None:
    time.sleep(LONG)


@flow
async def async_subflow() -> None:
    await asyncio.sleep(LONG)


BLOCKING: dict[str, Callable[[], object]] = {
    "time.sleep": lambda: time.sleep(LONG),
    "many short sleeps": _loops_over_sleeps,
    "computing": _computes,
    "threading.Lock": lambda: _held(threading.Lock()).acquire(),
    "threading.Lock with a timeout": lambda: _held(threading.Lock()).acquire(timeout=LONG),
    "threading.Event": threading.Event().wait,
    "threading.Condition": _condition,
    "threading.Condition.wait_for": _poll_condition,
    "threading.Semaphore": lambda: _held(threading.Semaphore(1)).acquire(),
    "threading.Barrier": lambda: threading.Barrier(2).wait(),
    "Thread.join": lambda: _started(lambda: time.sleep(LONG)).join(),
    "Thread.join of a non-daemon": _non_daemon_thread,
    "a non-daemon thread that is left": _non_daemon_thread_left,
    "queue.Queue.get": lambda: queue.Queue().get(),
    "queue.SimpleQueue.get": lambda: queue.SimpleQueue().get(),
    "queue.Queue.put": _full_queue,
    "queue.Queue.join": _queue_join,
    "multiprocessing.Lock": lambda: _held(multiprocessing.Lock()).acquire(),
    "multiprocessing.Event": multiprocessing.Event().wait,
    "multiprocessing.Queue": lambda: multiprocessing.Queue().get(),
    "multiprocessing.Process.join": _multiprocessing_process,
    "multiprocessing.Pool": _multiprocessing_pool,
    "multiprocessing.Pipe": _receive_of_a_pipe,
    "the future of a pool": _future_of_a_pool,
    "a pool in a with block": _with_a_pool,
    "pool.map": _pool_map,
    "pool.shutdown(wait=True)": _pool_shutdown,
    "a process pool": _process_pool,
    "concurrent.futures.wait": _waits_for_futures,
    "concurrent.futures.as_completed": _completed_futures,
    "subprocess.run": lambda: subprocess.run(["sleep", str(LONG)], check=False),
    "a shell with children": lambda: subprocess.run(f"sleep {LONG} & sleep {LONG}", shell=True, check=False, capture_output=True),  # noqa: S602
    "Popen.wait": lambda: _sleeping().wait(),
    "Popen.communicate": lambda: _sleeping().communicate(),
    "a pipe of a process": _pipe_of_a_process,
    "os.system": lambda: os.system(f"sleep {LONG}"),  # noqa: S605
    "os.waitpid": _fork_and_waitpid,
    "os.read": _pipe,
    "select.select": _select,
    "select.poll": _poll,
    "socket.accept": _accept,
    "socket.recv": _receive,
    "flock": _file_lock,
    "input()": _input,
    "asyncio.run": _asyncio_run,
    "asyncio.run in a thread": _asyncio_run_in_a_thread,
    "asyncio.to_thread": _to_thread,
    "a loop in another thread": _loop_in_a_thread,
    "swallowing every Exception": _swallows_exceptions,
    "cleaning up": _cleans_up,
    "future.result()": lambda: sleeps.submit().result(),
    "future.result() of an async task": lambda: sleeps_async.submit().result(),
    "future.wait(timeout)": lambda: sleeps.submit().wait(LONG),
    "as_completed": lambda: list(as_completed(sleeps.map(range(0)) or [sleeps.submit()])),
    "wait(futures)": lambda: wait_for_all([sleeps.submit(), sleeps_async.submit()]),
    "a retry": is_retried,
    "a subflow": subflow,
    "an async subflow": lambda: asyncio.run(async_subflow()),
    "a concurrency limit": _limit,
    "a rate limit": _rate_limit,
}

#: What only the main thread can do.
IN_THE_MAIN_THREAD: dict[str, Callable[[], object]] = {
    "signal.pause": signal.pause,
    "signal.sigwait": lambda: signal.sigtimedwait([signal.SIGUSR1], LONG),
    "signal.sigtimedwait in a loop": lambda: [signal.sigtimedwait([signal.SIGUSR1], 0.01) for _ in range(LONG * 100)],
    "pause_flow_run": lambda: pause_flow_run(timeout=LONG),
}


# -- ways that await ----------------------------------------------------------------------------------------------------


async def _locked() -> None:
    lock = asyncio.Lock()
    await lock.acquire()
    await lock.acquire()


async def _semaphore() -> None:
    semaphore = asyncio.Semaphore(1)
    await semaphore.acquire()
    await semaphore.acquire()


async def _condition_async() -> None:
    condition = asyncio.Condition()
    async with condition:
        await condition.wait()


async def _barrier() -> None:
    await asyncio.Barrier(2).wait()


async def _gather() -> None:
    await asyncio.gather(asyncio.sleep(LONG), sleeps_async())


async def _group() -> None:
    async with asyncio.TaskGroup() as group:
        group.create_task(asyncio.sleep(LONG))
        group.create_task(sleeps_async())


async def _shield() -> None:
    await asyncio.shield(asyncio.sleep(LONG))


async def _process() -> None:
    process = await asyncio.create_subprocess_exec("sleep", str(LONG))
    await process.wait()


async def _stream() -> None:
    async def serve(_reader: Any, _writer: Any) -> None:
        await asyncio.sleep(LONG)

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    reader, _writer = await asyncio.open_connection(*server.sockets[0].getsockname())
    await reader.read(1)


async def _thread_of_the_loop() -> None:
    await asyncio.to_thread(time.sleep, LONG)


async def _executor() -> None:
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        await asyncio.get_running_loop().run_in_executor(pool, time.sleep, LONG)


async def _blocks() -> None:
    time.sleep(LONG)  # noqa: ASYNC251 - what should not be done, and is


async def _blocks_on_a_lock() -> None:
    _held(threading.Lock()).acquire()


async def _computes_async() -> None:
    _computes()


async def _swallows_once() -> None:
    with suppress(asyncio.CancelledError):
        await asyncio.sleep(LONG)
    await asyncio.sleep(LONG)


async def _limit_async() -> None:
    _taken()
    async with concurrency_async("one-at-a-time", occupy=1):
        pass


async def _contended() -> None:
    lock = asyncio.Lock()

    @task
    async def locks() -> None:
        async with lock:
            await asyncio.sleep(LONG)

    for future in [locks.submit() for _ in range(3)]:
        future.result()


async def _sync_task() -> None:
    sleeps()


async def _awaited() -> None:
    await sleeps_async.submit()


async def _awaited_thread() -> None:
    await sleeps.submit()


async def _blocked_result() -> None:
    sleeps.submit().result()


#: What may go on: a flow that catches Ctrl-C and does something else has decided so, and there can be a second one.
SURVIVES = {("swallowing a cancellation once", signal.SIGINT)}

#: What Python does not hear of: system(3) ignores a SIGINT while it waits, so only its shell ends, and the flow goes on from there.
HIDDEN = {("os.system", signal.SIGINT)}

AWAITING: dict[str, Callable[[], Any]] = {
    "asyncio.sleep": lambda: asyncio.sleep(LONG),
    "asyncio.Event": lambda: asyncio.Event().wait(),
    "asyncio.Lock": _locked,
    "asyncio.Semaphore": _semaphore,
    "asyncio.Condition": _condition_async,
    "asyncio.Barrier": _barrier,
    "asyncio.Queue": lambda: asyncio.Queue().get(),
    "asyncio.gather": _gather,
    "asyncio.TaskGroup": _group,
    "asyncio.shield": _shield,
    "asyncio.wait_for": lambda: asyncio.wait_for(asyncio.Event().wait(), LONG),
    "a subprocess": _process,
    "a stream": _stream,
    "asyncio.to_thread": _thread_of_the_loop,
    "run_in_executor": _executor,
    "time.sleep in a coroutine": _blocks,
    "a lock of threading in a coroutine": _blocks_on_a_lock,
    "computing in a coroutine": _computes_async,
    "swallowing a cancellation once": _swallows_once,
    "a concurrency limit": _limit_async,
    "tasks that share a lock, and future.result()": _contended,
    "a sync task": _sync_task,
    "await future": _awaited,
    "await future of a thread": _awaited_thread,
    "future.result()": _blocked_result,
    "a subflow": lambda: async_subflow(),  # noqa: PLW0108
}


# -- places --------------------------------------------------------------------------------------------------------------


def _flow_of(way: str, place: str, ready: Callable[[], None]) -> Callable[[], Any]:
    """A script's call of a flow in which `place` waits in a `way`."""
    if place.startswith("async"):
        return _async_flow(AWAITING[way], place, ready)
    wait = {**BLOCKING, **IN_THE_MAIN_THREAD}[way]

    @task
    def waits() -> None:
        ready()
        wait()

    @flow(task_runner=ThreadPoolTaskRunner(max_workers=4))
    def main() -> None:
        if place == "flow":
            ready()
            wait()
        elif place == "task":
            waits()
        else:
            waits.submit().result()

    return main


def _async_flow(wait: Callable[[], Any], place: str, ready: Callable[[], None]) -> Callable[[], Any]:
    @task
    async def waits() -> None:
        ready()
        await wait()

    @flow
    async def main() -> None:
        if place == "async flow":
            ready()
            await wait()
        elif place == "async task":
            await waits()
        else:
            await waits.submit()

    return lambda: asyncio.run(main())


def cases() -> list[Case]:
    """Every way in the flow and in a thread or the loop; the signals in turn."""
    numbers = (signal.SIGINT, signal.SIGTERM)
    return [
        *(Case(way, place, int(number)) for way in BLOCKING for place in ("flow", "submitted task") for number in numbers),
        *(Case(way, "flow", int(number)) for way in IN_THE_MAIN_THREAD for number in numbers),
        *(
            Case(way, place, int(number))
            for way in AWAITING
            for place in ("async flow", "async submitted task")
            for number in numbers
            if (way, number) not in SURVIVES
        ),
    ]


# -- processes -----------------------------------------------------------------------------------------------------------


class Child:
    """A case that runs."""

    def __init__(self, case: Case, folder: Path) -> None:
        self.case = case
        self.output = folder / f"{len(list(folder.iterdir()))}.json"
        self.output.touch()
        self.reader, writer = os.pipe()
        self.pid = os.fork()
        self.began = time.monotonic()
        self.ready: float | None = None
        self.signalled: float | None = None
        if self.pid == 0:
            os.close(self.reader)
            raise _InChild(case, self.output, writer)
        os.close(writer)

    def look(self) -> dict[str, Any] | None:
        """Go on with it; its result once it is over."""
        now = time.monotonic()
        if self.ready is None and select.select([self.reader], [], [], 0)[0]:
            self.ready = now
        if self.ready is not None and self.signalled is None and now >= self.ready + SETTLE_SECONDS:
            # system(3) ignores a SIGINT of its own process, which a terminal sends to all of them.
            (os.killpg if self.case[::2] in HIDDEN else os.kill)(self.pid, self.case.signal)
            self.signalled = now
        pid, status = os.waitpid(self.pid, os.WNOHANG)
        killed = not pid and now > (self.signalled or self.began) + LIMIT_SECONDS
        if killed:
            os.kill(self.pid, signal.SIGKILL)
            pid, status = os.waitpid(self.pid, 0)
        if not pid:
            return None
        return {
            "case": list(self.case),
            "code": os.waitstatus_to_exitcode(status),
            "seconds": None if killed or self.signalled is None else round(now - self.signalled, 2),
            "runs": json.loads(self.output.read_text() or "null"),
        }


class _InChild(BaseException):
    """This is the child: leave the loop."""


def _run_all(given: list[Case], folder: Path) -> list[dict[str, Any]]:
    waiting, running, results = list(reversed(given)), [], []
    while waiting or running:
        while waiting and len(running) < AT_A_TIME:
            running.append(Child(waiting.pop(), folder))
        for child in tuple(running):
            if (result := child.look()) is not None:
                results.append(result)
                os.close(child.reader)
                running.remove(child)
        time.sleep(0.01)
    return results


def _write(history: MemoryRecorder, output: Path) -> None:
    runs = {run.name: str(run.history[-1].type) for run in history.runs.values()}
    output.write_text(json.dumps(runs))


def _be_child(case: Case, output: Path, writer: int) -> None:
    """What the script of a case does; whatever it raises goes up to the interpreter."""
    os.setsid()
    os.dup2(os.open(os.devnull, os.O_RDWR), 0)
    if not os.environ.get("WAYS_VERBOSE"):
        os.dup2(0, 1)
        os.dup2(0, 2)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if "limit" in case.way:
        os.environ |= {"MINTAKA_HISTORY": "on", "MINTAKA_HOME": str(output.with_suffix(".home"))}
        shared().put_limit("one-at-a-time", 1, 0.0, overwrite=True)
        shared().put_limit("seldom", 1, 1 / LONG, overwrite=True)
    call = _flow_of(case.way, case.place, lambda: os.write(writer, b"."))  # type: ignore[arg-type, return-value]
    with recorded() as history:
        try:
            call()
        finally:
            _write(history, output)


def main() -> None:
    """See the module's words."""
    warnings.simplefilter("ignore")
    given = [Case(*case) for case in json.loads(Path(sys.argv[1]).read_text())]
    folder = Path(tempfile.mkdtemp())
    try:
        results = _run_all(given, folder)
    except _InChild as child:
        arguments = child.args
    else:
        Path(sys.argv[2]).write_text(json.dumps(results))
        shutil.rmtree(folder)
        return
    _be_child(*arguments)


if __name__ == "__main__":
    main()
