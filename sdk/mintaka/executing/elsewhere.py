"""Submitted tasks whose bodies run elsewhere: another process, a Dask or Ray cluster, an executor of the user's.

Only the body travels. Edges, retries, caching, hooks and the history stay in the flow's process: the run protocol is
driven here, and where it asks for the body to be called, a parcel goes to the executor; when it comes back, the protocol
goes on in one of a few local threads. So no thread waits for a body, however many are out.

An executor whose worker dies, or that is lost altogether, raises something; bodies' own exceptions come back as data. So
whatever an executor raises means a crash.
"""

from __future__ import annotations

import logging
import os
import pickle
import threading
from collections import deque
from concurrent.futures import CancelledError
from typing import TYPE_CHECKING, Any

from mintaka.context import CURRENT
from mintaka.engine.child_processes import CHILD_PROCESSES
from mintaka.engine.drivers import perform
from mintaka.engine.entries import now_micros
from mintaka.engine.outcomes import Outcome
from mintaka.engine.protocol import run_protocol
from mintaka.engine.steps import CALL, Sleep
from mintaka.engine.stopping import STOP
from mintaka.exceptions import ClusterLost, ConfigurationError, SerializationError, TimedOut, WorkerDied, message_of
from mintaka.executing.alarms import Alarms
from mintaka.executing.error_pickles import load_error
from mintaka.executing.jobs import Job
from mintaka.executing.pool import SlotPool
from mintaka.executing.shipping import Packer, Returned
from mintaka.executing.start_marks import WorkerLost
from mintaka.executing.submitting import broken_off
from mintaka.executing.workers import run_parcel
from mintaka.logging import run_logger

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Executor
    from concurrent.futures import Future as Handle

    from mintaka.engine.invocations import Invocation
    from mintaka.engine.steps import Step
    from mintaka.futures import Future

#: Threads that take runs from one body to the next: they also run hooks and wait for retries.
LOCAL_THREADS = 16

#: Exceptions of executors, by name because their libraries are not imported here, that speak of one worker.
_OF_ONE_WORKER = frozenset({"ProcessExpired", "KilledWorker", "WorkerLost", "WorkerCrashedError", "OutOfMemoryError", "BrokenProcessPool"})


class Dispatcher:
    """Runs jobs with their bodies on the executor that `make` gives, at most `limit` of them at a time (None: all)."""

    def __init__(self, make: Callable[[], Executor], limit: int | None) -> None:
        self._make = make
        self._limit = limit
        self._local = SlotPool(LOCAL_THREADS)
        self._alarms = Alarms()
        self._lock = threading.Lock()
        self._waiting: deque[Errand] = deque()
        self._errands: dict[Job, Errand] = {}
        self._out = 0
        self._executor: Executor | None = None
        self._executor_lock = threading.Lock()
        self._closed = False
        self._packer = Packer()
        self._process = os.getpid()

    def submit(self, job: Job) -> None:
        """Begin with `job` as soon as fewer than the limit are out."""
        if job.call is None:
            message = "only calls of tasks run elsewhere"
            raise ValueError(message)
        errand = Errand(self, job, job.call)
        job.pool = self
        with self._lock:
            self._errands[job] = errand
            if self._limit is not None and self._out >= self._limit:
                self._waiting.append(errand)
                return
            self._out += 1
            job.taken = True
        self.locally(errand.start, job)

    def locally(self, work: Callable[[], None], job: Job) -> None:
        """Have `work` done by a local thread in a copy of the job's context."""
        self._local.submit(Job(lambda _: work(), job.context.copy(), job.fn))

    def later(self, seconds: float, errand: Errand) -> None:
        """Have `errand` go on in `seconds`; meanwhile it takes up no thread, which those who return need."""
        self._alarms.call(seconds, errand.is_over, lambda: self.locally(errand.slept, errand.job))

    def send(self, invocation: Invocation) -> Handle[bytes]:
        """Hand one try of `invocation` to the executor, which is made when the first one comes.

        Raises:
            SerializationError: the function or an argument cannot be pickled.
            ConfigurationError: what the executor needs is not installed.
            ClusterLost: the executor could not be made, or takes nothing any more.
        """
        parcel = self._packer.pack(invocation)
        try:
            with self._executor_lock:
                if self._executor is None and not self._closed:
                    with CHILD_PROCESSES.starts.apart():
                        self._executor = self._make()
                executor = self._executor
            if executor is not None:
                return executor.submit(run_parcel, *parcel, self._process)
        except ConfigurationError:
            raise
        except Exception as error:
            message = f"the task could not be handed over: {type(error).__name__}: {message_of(error)}"
            raise ClusterLost(message) from error
        message = "the task could not be handed over: the flow is over"
        raise ClusterLost(message)

    def take(self, job: Job) -> bool:
        """Claim a job whose body has not begun, so that it never will."""
        with self._lock:
            errand = self._errands.get(job)
            if errand is None:
                return False
            if not job.taken:
                job.taken = True
                self._errands.pop(job)
                return True
        return errand.given_up()

    def queued(self) -> list[Job]:
        """The jobs that wait until fewer than the limit are out."""
        with self._lock:
            return [errand.job for errand in self._waiting if not errand.job.taken]

    def drop_queue(self) -> None:
        """Forget every job whose body has not begun."""
        for job in tuple(self._errands):
            self.take(job)

    def over(self, job: Job) -> None:
        """`job` is over: the next one may begin."""
        with self._lock:
            self._errands.pop(job, None)
            following = None
            while self._waiting and following is None:
                errand = self._waiting.popleft()
                if not errand.job.taken:
                    following = errand
                    errand.job.taken = True
            if following is None:
                self._out -= 1
        if following is not None:
            self.locally(following.start, following.job)

    def close(self) -> None:
        """Let the executor and the local threads go; bodies that still run are not waited for."""
        self._closed = True
        with self._executor_lock:
            executor, self._executor = self._executor, None
        if executor is not None:
            executor.shutdown(wait=False, cancel_futures=True)
        self._local.close()


