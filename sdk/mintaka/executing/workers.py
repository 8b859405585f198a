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

import cloudpickle

from mintaka.context import CURRENT, FlowContext, Launch, RunContext
from mintaka.engine.drivers import call_body, call_body_async
from mintaka.engine.invocations import Invocation
from mintaka.engine.loops import close_thread_loop, run_coroutine
from mintaka.engine.runs import Ledger
from mintaka.exceptions import FailedRun, message_of
from mintaka.executing.shipping import Returned, Shared, pickled
from mintaka.logging import SEEN, hear
from mintaka.persisting.result_settings import ResultSettings, surroundings_of
from mintaka.recording.recorder import NullRecorder

if TYPE_CHECKING:
    from collections.abc import Iterator
    from uuid import UUID

    from mintaka.artifacts import ArtifactVersion
    from mintaka.engine.runs import Run
    from mintaka.executing.shipping import Surroundings
    from mintaka.persisting.result_settings import Surroundings as ResultSurroundings

_LOGS: ContextVar[list[dict[str, Any]] | None] = ContextVar("mintaka_worker_logs", default=None)


class RunKeeper(NullRecorder):
    """Keeps the runs that begin in the worker, and the artifacts that are made there."""

    def __init__(self) -> None:
        self.runs: dict[int, Run] = {}
        self.artifacts: dict[UUID, ArtifactVersion] = {}

    def changed(self, run: Run) -> None:
        """Keep `run`."""
        self.runs[run.n] = run

    def keep(self, artifact: ArtifactVersion) -> None:
        """Keep the newest version of an artifact."""
        self.artifacts[artifact.id] = artifact


class _Collecting(logging.Handler):
    """Keeps each record of the try it was logged in, in a form that can be pickled."""

    def emit(self, record: logging.LogRecord) -> None:
        """Keep one record."""
        kept = _LOGS.get()
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
        invocation = _unpacked(kind, own, keeper)
        if not at_home:
            _let_logs_pass(kind.around)
        try:
            with _surrounded(invocation, None if at_home else logs):
                value = run_coroutine(call_body_async(invocation)) if kind.task.is_async else call_body(invocation)
        except BaseException as error:
            late = error is invocation.late
            raise
        ok, kept = True, pickled(value, lambda: f"the result of task run {invocation.run.name}, a {type(value).__name__},", "sent back")
    except BaseException as error:  # noqa: BLE001 - it is raised again at home
        ok, kept = False, _pickled_error(error)
    if at_home:
        close_thread_loop()  # threads of an executor of the user's end without us
    runs = [keeper.runs[n] for n in sorted(keeper.runs)]
    returned = Returned(ok, kept, late, monotonic() - began, logs, runs, [*keeper.artifacts.values()])
    return pickle.dumps(tuple(returned), pickle.HIGHEST_PROTOCOL)


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
        is_async=shared.is_async,
        fn=body,
        body=body,
        log_prints=shared.log_prints,
        timeout_seconds=shared.timeout_seconds,
    )
    flow = SimpleNamespace(name=around.flow_name, is_async=False, task_runner=None, result_settings=ResultSettings())
    return _Kind(task, flow, around, _loaded(around.parameters), surroundings_of(Launch(deployment=around.deployment)))


def _unpacked(kind: _Kind, own: bytes, keeper: RunKeeper) -> Invocation:
    """The call, with surroundings as at home; runs that begin inside are numbered on from its own."""
    arguments, run = pickle.loads(own)  # noqa: S301 - as above
    around = kind.around
    ledger = Ledger(keeper, numbers=count(run.n + 1))
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
    )
    flow = FlowContext(kind.flow, around.flow_run, ledger, launch, None)
    flow.parameters = kind.parameters
    flow.kept = True  # that it is on record beside its results is for home to see to
    args, kwargs = pickle.loads(arguments)  # noqa: S301 - as above
    ledger.live[run.n] = run
    context = RunContext(flow, ledger, run, kind.task, log_prints=kind.task.log_prints)
    return Invocation(kind.task, run, ledger, context, args, kwargs, None)


@lru_cache(maxsize=128)
def _loaded(data: bytes) -> Any:
    """A pickle that many parcels share is read once."""
    return pickle.loads(data)  # noqa: S301 - as above


@lru_cache(maxsize=1)
def _let_logs_pass(around: Surroundings) -> None:
    """Log as much as at home, into the records that go back."""
    root = logging.getLogger()
    if not any(isinstance(handler, _Collecting) for handler in root.handlers):
        collecting = _Collecting()
        root.addHandler(collecting)
        root.setLevel(min(root.level, around.root_level))
        hear(collecting)  # they log from INFO on here too
        logging.getLogger("mintaka").setLevel(around.level)


@contextmanager
def _surrounded(invocation: Invocation, logs: list[dict[str, Any]] | None) -> Iterator[None]:
    current, collecting = CURRENT.set(invocation.context), _LOGS.set(logs)
    try:
        yield
    finally:
        if invocation.context.flow is not None:
            invocation.context.flow.close()  # the threads of what was submitted inside
        _LOGS.reset(collecting)
        CURRENT.reset(current)


def _pickled_error(error: BaseException) -> bytes:
    """The exception with its traceback as a note; what cannot be pickled and read again is told in another one's words."""
    told = "".join(traceback.format_exception(error)).rstrip()
    try:
        error.add_note(f"in the worker:\n{told}")
        data: bytes = cloudpickle.dumps(error)
        pickle.loads(data)  # noqa: S301 - our own, of this moment
    except Exception:  # noqa: BLE001 - exceptions are the user's
        stand_in = FailedRun(f"{type(error).__name__}: {message_of(error)}")
        stand_in.add_note(f"in the worker:\n{told}")
        data = cloudpickle.dumps(stand_in)
    return data
