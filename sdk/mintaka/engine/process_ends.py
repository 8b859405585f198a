"""The end of a script whose flow was interrupted: it does not wait for threads that nothing can end.

Before a Python process ends it waits for every thread that is not a daemon, and for those of its pools, however long they sleep. If
an interruption of a flow is what ends the script, they get a moment, then what is registered with `atexit` is called, and the process ends.
"""

from __future__ import annotations

import atexit
import os
import signal
import sys
import threading
from contextlib import suppress
from time import monotonic
from typing import Any

from mintaka.exceptions import Terminated

#: How long threads that are not daemons may go on.
_THREADS_SECONDS = 0.3
_FAILED = 1

_registered: set[int] = set()


def leave_soon() -> None:
    """If the script ends by an unhandled interruption, do not wait for its threads."""
    register: Any = getattr(threading, "_register_atexit", None)  # called before threads are joined, which atexit's are not
    if register is not None and os.getpid() not in _registered:
        with suppress(RuntimeError):  # it is ending already
            register(_leave, os.getpid())
            _registered.add(os.getpid())


def _leave(process: int) -> None:
    error = getattr(sys, "last_exc", None)
    if os.getpid() != process or not isinstance(error, (KeyboardInterrupt, Terminated)):
        return
    deadline = monotonic() + _THREADS_SECONDS
    for thread in threading.enumerate():
        if thread is not threading.current_thread() and not thread.daemon:
            thread.join(max(deadline - monotonic(), 0.0))
    if all(thread is threading.current_thread() for thread in threading.enumerate()):
        return
    atexit._run_exitfuncs()  # noqa: SLF001 - what Python itself would call now
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError, AttributeError):  # it is closed, or there is none
            stream.flush()
    if isinstance(error, KeyboardInterrupt):  # as Python ends by itself, so that a shell sees what it was
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.kill(process, signal.SIGINT)
    os._exit(_FAILED)
