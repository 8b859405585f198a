"""The fork server: forks a supervisor for each request that it reads from its standard input, until that ends.

A request is one line of JSON, see `supervisor.supervise`. The supervisors share the fork server's memory, so that each needs
little, and outlive it.

`python -S -E -I -c PROGRAM`: only the standard library, to start fast.
"""

from __future__ import annotations

import ctypes
import gc
import json
import os
import signal
import sys
import traceback
from contextlib import suppress

from mintaka_api.local.processes.attempt_folder import SUPERVISOR_ERROR, write_file
from mintaka_api.local.processes.supervisor import supervise

_LOADED = ctypes.CDLL  # before the first fork, so that supervisors share it


def main() -> None:
    """Serve requests until standard input ends."""
    # Handled rather than ignored: a program that a supervisor starts would ignore them as well. Ctrl-C is for the server.
    signal.signal(signal.SIGINT, lambda _number, _frame: None)
    signal.signal(signal.SIGHUP, lambda _number, _frame: None)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # supervisors record their ends themselves
    gc.disable()
    gc.freeze()
    for line in sys.stdin.buffer:
        try:
            if os.fork() == 0:
                _serve(line)
        except OSError as error:
            sys.stderr.write(f"a supervisor cannot be forked: {error}\n")
            sys.stderr.flush()


def _serve(line: bytes) -> None:
    """Be a supervisor; never returns."""
    folder = ""
    try:
        os.setsid()
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        _leave_streams()
        request = json.loads(line)
        folder = request["folder"]
        supervise(request)
    except BaseException:  # noqa: BLE001 - no caller handles it
        if folder:
            with suppress(OSError):
                write_file(f"{folder}/{SUPERVISOR_ERROR}", traceback.format_exc().encode(), durable=False)
        os._exit(1)
    os._exit(0)


def _leave_streams() -> None:
    """Do not hold a pipe or terminal of the server open."""
    null = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(null, descriptor)
    os.close(null)


if __name__ == "__main__":
    main()
