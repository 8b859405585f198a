"""The processes that flows start: none is left when a run that started them is interrupted, or its process dies.

Interrupting Python code does not reach the processes that it waits for: `subprocess.run` kills the shell, but not what the
shell started. So every start is noted, with the run whose code it was; and while a flow runs in the main thread, its
environment carries a token, by which also those are found that have left their parents. A guardian, another process, ends
them if this one is killed.

In a process that runs one flow and nothing else (`mintaka run`, the runner) all of them end with it, however the flow
ended. Elsewhere the flow is a part of a program that may start processes as well: only what was started by code of the run
is ended, and only if that was interrupted. What that is not sure of is left alone.
"""

from __future__ import annotations

import _thread
import atexit
import logging
import os
import sys
import threading
from itertools import count
from pathlib import Path
from time import sleep
from typing import TYPE_CHECKING

from mintaka.engine import process_table
from mintaka.engine.bookkeeping import uninterrupted
from mintaka.engine.process_starts import Owner, Part, Starts, now
from mintaka.engine.process_table import TICK_SECONDS, TOKENS, Process, Table, descendants
from mintaka.recording.recorder import NullRecorder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from subprocess import Popen

    from mintaka.context import RunContext
    from mintaka.engine.runs import Ledger
    from mintaka.engine.system_calls import SystemCallWatch

logger = logging.getLogger("mintaka.processes")

#: How long interrupted code may take to end what it waits for by itself.
PATIENCE_SECONDS = 0.5


