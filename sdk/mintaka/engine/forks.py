"""Forks of a process that runs flows: code of a task or flow that called os.fork() and goes on in the child.

The child has the caller's thread and nothing else: neither the task runner nor what writes history, and what the flow is about
to do is done by its parent. So a child ends where the body ends in which it began, as a script would: with the code of a
SystemExit, 1 and a traceback for any other exception, 0 if the body returns. What it records meanwhile is not stored, and signals
end it as they end any process: a pool's workers that handled SIGTERM in a flow's way would not end when the pool asks them to.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from mintaka.exceptions import Terminated

_DEFAULTS: dict[signal.Signals, Any] = {signal.SIGINT: signal.default_int_handler, signal.SIGTERM: signal.SIG_DFL}


def of_this_process[H: Callable[..., object]](handler: H) -> H:
    """Mark a handler of SIGINT or SIGTERM that ends flows: a child, which has none, handles the signal as if there had never been one."""
    handler.mintaka = True  # type: ignore[attr-defined]
    return handler


class Forks:
    """How often the process was forked to get here: its own number, which its parent does not have.

    Python forgets the signals that hit a child before it is set up; so they are blocked until its handlers are reset, and then
    end it. Otherwise a pool that ends its workers right after it made them would wait for them forever.
    """

    __slots__ = ("_masks", "depth")

    def __init__(self) -> None:
        self.depth = 0
        #: By thread: what was blocked before.
        self._masks: dict[int, Any] = {}

    def prepare(self) -> None:
        """A fork is about to be made, in this thread."""
        if any(_is_ours(number) for number in _DEFAULTS):
            self._masks[threading.get_ident()] = signal.pthread_sigmask(signal.SIG_BLOCK, _DEFAULTS)

    def resume(self) -> None:
        """It was made; this is the parent."""
        self._unblock()

    def enter_child(self) -> None:
        """It was made; this is the new process."""
        self.depth += 1
        for number, default in _DEFAULTS.items():
            if _is_ours(number):
                signal.signal(number, default)
        self._unblock()
        self._masks.clear()

    def _unblock(self) -> None:
        mask = self._masks.pop(threading.get_ident(), None)
        if mask is not None:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def _is_ours(number: signal.Signals) -> bool:
    return getattr(signal.getsignal(number), "mintaka", False)


FORKS = Forks()
os.register_at_fork(before=FORKS.prepare, after_in_parent=FORKS.resume, after_in_child=FORKS.enter_child)


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
