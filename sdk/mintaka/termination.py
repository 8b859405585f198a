"""What happens on SIGTERM: stop starting tasks, find out why, unwind the flow, leave time for its history.

Kubernetes sends SIGTERM and, after a grace period, SIGKILL (Pod Lifecycle, "Termination of Pods"). The signal itself does
not say why: the operator cancels or suspends a run, its time is over, or its pod is evicted. The API reads it from the run;
that its time is over the process knows by itself, and ends without being asked to. If the API does not answer, no one can
say whether it crashed: it ends CRASHED with reason Terminated, no hook is called, and the operator, who knows, decides.

The handler raises `Terminated` in the main thread, so that `finally` blocks and context managers run; not in the middle
of our own bookkeeping, and not in an event loop that can cancel its task instead. A thread sees to it that it happens.
"""

from __future__ import annotations

import signal
import threading
from queue import Empty, SimpleQueue
from time import monotonic, sleep
from typing import TYPE_CHECKING

from mintaka.early_sigterm import STARTED
from mintaka.engine.bookkeeping import in_bookkeeping
from mintaka.engine.child_processes import CHILD_PROCESSES
from mintaka.engine.forks import of_this_process
from mintaka.engine.outcomes import Interrupted
from mintaka.engine.stopping import STOP
from mintaka.engine.unwinding import frames_of_coroutine, frames_of_thread, watch
from mintaka.exceptions import Fenced, Suspension, Terminated, message_of
from mintaka.states import Cancelled, Crashed, Failed, State, Suspended
from mintaka_core.clocks import CLOCK_TOLERANCE
from mintaka_core.states import CANCELLED
from mintaka_core.stop_reasons import StopReason

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Iterable
    from types import FrameType

#: When the API is asked; again if it does not answer.
QUESTION_SECONDS = (0.0, 0.3, 1.0)
#: How long an event loop may take to cancel its task before it is interrupted wherever it is.
LOOP_SECONDS = 1.0
_AGAIN_SECONDS = 0.005
#: How much of the grace period is left for writing the report.
MARGIN_SECONDS = 2.0


