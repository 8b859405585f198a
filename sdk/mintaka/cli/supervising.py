"""`mintaka run --restart-on-crash N`: the flow runs in a child process, and goes on in another one where that dies.

A crash is a process that a signal killed, or one that ended CRASHED; a flow that failed, was cancelled, suspended itself, or was
asked to end is left as it is. The next process is `mintaka resume`: the same flow run, in its next attempt, finished tasks taken
from their results, which are persisted unless the environment or the code says otherwise.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from contextlib import contextmanager
from time import monotonic, sleep
from typing import TYPE_CHECKING
from uuid import uuid4

from mintaka.cli.parsing import BadArgument
from mintaka.exceptions import MissingResult, ResultError
from mintaka.persisting.kept_runs import kept_run, secrets_of
from mintaka.recording.homes import home
from mintaka.recording.launching import SUPERVISED
from mintaka_core.reports import ExitCode

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from mintaka.persisting.kept_runs import KeptRun

_COMMAND = (sys.executable, "-c", "from mintaka.cli import main; main()")
_OPTION = "--restart-on-crash"
_PARAMETER = ("-p", "--parameter")
#: The variable in which a child finds its supervisor's pid, and how often it looks whether that lives.
_SUPERVISOR = "MINTAKA_SUPERVISOR"
_LOOK_SECONDS = 0.2
#: How long a child may take to end when it is asked to, as in a pod.
_GRACE = "MINTAKA_GRACE_SECONDS"
_GRACE_SECONDS = 30.0
#: What a process that a signal ended before it could say more amounts to.
_OF_SIGNAL: dict[int, ExitCode] = {signal.SIGINT: ExitCode.CANCELLED, signal.SIGTERM: ExitCode.TERMINATED}
#: What a process that drew on the terminal and was killed has left undone: it takes a line of its own, and the cursor is shown.
_CURSOR = "\x1b[?25h"


def supervised(limit: int, *, progress: bool, json: bool) -> int:
    """Run what this process was asked to run in children, restarting it at most `limit` times; the exit code of the last one.

    Raises:
        BadArgument: no history is kept, so a run that died could not be found again.
    """
    where = home()
    if not where.api_url and where.database is None:
        message = f"{_OPTION} needs history, which is switched off (MINTAKA_HISTORY=off)"
        raise BadArgument(message)
    run, arguments = str(uuid4()), without_option(sys.argv[1:])
    with _asked_to_end() as asked:
        for restarts in range(limit + 1):
            code = asked.child(arguments, run)
            if asked.signals or not crashed(code) or restarts == limit:
                break
            kept = _kept(run)
            what = "it goes on in another process" if kept else "nothing is kept of it, so it begins anew"
            sys.stderr.write(f"flow run {run} {_told(code)}: {what} (restart {restarts + 1} of {limit})\n")
            if kept:
                secrets = parameters_in(sys.argv[1:], secrets_of(kept))
                arguments = ["resume", run, *secrets, *(["--json"] if json else []), *([] if progress else ["--no-progress"])]
            else:
                run, arguments = str(uuid4()), without_option(sys.argv[1:])
    return _OF_SIGNAL.get(-code, ExitCode.CRASHED) if code < 0 else code


def watch_supervisor() -> None:
    """In a supervised child: end as on SIGTERM when the supervisor dies, since there is nobody then who would go on with the run."""
    supervisor = os.environ.pop(_SUPERVISOR, "")
    if supervisor:
        threading.Thread(target=_end_after, args=(int(supervisor),), name="mintaka-supervisor", daemon=True).start()


def _end_after(supervisor: int) -> None:
    while os.getppid() == supervisor:
        sleep(_LOOK_SECONDS)
    os.kill(os.getpid(), signal.SIGTERM)


def without_option(arguments: list[str]) -> list[str]:
    """The same without the option that leads here."""
    kept: list[str] = []
    words = iter(arguments)
    for word in words:
        if word == _OPTION:
            next(words, None)
        elif not word.startswith(f"{_OPTION}="):
            kept.append(word)
    return kept


def crashed(code: int) -> bool:
    """Whether a process that ended so is worth another one."""
    return code == ExitCode.CRASHED or (code < 0 and -code not in (signal.SIGINT, signal.SIGTERM))


def _told(code: int) -> str:
    return f"was killed ({signal.Signals(-code).name})" if code < 0 else "crashed"


def parameters_in(arguments: list[str], names: Collection[str]) -> list[str]:
    """The options among `arguments` that give the parameters `names`: what is secret is not kept with the run."""
    words = iter(arguments)
    pairs = []
    for word in words:
        option, equals, pair = word.partition("=")
        if word in _PARAMETER:
            pairs.append(next(words, ""))
        elif equals and option in _PARAMETER:
            pairs.append(pair)
        elif word.startswith(_PARAMETER[0]) and not word.startswith("--"):
            pairs.append(word.removeprefix(_PARAMETER[0]))
    return [part for pair in pairs if pair.partition("=")[0] in names for part in (_PARAMETER[0], pair)]


def _kept(run: str) -> KeptRun | None:
    try:
        return kept_run(run)[0]
    except (MissingResult, ResultError):
        return None


class AskedToEnd:
    """The `signals` that asked this process to end, and the child that they are passed on to."""

    def __init__(self) -> None:
        self.signals: list[int] = []
        self._process: subprocess.Popen[bytes] | None = None

    def note(self, number: int, _frame: object) -> None:
        """Handle a signal. Ctrl-C reaches a child that is there by itself, being of the same terminal."""
        self.signals.append(number)
        if self._process is not None and number == signal.SIGTERM:
            self._process.send_signal(number)

    def child(self, arguments: list[str], run: str) -> int:
        """The exit code of one process; minus the signal where this one was asked to end before there was any."""
        if self.signals:
            return -self.signals[0]
        environment = {"MINTAKA_RESULTS_PERSIST_BY_DEFAULT": "true"} | os.environ | {SUPERVISED: run, _SUPERVISOR: str(os.getpid())}
        self._process = subprocess.Popen([*_COMMAND, *arguments], env=environment)  # noqa: S603 - ourselves
        for number in self.signals:  # they came while it was being started
            self._process.send_signal(number)
        code = self._ended(self._process)
        self._process = None
        if code < 0 and sys.stderr.isatty():
            sys.stderr.write(f"\n{_CURSOR}")
        return code

    def _ended(self, process: subprocess.Popen[bytes]) -> int:
        """Wait for a process; one that was asked to end and has not within the grace period, because Python cannot run in it, is killed."""
        deadline: float | None = None
        while True:
            try:
                return process.wait(_LOOK_SECONDS)
            except subprocess.TimeoutExpired:
                if deadline is None and self.signals:
                    deadline = monotonic() + float(os.environ.get(_GRACE, _GRACE_SECONDS))
                if deadline is not None and monotonic() >= deadline:
                    sys.stderr.write(f"process {process.pid} did not end within the grace period ({_GRACE}): killed\n")
                    process.kill()
                    return process.wait()


@contextmanager
def _asked_to_end() -> Iterator[AskedToEnd]:
    """Handles what asks this process to end, from before its first child on: no moment is left in which a child would be left alone."""
    asked = AskedToEnd()
    before = {number: signal.signal(number, asked.note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
