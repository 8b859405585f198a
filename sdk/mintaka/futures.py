"""Futures: what `.submit()` and `.map()` give back at once.

A future is done when its run is over. Looking at how it ended (`.result()`, `.state`, passing it on) takes note of a
failure; failures that no code read count at the end of the flow.

They are not `concurrent.futures.Future`s because those bring a condition variable each: a third of what a submit costs.
One lock for all of them, held for a few instructions, does; each waiting thread brings an event of its own.
"""

from __future__ import annotations

import logging
import threading
from contextlib import suppress
from queue import Empty
from time import monotonic
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, overload

from mintaka.engine.blocking_waits import may_suspend, suspend
from mintaka.engine.bookkeeping import uninterrupted
from mintaka.engine.child_processes import CHILD_PROCESSES
from mintaka.engine.loops import loop_is_running
from mintaka.engine.outcomes import Outcome
from mintaka.exceptions import Halted, InvalidSettingError, UnfinishedRun
from mintaka.executing.future_waits import DoneQueue, blocking_loop
from mintaka.executing.pool import slot_handed_over, wait_as_worker
from mintaka.states import State
from mintaka_core.durations import cap_seconds
from mintaka_core.states import CANCELLED

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator
    from uuid import UUID

    from mintaka.context import FlowContext
    from mintaka.engine.runs import Ledger, Run
    from mintaka.executing.jobs import Job


_LOCK = threading.Lock()


