"""Going through an earlier flow run again, to look at it: its results stand in for its tasks, and nothing is recorded or kept.

A developer stops before any task with the inputs it had (`until`), or lets everything from a task on run for real (`from_task`).
A flow run that was called by another one is replayed by replaying its root up to the end of the called run (`within`).
Tasks whose results were not persisted run for real in any case; `Replay.ran` names them.
"""

from __future__ import annotations

import copy
import logging
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

from mintaka.engine.outcomes import Outcome
from mintaka.engine.steps import Do
from mintaka.exceptions import CorruptResult, Interruption, MissingResult
from mintaka.logging import FLOW_LOGGER, TASK_LOGGER
from mintaka.persisting.caching import TaskKeeping
from mintaka.persisting.keeping import kept_result, quietly, replaced_by
from mintaka.persisting.kept_runs import found_again, kept_run, parameters_of
from mintaka.persisting.result_settings import persisted_in
from mintaka.results import ResultRecord
from mintaka_core.errors import MintakaError

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator

    from mintaka.context import FlowContext
    from mintaka.engine.invocations import Invocation
    from mintaka.engine.steps import Step
    from mintaka.persisting.result_settings import StorageLike, Surroundings
    from mintaka.states import State
    from mintaka.tasks import Task


class Stop(NamedTuple):
    """The call that a replay was to stop at."""

    task: str
    args: tuple[Any, ...]
    kwargs: dict[str, Any]


class ReplayStopped(Interruption):
    """The replay came to the task it was to stop at."""


class Replay:
    """What to do with which task, and what was done.

    Args:
        until: stop before the first call of this task (its name, or the end of its key).
        from_task: run for real from the first call of this task on.
        debug: where set, called with the body and its arguments at `until` instead of stopping there; returns its value.
        within: select only the tasks of the called flow run with this id, and end the replay with it ("": all tasks).
    """

    def __init__(self, *, until: str = "", from_task: str = "", debug: Callable[..., Any] | None = None, within: str = "") -> None:
        self.within = within
        #: False until the replay reaches the flow run `within`.
        self.begun = not within
        #: The state in which that flow run ended.
        self.ended: State | None = None
        self.until = until
        self.from_task = from_task
        self.debug = debug
        self.live = False
        self.stopped: Stop | None = None
        #: Names of the runs that recorded results stood in for, and of those that ran for real.
        self.replayed: list[str] = []
        self.ran: list[str] = []
        #: Of those that ran though a recorded result was wanted: why there was none, by name.
        self.lacking: dict[str, str] = {}

    def keeping(self, task: Task[Any, Any], flow: FlowContext, surroundings: Surroundings, *, kept: bool) -> ReplayedTask:
        """What becomes of one call."""
        return ReplayedTask(task, flow, surroundings, self, kept=kept)


class ReplayedTask(TaskKeeping):
    """Takes the recorded result of one call, keeps nothing."""

    __slots__ = ("_kept", "_replay")

    def __init__(self, task: Task[Any, Any], flow: FlowContext, surroundings: Surroundings, replay: Replay, *, kept: bool) -> None:
        super().__init__(task, flow, surroundings)
        self._replay = replay
        self._kept = kept

    def begin(self, invocation: Invocation) -> Generator[Step, Any, Outcome | None]:
        """The recorded result, or None: it runs for real."""
        replay, task = self._replay, self._task
        if replay.begun and replay.until and _is(task, replay.until) and replay.stopped is None:
            replay.stopped = Stop(task.name, invocation.args, invocation.kwargs)
            if replay.debug is None:
                message = f"stopped before task {task.name}, as asked"
                raise ReplayStopped(message)
            invocation.definition = _debugged(task, replay.debug)
            replay.ran.append(invocation.run.name)
            return None
        replay.live = replay.live or (replay.begun and bool(replay.from_task) and _is(task, replay.from_task))
        found = None if replay.live else (yield from self._recorded(invocation)) if self._kept else _NOT_KEPT
        if not isinstance(found, ResultRecord):
            replay.ran.append(invocation.run.name)
            if found is not None:
                replay.lacking[invocation.run.name] = found
                invocation.note(unrecorded=found)
            return None
        replay.replayed.append(invocation.run.name)
        invocation.note(recorded=kept_result(found))
        return replaced_by(invocation, found)

    def _recorded(self, invocation: Invocation) -> Generator[Step, Any, ResultRecord | str]:
        """What the run left, expired or not; or why it left nothing that can be used."""
        try:
            store, key = self._opened_store(), (yield from self._keyed(invocation))
        except MintakaError as error:
            return str(error)
        found = yield Do(quietly(store.read, key.text))
        if isinstance(found, ResultRecord):
            return found
        if isinstance(found, MissingResult):
            return "no result is recorded of it: it did not complete, or was called otherwise"
        return f"its recorded result is {'corrupt' if isinstance(found, CorruptResult) else 'not readable'}: {found}"

    def complete(self, invocation: Invocation, value: Any) -> Generator[Step, Any, Outcome]:
        """A replay keeps nothing."""
        yield from ()
        return Outcome(invocation.run, value, ok=invocation.ledger.complete(invocation.run))


