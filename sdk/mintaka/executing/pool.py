"""A bounded pool of threads that nested submits cannot deadlock.

At most `max_workers` jobs run at a time. A worker that has to wait for another job does not keep its place idle: if that
job has not begun, the worker runs it itself; else it hands its slot to whoever is next in the queue (a further thread
is started where needed) and goes on without one when its wait is over. So a wait never holds up what it waits for.
Going on without a slot may pass the bound for a moment; asking for one again could deadlock on a lock of the user's.

Threads are daemons and are started on demand: a process that has to end does not wait for a job that cannot be
interrupted.

The lock is taken as itself, never through the condition: a condition is entered in Python code, and an exception from a
signal handler or a deadline would leave it locked for ever.
"""

from __future__ import annotations

import threading
from collections import deque
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Protocol

from mintaka.engine.bookkeeping import uninterrupted
from mintaka.engine.halting import Scope
from mintaka.engine.loops import close_thread_loop, loop_is_running

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Iterator
    from contextvars import Context

    from mintaka.engine.invocations import Invocation
    from mintaka.futures import Future

#: How deep a worker goes in running the jobs it waits for, each inside the other, before it hands over its slot instead.
_DEPTH = 16


class Queue(Protocol):
    """Where jobs wait until they begin."""

    def take(self, job: Job) -> bool:
        """Claim a job that has not begun; False where it has."""


class Job(Scope):
    """Something to be run once, in the context of whoever submitted it; `work` must not raise. `fn` is the user's function
    in it, `needs_loop` says that it is a coroutine function, which then attaches the asyncio task it runs in.
    """

    __slots__ = ("_loop_task", "call", "context", "needs_loop", "pool", "taken", "work")

    def __init__(
        self,
        work: Callable[[Job], None],
        context: Context,
        fn: Callable[..., Any],
        *,
        needs_loop: bool = False,
        call: tuple[Invocation, Future[Any]] | None = None,
    ) -> None:
        super().__init__(fn)
        self.work = work
        #: The call that `work` makes, for runners that make it in another way.
        self.call = call
        self._loop_task: tuple[asyncio.AbstractEventLoop, asyncio.Task[Any]] | None = None
        self.context = context
        self.needs_loop = needs_loop
        self.taken = False
        #: Where it is queued; None until everything it depends on is done.
        self.pool: Queue | None = None

    def claim(self) -> bool:
        """Take it out of its queue, or never let it get there; False where somebody runs it."""
        if self.pool is not None:
            return self.pool.take(self)
        taken, self.taken = self.taken, True
        return not taken

    def run(self) -> None:
        """Run it in its context."""
        outer = self.enter()
        try:
            self.context.run(self.work, self)
        finally:
            self.leave(outer)

    def attach(self, loop: asyncio.AbstractEventLoop, task: asyncio.Task[Any]) -> None:
        """It runs as `task` in `loop`, which is cancelled where the job is told to end."""
        self._loop_task = loop, task
        if self.error is not None:
            task.cancel(str(self.error))

    def stop(self, error: BaseException) -> None:
        """Tell it to end with `error`; it does so as soon as it is in the user's code. Safe from any thread."""
        if not self.needs_loop:
            self.halt(error)
            return
        self.error = error
        if self._loop_task is not None:
            loop, task = self._loop_task
            with suppress(RuntimeError):  # the loop is closed: the task is over
                loop.call_soon_threadsafe(task.cancel, str(error))


class _Worker(threading.local):
    """What a thread knows of itself: the pool it works for and how many jobs it runs inside each other."""

    pool: SlotPool | None = None
    depth: int = 0


_WORKER = _Worker()


class SlotPool:
    """Runs jobs on at most `max_workers` threads at a time, in the order they come."""

    def __init__(self, max_workers: int) -> None:
        if max_workers < 1:
            message = f"max_workers must be at least 1, not {max_workers}"
            raise ValueError(message)
        self.max_workers = max_workers
        self._queue: deque[Job] = deque()
        self._lock = threading.Lock()
        self._available = threading.Condition(self._lock)
        self._threads = 0
        #: Threads that wait for a job and were not yet woken; jobs that run with a slot; jobs that wait without one.
        self._idle = 0
        self._running = 0
        self._blocked = 0
        #: That a thread was woken or started and has not come for a job yet. It finds the next one a thread when it does:
        #: a burst of short jobs wakes no more threads than it keeps busy.
        self._coming = False
        self._closed = False

    @uninterrupted
    def submit(self, job: Job) -> None:
        """Run `job` as soon as a slot is free."""
        job.pool = self
        with self._lock:
            self._queue.append(job)
            self._offer()

    @uninterrupted
    def queued(self) -> list[Job]:
        """The jobs that no slot is free for."""
        with self._lock:
            waiting = [job for job in self._queue if not job.taken]
            return waiting[max(self.max_workers - self._running, 0) :]

    @uninterrupted
    def drop_queue(self) -> None:
        """Forget every job that has not begun."""
        with self._lock:
            for job in self._queue:
                job.taken = True
            self._queue.clear()

    @uninterrupted
    def close(self) -> None:
        """Let the threads end once the queue is empty."""
        with self._lock:
            self._closed = True
            self._available.notify_all()

    @uninterrupted
    def take(self, job: Job) -> bool:
        """Claim a job that has not begun, to run it oneself; False where it has, or is not queued here."""
        with self._lock:
            if job.pool is not self or job.taken:
                return False
            job.taken = True
            return True

    @contextmanager
    def slot_handed_over(self) -> Iterator[None]:
        """While the block waits, this worker's slot is somebody else's."""
        with self._lock:
            self._running -= 1
            self._blocked += 1
            self._offer()
        try:
            yield
        finally:
            with self._lock:
                self._blocked -= 1
                self._running += 1

    def _offer(self) -> None:
        """Find a thread for the first job in the queue where a slot is free; the lock is held."""
        if self._coming or not self._queue or self._running >= self.max_workers:
            return
        if self._idle:
            self._idle -= 1
            self._available.notify()
        elif self._threads - self._blocked < self.max_workers:
            threading.Thread(target=self._work, name=f"mintaka-{self._threads + 1}", daemon=True).start()
            self._threads += 1
        else:
            return
        self._coming = True

    def _next(self) -> Job | None:
        """Wait for a job and a slot; None: the pool is closed."""
        with self._lock:
            while True:
                while self._queue and self._queue[0].taken:
                    self._queue.popleft()
                if self._queue and self._running < self.max_workers:
                    job = self._queue.popleft()
                    job.taken = True
                    self._running += 1
                    self._offer()
                    return job
                if self._closed and not self._queue:
                    self._threads -= 1
                    return None
                self._idle += 1
                self._available.wait()
                self._coming = False

    def _work(self) -> None:
        _WORKER.pool = self
        with self._lock:
            self._coming = False
        try:
            while (job := self._next()) is not None:
                try:
                    job.run()
                finally:
                    del job
                    with self._lock:
                        self._running -= 1
        finally:
            close_thread_loop()


def worker_pool() -> SlotPool | None:
    """The pool this thread works for, or None."""
    return _WORKER.pool


def wait_as_worker(wait: Callable[[], object], job: Job | None) -> None:
    """Call `wait`, which blocks until `job` is done (None: until something else is), without keeping a slot idle."""
    pool = _WORKER.pool
    if pool is None:
        wait()
    elif job is not None and _WORKER.depth < _DEPTH and not (job.needs_loop and loop_is_running()) and pool.take(job):
        _WORKER.depth += 1
        try:
            job.run()
        finally:
            _WORKER.depth -= 1
    else:
        with pool.slot_handed_over():
            wait()
