"""The command line as users call it: a process of its own, with or without a terminal."""

from __future__ import annotations

import fcntl
import os
import pty
import struct
import subprocess
import sys
import termios
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from pathlib import Path

#: A session of its own takes its first terminal for its controlling one, from which Ctrl-C comes; a shell starts what it runs there
#: with Ctrl-C heard, which is not so where tests run in the background.
_TAKE_TERMINAL = """
import fcntl, signal, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
signal.signal(signal.SIGINT, signal.default_int_handler)
from mintaka.cli import main
main()
"""
_COMMAND = [sys.executable, "-c", "from mintaka.cli import main; main()"]
_SECONDS = 60


class Said(NamedTuple):
    """What a command said: its exit code, standard output, standard error (on a terminal: together)."""

    code: int
    out: str
    err: str


class Terminal:
    """Calls `mintaka ARGUMENTS…` (or another `program`) in `folder`, with `environment` beside the process's own."""

    def __init__(self, folder: Path, program: list[str] | None = None, **environment: str) -> None:
        self.folder = folder
        self._program = program or _COMMAND
        self.environment = environment

    def __call__(self, *arguments: str, cwd: Path | None = None, **environment: str) -> Said:
        """Without a terminal."""
        done = subprocess.run(
            [*self._program, *arguments],
            capture_output=True,
            text=True,
            timeout=_SECONDS,
            check=False,
            cwd=cwd or self.folder,
            env={**os.environ, **self.environment, **environment},
        )
        return Said(done.returncode, done.stdout, done.stderr)

    def begin(self, *arguments: str, python: str | None = None) -> subprocess.Popen[bytes]:
        """Without a terminal, and without waiting; `python`: a script instead of a command."""
        command = [*self._program, *arguments] if python is None else [sys.executable, python]
        quiet = subprocess.DEVNULL
        return subprocess.Popen(command, cwd=self.folder, env={**os.environ, **self.environment}, stdout=quiet, stderr=quiet)

    def on_a_terminal(self, *arguments: str, columns: int = 80, press: tuple[str, bytes] | None = None, **environment: str) -> Said:
        """On one of so many columns; once it said the word of `press`, those keys are pressed."""
        leader, follower = pty.openpty()
        fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        process = subprocess.Popen(
            [sys.executable, "-c", _TAKE_TERMINAL, *arguments],
            stdin=follower,
            stdout=follower,
            stderr=follower,
            cwd=self.folder,
            env={**os.environ, "TERM": "xterm", **self.environment, **environment},
            start_new_session=True,
        )
        os.close(follower)
        said = b""
        while True:
            try:
                part = os.read(leader, 65536)
            except OSError:  # the other end is closed
                break
            if not part:
                break
            said += part
            if press is not None and press[0].encode() in said:
                os.write(leader, press[1])
                press = None
        os.close(leader)
        return Said(process.wait(_SECONDS), said.decode(), "")