class Future[R]:
    """A task run that was submitted."""

    __slots__ = ("__weakref__", "_callbacks", "_flow", "_outcome", "job", "observed", "run")

    def __init__(self, run: Run, flow: FlowContext) -> None:
        self.run = run
        self.job: Job | None = None
        self._flow = flow
        self._outcome: Outcome | None = None
        #: That its end, whatever it will be, is known to code that deals with it.
        self.observed = False
        self._callbacks: list[Callable[[Future[R]], object]] | None = None
        flow.open[run.n] = self

    @uninterrupted
    def finish(self, outcome: Outcome) -> None:
        """The run is over; the first call counts, be it from the thread that ran it or from a flow that gave it up."""
        if not (outcome.ok or self.observed):
            self._flow.failures.setdefault(self.run.n, self)
        if self._flow.open.pop(self.run.n, None) is not None:
            self.job = None
            with _LOCK:
                self._outcome = outcome
                callbacks, self._callbacks = self._callbacks, None
            for callback in callbacks or ():
                self._call(callback)

    def _call(self, callback: Callable[[Future[R]], object]) -> None:
        try:
            callback(self)
        except Exception:
            logging.getLogger("mintaka").exception("a callback of %r failed", self)

    @property
    def outcome(self) -> Outcome:
        """How the run ended.

        Raises:
            UnfinishedRun: it is not over.
        """
        if self._outcome is None:
            message = f"task run {self.name} is not over, so it has no outcome yet: wait for it"
            raise UnfinishedRun(message)
        return self._outcome

    @property
    def done(self) -> bool:
        """True where the run is over."""
        return self._outcome is not None

    @property
    def name(self) -> str:
        """Name of the task run."""
        return self.run.name

    @property
    def task_run_id(self) -> UUID:
        """The id of the task run; inside of it, `runtime.task_run.id` is the same as text."""
        return self._flow.ledger.ids.of(self.run.n)

    @property
    def state(self) -> State[R]:
        """The state the run is in now; if it is over, its failure has been seen."""
        if self._outcome is None:
            state = self.run.state
            if state.is_terminal:  # its hooks are being called
                self.looked_at()
            return state
        self.looked_at()
        return self._outcome.state

    def looked_at(self) -> None:
        """Its failure, if it failed or will fail, has been read by code that deals with it."""
        self.observed = True
        if self._outcome is None or not self._outcome.ok:
            self._flow.failures.pop(self.run.n, None)

    def cancel(self) -> bool:
        """End the run CANCELLED, with all that it submitted; False where it was over.

        A body that runs is told to: it gets an exception at its next instruction, a coroutine at its next `await`. What it was
        doing until then, such as a blocking call, nobody waits for.
        """
        message = "cancelled by its flow"
        ledger = self._flow.ledger
        end = State(CANCELLED, reason="Cancelled", message=message)
        if self._outcome is not None or not ledger.propose_end(self.run, end):
            return False
        self.observed = True
        job = self.job
        if job is not None and not job.claim():
            stop_jobs(ledger, [self.run], message)
            end_inside(self.run, ledger, self._flow, end)
        self.finish(Outcome(self.run))
        return True

    def wait(self, timeout: float | None = None) -> None:
        """Block until the run is over, at most `timeout` seconds (None: for ever); does not raise when it passes."""
        if self._outcome is not None:
            return
        if loop_is_running():
            if may_suspend():
                suspend(lambda: self.wait_async(timeout))
                return
            if timeout is None or timeout > 0:
                with blocking_loop([self]):
                    self._block(timeout)
                return
        self._block(timeout)

    def _block(self, timeout: float | None) -> None:
        # A bare lock, not an Event: an interruption of the wait cannot leave it in a state that blocks `release`.
        latch = threading.Lock()
        latch.acquire()
        self.when_done(lambda _: latch.release())
        seconds = -1 if timeout is None else cap_seconds(timeout)
        wait_as_worker(lambda: latch.acquire(timeout=seconds), self.job if timeout is None else None)

    @overload
    def result(self, timeout: float | None = None, raise_on_failure: Literal[True] = True) -> R: ...
    @overload
    def result(self, timeout: float | None = None, *, raise_on_failure: bool) -> R | Exception: ...
    def result(self, timeout: float | None = None, raise_on_failure: bool = True) -> R | Exception:
        """The task's return value, waiting for it at most `timeout` seconds (None: for ever).

        Raises:
            TimeoutError: the run is not over in time.
            Exception: what the task raised, unless `raise_on_failure` is False: then it is returned.
        """
        self.wait(timeout)
        if self._outcome is None:
            message = f"task run {self.name} is not over after {timeout} s"
            raise TimeoutError(message)
        self.looked_at()
        value: R = self._outcome.result(raise_on_failure=raise_on_failure)
        return value

    def add_done_callback(self, callback: Callable[[Future[R]], object]) -> None:
        """Call `callback(self)` when the run is over, in the thread that ends it, or at once where it is.

        Raises:
            InvalidSettingError: `callback` is async; it would never be awaited.
        """
        from inspect import iscoroutinefunction  # noqa: PLC0415 - start-up time

        if iscoroutinefunction(callback) or iscoroutinefunction(getattr(callback, "__call__", None)):  # noqa: B004 - an object's own
            message = f"add_done_callback() of {self.name} takes a sync function, not the async {callback!r}: await the future instead"
            raise InvalidSettingError(message)
        self.when_done(callback)

    @uninterrupted
    def when_done(self, callback: Callable[[Future[R]], object]) -> None:
        """The same without a look at what `callback` is, for callers that know."""
        with _LOCK:
            if self._outcome is None:
                if self._callbacks is None:
                    self._callbacks = []
                self._callbacks.append(callback)
                return
        self._call(callback)

    async def wait_async(self, timeout: float | None = None) -> None:  # noqa: ASYNC109 - like `wait`
        """Wait until the run is over, at most `timeout` seconds (None: for ever), without blocking the event loop."""
        import asyncio  # noqa: PLC0415 - start-up time

        if self._outcome is None:
            loop, over = asyncio.get_running_loop(), asyncio.Event()

            def wake(_: object) -> None:
                with suppress(RuntimeError):  # the loop was closed by somebody who did not want to know
                    loop.call_soon_threadsafe(over.set)

            self.when_done(wake)
            with slot_handed_over(), suppress(TimeoutError):
                await (over.wait() if timeout is None else asyncio.wait_for(over.wait(), timeout))

    async def result_async(self) -> R:
        """What `await future` gives: the return value, or the exception."""
        await self.wait_async()
        return self.result()

    def __await__(self) -> Generator[Any, None, R]:
        return self.result_async().__await__()

    def __repr__(self) -> str:
        return f"<Future of {self.run!r}>"


def stop_jobs(ledger: Ledger, runs: Iterable[Run], message: str) -> None:
    """Tell the threads that work on `runs`, which are over, to end, and end the processes that they wait for."""
    runs = tuple(runs)
    CHILD_PROCESSES.end_later(ledger, [run.n for run in runs])
    for run in runs:
        job = ledger.jobs.get(run.n)
        if job is not None:
            job.stop(Halted(message))


