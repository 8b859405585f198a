"""The worker's side: run the body of a task that came from another process, and tell what happened.

The code there finds the surroundings it has at home: `runtime`, `get_run_logger()`, tasks called inside. What it records
goes back with the result; if the worker dies, what this try recorded dies with it.
"""

from __future__ import annotations

import logging
import os
import pickle
import traceback
from contextlib import contextmanager
from contextvars import ContextVar
from functools import lru_cache
from itertools import count
from time import monotonic
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, NamedTuple

from mintaka.calling.dual_functions import check_awaited
from mintaka.calling.parameters import Parameters
from mintaka.concurrency.holdings import HELD, Holding
from mintaka.context import CURRENT, FlowContext, Launch, RunContext
from mintaka.engine.called_flows import CallNumbers
from mintaka.engine.child_processes import CHILD_PROCESSES
from mintaka.engine.drivers import call_body, call_body_async
from mintaka.engine.invocations import Invocation
from mintaka.engine.loops import close_thread_loop, run_coroutine
from mintaka.engine.run_ids import RunIds
from mintaka.engine.runs import Ledger
from mintaka.exceptions import SerializationError, message_of
from mintaka.executing.error_pickles import dump_error
from mintaka.executing.shipping import Returned, Shared, pickled
from mintaka.logger_tree import hear, own_logger
from mintaka.logging import SEEN, own_loggers
from mintaka.persisting.result_settings import ResultSettings, surroundings_of
from mintaka.recording.recorder import NullRecorder

if TYPE_CHECKING:
    from collections.abc import Iterator
    from uuid import UUID

    from mintaka.artifacts import ArtifactVersion
    from mintaka.engine.runs import Run
    from mintaka.events import EmittedEvent
    from mintaka.executing.shipping import Surroundings
    from mintaka.persisting.result_settings import Surroundings as ResultSurroundings

_LOGS: ContextVar[list[dict[str, Any]] | None] = ContextVar("mintaka_worker_logs", default=None)


class RunKeeper(NullRecorder):
    """Collects the runs that begin in the worker, the artifacts that are created and the events that are emitted there."""

    def __init__(self) -> None:
        self.runs: dict[int, Run] = {}
        self.artifacts: dict[UUID, ArtifactVersion] = {}
        self.events: list[EmittedEvent] = []

    def changed(self, run: Run) -> None:
        """Keep `run`."""
        self.runs[run.n] = run

    def keep(self, artifact: ArtifactVersion) -> None:
        """Keep the newest version of an artifact."""
        self.artifacts[artifact.id] = artifact

    def emit(self, event: EmittedEvent) -> None:
        """Store an event."""
        self.events.append(event)


class _Collecting(logging.Handler):
    """Keeps each record of the try it was logged in, in a form that can be pickled."""

    def emit(self, record: logging.LogRecord) -> None:
        """Keep one record."""
        kept = _LOGS.get()
        if kept is None:
            kept = CHILD_PROCESSES.starts.inherited(_LOGS, None)
        if kept is None:
            return
        text = self.format(record)
        spoken = {"msg": text, "message": text, "args": None, "exc_info": None, "exc_text": None, "stack_info": None, SEEN: ()}
        kept.append({**record.__dict__, **spoken})


def run_parcel(shared: bytes, own: bytes, home: int) -> bytes:
    """Run one try, out of a `Parcel`, and return a pickled `Returned`; `home` is the id of the process that sent it. Raises nothing."""
    began = monotonic()
    keeper, logs = RunKeeper(), list[dict[str, Any]]()
    at_home = os.getpid() == home
    late = False
    try:
        kind = _kind(shared)
        invocation, held = _unpacked(kind, own, keeper)
        if not at_home:
            _let_logs_pass(kind.around)
        try:
            with _surrounded(invocation, held, None if at_home else logs):
                value = run_coroutine(call_body_async(invocation)) if kind.task.is_async else call_body(invocation)
                if invocation.context.pending_calls:
                    check_awaited(invocation.context)
        except BaseException as error:
            late = error is invocation.late
            raise
        ok, kept = True, _pickled_result(invocation, value)
    except BaseException as error:  # noqa: BLE001 - it is raised again at home
        ok, kept = False, _pickled_error(error)
    if at_home:
        close_thread_loop()  # threads of an executor of the user's end without us
    runs = [keeper.runs[n] for n in sorted(keeper.runs)]
    returned = Returned(ok, kept, late, monotonic() - began, logs, runs, [*keeper.artifacts.values()], keeper.events)
    return pickle.dumps(tuple(returned), pickle.HIGHEST_PROTOCOL)


def _pickled_result(invocation: Invocation, value: Any) -> bytes:
    """The result as bytes.

    Raises:
        SerializationError: it cannot be pickled, whatever its class raises then.
    """

    def what() -> str:
        return f"the result of task run {invocation.run.name}, a {type(value).__name__},"

    try:
        return pickled(value, what, "sent back")
    except (SystemExit, KeyboardInterrupt, GeneratorExit) as error:
        message = f"{what()} cannot be sent back: {type(error).__name__}: {message_of(error)}"
        raise SerializationError(message) from error