class Errand:
    """One job on its way: the driver of its run protocol, from body to body."""

    __slots__ = ("_abandoned", "_begun", "_dispatcher", "_future", "_handle", "_invocation", "_lock", "_protocol", "_stopped", "job")

    def __init__(self, dispatcher: Dispatcher, job: Job, call: tuple[Invocation, Future[Any]]) -> None:
        self.job = job
        self._dispatcher = dispatcher
        self._invocation, self._future = call
        self._protocol = run_protocol(self._invocation)
        self._lock = threading.Lock()
        self._handle: Handle[bytes] | None = None
        self._begun = False
        self._abandoned = False
        self._stopped = False

    def start(self) -> None:
        """From the beginning to the first body."""
        self._invocation.ledger.jobs[self._invocation.run.n] = self
        self._go_on(lambda: next(self._protocol))

    def given_up(self) -> bool:
        """True where the body has not begun and now will not."""
        with self._lock:
            handle = self._handle
            if self._begun or (handle is not None and (handle.running() or handle.done())):
                return False
            self._abandoned = True
        return handle is None or handle.cancel()

    def stop(self, error: BaseException) -> None:  # noqa: ARG002 - nobody is there to be told why
        """The run was ended: nobody waits for the body any more. Executors that can end it do."""
        with self._lock:
            self._stopped = True
            handle = self._handle
        if handle is not None:
            handle.cancel()

    def _go_on(self, move: Callable[[], Step]) -> None:
        """Make a move in the protocol and do what it asks for, until it asks for a body or is over."""
        CURRENT.set(self._invocation.context)
        try:
            step = move()
            while True:
                if isinstance(step, Sleep) and STOP.skipped is None:
                    self._dispatcher.later(step.seconds, self)
                    return
                if step is not CALL:
                    step = self._protocol.send(perform(self._invocation, step))
                    continue
                try:
                    handle = None if self._abandoned or self._stopped else self._dispatcher.send(self._invocation)
                except (SerializationError, ClusterLost, ConfigurationError) as error:
                    step = self._protocol.throw(error)
                else:
                    break
        except StopIteration as end:
            self._end(end.value)
        except BaseException as error:  # noqa: BLE001 - the record has it; whoever asks for the result gets it
            self._end(broken_off(self._invocation.ledger, self._invocation.run, error))
        else:
            self._wait_for(handle)

    def slept(self) -> None:
        """Go on after a sleep."""
        self._go_on(lambda: self._protocol.send(None))

    def is_over(self) -> bool:
        """True where the run was ended from outside."""
        return self._invocation.run.is_over

    def _wait_for(self, handle: Handle[bytes] | None) -> None:
        """Go on when the body is over, unless the job was given up meanwhile."""
        with self._lock:
            self._handle = handle
            abandoned = self._abandoned or self._stopped
        if handle is None or abandoned:
            if handle is not None:
                handle.cancel()
            self._end(None)
        else:
            handle.add_done_callback(self._returned)

    def _returned(self, handle: Handle[bytes]) -> None:
        """The body is over, in whichever way; called by a thread of the executor, which must not be held up."""
        if self._stopped or (self._abandoned and handle.cancelled()):
            self._end(None)
        else:
            self._dispatcher.locally(lambda: self._go_on(lambda: self._taken_in(handle)), self.job)

    def _taken_in(self, handle: Handle[bytes]) -> Step:
        """Tell the protocol what came back."""
        self._begun, self._handle = True, None
        try:
            returned = Returned(*pickle.loads(handle.result()))  # noqa: S301 - from a worker of ours
        except (Exception, CancelledError) as error:  # noqa: BLE001 - executors raise what they like
            return self._protocol.throw(_crash(error))
        self._record(returned)
        if not returned.ok:
            raised = load_error(returned.pickled)
            if returned.late and isinstance(raised, TimedOut):
                self._invocation.late = raised
            return self._protocol.throw(raised)
        try:
            value = pickle.loads(returned.pickled)  # noqa: S301 - as above
        except BaseException as error:  # noqa: BLE001 - classes of the user's may raise whatever they like, and this is a thread of ours
            name = self._invocation.run.name
            unread = SerializationError(
                f"the result of task run {name} cannot be read after its worker sent it: {type(error).__name__}: {message_of(error)}"
            )
            unread.__cause__ = error
            return self._protocol.throw(unread)
        return self._protocol.send(value)

    def _record(self, returned: Returned) -> None:
        """Import what was recorded in the worker: when the body really began, logs, runs inside, artifacts, events."""
        run = self._invocation.run
        self._invocation.ledger.started_at(run, now_micros() - int(returned.seconds * 1e6))
        adopted = self._invocation.ledger.adopt(returned.runs, run)
        for artifact in returned.artifacts:
            self._invocation.ledger.recorder.keep(artifact.adopted(adopted, run))
        for event in returned.events:
            self._invocation.ledger.recorder.emit(event.adopted(adopted, run))
        if returned.logs:
            run_logger(self._invocation.context)  # shows lines on the console, where nobody configured logging
        for kept in returned.logs:
            record = logging.makeLogRecord(kept)
            logger = logging.getLogger(record.name)
            if logger.isEnabledFor(record.levelno):
                logger.handle(record)

    def _end(self, outcome: Outcome | None) -> None:
        """The job is over (None: somebody else ended its run)."""
        invocation = self._invocation
        if outcome is None:
            self._protocol.close()
        if invocation.keeping is not None:
            invocation.keeping.release()
            invocation.keeping.forget(outcome or Outcome(invocation.run))
        invocation.ledger.jobs.pop(invocation.run.n, None)
        if outcome is not None:
            self._future.finish(outcome)
        self._dispatcher.over(self.job)


def _crash(error: BaseException) -> WorkerDied | ClusterLost:
    """What an exception of the executor itself, not of the body, amounts to."""
    told = f"{type(error).__name__}: {message_of(error).partition('. ')[0]}"
    if isinstance(error, WorkerLost):
        told = message_of(error)
    if (exit_code := getattr(error, "exitcode", None)) is not None:
        told = f"exit code {exit_code}"
    died = _OF_ONE_WORKER.intersection(kind.__name__ for kind in type(error).__mro__)
    crash = WorkerDied(f"the worker that ran it died: {told}") if died else ClusterLost(f"what ran it was lost: {told}")
    crash.__cause__ = error
    return crash
