"""Which code started which process: noted when it starts, asked when it has to end.

Python tells an audit hook of every start of a process and of a thread, in the thread that starts it (PEP 578). A start by
`subprocess` is known by its Popen; one by fork, spawn or system(3) is found by the time at which a child appeared.
"""

from __future__ import annotations

import os
import sys
import threading
import time
import weakref
from collections import deque
from contextlib import contextmanager
from contextvars import Context, ContextVar, copy_context
from typing import TYPE_CHECKING, Any, NamedTuple

from mintaka.engine import process_table
from mintaka.engine.bookkeeping import uninterrupted
from mintaka.engine.process_table import TICK_SECONDS, Process, Table, descendants

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from subprocess import Popen

    from mintaka.context import RunContext
    from mintaka.engine.runs import Ledger, Run

_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
_STARTS = frozenset({"subprocess.Popen", "os.system", "os.fork", "os.forkpty", "os.posix_spawn"})
#: How the names of our own threads begin.
_OUR_THREADS = "mintaka"
_THREADS = frozenset({"_thread.start_new_thread", "_thread.start_joinable_thread"})
#: How long after its start was noted a process may appear, and how near to it another start makes it doubtful whose it is.
_APPEARS_SECONDS = 1.0
_DOUBT_SECONDS = 0.05
_REMEMBERED = 4096


class Owner(NamedTuple):
    """Whose code starts something: a flow run's, by its ledger; `runs` are the runs whose code it is, by number, innermost first."""

    ledger: Ledger | None
    runs: tuple[int, ...]


class Part(NamedTuple):
    """The code of run `n` of a flow run (-1: all of it), until an instant: a later try of the same run is another part."""

    ledger: Ledger
    n: int
    until: float

    def has(self, start: Start) -> bool:
        """True if it was this code that started something."""
        return start.owner.ledger is self.ledger and self.n in start.owner.runs and start.time <= self.until


_OTHERS = Owner(None, ())
#: What serves the whole flow, such as the workers of a task runner, and is closed by whoever made it.
_APART = Owner(None, (-1,))


class Start(NamedTuple):
    """That a process is being started: when (`now()`), by whom, and by which Popen, if by one."""

    time: float
    owner: Owner
    popen: weakref.ref[Popen[Any]] | None

    @property
    def pid(self) -> int | None:
        """Its pid; None if it is not known."""
        popen = None if self.popen is None else self.popen()
        return None if popen is None else getattr(popen, "pid", None)


def now() -> float:
    """In seconds since the system began, as processes tell when they were started."""
    return time.clock_gettime(_CLOCK)


