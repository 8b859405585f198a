"""Forks of a process that runs flows: code of a task or flow that called os.fork() and goes on in the child.

The child has the caller's thread and nothing else: neither the task runner nor what writes history, and what the flow is about
to do is done by its parent. So a child ends where the body ends in which it began, as a script would: with the code of a
SystemExit, 1 and a traceback for any other exception, 0 if the body returns. What it records meanwhile is for nobody, and signals
end it as they end any process: a pool's workers that handled SIGTERM in a flow's way would not end when the pool asks them to.
"""

from __future__ import annotations

import os
import signal
import sys
import traceback
from collections.abc import Callable
from contextlib import suppress
from functools import wraps
from typing import Any

from mintaka.exceptions import Terminated

_DEFAULTS: dict[signal.Signals, Any] = {signal.SIGINT: signal.default_int_handler, signal.SIGTERM: signal.SIG_DFL}


def of_this_process[H: Callable[..., object]](handler: H) -> H:
    """A handler of SIGINT or SIGTERM that ends flows: a child, which has none, handles the signal as if there had never been one.

    A signal may hit the child before `enter_child` has reset its handlers; raised there, an exception would be dropped, and the
    signal lost.
    """

    @wraps(handler)
    def handle(*given: Any) -> Any:
        if os.getpid() == FORKS.process:
            return handler(*given)
        number = given[-2]
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)
        return None

    handle.mintaka = True  # type: ignore[attr-defined]
    return handle  # type: ignore[return-value]


class Forks:
    """How often the process was forked to get here, which its parent does not have, and the process whose handlers are installed."""

    __slots__ = ("depth", "process")

    def __init__(self) -> None:
        self.depth = 0
        self.process = os.getpid()

    def enter_child(self) -> None:
        """This is a new process."""
        self.depth += 1
        for number, default in _DEFAULTS.items():
            if getattr(signal.getsignal(number), "mintaka", False):
                signal.signal(number, default)
        self.process = os.getpid()


FORKS = Forks()
os.register_at_fork(after_in_child=FORKS.enter_child)


def end_child(error: BaseException | None = None) -> None:
    """A body that began in the parent ended here, in a child: end the child. Does not return."""
    code = 0
    try:
        code = _exit_code(error)
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError, ValueError, AttributeError):  # it is closed, or there is none
                stream.flush()
    finally:
        os._exit(code)


def _exit_code(error: BaseException | None) -> int:
    if error is None:
        return 0
    if isinstance(error, SystemExit) and (error.code is None or isinstance(error.code, int)):
        return (error.code or 0) & 0xFF
    if isinstance(error, SystemExit):
        sys.stderr.write(f"{error.code}\n")
        return 1
    if isinstance(error, (Terminated, KeyboardInterrupt)):
        return 128 + (signal.SIGTERM if isinstance(error, Terminated) else signal.SIGINT)
    traceback.print_exception(error)
    return 1
