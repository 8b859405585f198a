"""What surrounds the outermost flow run of a process: signals, and the promise that nothing of it stays open.

In a script nobody watches over the flow, so while it runs in the main thread SIGINT and SIGTERM are handled here: they raise
`KeyboardInterrupt` or `Terminated` wherever the flow is, but for our own bookkeeping, where the signal is sent again a moment
later by a thread. Handlers of somebody else's, such as the runner's in a pod or asyncio's, are left in place. An interruption
may hit the few lines around the flow's body; the last word, that every open run is ended, is said here too.
"""

from __future__ import annotations

import signal
import threading
from queue import SimpleQueue
from time import sleep
from typing import TYPE_CHECKING, Any, NoReturn

from mintaka.context import CURRENT
from mintaka.engine.bookkeeping import in_bookkeeping, uninterrupted
from mintaka.engine.child_processes import CHILD_PROCESSES
from mintaka.engine.forks import of_this_process
from mintaka.engine.loops import is_cancellation, loop_is_running
from mintaka.engine.outcomes import Interrupted
from mintaka.engine.runs import entry_of
from mintaka.engine.stopping import STOP
from mintaka.exceptions import Terminated
from mintaka.futures import stop_jobs
from mintaka.states import State
from mintaka_core.states import CANCELLED

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

    from mintaka.context import RunContext
    from mintaka.engine.invocations import Invocation

_AGAIN_SECONDS = 0.002
_TERMINATED = "the process was asked to end (SIGTERM)"
_DEFAULTS = {signal.SIGINT: signal.default_int_handler, signal.SIGTERM: signal.SIG_DFL}


class Guard:
    """Run a flow inside: whatever ends it, nothing of it stays open. Only for outermost flow runs."""

    __slots__ = ("_around", "_handled", "_invocation")

    def __init__(self, invocation: Invocation) -> None:
        self._invocation = invocation
        self._around: RunContext | None = None
        self._handled: dict[signal.Signals, Any] = {}

    @uninterrupted
    def __enter__(self) -> None:
        self._around = CURRENT.get()
        self._handled = _handle_signals()

    @uninterrupted
    def __exit__(self, _kind: object, error: BaseException | None, _traceback: object) -> None:
        close_root(self._invocation, error)
        CURRENT.set(self._around)  # an interruption may have hit where a run takes its own context back
        number = _leave_signals(self._handled)
        if error is not None and is_cancellation(error) and STOP.requested:
            raise Terminated(_TERMINATED) from error
        if number is not None:
            _raise(number)


@uninterrupted
def close_root(invocation: Invocation, error: BaseException | None) -> None:
    """The outermost flow run is over, by `error` where its protocol was torn: end what is still open, and let nothing begin any more."""
    run, ledger, child = invocation.run, invocation.ledger, invocation.child
    ledger.closed = True
    if not run.is_over and error is not None and child is not None:
        interrupted = child.launch.judge(error)
    else:
        interrupted = Interrupted.all(State(CANCELLED, "Cancelled", "FlowEnded", f"the flow ended {run.state.name}"))
    if ledger.live:
        stop_jobs(ledger, ledger.end_all(entry_of(interrupted.tasks)), interrupted.tasks.message)
        ledger.end(run, entry_of(interrupted.flow))


def _handle_signals() -> dict[signal.Signals, Any]:
    """Handle what nobody else handles; returns the handlers to put back."""
    if threading.current_thread() is not threading.main_thread():
        return {}
    if loop_is_running():
        if signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
            return {}
        signal.signal(signal.SIGTERM, _cancelling_handler())
        return {signal.SIGTERM: signal.SIG_DFL}
    handled = {number: default for number, default in _DEFAULTS.items() if signal.getsignal(number) is default}
    for number in handled:
        signal.signal(number, _interrupt)
    if handled:
        _start_again()
    return handled


def _cancelling_handler() -> Callable[[int, FrameType | None], None]:
    """A handler for flows in an event loop: what is raised there may end in nowhere, so the flow's task is cancelled."""
    import asyncio  # noqa: PLC0415 - start-up time

    loop, task = asyncio.get_running_loop(), asyncio.current_task()

    @of_this_process
    def cancel(_number: int, _frame: FrameType | None) -> None:
        STOP.request()
        CHILD_PROCESSES.interrupt_flows()
        if task is not None:
            loop.call_soon_threadsafe(task.cancel, _TERMINATED)

    return cancel


@of_this_process
def _interrupt(number: int, frame: FrameType | None) -> None:
    """The signal handler of flows that block."""
    if number == signal.SIGTERM:
        STOP.request()
    if in_bookkeeping(frame):
        _deferred.append(number)
        _again.put(number)
    else:
        CHILD_PROCESSES.interrupt_flows()
        _raise(number)


def _raise(number: int) -> NoReturn:
    if number == signal.SIGTERM:
        raise Terminated(_TERMINATED)
    raise KeyboardInterrupt


@uninterrupted
def _leave_signals(handled: dict[signal.Signals, Any]) -> int | None:
    """Put the handlers back; returns a signal that came too late to be raised where it hit."""
    with _sending:
        number = _deferred[0] if _deferred else None
        _deferred.clear()
    for each, handler in handled.items():
        signal.signal(each, handler)
    return number


#: Signals that came at a bad moment, and the thread that sends them again: a handler can do neither with a lock.
_deferred: list[int] = []
_again: SimpleQueue[int] = SimpleQueue()
_sending = threading.Lock()
_watching = False


def _start_again() -> None:
    """Start that thread; a handler cannot."""
    global _watching  # noqa: PLW0603 - one thread for the process
    if not _watching:
        _watching = True
        threading.Thread(target=_send_again, name="mintaka-signals", daemon=True).start()


def _send_again() -> None:
    while True:
        number = _again.get()
        sleep(_AGAIN_SECONDS)
        with _sending:
            if number in _deferred:
                _deferred.remove(number)
                signal.pthread_kill(threading.main_thread().ident or 0, number)
