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
from typing import TYPE_CHECKING, Any

from mintaka.context import CURRENT
from mintaka.engine.bookkeeping import in_bookkeeping, uninterrupted
from mintaka.engine.child_processes import CHILD_PROCESSES
from mintaka.engine.forks import of_this_process
from mintaka.engine.loops import is_cancellation, loop_is_running, running_loop
from mintaka.engine.outcomes import Interrupted
from mintaka.engine.process_ends import leave_soon
from mintaka.engine.stopping import STOP
from mintaka.engine.unwinding import TERMINATED, Signals, frames_of_thread, raise_signal, watch
from mintaka.exceptions import Terminated
from mintaka.futures import stop_jobs
from mintaka.states import State
from mintaka_core.states import CANCELLED, FLOW_ENDED

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

    from mintaka.context import RunContext
    from mintaka.engine.invocations import Invocation

_AGAIN_SECONDS = 0.002
_DEFAULTS = {signal.SIGINT: signal.default_int_handler, signal.SIGTERM: signal.SIG_DFL}


class Guard:
    """Run a flow inside: whatever ends it, nothing of it stays open. Only for outermost flow runs."""

    __slots__ = ("_around", "_handled", "_invocation", "_signals")

    def __init__(self, invocation: Invocation) -> None:
        self._invocation = invocation
        self._around: RunContext | None = None
        self._handled: dict[signal.Signals, Any] = {}
        self._signals = Signals()

    @uninterrupted
    def __enter__(self) -> None:
        self._around = CURRENT.get()
        self._handled = _handle_signals(self._signals)

    @uninterrupted
    def __exit__(self, _kind: object, error: BaseException | None, _traceback: object) -> None:
        self._signals.over = True
        close_root(self._invocation, error)
        CURRENT.set(self._around)  # an interruption may have hit where a run takes its own context back
        number = _leave_signals(self._handled)
        if self._signals.came and error is not None:
            leave_soon()
            _forget_threads_of_loop()
        if error is not None and is_cancellation(error) and STOP.requested:
            raise Terminated(TERMINATED) from error
        if number is not None:
            raise_signal(number)


@uninterrupted
def close_root(invocation: Invocation, error: BaseException | None) -> None:
    """The outermost flow run is over, by `error` where its protocol was torn: end what is still open, and let nothing begin any more."""
    run, ledger, child = invocation.run, invocation.ledger, invocation.child
    ledger.closed = True
    if not run.is_over and error is not None and child is not None:
        interrupted = child.launch.judge(error)
    else:
        interrupted = Interrupted.all(State(CANCELLED, "Cancelled", FLOW_ENDED, f"the flow ended {run.state.name}"))
    if ledger.live:
        stop_jobs(ledger, ledger.end_all(interrupted.tasks), interrupted.tasks.message)
        ledger.propose_end(run, interrupted.flow)


def _handle_signals(signals: Signals) -> dict[signal.Signals, Any]:
    """Handle what nobody else handles; returns the handlers to put back."""
    if threading.current_thread() is not threading.main_thread():
        return {}
    if loop_is_running():
        return _handle_in_loop(signals)
    handled = {number: default for number, default in _DEFAULTS.items() if signal.getsignal(number) is default}
    handler = _raising_handler(signals)
    for number in handled:
        signal.signal(number, handler)
    if handled:
        _start_again()
    return handled


def _handle_in_loop(signals: Signals) -> dict[signal.Signals, Any]:
    """Of a flow in an event loop."""
    from mintaka.engine.loop_signals import LoopHandler  # noqa: PLC0415 - start-up time

    handler = LoopHandler(signals)
    handled: dict[signal.Signals, Any] = {}
    if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        handled[signal.SIGTERM] = signal.SIG_DFL
    usual: Any = signal.getsignal(signal.SIGINT)
    if usual is signal.default_int_handler or getattr(getattr(usual, "func", None), "__qualname__", "") == "Runner._on_sigint":
        handled[signal.SIGINT] = handler.usual = usual
    for number in handled:
        signal.signal(number, handler.handle)
    return handled


@uninterrupted
def _forget_threads_of_loop() -> None:
    """What the interrupted flow left to threads of its loop is not waited for when the loop is closed."""
    from concurrent.futures import ThreadPoolExecutor  # noqa: PLC0415 - start-up time

    loop = running_loop()
    if loop is not None:
        loop.set_default_executor(ThreadPoolExecutor(1, "asyncio"))


def _raising_handler(signals: Signals) -> Callable[[int, FrameType | None], None]:
    """The signal handler of a flow that blocks."""
    main = threading.main_thread().ident or 0

    @of_this_process
    def interrupt(number: int, frame: FrameType | None) -> None:
        if number == signal.SIGTERM:
            STOP.request()
        if in_bookkeeping(frame):
            _deferred.append(number)
            _again.put(number)
            return
        if not signals.came:
            signals.came = True
            CHILD_PROCESSES.interrupt_flows()
            watch(
                lambda: frames_of_thread(main),
                lambda: signal.pthread_kill(main, number),
                lambda: signals.over,
                insist=number == signal.SIGTERM,
            )
        raise_signal(number)

    return interrupt


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
