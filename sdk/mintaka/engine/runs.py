"""A run's own record, and the ledger that numbers the runs of one flow run.

A record is nothing but what the database will hold: no arguments and no results, so that a history of 100,000 task runs
stays small. Its truth is `history`, which only grows: the current state, the counts and the times are all read from it,
so a snapshot taken by another thread (one `tuple(history)`, atomic under the GIL) is consistent without a lock.

The right to end a run is taken by popping it from the ledger's `live`, which only one thread can do: a run that was
ended from outside (a cancelled flow) stays so whatever its own thread does later.

Each state is entered by a decision of the policy (`mintaka.engine.decisions`). Three states of every run are entered without it: no
rule has an opinion on them if there are no unusual facts (`PLAIN_EDGES`, compared with the policy by a test).
"""

from __future__ import annotations

import itertools
from time import time_ns
from typing import TYPE_CHECKING, Any, Protocol

from mintaka.engine.bookkeeping import uninterrupted
from mintaka.engine.decisions import decide_run
from mintaka.engine.entries import Entry, entry_of, last_entered, starts, to_datetime
from mintaka.engine.halting import take_error
from mintaka.engine.run_ids import RunIds
from mintaka.exceptions import Halted, message_of
from mintaka.states import State
from mintaka_core.states import CANCELLED, COMPLETED, PENDING, RUNNING, TASK_ENDED, StateType

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from mintaka.engine.called_flows import CalledFlow
    from mintaka.recording.recorder import Recorder
    from mintaka_core import states as core
    from mintaka_core.transitions import Decision


#: Transitions that every rule lets pass if there are no unusual facts: PENDING of a new run, RUNNING, and COMPLETED.
PLAIN_EDGES = frozenset({(None, PENDING), (PENDING, RUNNING), (RUNNING, COMPLETED)})


class Stoppable(Protocol):
    """What works on a run."""

    def stop(self, error: BaseException) -> None:
        """Tell it to end with `error`."""


