"""A bounded pool of threads that nested submits cannot deadlock.

At most `max_workers` jobs run at a time. A worker that has to wait for another job does not keep its place idle: if that
job has not begun, the worker runs it itself; else it hands its slot to the next job in the queue (a further thread
is started where needed) and goes on without one when its wait is over. So a wait never holds up what it waits for.
Going on without a slot may pass the bound for a moment; asking for one again could deadlock on a lock of the user's.

A job of a coroutine function may belong to the event loop of its flow: it is begun there, and its slot counts like that of a thread.

Threads are daemons and are started on demand: a process that has to end does not wait for a job that cannot be
interrupted.

The lock is taken as itself, never through the condition: a condition is entered in Python code, and an exception from a
signal handler or a deadline would leave it locked for ever.
"""

from __future__ import annotations

import threading
from collections import deque
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING
from weakref import WeakSet

from mintaka.engine.bookkeeping import uninterrupted
from mintaka.engine.loops import LoopThread, close_thread_loop, loop_is_running
from mintaka.executing.jobs import LOOP_JOB

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from mintaka.executing.jobs import Job

#: How deep a worker goes in running the jobs it waits for, each inside the other, before it hands over its slot instead.
_DEPTH = 16


class _Worker(threading.local):
    """What a thread knows of itself: the pool it works for and how many jobs it runs inside each other."""

    pool: SlotPool | None = None
    depth: int = 0


_WORKER = _Worker()


#: Every pool, and the event loops whose threads wait for jobs now.
_POOLS: WeakSet[SlotPool] = WeakSet()
_BLOCKED_LOOPS: list[asyncio.AbstractEventLoop] = []


@contextmanager
def blocked_loop(loop: asyncio.AbstractEventLoop) -> Iterator[None]:
    """While the block blocks `loop`, jobs that would begin in it begin in another one, which they share."""
    _BLOCKED_LOOPS.append(loop)
    try:
        for pool in tuple(_POOLS):
            pool.leave_loop(loop)
        yield
    finally:
        _BLOCKED_LOOPS.remove(loop)


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
        #: Jobs that were handed to an event loop, which has not come to them yet.
        self._handed: set[Job] = set()
        self._loop_thread: LoopThread | None = None
        _POOLS.add(self)

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
            if self._loop_thread is not None:
                self._loop_thread.close()

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
        """While the block waits, this worker's slot may be used by another job."""
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

    @uninterrupted
    def leave_loop(self, loop: asyncio.AbstractEventLoop) -> None:
        """Run what has not begun in `loop`, which is blocked, in another one."""
        with self._lock:
            for job in [job for job in self._handed if job.loop is loop]:
                self._handed.discard(job)
                self._running -= 1
                job.taken = False
                self._queue.appendleft(job)
            self._offer()

    def _other_loop(self) -> asyncio.AbstractEventLoop:
        """The one for jobs whose own is blocked; the lock is held."""
        if self._loop_thread is None:
            self._loop_thread = LoopThread()
        return self._loop_thread.loop

    def _hand_over(self, job: Job, loop: asyncio.AbstractEventLoop) -> None:
        """Have the first job in the queue, for which there is a slot, begin in its loop; the lock is held."""
        try:
            loop.call_soon_threadsafe(self._begin, job)
        except RuntimeError:  # it is closed
            job.loop = None
            return
        self._queue.popleft()
        job.taken = True
        self._running += 1
        self._handed.add(job)

    def _begin(self, job: Job) -> None:
        """In the loop of `job`: begin it, unless it was given to a thread meanwhile."""
        with self._lock:
            if job not in self._handed:
                return
            self._handed.discard(job)
        job.run_in_loop(self._over, self.slot_handed_over)

    @uninterrupted
    def _over(self) -> None:
        """A job is over that ran in an event loop."""
        with self._lock:
            self._running -= 1
            self._offer()

    def _hand_over_first(self) -> None:
        """Hand the first jobs in the queue to the event loops they belong to, while slots are free; the lock is held."""
        while self._queue:
            job = self._queue[0]
            if job.taken:
                self._queue.popleft()
            elif job.loop is None or self._running >= self.max_workers:
                return
            elif job.loop in _BLOCKED_LOOPS:
                job.loop = self._other_loop()
            else:
                self._hand_over(job, job.loop)

    def _offer(self) -> None:
        """Find a thread, or an event loop, for the first jobs in the queue where slots are free; the lock is held."""
        self._hand_over_first()
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
                self._hand_over_first()
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


def slot_handed_over() -> AbstractContextManager[None]:
    """While the block waits, the slot of this thread, or of the job that this code in an event loop is part of, may be used by another job."""
    if _WORKER.pool is not None:
        return _WORKER.pool.slot_handed_over()
    job = LOOP_JOB.get()
    return nullcontext() if job is None or not loop_is_running() else job.slot_handed_over()


def wait_as_worker(wait: Callable[[], object], job: Job | None) -> None:
    """Call `wait`, which blocks until `job` is done (None: until something else is), without keeping a slot idle."""
    pool = _WORKER.pool
    if pool is None:
        wait()
    elif job is not None and job.loop is None and _WORKER.depth < _DEPTH and not (job.needs_loop and loop_is_running()) and pool.take(job):
        _WORKER.depth += 1
        try:
            job.run()
        finally:
            _WORKER.depth -= 1
    else:
        with pool.slot_handed_over():
            wait()
