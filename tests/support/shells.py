"""bash, zsh and fish as people use them: on a terminal, one key after the other, the line read back after a TAB."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
import time
from typing import TYPE_CHECKING, NamedTuple, Self

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

_SECONDS = 60
#: Ctrl-G shows the line between these, and how many TABs were dealt with is known by that: keys are taken in order.
_LINE = re.compile(rb"<<([^\r\n]*)>>")
_READY = b"ready$"
#: A session of its own takes its first terminal for its controlling one, without which shells have no line editor.
_TAKE_TERMINAL = "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); os.execvp(sys.argv[1], sys.argv[1:])"


class _Kind(NamedTuple):
    """How a shell is started, and what it reads first from which file of its home."""

    command: tuple[str, ...]
    file: str
    text: str


KINDS = {
    "bash": _Kind(
        command=("bash", "--noprofile", "--rcfile", "start.bash", "-i"),
        file="start.bash",
        text=r"""PS1='ready$ '
source <(mintaka completion bash)
bind 'set show-all-if-ambiguous on'
_line() { printf '\n<<%s>>\n' "$READLINE_LINE"; }
bind -x '"\C-g": _line'
""",
    ),
    "zsh": _Kind(
        command=("zsh", "--no-globalrcs", "-i"),
        file=".zshrc",
        text=r"""PS1='ready$ '
autoload -Uz compinit && compinit -u -D
source <(mintaka completion zsh)
_line() { print -r -- $'\n'"<<$BUFFER>>" }
zle -N _line
bindkey '^G' _line
""",
    ),
    "fish": _Kind(
        command=("fish", "--no-config", "--init-command", "source start.fish", "-i"),
        file="start.fish",
        text=r"""function fish_prompt; echo 'ready$ '; end
function fish_greeting; end
mintaka completion fish | source
bind \cg 'printf "\n<<%s>>\n" (commandline)'
""",
    ),
}


class Tabbed(NamedTuple):
    """The line after a TAB, and all that the terminal showed meanwhile."""

    line: str
    shown: str


class InteractiveShell:
    """One of `KINDS` in `folder`, its home; within a `with` block. `mintaka` is found in `folder / "bin"`."""

    def __init__(self, name: str, folder: Path, **environment: str) -> None:
        kind = KINDS[name]
        (folder / kind.file).write_text(kind.text)
        self._leader, follower = pty.openpty()
        fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))
        here = {"HOME": str(folder), "ZDOTDIR": str(folder), "TERM": "xterm", "PATH": f"{folder / 'bin'}:{os.environ['PATH']}"}
        self._process = subprocess.Popen(
            [sys.executable, "-c", _TAKE_TERMINAL, *kind.command],
            stdin=follower,
            stdout=follower,
            stderr=follower,
            cwd=folder,
            env={**os.environ, **here, **environment},
            start_new_session=True,
        )
        os.close(follower)

    def __enter__(self) -> Self:
        self._until(re.compile(re.escape(_READY)))
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._process.kill()
        self._process.wait(_SECONDS)
        os.close(self._leader)

    def tab(self, line: str) -> Tabbed:
        """Type `line` and TAB; then the line is taken back."""
        os.write(self._leader, line.encode() + b"\t\x07")
        shown, found = self._until(_LINE)
        os.write(self._leader, b"\x05\x15")  # to its end, and all of it away
        return Tabbed(found[1].decode(), shown.decode(errors="replace"))

    def _until(self, wanted: re.Pattern[bytes]) -> tuple[bytes, re.Match[bytes]]:
        """What is shown until `wanted` is, and that."""
        deadline = time.monotonic() + _SECONDS
        shown = b""
        while (found := wanted.search(shown)) is None:
            ready, _, _ = select.select([self._leader], [], [], max(deadline - time.monotonic(), 0))
            assert ready, f"no {wanted.pattern!r} within {_SECONDS} s in {shown!r}"
            shown += os.read(self._leader, 65536)
        return shown, found