def end_inside(run: Run, ledger: Ledger, flow: FlowContext | None, end: State[Any]) -> None:
    """End in `end` all that was called or submitted in `run`, a task's, which is over; `flow` is the flow around it (None: outside of flows).

    What was submitted is not waited for, and its end is not a failure that code has to read.
    """
    inside = ledger.end_below(run, end)
    futures = [flow.open[other.n] for other in inside if other.n in flow.open] if flow is not None else []
    for future in futures:
        future.observed = True
        if future.job is not None:
            future.job.claim()
    stop_jobs(ledger, inside, end.message)
    for future in futures:
        future.finish(Outcome(future.run))


class FutureList[R](list[Future[R]]):
    """The futures of `.map()`, in the order of the calls."""

    def wait(self, timeout: float | None = None) -> None:
        """Block until all are done, at most `timeout` seconds."""
        wait(self, timeout)

    @overload
    def result(self, timeout: float | None = None, raise_on_failure: Literal[True] = True) -> list[R]: ...
    @overload
    def result(self, timeout: float | None = None, *, raise_on_failure: bool) -> list[R | Exception]: ...
    def result(self, timeout: float | None = None, raise_on_failure: bool = True) -> list[Any]:
        """All results, in order; raises the first failure in that order.

        Raises:
            TimeoutError: one of them is not over after `timeout` seconds.
        """
        if timeout is not None and (late := wait(self, timeout).not_done):
            message = f"{len(late)} of {len(self)} task runs are not over after {timeout} s"
            raise TimeoutError(message)
        try:
            return [future.result(raise_on_failure=raise_on_failure) for future in self]
        except Exception:
            for future in self:
                future.looked_at()
            raise

    def __await__(self) -> Generator[Any, None, list[R]]:
        return self._gathered().__await__()

    async def _gathered(self) -> list[R]:
        try:
            return [await future for future in self]
        except Exception:
            for future in self:
                future.looked_at()
            raise


class DoneAndNotDone(NamedTuple):
    """What `wait` gives back."""

    done: set[Future[Any]]
    not_done: set[Future[Any]]


def wait(futures: Iterable[Future[Any]], timeout: float | None = None) -> DoneAndNotDone:
    """Block until all of `futures` are done, at most `timeout` seconds (None: for ever)."""
    given = list(futures)
    if timeout is None:
        for future in given:
            future.wait()
    else:
        deadline = monotonic() + cap_seconds(timeout)
        for future in given:
            future.wait(max(deadline - monotonic(), 0))
    done = {future for future in given if future.done}
    return DoneAndNotDone(done, set(given) - done)


def as_completed[R](futures: Iterable[Future[R]], timeout: float | None = None) -> Iterator[Future[R]]:
    """Yield each of `futures` as it is done.

    Raises:
        TimeoutError: not all are done after `timeout` seconds.
    """
    given = list(futures)
    done: DoneQueue[R] = DoneQueue()
    for future in given:
        future.when_done(done.put)
    deadline = None if timeout is None else monotonic() + cap_seconds(timeout)
    for _ in given:
        try:
            future = done.get(given, None if deadline is None else max(deadline - monotonic(), 0))
        except Empty:
            message = f"not all of {len(given)} task runs are over after {timeout} s"
            raise TimeoutError(message) from None
        yield future


def resolve_futures_to_results(value: Any) -> Any:
    """`value` with each future and state in it, nested as they may be, replaced by its result, waiting for it.

    Raises:
        Exception: that of the first run that failed.
    """
    from mintaka.calling.dependencies import resolved  # noqa: PLC0415 - would be a cycle

    return resolved(value, lambda passed: passed.result())


def resolve_futures_to_states(value: Any) -> Any:
    """`value` with each future in it, nested as they may be, replaced by the state it ended in, waiting for it."""
    from mintaka.calling.dependencies import resolved  # noqa: PLC0415 - would be a cycle

    def state(passed: Any) -> Any:
        if not isinstance(passed, Future):
            return passed
        passed.wait()
        return passed.state

    return resolved(value, state)


#: The names that Prefect has for them.
PrefectFuture = Future
PrefectFutureList = FutureList