class ChildProcesses:
    """Of this process: what its flows have started, and the token that it carries."""

    def __init__(self) -> None:
        self.starts = Starts()
        self.forget()

    def forget(self) -> None:
        """Begin anew: a fork has started nothing, guards nothing, and records nothing of the flows of its parent."""
        for ledger in getattr(self, "_flows", ()):
            ledger.recorder = NullRecorder()
        if (watch := getattr(self, "_watch", None)) is not None:
            watch.forget()
        self.starts.forget()
        self.process = os.getpid()
        self.dedicated = False
        self._flows: list[Ledger] = []
        self._in_main_thread: list[Ledger] = []
        self._seed = os.urandom(8).hex()
        self._numbers = count()
        self._token = ""
        self._outer_tokens: str | None = None
        #: The tokens that flows of this process have had.
        self._tokens: list[str] = []
        self._guardian: Popen[bytes] | None = None
        self._watch: SystemCallWatch | None = None
        #: What was there when code was interrupted, whatever became of its parents.
        self._caught: set[Process] = set()
        #: A lock for each thread that ends something, which is released when it is done.
        self._ending: list[_thread.LockType] = []

    # -- flow runs ----------------------------------------------------------------------------------------------------

    @uninterrupted
    def begin_flow(self, ledger: Ledger, current: Callable[[], RunContext | None]) -> None:
        """An outermost flow run begins: starts are noted from now on; `current` gives the run whose code a thread is in."""
        self.starts.listen(current, self._on_start)
        self._flows.append(ledger)
        if threading.current_thread() is threading.main_thread():
            self._in_main_thread.append(ledger)
            if not self._token:
                self._take_token()

    @uninterrupted
    def end_flow(self, ledger: Ledger) -> None:
        """It is over."""
        for flows in (self._flows, self._in_main_thread):
            if ledger in flows:
                flows.remove(ledger)
        if self._flows:
            return
        self._caught.clear()
        if self._token:
            self._give_token_back()
        if self._watch is not None:
            self._watch.stop()
            self._watch = None
        if not self.dedicated:
            self.starts.rest()
            self._tokens.clear()
            self._dismiss_guardian()

    def dedicate(self) -> None:
        """This process runs one flow, or tasks of one, and nothing else: whatever they leave ends with it."""
        if not self.dedicated:
            self.dedicated = True
            atexit.register(self.end_all)

    def serve_tasks(self, current: Callable[[], RunContext | None]) -> None:
        """This process is a worker: what its tasks start ends with it; `current` as above."""
        self.starts.listen(current, self._on_start)
        self.dedicate()
        self._take_token()

    def _take_token(self) -> None:
        self._token = f"{self._seed}-{next(self._numbers)}"
        self._tokens.append(self._token)
        self._outer_tokens = os.environ.get(TOKENS)
        os.environ[TOKENS] = f"{self._outer_tokens or ''} {self._token}".strip()

    def _give_token_back(self) -> None:
        self._token = ""
        if self._outer_tokens is None:
            os.environ.pop(TOKENS, None)
        else:
            os.environ[TOKENS] = self._outer_tokens

    # -- finding ------------------------------------------------------------------------------------------------------

    def started_by(self, ledger: Ledger, n: int) -> set[Process]:
        """What code of run `n` (-1: of the flow run) has started and lives."""
        return self._find(process_table.processes(), Part(ledger, n, now())) if n in self.starts.runs_of(ledger) else set()

    def _find(self, table: Table, part: Part) -> set[Process]:
        found = self.starts.children_of(part, table)
        began = self.starts.began_alone(part)
        if self._token and len(self._flows) <= 1 and began is not None:
            orphans = process_table.holders(table, [self._token]) - descendants(table, [self.process])
            found |= {process for process in orphans if process.started >= began - TICK_SECONDS}
        return self._endable(found)

    def _endable(self, found: set[Process]) -> set[Process]:
        spared = {self.process, None if self._guardian is None else self._guardian.pid}
        return {
            process
            for process in found
            if process.pid not in spared and not process_table.is_helper(process) and not process_table.is_kept(process)
        }

    # -- ending -------------------------------------------------------------------------------------------------------

    def end(self, ledger: Ledger, n: int) -> None:
        """End what code of run `n` has started; returns when it has ended."""
        if n in self.starts.runs_of(ledger):
            self._end_part(Part(ledger, n, now()), self._caught)

    def end_later(self, ledger: Ledger, runs: Iterable[int], caught: Iterable[Process] = ()) -> None:
        """End what code of `runs` has started, and `caught`, without waiting for it; whoever waits for the flow waits for it too."""
        for n in sorted(self.starts.runs_of(ledger).intersection(runs)) if self.starts else ():
            self._apart(self._end_part, Part(ledger, n, now()), caught)

    def interrupt(self, ledger: Ledger, n: int, is_over: Callable[[], bool]) -> set[Process]:
        """Code of run `n` is about to be interrupted: it may end by itself what it waits for, until `is_over()`, but not for long.

        Returns what there is now, since unwinding ends some parents: `subprocess.run` kills its shell. For signal handlers.
        """
        caught = self.started_by(ledger, n) if self.starts else set()
        if caught:
            self._apart(self._end_unless, is_over, Part(ledger, n, now()), caught)
        return caught

    def interrupt_flows(self) -> None:
        """The main thread is about to be interrupted, with all flows that it runs. For signal handlers."""
        for ledger in tuple(self._in_main_thread):
            self._caught |= self.interrupt(ledger, -1, lambda ledger=ledger: ledger not in self._flows)  # type: ignore[misc]

    def join(self) -> None:
        """Wait until what is being ended has ended."""
        while self._ending:
            self._ending.pop().acquire()

    def end_all(self) -> None:
        """End everything that descends from this process or that its flows have started: it is about to end itself."""
        if not self.dedicated or os.getpid() != self.process:  # or it is a fork
            return
        if self.starts or _has_children():
            tokens = tuple(self._tokens)
            self._end(lambda table: self._endable(descendants(table, [self.process]) | process_table.holders(table, tokens)), self._caught)
        self._dismiss_guardian()

    def _end_part(self, part: Part, caught: Iterable[Process]) -> None:
        self._end(lambda table: self._find(table, part), caught)

    def _end_unless(self, is_over: Callable[[], bool], part: Part, caught: Iterable[Process]) -> None:
        until = now() + PATIENCE_SECONDS
        while now() < until:
            if is_over():  # whoever interrupted it ends the rest at once
                return
            sleep(0.02)
        self._end_part(part, caught)

    def _end(self, find: Callable[[Table], set[Process]], caught: Iterable[Process]) -> None:
        with self.starts.unnoted():
            ended = process_table.end_processes(find, caught)
        if ended:
            logger.info("ended what the flow had started: processes %s", ", ".join(map(str, sorted(ended))))

    def _apart(self, work: Callable[..., None], *arguments: object) -> None:
        """In a thread of its own; a bare one, because a `Thread` cannot be started in a signal handler: it takes locks."""
        done = _thread.allocate_lock()
        done.acquire()
        self._ending.append(done)

        def run() -> None:
            try:
                work(*arguments)
            finally:
                done.release()

        _thread.start_new_thread(run, ())

    # -- when something is started ------------------------------------------------------------------------------------

    def _on_start(self, owner: Owner, event: str) -> None:
        if owner.ledger is None:
            return
        if self._guardian is None:
            self._call_guardian()
        if event == "os.system" and self._watch is None and threading.current_thread() is threading.main_thread():
            from mintaka.engine.system_calls import SystemCallWatch  # noqa: PLC0415 - start-up time

            self._watch = SystemCallWatch(self.interrupt_flows, self.interrupt)

    def _call_guardian(self) -> None:
        """Start it, unless the system has no tokens, or ends everything with this process, as a container does with its first one."""
        if sys.platform != "linux" or self.process == 1 or not self._token or not Path(sys.executable).name.startswith(("python", "pypy")):
            return
        from subprocess import DEVNULL, Popen  # noqa: PLC0415 - start-up time

        command = [sys.executable, "-S", "-I", process_table.__file__, str(self.process), self._token]
        environment = {name: value for name, value in os.environ.items() if name != TOKENS}
        try:
            with self.starts.unnoted():
                self._guardian = Popen(  # noqa: S603 - ourselves
                    command, stdin=DEVNULL, stdout=DEVNULL, stderr=DEVNULL, cwd="/", env=environment, start_new_session=True
                )
        except OSError as error:
            logger.warning("what the flow starts will not be ended if this process is killed: %s", error)

    def _dismiss_guardian(self) -> None:
        guardian, self._guardian = self._guardian, None
        if guardian is not None:
            guardian.kill()
            guardian.wait()


#: Those of this process.
CHILD_PROCESSES = ChildProcesses()
os.register_at_fork(after_in_child=CHILD_PROCESSES.forget)


def _has_children() -> bool:
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    except AttributeError:  # macOS before Python 3.13
        return True
    return True