class Run:
    """One task run, called flow run or flow run.

    `n` is its dense number within the attempt; the outermost flow run has -1 and no row. `parent` is the `n` of the run
    around it (None: the outermost flow run). `inputs` are pairs: which parameter (or
    `wait_for`), and the `n` of a run whose result came in through it. `own_name` is None where the
    name is the default one. `called` describes a flow run that another one calls; None for all others, and for a call whose
    result was found, so that no flow run was created. History has such a call twice: as a task run of the flow run that calls,
    and as a flow run of its own.
    """

    __slots__ = ("around", "called", "history", "inputs", "kind", "n", "own_name", "parent", "queued", "reported", "tags", "task")

    def __init__(self, n: int, task: str, kind: str, parent: int | None, tags: tuple[str, ...] = ()) -> None:
        self.n = n
        self.task = task
        self.kind = kind
        self.parent = parent
        #: The run around it, if that is one of this process: it may be over before those that it submitted.
        self.around: Run | None = None
        self.called: CalledFlow | None = None
        self.tags = tags
        self.own_name: str | None = None
        self.inputs: tuple[tuple[str, int], ...] = ()
        self.history: list[Entry] = [Entry(PENDING, "Pending", time_ns() // 1000)]
        #: Owned by the recorder: whether it is in the queue, and how many entries it last reported.
        self.queued = False
        self.reported = 0

    @property
    def name(self) -> str:
        """Its own name, or the function's with the run's number."""
        return self.own_name or f"{self.task.rpartition('.')[2]}-{self.n}"

    @property
    def upstream(self) -> tuple[int, ...]:
        """The `n` of the runs whose results went in, each once."""
        return tuple(dict.fromkeys(n for _, n in self.inputs))

    @property
    def last(self) -> Entry:
        """What it entered last."""
        return last_entered(self.history)

    @property
    def state(self) -> State:
        """The state it is in, without result or exception."""
        entry = self.last
        return State(entry.type, entry.name, entry.reason, entry.message, time=to_datetime(entry.time))

    @property
    def owner(self) -> Run | None:
        """The called flow run that it is part of; None: the outermost one."""
        around = self.around
        while around is not None and around.kind != "subflow":
            around = around.around
        return around

    def is_inside(self, run: Run) -> bool:
        """True if `run` is around it, or around what is."""
        around = self.around
        while around is not None and around is not run:
            around = around.around
        return around is not None

    @property
    def is_over(self) -> bool:
        """True where the state is terminal."""
        return self.history[-1].type.is_terminal

    @property
    def run_count(self) -> int:
        """How often the body was started."""
        return len(starts(tuple(self.history)))

    def __reduce__(self) -> tuple[Any, ...]:
        """In plain values: runs go to workers and back with each task, and classes take longer to pickle than what is in them."""
        history = [(entry.type._value_, *entry[1:]) for entry in self.history]
        return _restored, (self.n, self.task, self.kind, self.parent, self.tags, self.own_name, self.inputs, history, self.called)

    def __repr__(self) -> str:
        return f"<{self.kind} run {self.name} {self.history[-1].name}>"


def _restored(
    n: int,
    task: str,
    kind: str,
    parent: int | None,
    tags: tuple[str, ...],
    own_name: str | None,
    inputs: tuple[tuple[str, int], ...],
    history: list[tuple[Any, ...]],
    called: CalledFlow | None,
) -> Run:
    """A run out of a pickle; no recorder knows it."""
    run = Run(n, task, kind, parent, tags)
    run.own_name, run.inputs, run.called = own_name, inputs, called
    run.history = [Entry(StateType(kind), *rest) for kind, *rest in history]
    return run


class Ledger:
    """The runs of one attempt of a flow run: their numbers, which of them are not over, and where history goes."""

    __slots__ = ("_ids", "_numbers", "closed", "jobs", "live", "recorder")

    def __init__(self, recorder: Recorder, numbers: Iterator[int] | None = None, ids: RunIds | None = None) -> None:
        self.recorder = recorder
        self._ids = ids
        #: True once the flow run is over: nothing begins any more.
        self.closed = False
        #: What threads of the task runners work on, by number of the run.
        self.jobs: dict[int, Stoppable] = {}
        self.live: dict[int, Run] = {}
        self._numbers = itertools.count() if numbers is None else numbers

    @property
    def ids(self) -> RunIds:
        """The ids of its runs."""
        if self._ids is None:
            self._ids = RunIds()
        return self._ids

    @uninterrupted
    def open(self, task: str, kind: str, parent: int | None, tags: tuple[str, ...] = (), around: Run | None = None) -> Run:
        """A new run, PENDING; `around` is the run with the number `parent`.

        Raises:
            Halted: the flow run is over, or this thread was requested to end.
        """
        if self.closed:
            message = f"the flow run is over, so {task} does not start"
            raise Halted(message)
        run = Run(next(self._numbers), task, kind, parent, tags)
        if around is not None:
            run.around = around
            if (owner := run.owner) is not None:
                self.ids.owners[run.n] = owner
        self.live[run.n] = run
        # Only now: either the thread that ends the enclosing run sees this run after its request, or the request is seen here.
        if (error := take_error()) is not None:
            self.propose_end(run, State(CANCELLED, reason=TASK_ENDED, message=message_of(error)))
            raise error
        return run

    @uninterrupted
    def root(self, task: str, tags: tuple[str, ...] = ()) -> Run:
        """The flow run itself; in a pod it has no row, its end is told by the process."""
        run = Run(-1, task, "flow", None, tags)
        self.live[-1] = run
        return run

    @uninterrupted
    def enter(self, run: Run, decision: Decision) -> bool:
        """Put `run` into the state that was decided and that does not end it; False if it is over already."""
        if run.n not in self.live:
            return False
        self._append(run, entry_of(decision))
        return True

    @uninterrupted
    def start(self, run: Run) -> bool:
        """The first RUNNING; False where the run is over already."""
        if run.n not in self.live:
            return False
        run.history.append(Entry(RUNNING, "Running", time_ns() // 1000))
        self.recorder.changed(run)
        return True

    @uninterrupted
    def complete(self, run: Run) -> bool:
        """A plain COMPLETED; False where it had ended before."""
        if self.live.pop(run.n, None) is None:
            return False
        run.history.append(Entry(COMPLETED, "Completed", time_ns() // 1000))
        self.recorder.changed(run)
        return True

    @uninterrupted
    def end(self, run: Run, decision: Decision) -> bool:
        """Put `run` into the terminal state that was decided; False if it had ended before, or if that was refused."""
        if decision.state is None or run.n not in self.live:
            return False
        entry = entry_of(decision)
        if self.live.pop(run.n, None) is None:
            return False
        self._append(run, entry)
        return True

    def propose_end(self, run: Run, proposed: core.State, **facts: Any) -> bool:
        """Propose the end of `run` and put it into the state that was decided; False if it had ended before."""
        return self.end(run, decide_run(run, proposed, **facts))

    @uninterrupted
    def stay(self, run: Run, decision: Decision) -> None:
        """Record that a proposal was refused, or waits; the state of `run` does not change, even if it is over."""
        if not self.closed:
            self._append(run, entry_of(decision, run.last))

    @uninterrupted
    def revise(self, run: Run, proposed: core.State, **facts: Any) -> None:
        """Record another end of a run that is over: what it did was undone, or turned out not to be persisted."""
        decision = decide_run(run, proposed, explicit=True, **facts)
        if decision.state is None:
            self.stay(run, decision)
        else:
            self._append(run, entry_of(decision))

    def _append(self, run: Run, entry: Entry) -> None:
        run.history.append(entry)
        self.recorder.changed(run)

    @uninterrupted
    def end_all(self, proposed: core.State) -> list[Run]:
        """End every run that is not over, except the flow run itself, in `proposed`; returns them."""
        return [run for run in tuple(self.live.values()) if run.n >= 0 and self.propose_end(run, proposed)]

    @uninterrupted
    def end_below(self, run: Run, proposed: core.State) -> list[Run]:
        """End every run inside of `run` that is not over, also those in a run which is; returns them."""
        inside = [other for other in self.live.copy().values() if other.n >= 0 and (run.n < 0 or other.is_inside(run))]
        return [other for other in sorted(inside, key=lambda other: other.n) if self.propose_end(other, proposed)]

    def adopt(self, runs: Iterable[Run], inside: Run) -> dict[int, Run]:
        """Take over `runs`, which began and ended inside of `inside` in another process, under numbers of this ledger; gives
        each by its old number.
        """
        adopted = {inside.n: inside}
        for other in runs:
            around = adopted.get(inside.n if other.parent is None else other.parent, inside)
            run = self.open(other.task, other.kind, around.n, other.tags, around)
            adopted[other.n] = run
            run.own_name, run.called = other.own_name, other.called
            run.inputs = tuple((name, adopted[n].n) for name, n in other.inputs if n in adopted)
            run.history = other.history
            if run.is_over:
                self.live.pop(run.n, None)
            self.recorder.changed(run)
        return adopted

    def started_at(self, run: Run, time: int) -> None:
        """The body of `run`, which a worker ran, began at `time` (µs since the epoch), after it was handed over."""
        entry = run.history[-1]
        run.history[-1] = entry._replace(time=max(entry.time, time))

    @uninterrupted
    def log(self, level: int, logger: str, n: int | None, message: str) -> None:
        """Record one line of a log; `n` is the task run it belongs to (None: the flow run)."""
        self.recorder.log(level, logger, n, message)