class _Kind(NamedTuple):
    """What the tries of a task in one flow run share here: the task and its flow as far as they are known, and where they are."""

    task: Any
    flow: Any
    around: Surroundings
    parameters: dict[str, Any]
    results: ResultSurroundings


@lru_cache(maxsize=128)
def _kind(data: bytes) -> _Kind:
    """What parcels share is read once."""
    shared = Shared(*pickle.loads(data))  # noqa: S301 - it comes from the process that started us
    around: Surroundings = _loaded(shared.surroundings)
    body = _loaded(shared.function)
    task = SimpleNamespace(
        name=shared.task_name,
        version=shared.task_version,
        parameters=Parameters(body, shared.task_name),
        is_async=shared.is_async,
        fn=body,
        body=body,
        log_prints=shared.log_prints,
        timeout_seconds=shared.timeout_seconds,
    )
    flow = SimpleNamespace(
        name=around.flow_name,
        version=around.flow_version,
        is_async=False,
        task_runner=None,
        result_settings=ResultSettings(),
        semantics=around.semantics,
    )
    return _Kind(task, flow, around, _loaded(around.parameters), surroundings_of(Launch(deployment=around.deployment)))


def _unpacked(kind: _Kind, own: bytes, keeper: RunKeeper) -> tuple[Invocation, tuple[Holding, ...]]:
    """The call, with surroundings as at home, and what is held around it; runs that begin inside are numbered on from its own."""
    arguments, run, held = pickle.loads(own)  # noqa: S301 - as above
    around = kind.around
    ledger = Ledger(keeper, numbers=count(run.n + 1), ids=RunIds(around.flow_run_id, around.attempt, last_known=run.n))
    launch = Launch(
        around.flow_run_id,
        around.name,
        around.namespace,
        around.deployment,
        around.attempt,
        around.tags,
        results=kind.results,
        recorder=keeper,
        api_url=around.api_url,
        scheduled_time=around.scheduled_time,
    )
    flow = FlowContext(kind.flow, around.flow_run, ledger, launch, None)
    flow.parameters = kind.parameters
    flow.parent = around.parent
    flow.numbers = CallNumbers(f"try {run.run_count} of task run {run.n}: ")
    if around.flow_run.called is not None:
        ledger.ids.owners[run.n] = around.flow_run
    flow.kept = True  # that it is on record beside its results is for home to see to
    try:
        args, kwargs = pickle.loads(arguments)  # noqa: S301 - as above
    except (Exception, SystemExit, KeyboardInterrupt) as error:
        message = f"the arguments of task run {run.name} cannot be read in the worker: {type(error).__name__}: {message_of(error)}"
        raise SerializationError(message) from error
    ledger.live[run.n] = run
    context = RunContext(flow, ledger, run, kind.task, log_prints=kind.task.log_prints)
    context.args, context.kwargs = args, kwargs
    holdings = tuple(Holding(names, slots, here=here) for names, slots, here in held)
    return Invocation(kind.task, run, ledger, context, args, kwargs, None), holdings


@lru_cache(maxsize=128)
def _loaded(data: bytes) -> Any:
    """A pickle that many parcels share is read once."""
    return pickle.loads(data)  # noqa: S301 - as above


@lru_cache(maxsize=1)
def _collect_logs() -> None:
    """Take every line into the records that go back, those of threads that bodies start among them."""
    hear(_Collecting(), None)
    CHILD_PROCESSES.starts.listen_for_threads(CURRENT.get)


@lru_cache(maxsize=1)
def _let_logs_pass(around: Surroundings) -> None:
    """Log as much as at home."""
    _collect_logs()
    root = logging.getLogger()
    root.setLevel(min(root.level, around.root_level))
    own_loggers()  # they log from INFO on here too
    own_logger("mintaka").setLevel(around.level)


@contextmanager
def _surrounded(invocation: Invocation, held: tuple[Holding, ...], logs: list[dict[str, Any]] | None) -> Iterator[None]:
    current, collecting, holding = CURRENT.set(invocation.context), _LOGS.set(logs), HELD.set(held)
    try:
        yield
    finally:
        if invocation.context.flow is not None:
            invocation.context.flow.close()  # the threads of what was submitted inside
        HELD.reset(holding)
        _LOGS.reset(collecting)
        CURRENT.reset(current)


def _pickled_error(error: BaseException) -> bytes:
    """The exception with its traceback as a note."""
    try:
        error.add_note(f"in the worker:\n{''.join(traceback.format_exception(error)).rstrip()}")
    except Exception as broken:  # noqa: BLE001 - a traceback calls methods of the user's exceptions
        error.add_note(f"its traceback in the worker cannot be shown: {type(broken).__name__}")
    return dump_error(error)