class ReplayedFlow:
    """Starts and stops the replay with the called flow run `within`; all others just run."""

    __slots__ = ("_invocation", "_replay")

    def __init__(self, replay: Replay) -> None:
        self._replay = replay
        self._invocation: Invocation | None = None

    def begin(self, invocation: Invocation) -> Generator[Step, Any, Outcome | None]:
        """It runs."""
        called = invocation.run.called
        if called is not None and str(called.uid) == self._replay.within:
            self._invocation, self._replay.begun = invocation, True
        yield from ()
        return None

    def complete(self, invocation: Invocation, value: Any) -> Generator[Step, Any, Outcome]:
        """A replay persists nothing."""
        yield from ()
        outcome = Outcome(invocation.run, value, ok=invocation.ledger.complete(invocation.run))
        self._stop(outcome.state)
        return outcome

    def ended(self, *, ok: bool) -> Generator[Step, Any, None]:  # noqa: ARG002 - the engine's protocol
        """The same for one that did not complete."""
        yield from ()
        if self._invocation is not None:
            self._stop(self._invocation.run.state)

    def forget(self, outcome: Outcome) -> None:
        """Flows are not submitted."""

    def release(self) -> None:
        """No one waits for it."""

    def _stop(self, state: State) -> None:
        if self._invocation is not None:
            self._replay.ended = state
            message = "the called flow run is over, and so is the replay"
            raise ReplayStopped(message)


_NOT_KEPT = "its results are not persisted"


def _is(task: Task[Any, Any], word: str) -> bool:
    return word in (task.name, task.key) or task.key.endswith(f".{word}")


def _debugged(task: Task[Any, Any], debug: Callable[..., Any]) -> Task[Any, Any]:
    """The same task with its body run under `debug`."""
    watched = copy.copy(task)
    body = task.body
    watched.body = lambda *args, **kwargs: debug(body, *args, **kwargs)
    return watched


def replay(
    flow_run_id: str,
    *,
    storage: StorageLike | None = None,
    entrypoint: str = "",
    parameters: dict[str, Any] | None = None,
    until: str = "",
    from_task: str = "",
    debug: Callable[..., Any] | None = None,
    within: str = "",
) -> tuple[State | None, Replay]:
    """Replay a flow run; returns the state it ends in (None if it was stopped, or did not reach its end), and what was done.

    Args:
        flow_run_id: the run; its results have to be persisted.
        storage: where they are (default: where the environment says).
        entrypoint: the flow, where its code is somewhere else here.
        parameters: in place of those it had, by name.
        until: see `Replay`.
        from_task: see `Replay`.
        debug: see `Replay`.
        within: see `Replay`.

    Raises:
        MissingResult: nothing is kept of that run.
        LoadError: the flow is not where it was.
    """
    from mintaka.context import Launch  # noqa: PLC0415 - would be a cycle
    from mintaka.persisting.resuming import called  # noqa: PLC0415 - would be a cycle

    run, store = kept_run(flow_run_id, storage)
    flow = found_again(run, entrypoint)
    given, _ = parameters_of(run, parameters or {})
    going = Replay(until=until, from_task=from_task, debug=debug, within=within)
    launch = Launch(run.flow_run_id, run.name, tags=run.tags, replay=going, results=persisted_in(store.storage))
    launch.resume_from = "" if run.results_id == run.flow_run_id else run.results_id
    with _hushed(lambda: going.ended is not None or (going.stopped is not None and debug is None)):
        try:
            state: State | None = called(flow, given, launch)
        except ReplayStopped:
            state = None
    if within:
        state = going.ended
    return (None if going.stopped is not None and debug is None else state), going


@contextmanager
def _hushed(over: Callable[[], bool]) -> Iterator[None]:
    """Once it is `over`, what runs say of it is not worth a line: they only miss what the stop kept from running."""
    loggers = [logging.getLogger(name) for name in (FLOW_LOGGER, TASK_LOGGER)]

    def wanted(_record: logging.LogRecord) -> bool:
        return not over()

    for logger in loggers:
        logger.addFilter(wanted)
    try:
        yield
    finally:
        for logger in loggers:
            logger.removeFilter(wanted)