class Termination:
    """Watches for SIGTERM in this process, and for the end of its time, `timeout_seconds` after it began (None: never).

    `ask` gives the reason as the API has it (None: no answer); it is None itself if there is no API. `on_request` is called, in
    a thread, when the process is asked to stop; `on_late` if the flow is over already.
    """

    def __init__(
        self,
        ask: Callable[[], StopReason | None] | None,
        grace_seconds: float,
        on_request: Callable[[], object],
        on_late: Callable[[float], object],
        timeout_seconds: float | None = None,
    ) -> None:
        self._ask = ask
        self._timeout_seconds = timeout_seconds
        self._grace_seconds = grace_seconds
        self._on_request = on_request
        self._on_late = on_late
        self._requests: SimpleQueue[None] = SimpleQueue()
        self._answered = threading.Event()
        self._answer: StopReason | None = None
        self._raised = False
        self._over = False
        self._fenced = False
        self._requested_at: float | None = None
        self._loop_task: tuple[asyncio.AbstractEventLoop, asyncio.Task[object]] | None = None
        self._main = threading.main_thread()

    def install(self) -> None:
        """From now on SIGTERM stops the flow; only in the main thread."""
        signal.signal(signal.SIGTERM, self._handle)
        threading.Thread(target=self._watch, name="mintaka-termination", daemon=True).start()

    def attach(self, loop: asyncio.AbstractEventLoop, task: asyncio.Task[object]) -> None:
        """The flow is `task` in `loop`: it is cancelled there rather than interrupted."""
        self._loop_task = (loop, task)

    def fence(self) -> None:
        """A newer attempt has taken over: stop as on SIGTERM, but with nothing more to say. Called from any thread."""
        self._fenced = True
        self._request()

    def finish(self) -> None:
        """The flow is over: nothing is interrupted any more."""
        self._over = True

    @property
    def deadline(self) -> float | None:
        """When the process has to be done (`time.monotonic()`); None while nobody asked it to stop."""
        return (
            None if self._requested_at is None else self._requested_at + max(self._grace_seconds - MARGIN_SECONDS, self._grace_seconds / 2)
        )

    def judge(self, error: BaseException) -> Interrupted:
        """What an interruption of the flow run amounts to; waits a little for the API's answer if it was SIGTERM."""
        if isinstance(error, Suspension):
            return Interrupted.all(Suspended(message=str(error)))
        if self._requested_at is None:
            return Interrupted.all(Crashed(reason=type(error).__name__, message=message_of(error) or "the process was interrupted"))
        if self._fenced:
            return Interrupted.all(FENCED)
        self._answered.wait(self._patience)
        return stopped(self._answer, overdue=self._overdue)

    @property
    def _overdue(self) -> bool:
        """True if its time was over when it was asked to stop; the operator's clock, and when it began for it, may be others."""
        if self._timeout_seconds is None or self._requested_at is None:
            return False
        return self._requested_at - STARTED + CLOCK_TOLERANCE.total_seconds() >= self._timeout_seconds

    @property
    def _patience(self) -> float:
        return min(2 * sum(QUESTION_SECONDS), self._grace_seconds / 4)

    def _request(self) -> None:
        if self._requested_at is None:
            self._requested_at = monotonic()
            STOP.request()
            self._requests.put(None)  # reentrant, unlike anything with a lock of its own

    @of_this_process
    def _handle(self, _signal: int, frame: FrameType | None) -> None:
        """The signal handler. A second SIGTERM, or one that comes while history is delivered, only sets the deadline."""
        self._request()
        if self._over:
            self._on_late(self.deadline or monotonic())
        elif not self._raised and not in_bookkeeping(frame) and not self._cancel_in_loop():
            self._raised = True
            CHILD_PROCESSES.interrupt_flows()
            if self._fenced:
                raise Fenced
            message = "the process was asked to end (SIGTERM)"
            raise Terminated(message)

    def _cancel_in_loop(self) -> bool:
        """Ask the event loop to cancel the flow's task; False where there is none or it is stuck."""
        if self._loop_task is None or monotonic() - (self._requested_at or 0.0) > LOOP_SECONDS:
            return False
        loop, task = self._loop_task
        if loop.is_closed() or task.done():
            return False
        loop.call_soon_threadsafe(self._cancel, task)
        return True

    def _cancel(self, task: asyncio.Task[object]) -> None:
        if not self._raised:
            self._raised = True
            CHILD_PROCESSES.interrupt_flows()
            task.cancel("the process was asked to end (SIGTERM)")

    def _watch(self) -> None:
        self._wait_for_request()
        threading.Thread(target=self._question, name="mintaka-question", daemon=True).start()
        self._on_request()
        self._interrupt()
        # Code that swallowed the interruption may go on, but a pool that it left must not wait for threads that nothing can interrupt.
        watch(self._frames, self._interrupt_again, lambda: self._over, insist=False)

    def _interrupt(self) -> None:
        """Have the handler called until it has raised, or has had the flow's task cancelled."""
        while not (self._raised or self._over):
            signal.pthread_kill(self._main.ident or 0, signal.SIGTERM)
            sleep(_AGAIN_SECONDS)

    def _interrupt_again(self) -> None:
        self._raised = False
        self._interrupt()

    def _frames(self) -> Iterable[FrameType]:
        """Where the flow is: in the main thread, and where its task is suspended if it has one."""
        frames = frames_of_thread(self._main.ident or 0)
        return frames if self._loop_task is None else (*frames_of_coroutine(self._loop_task[1].get_coro()), *frames)

    def _wait_for_request(self) -> None:
        """Wait until the process is asked to stop, or its time is over."""
        if self._timeout_seconds is None:
            self._requests.get()
            return
        try:
            self._requests.get(timeout=min(max(STARTED + self._timeout_seconds - monotonic(), 0), threading.TIMEOUT_MAX))
        except Empty:
            if not self._over:
                self._request()

    def _question(self) -> None:
        for seconds in QUESTION_SECONDS if self._ask is not None else ():
            sleep(seconds)
            if self._ask is not None and (answer := self._ask()) is not None:
                self._answer = answer
                break
        self._answered.set()


FENCED = Crashed(reason="Fenced", message="a newer attempt of this flow run has taken over")


def stopped(reason: StopReason | None, *, overdue: bool) -> Interrupted:
    """What it amounts to that the process was asked to stop, for a reason that the API gave (None: it did not)."""
    match reason:
        case StopReason.CANCELLED:
            return Interrupted.all(Cancelled(reason="Cancelled", message="stopped: the flow run was cancelled"))
        case StopReason.SUSPENDED:
            why = "stopped: the flow run was suspended"
            return Interrupted(Suspended(message=why), State(CANCELLED, "Stopped", "Suspended", why))
        case StopReason.REPLACED:
            return Interrupted.all(FENCED)
        case _ if overdue or reason == StopReason.TIMED_OUT:
            why = "stopped: the attempt ran longer than timeoutSeconds"
            return Interrupted(Failed(name="TimedOut", reason="TimedOut", message=why), State(CANCELLED, "Stopped", "TimedOut", why))
        case StopReason.OUTSIDE:
            why = "stopped: the process was asked to end (SIGTERM), by neither the flow run's owner nor its timeout"
            return Interrupted.all(Crashed(reason="Terminated", message=why))
    why = "stopped: the process was asked to end (SIGTERM), and the API did not say why"
    return Interrupted(Crashed(reason="Terminated", message=why), Crashed(reason="Terminated", message=why), hooks=False)