class Starts:
    """What this process has started lately, while it `listens`."""

    def __init__(self) -> None:
        self._listening = False
        self._local = threading.local()
        self.forget()

    def forget(self) -> None:
        """Begin anew, as in a fork."""
        self.process = os.getpid()
        #: While it is None, nothing is noted.
        self.current: Callable[[], RunContext | None] | None = None
        #: Called with the owner of each start and the name of its event, before it happens.
        self.on_start: Callable[[Owner, str], object] = _nothing
        self._starts: deque[Start] = deque(maxlen=_REMEMBERED)
        self._threads: weakref.WeakKeyDictionary[threading.Thread, Owner] = weakref.WeakKeyDictionary()
        #: The context in which threads of the user's were started.
        self._contexts: weakref.WeakKeyDictionary[threading.Thread, Context] = weakref.WeakKeyDictionary()

    def listen(self, current: Callable[[], RunContext | None], on_start: Callable[[Owner, str], object]) -> None:
        """Note every start from now on; `current` gives the run whose code a thread is in. An audit hook cannot be taken back."""
        self.current, self.on_start = current, on_start
        if not self._listening:
            self._listening = True
            sys.addaudithook(self._hear)

    def listen_for_threads(self, current: Callable[[], RunContext | None]) -> None:
        """Record every start unless another listener is installed: for the threads."""
        if self.current is None:
            self.listen(current, _nothing)

    def rest(self) -> None:
        """Note nothing, and forget what was noted."""
        self.current = None
        self._starts.clear()

    @contextmanager
    def unnoted(self) -> Iterator[None]:
        """What this thread starts in the block is our own business."""
        self._local.unnoted = True
        try:
            yield
        finally:
            self._local.unnoted = False

    @contextmanager
    def apart(self) -> Iterator[None]:
        """What this thread starts in the block serves the whole flow, and does not end with the run whose code happens to start it."""
        self._local.apart = True
        try:
            yield
        finally:
            self._local.apart = False

    def __bool__(self) -> bool:
        return bool(self._starts)

    # -- noting -------------------------------------------------------------------------------------------------------

    def _hear(self, event: str, arguments: tuple[Any, ...]) -> None:
        if self.current is None:
            return
        if event in _STARTS:
            # The event is raised in a method of the Popen, whose pid will be known a moment later.
            popen = sys._getframe(1).f_locals.get("self") if event == "subprocess.Popen" else None  # noqa: SLF001
            self._note_start(event, popen)
        elif event in _THREADS:
            self._note_thread(getattr(arguments[0], "__self__", None))

    @uninterrupted
    def _note_start(self, event: str, popen: Any) -> None:
        if not getattr(self._local, "unnoted", False):
            owner = self._owner()
            self._starts.append(Start(now(), owner, None if popen is None else weakref.ref(popen)))
            self.on_start(owner, event)

    @uninterrupted
    def _note_thread(self, thread: Any) -> None:
        """What a thread starts is the business of the run that started the thread."""
        if isinstance(thread, threading.Thread) and (owner := self._owner()) is not _OTHERS:
            self._threads[thread] = owner
            if not thread.name.startswith(_OUR_THREADS):
                around = copy_context() if self.current is not None and self.current() is not None else None
                self._contexts[thread] = around or self._contexts.get(threading.current_thread()) or copy_context()

    def _owner(self) -> Owner:
        if getattr(self._local, "apart", False):
            return _APART
        context = None if self.current is None else self.current()
        if context is None:
            return self._threads.get(threading.current_thread(), _OTHERS)
        return Owner(context.ledger, _runs_around(context.run, context.ledger))

    def inherited[T](self, variable: ContextVar[T], default: T) -> T:
        """The value of `variable` where this thread was started, if the user's code of a run started it."""
        around = self._contexts.get(threading.current_thread()) if self._contexts else None
        return default if around is None else around.get(variable, default)

    # -- asking -------------------------------------------------------------------------------------------------------

    def runs_of(self, ledger: Ledger) -> set[int]:
        """The runs of a flow run whose code has started something; -1 for the flow run itself."""
        return {n for start in tuple(self._starts) if start.owner.ledger is ledger for n in start.owner.runs}

    def children_of(self, part: Part, table: Table) -> set[Process]:
        """What `part` started that is a child of this process, or descends from one."""
        starts = tuple(self._starts)
        mine = [start for start in starts if part.has(start)]
        others = [start for start in starts if not (part.has(start) or start.owner is _APART)]
        known = {start.pid: start for start in starts if start.pid is not None}
        roots = set()
        for process in table.values():
            if process.parent == self.process:
                start = known.get(process.pid)
                if part.has(start) if start is not None else _appeared(process, mine, others):
                    roots.add(process.pid)
        return descendants(table, roots)

    def began_alone(self, part: Part) -> float | None:
        """When `part` began to start processes; None if other code has started some since: orphans could be of either."""
        starts = tuple(self._starts)
        began = min((start.time for start in starts if part.has(start)), default=None)
        if began is None or any(start.time >= began for start in starts if not (part.has(start) or start.owner is _APART)):
            return None
        return began


def _nothing(_owner: Owner, _event: str) -> None:
    pass


def _runs_around(run: Run, ledger: Ledger) -> tuple[int, ...]:
    """The numbers of a run and of those around it, up to the flow run."""
    numbers = [run.n]
    around = run.parent
    while around is not None:
        numbers.append(around)
        outer = ledger.live.get(around)
        around = None if outer is None else outer.parent
    return (*numbers, -1) if run.n >= 0 else (-1,)


def _appeared(process: Process, mine: Iterable[Start], others: Iterable[Start]) -> bool:
    """Whether a child that no Popen knows is of one of `mine`: it appeared right after that, and after none of the others."""

    def latest(starts: Iterable[Start]) -> float:
        times = (start.time for start in starts if start.popen is None and start.time <= process.started + TICK_SECONDS)
        return max(times, default=-_APPEARS_SECONDS)

    nearest = latest(mine)
    if process.started - nearest >= _APPEARS_SECONDS or latest(others) >= nearest - _DOUBT_SECONDS:
        return False
    return not process_table.is_helper(process)
