"""What surrounds the code that is running: which flow run, which task run. Carried by one context variable.

Threads of the task runner run each task in a copy of the submitter's context, so the surroundings follow the call.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from mintaka.calling.bodies import instance_of
from mintaka.calling.lineage import Lineage
from mintaka.engine.called_flows import CallNumbers
from mintaka.engine.loops import running_loop
from mintaka.engine.outcomes import Interrupted
from mintaka.engine.runs import Ledger, Run
from mintaka.engine.semantics import Semantics, semantics_named
from mintaka.engine.stopping import STOP
from mintaka.exceptions import InvalidSettingError, MissingContextError, Suspension, message_of
from mintaka.persisting.result_settings import Surroundings, surroundings_of
from mintaka.recording.recorder import NullRecorder, Recorder
from mintaka.run_contexts import FlowRunContext as FlowRunContext  # noqa: PLC0414 - Prefect's users look for them here
from mintaka.run_contexts import TaskRunContext as TaskRunContext  # noqa: PLC0414
from mintaka.run_contexts import get_run_context as get_run_context  # noqa: PLC0414
from mintaka.task_runners import ThreadPoolTaskRunner
from mintaka.waiting.pausing import Mailbox

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop
    from collections.abc import Iterator
    from uuid import UUID

    from mintaka.calling.dual_functions import PendingCall
    from mintaka.concurrency.holdings import Holding
    from mintaka.engine.async_calls import AsyncCall
    from mintaka.flows import Flow
    from mintaka.futures import Future
    from mintaka.persisting.calls import CallIndex
    from mintaka.persisting.replaying import Replay  # noqa: TC004 - would be a cycle
    from mintaka.persisting.transacting import Transaction
    from mintaka.remote_runs.call_keys import DeploymentCalls
    from mintaka.task_runners import TaskRunner
    from mintaka.tasks import Task
    from mintaka.waiting.pausing import Answer


def _interrupted(error: BaseException) -> Interrupted:
    from mintaka.states import Crashed, Suspended  # noqa: PLC0415 - would be a cycle

    if isinstance(error, Suspension):
        return Interrupted.all(Suspended(message=str(error)))
    if STOP.requested:
        return Interrupted.all(Crashed(reason="Terminated", message="the process was asked to end (SIGTERM)"))
    return Interrupted.all(Crashed(reason=type(error).__name__, message=message_of(error) or "the process was interrupted"))


@dataclass(slots=True)
class Launch:
    """Which flow run this process is, and where its history goes: made by the runner, or empty for a script.

    `resume_from` is the flow run whose finished tasks need not run again ("": this one's own, in its later attempts).
    `replay` is set where an earlier run is gone through again: its results are used, and nothing is recorded.
    `results` says where results are and whether they are persisted, in place of the environment.
    `judge` says what an interruption (a BaseException) amounts to. `run` is the flow run's record once it began, `ledger`
    that of all its runs.
    `mailbox` is how those outside of this process resume it where it pauses (None: what the environment says); `resumed` are the
    suspensions that are over. `transitions` counts those of earlier attempts that history knows.
    `local` is True where the run is no resource of any cluster, so that the process itself reports its states, with the
    `flow` it is of and its `parameters` (JSON values). `owned` is True where the call of the flow closes the recorder.
    `api_url` is the API of variables and limits, where a worker is told so by the flow's process.
    `scheduled_time` is when a scheduled run was to start; None: it is no scheduled run.
    """

    flow_run_id: str = ""
    name: str = ""
    namespace: str = ""
    deployment: str = ""
    attempt: int = 1
    tags: tuple[str, ...] = ()
    resume_from: str = ""
    replay: Replay | None = None
    results: Surroundings | None = None
    recorder: Recorder = field(default_factory=NullRecorder)
    judge: Callable[[BaseException], Interrupted] = _interrupted
    run: Run | None = None
    ledger: Ledger | None = None
    mailbox: Mailbox | None = None
    resumed: frozenset[str] = frozenset()
    transitions: int = 0
    local: bool = False
    owned: bool = False
    api_url: str = ""
    flow: str = ""
    parameters: dict[str, Any] = field(default_factory=dict)
    scheduled_time: datetime | None = None

    @property
    def results_id(self) -> str:
        """The flow run under whose id results are kept: a run that is resumed in another one shares them with it."""
        return self.resume_from or self.flow_run_id

    @property
    def resumes(self) -> bool:
        """True where some of the tasks may be finished already."""
        return bool(self.resume_from) or self.attempt > 1 or self.replay is not None


class FlowContext:
    """One run of a flow: its record, the ledger and launch it shares with those it calls, and its open futures."""

    __slots__ = (
        "_runner", "answers", "calls", "failures", "flow", "kept", "launch", "ledger", "lineage", "lock", "loop", "numbers", "open",
        "outer", "parameters", "parent", "results", "run", "semantics",
    )  # fmt: skip

    def __init__(self, flow: Flow[Any, Any], run: Run, ledger: Ledger, launch: Launch, outer: FlowContext | None) -> None:
        self.flow = flow
        self.run = run
        self.ledger = ledger
        self.launch = launch
        self.outer = outer
        #: The id of the flow run that called it; None: it is the outermost one.
        self.parent: UUID | None = outer.uid if outer else None
        self.numbers = CallNumbers()
        self.lineage: Lineage = outer.lineage if outer else Lineage()
        self.parameters: dict[str, Any] = {}
        self.lock = threading.Lock()
        #: The event loop in which submitted async tasks run; None: each has one in its thread.
        self.loop: AbstractEventLoop | None = running_loop() if flow.is_async else outer.loop if outer else None
        self._runner: TaskRunner | None = None
        #: Futures that are not done, and those that failed with nobody having looked at how.
        self.open: dict[int, Future[Any]] = {}
        self.failures: dict[int, Future[Any]] = {}
        self.results: Surroundings = (outer.results if outer else surroundings_of(launch)).within(flow.result_settings)
        self.semantics: Semantics = semantics_named(flow.semantics, outer.semantics if outer else None)
        #: The calls of this try whose results are kept; made when the first one comes.
        self.calls: CallIndex | None = None
        #: That the flow run is on record beside its results.
        self.kept = False
        #: What pauses with a key were answered, for further tries.
        self.answers: dict[str, Answer] = {}

    @property
    def id(self) -> str:
        """The id of this run as text, as history has it."""
        if self.parent is None and self.launch.flow_run_id:
            return self.launch.flow_run_id
        return str(self.uid)

    @property
    def uid(self) -> UUID:
        """The id of this run; of a call that a persisted result stands in for, that of the call."""
        run = self.run
        return self.ledger.ids.of(run.n) if run.called is None else run.called.uid

    @property
    def runner(self) -> TaskRunner:
        """Where submitted tasks run: the flow's own task runner, else the outer flow's, else a pool of threads."""
        if self._runner is None:
            if self.outer is not None and self.flow.task_runner is None:
                return self.outer.runner
            with self.lock:
                if self._runner is None:
                    template = self.flow.task_runner
                    self._runner = ThreadPoolTaskRunner() if template is None else template.duplicate()
        return self._runner

    def takes_finished(self) -> bool:
        """True where tasks that finished in an earlier attempt or try of the flow run need not run again."""
        return self.launch.resumes or self.run.run_count > 1 or (self.outer is not None and self.outer.takes_finished())

    def close(self) -> None:
        """The flow is over: let its task runner go."""
        if self._runner is not None:
            self._runner.close()


class RunContext:
    """The run whose code is running: a task's (`task` is set) or a flow's. `flow` is None in a task outside of flows."""

    __slots__ = ("args", "calls", "deployment_calls", "flow", "holding", "kwargs", "ledger", "log_prints", "pending_calls", "run", "task")

    def __init__(self, flow: FlowContext | None, ledger: Ledger, run: Run, task: Task[Any, Any] | None, *, log_prints: bool) -> None:
        self.flow = flow
        self.ledger = ledger
        self.run = run
        self.task = task
        self.log_prints = log_prints
        #: What a task was called with, results in the place of futures.
        self.args: tuple[Any, ...] = ()
        self.kwargs: dict[str, Any] = {}
        #: The slots of limits of tags that the run holds.
        self.holding: Holding | None = None
        #: What async code of the run called and did not await so far; made for the first such call.
        self.pending_calls: set[PendingCall] | None = None
        #: The calls of async tasks and flows by its code that are not over; None where there was none.
        self.calls: dict[AsyncCall, None] | None = None
        #: Numbers its calls of deployments; None before the first one.
        self.deployment_calls: DeploymentCalls | None = None

    @property
    def place(self) -> tuple[int | None, Run | None]:
        """Which task run (by number; None: none) of which called flow run (None: the outermost one) it is, as history has them."""
        flow = self.flow
        called = flow.run if flow is not None and flow.run.called is not None else None
        return (None if self.task is None else self.run.n), called

    def arguments(self) -> dict[str, Any]:
        """What a task was called with, by name, defaults included; for a method, its instance too."""
        if self.task is None:
            return {}
        bound = self.task.parameters.bind(self.args, self.kwargs)
        bound.apply_defaults()
        return {**instance_of(self.task.fn), **bound.arguments}


#: The innermost run; None outside of every flow and task.
CURRENT: ContextVar[RunContext | None] = ContextVar("mintaka_run", default=None)

#: What the next outermost flow run is launched as; None: a script of its own.
LAUNCH: ContextVar[Launch | None] = ContextVar("mintaka_launch", default=None)

#: The innermost transaction around the code; None outside of all.
TRANSACTION: ContextVar[Transaction | None] = ContextVar("mintaka_transaction", default=None)

_TAGS: ContextVar[frozenset[str]] = ContextVar("mintaka_tags", default=frozenset())


def current_run(use: str) -> RunContext:
    """The innermost run; `use` names what needs it.

    Raises:
        MissingContextError: outside of every flow and task run.
    """
    context = CURRENT.get()
    if context is None:
        message = f"{use} only works inside a flow or task run: call it from a function under @flow or @task"
        raise MissingContextError(message)
    return context


def current_flow(use: str) -> FlowContext:
    """The innermost flow run; `use` names what needs it.

    Raises:
        MissingContextError: outside of every flow run.
    """
    context = CURRENT.get()
    if context is None or context.flow is None:
        message = f"{use} only works inside a flow run: call it from a function under @flow"
        raise MissingContextError(message)
    return context.flow


def current_tags() -> frozenset[str]:
    """The tags that `with tags(...)` puts on every run."""
    return _TAGS.get()


@contextmanager
def tags(*words: str) -> Iterator[frozenset[str]]:
    """Put `words` on every run that begins inside the block; yields all tags in force.

    Raises:
        InvalidSettingError: one of them is no text.
    """
    for word in words:
        if not isinstance(word, str):
            message = f"tags are texts, not {word!r}: write tags('one', 'two')"
            raise InvalidSettingError(message)
    together = _TAGS.get() | frozenset(words)
    token = _TAGS.set(together)
    try:
        yield together
    finally:
        _TAGS.reset(token)
