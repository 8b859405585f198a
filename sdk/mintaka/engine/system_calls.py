"""os.system in the main thread: while the C function waits for its shell, no Python code runs there, so neither a signal
handler nor a deadline can interrupt it. Python writes every signal to a file descriptor as it comes; a thread that reads
it ends what the call waits for, and then the call comes back and the signal is handled.
"""

from __future__ import annotations

import os
import signal
import threading
from time import monotonic
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

    from mintaka.engine.runs import Ledger

#: How much before its time a deadline's signal may come.
_EARLY_SECONDS = 0.05


class Deadline(NamedTuple):
    """That code of run `n` in the main thread may take until `time` (`time.monotonic()`)."""

    time: float
    ledger: Ledger
    n: int


#: Those of the main thread, outermost first.
DEADLINES: list[Deadline] = []


class SystemCallWatch:
    """From now on: SIGTERM calls `interrupt_flows`, and the end of a deadline `interrupt`, with its run and whether it is over.

    Made by the main thread. Does nothing if somebody else reads the signals already.
    """

    def __init__(self, interrupt_flows: Callable[[], object], interrupt: Callable[[Ledger, int, Callable[[], bool]], object]) -> None:
        import socket  # noqa: PLC0415 - start-up time

        self._interrupt_flows, self._interrupt = interrupt_flows, interrupt
        self._process = os.getpid()
        self._reader, self._writer = socket.socketpair()
        self._writer.settimeout(0)
        before = signal.set_wakeup_fd(self._writer.fileno(), warn_on_full_buffer=False)
        self._installed = before == -1
        if self._installed:
            threading.Thread(target=self._work, name="mintaka-system-calls", daemon=True).start()
        else:
            signal.set_wakeup_fd(before)

    def forget(self) -> None:
        """This is a fork: its signals are no business of the thread that its parent has."""
        if self._installed:
            signal.set_wakeup_fd(-1)

    def stop(self) -> None:
        """Leave the signals alone; from the main thread."""
        if self._installed and os.getpid() == self._process and threading.current_thread() is threading.main_thread():
            other = signal.set_wakeup_fd(-1)
            if other not in (-1, self._writer.fileno()):
                signal.set_wakeup_fd(other)
        self._writer.close()

    def _work(self) -> None:
        with self._reader:
            while numbers := self._reader.recv(64):
                if signal.SIGTERM in numbers:
                    self._interrupt_flows()
                if signal.SIGALRM in numbers:
                    for due in [each for each in tuple(DEADLINES) if each.time <= monotonic() + _EARLY_SECONDS]:
                        self._interrupt(due.ledger, due.n, lambda due=due: due not in DEADLINES)  # type: ignore[misc]
