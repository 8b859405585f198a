"""Tasks: functions whose calls are runs with a state, a history and retries."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Concatenate, Literal, Self, Unpack, overload

from mintaka.cache_policies import task_input_hash
from mintaka.calling.bodies import Decorated, name_run
from mintaka.calling.dependencies import LEAVES, Dependencies
from mintaka.calling.mapping import mapped_calls
from mintaka.calling.settings import check_hook, check_settings, check_words
from mintaka.calling.signatures import P, R_co, Typed, V_co
from mintaka.calling.snapshots import Snapshot
from mintaka.context import CURRENT, TRANSACTION, RunContext, current_flow, current_tags
from mintaka.engine.async_calls import noted
from mintaka.engine.bookkeeping import uninterrupted
from mintaka.engine.drivers import run_async, run_sync
from mintaka.engine.generating import generate_async, generate_sync
from mintaka.engine.invocations import Invocation
from mintaka.engine.retries import RetryPlan, exponential_backoff
from mintaka.engine.runs import Ledger
from mintaka.engine.semantics import semantics_of_environment
from mintaka.engine.stopping import STOP
from mintaka.exceptions import Terminated
from mintaka.executing.submitting import submitted
from mintaka.futures import FutureList
from mintaka.persisting.task_results import ResultWords, TaskResults
from mintaka.recording.recorder import NullRecorder
from mintaka_core.states import COMPLETED, FAILED

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Generator, Iterable

    from mintaka.calling.dependencies import Edge
    from mintaka.calling.signatures import Passed, TaskDecorator, TaskWords
    from mintaka.context import FlowContext
    from mintaka.engine.async_calls import AsyncCall
    from mintaka.engine.retries import RetryDelay
    from mintaka.futures import Future
    from mintaka.runs import TaskRun
    from mintaka.states import State


class Task(Decorated, Typed[P, R_co, V_co]):
    """What `@task` makes of a function: call it, `.submit()` it, or `.map()` it. See `task` for the settings."""

    def __init__(
        self,
        fn: Callable[P, R_co] | classmethod[Any, P, R_co],
        *,
        name: str | None = None,
        description: str | None = None,
        version: str | None = None,
        tags: Iterable[str] = (),
        task_run_name: str | Callable[..., str | Awaitable[str]] | None = None,
        retries: int = 0,
        retry_delay_seconds: RetryDelay | None = None,
        retry_jitter_factor: float | None = None,
        crash_retries: int = 0,
        retry_condition_fn: Callable[[Task[..., Any], TaskRun, State], bool | Awaitable[bool]] | None = None,
        timeout_seconds: float | None = None,
        log_prints: bool | None = None,
        on_completion: Iterable[Callable[..., Any]] = (),
        on_failure: Iterable[Callable[..., Any]] = (),
        on_running: Iterable[Callable[..., Any]] = (),
        **results: Unpack[ResultWords],
    ) -> None:
        given = {**locals(), **results}
        super().__init__(fn, "task")
        check_words(f"task {self.own_name}", results, ResultWords.__annotations__)
        check_settings(f"task {self.own_name}", given)
        self.name = name or self.own_name
        self.description = description or self.description
        self.version = version
        self.tags = tuple(sorted(set(tags)))
        self.task_run_name = task_run_name
        self.retry_plan = RetryPlan(retries, retry_delay_seconds, retry_jitter_factor, crash_retries)
        self.retry_condition_fn = retry_condition_fn
        self.timeout_seconds = float(timeout_seconds) if timeout_seconds else None
        self.log_prints = log_prints
        self._on_completion = tuple(on_completion)
        self._on_failure = tuple(on_failure)
        self.running_hooks = tuple(on_running)
        self.results = TaskResults(self.name, **results)

    @overload
    def __get__(self, instance: None, owner: type | None = None) -> Self: ...
    @overload
    def __get__[X, **Q](self: Task[Concatenate[X, Q], R_co, V_co], instance: X, owner: type | None = None) -> Task[Q, R_co, V_co]: ...
    @overload
    def __get__(self, instance: object, owner: type | None = None) -> Self: ...
    def __get__(self, instance: object, owner: type | None = None) -> Any:
        """A task on a method is bound to its instance, each on its own."""
        return self.bound_to(instance, owner)

    def with_options(self, **changes: Unpack[TaskWords]) -> Task[P, R_co, V_co]:
        """The same function as a task with other settings; what is not named stays as it is."""
        plan = self.retry_plan
        settings: dict[str, Any] = {
            "name": self.name,
            "description": self.description,
            "version": self.version,
            "tags": self.tags,
            "task_run_name": self.task_run_name,
            "retries": plan.limit,
            "retry_delay_seconds": plan.delays,
            "retry_jitter_factor": plan.jitter_factor,
            "crash_retries": plan.crash_limit,
            "retry_condition_fn": self.retry_condition_fn,
            "timeout_seconds": self.timeout_seconds,
            "log_prints": self.log_prints,
            "on_completion": self._on_completion,
            "on_failure": self._on_failure,
            "on_running": self.running_hooks,
            **self.results.words,
        }
        return Task(self.given, **{**settings, **changes})

    def on_completion[H: Callable[..., Any]](self, hook: H) -> H:
        """Decorator: call `hook(task, task_run, state)` when a run completed."""
        check_hook(f"task {self.name}", "on_completion", hook)
        self._on_completion = (*self._on_completion, hook)
        return hook

    def on_failure[H: Callable[..., Any]](self, hook: H) -> H:
        """Decorator: call `hook(task, task_run, state)` when a run failed for good."""
        check_hook(f"task {self.name}", "on_failure", hook)
        self._on_failure = (*self._on_failure, hook)
        return hook

    def on_running[H: Callable[..., Any]](self, hook: H) -> H:
        """Decorator: call `hook(task, task_run, state)` each time the body is about to start."""
        check_hook(f"task {self.name}", "on_running", hook)
        self.running_hooks = (*self.running_hooks, hook)
        return hook

    def on_commit[H: Callable[..., Any]](self, hook: H) -> H:
        """Decorator: call `hook(transaction)` when the transaction that a run was part of commits."""
        check_hook(f"task {self.name}", "on_commit", hook)
        self.results.hooked(on_commit=(hook,))
        return hook

    def on_rollback[H: Callable[..., Any]](self, hook: H) -> H:
        """Decorator: call `hook(transaction)` when the transaction that a completed run was part of is rolled back."""
        check_hook(f"task {self.name}", "on_rollback", hook)
        self.results.hooked(on_rollback=(hook,))
        return hook

    @overload
    def __call__(self, /, *args: P.args, **kwargs: P.kwargs) -> R_co: ...
    @overload
    def __call__(
        self: Task[..., Coroutine[Any, Any, Any], V_co], /, *args: Any, return_state: Literal[True], wait_for: Any = None, **kwargs: Any
    ) -> Coroutine[Any, Any, State[V_co]]: ...
    @overload
    def __call__(self, /, *args: Any, return_state: Literal[True], wait_for: Any = None, **kwargs: Any) -> State[V_co]: ...
    @overload
    def __call__(self, /, *args: Any, wait_for: Any, **kwargs: Any) -> R_co: ...
    @overload
    def __call__(self, first: Passed, /, *args: Any, **kwargs: Any) -> R_co: ...
    @overload
    def __call__(self, first: Any, second: Passed, /, *args: Any, **kwargs: Any) -> R_co: ...
    @overload
    def __call__(self, first: Any, second: Any, third: Passed, /, *args: Any, **kwargs: Any) -> R_co: ...
    @overload
    def __call__(self, /, **kwargs: Passed) -> R_co: ...
    def __call__(self, /, *args: Any, **kwargs: Any) -> Any:
        """Run it here and return its value, or raise what it raised; an async task gives a coroutine of that. A generator
        hands out its items one by one, and begins when the first is asked for.

        `wait_for` (futures to wait for first) and `return_state` (True: return the State, raise nothing) are taken out of
        the arguments.
        """
        return_state = kwargs.pop("return_state", False) if "return_state" in kwargs else False
        wait_for = kwargs.pop("wait_for", None) if "wait_for" in kwargs else None
        if self.is_generator and not return_state:
            generate: Any = generate_async if self.is_async else generate_sync
            return generate(lambda: self._invocation(args, kwargs, wait_for, kept=False))
        if self.is_async:
            call = noted(self, "task", 1)
            coroutine = self._call_async(args, kwargs, wait_for, call, return_state=return_state)
            if call is not None:
                call.coroutine = coroutine
            return coroutine
        outcome = run_sync(self._invocation(args, kwargs, wait_for))
        if return_state:
            return outcome.state
        return outcome.called()

    async def _call_async(
        self, args: tuple[Any, ...], kwargs: dict[str, Any], wait_for: Any, call: AsyncCall | None, *, return_state: bool
    ) -> Any:
        if call is None:
            outcome = await run_async(self._invocation(args, kwargs, wait_for))
        else:
            call.begun = True
            try:
                outcome = await run_async(self._invocation(args, kwargs, wait_for))
            finally:
                call.over()
        return outcome.state if return_state else outcome.called()

    @overload
    def submit(self, /, *args: P.args, **kwargs: P.kwargs) -> Future[V_co]: ...
    @overload
    def submit(self, /, *args: Any, return_state: Literal[True], wait_for: Any = None, **kwargs: Any) -> State[V_co]: ...
    @overload
    def submit(self, /, *args: Any, wait_for: Any, **kwargs: Any) -> Future[V_co]: ...
    @overload
    def submit(self, first: Passed, /, *args: Any, **kwargs: Any) -> Future[V_co]: ...
    @overload
    def submit(self, first: Any, second: Passed, /, *args: Any, **kwargs: Any) -> Future[V_co]: ...
    @overload
    def submit(self, first: Any, second: Any, third: Passed, /, *args: Any, **kwargs: Any) -> Future[V_co]: ...
    @overload
    def submit(self, /, **kwargs: Passed) -> Future[V_co]: ...
    def submit(self, /, *args: Any, **kwargs: Any) -> Any:
        """Have it run by the flow's task runner, after everything it depends on; returns a Future at once.

        Raises:
            MissingContextError: outside of a flow.
        """
        return_state = kwargs.pop("return_state", False)
        future = self._submitted(current_flow("submit()"), args, kwargs, kwargs.pop("wait_for", None), (), Snapshot())
        if return_state:
            future.wait()
            return future.state
        return future

    @overload
    def map(self, /, *args: Any, wait_for: Any = None, return_state: Literal[False] = False, **kwargs: Any) -> FutureList[V_co]: ...
    @overload
    def map(self, /, *args: Any, wait_for: Any = None, return_state: Literal[True], **kwargs: Any) -> list[State[V_co]]: ...
    def map(self, /, *args: Any, wait_for: Any = None, return_state: bool = False, **kwargs: Any) -> Any:
        """Submit one call per element of the iterable arguments; `unmapped(x)` and single values go to every call.

        Raises:
            MappingMissingIterable, MappingLengthMismatch: the arguments cannot be split.
            MissingContextError: outside of a flow.
        """
        flow = current_flow("map()")
        mapped = mapped_calls(self.name, args, kwargs, flow.lineage)
        snapshot = Snapshot()
        futures = FutureList(self._submitted(flow, each, named, wait_for, mapped.edges, snapshot) for each, named in mapped.calls)
        if return_state:
            futures.wait()
        return [future.state for future in futures] if return_state else futures

    def _invocation(
        self,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        wait_for: Any,
        edges: tuple[Edge, ...] = (),
        *,
        kept: bool = True,
        snapshot: Snapshot | None = None,
    ) -> Invocation:
        around = CURRENT.get()
        if around is None:
            semantics_of_environment()  # refuses a misspelt one
            flow, ledger, parent, log_prints = None, Ledger(NullRecorder()), None, bool(self.log_prints)
        else:
            flow, ledger, parent = around.flow, around.ledger, around.run.n
            log_prints = around.log_prints if self.log_prints is None else self.log_prints
        if STOP.requested:
            message = f"the process was asked to stop, so task {self.name} does not start"
            raise Terminated(message)
        more = current_tags()
        tags = tuple(sorted(more.union(self.tags))) if more else self.tags
        run = ledger.open(self.key, "task", None if parent is None or parent < 0 else parent, tags, around.run if around else None)
        dependencies = None
        if (
            wait_for is not None
            or not LEAVES.issuperset(map(type, args))
            or (kwargs and not LEAVES.issuperset(map(type, kwargs.values())))
            or (flow is not None and flow.lineage.constants)
        ):
            dependencies = Dependencies(flow.lineage if flow else None)
            if snapshot is None:
                dependencies.find_arguments(args, kwargs)
            else:
                args, kwargs = snapshot.of(args, kwargs, dependencies)
            if wait_for is not None:
                dependencies.find_waits(wait_for)
            edges = (*edges, *dependencies.edges)
        if edges:
            run.inputs = self.parameters.inputs(edges)
        context = RunContext(flow, ledger, run, self, log_prints=log_prints)
        context.args, context.kwargs = args, kwargs
        keeping = None
        if kept and (self.results.asked_anything or (flow is not None and flow.results.persist) or TRANSACTION.get() is not None):
            keeping = self.results.keeping(self, run, ledger, flow)
        if tags and kept:
            from mintaka.concurrency.tagged import TaggedKeeping  # noqa: PLC0415 - start-up time: not without tags

            keeping = TaggedKeeping(keeping)
        needs_preparing = self.task_run_name is not None
        return Invocation(self, run, ledger, context, args, kwargs, dependencies, needs_preparing=needs_preparing, keeping=keeping)

    @uninterrupted
    def _submitted(
        self, flow: FlowContext, args: tuple[Any, ...], kwargs: dict[str, Any], wait_for: Any, edges: tuple[Edge, ...], snapshot: Snapshot
    ) -> Future[Any]:
        return submitted(self._invocation(args, kwargs, wait_for, edges, snapshot=snapshot), flow)

    def prepare(self, invocation: Invocation) -> Awaitable[None] | None:
        """Name the run from its arguments."""
        bound = self.parameters.bind(invocation.args, invocation.kwargs)
        bound.apply_defaults()
        return name_run(invocation.run, self.task_run_name, self.fn, bound.arguments)

    def hooks_for(self, state: State) -> tuple[Callable[..., Any], ...]:
        """What is called when a run ends in `state`."""
        if state.type == COMPLETED:
            return self._on_completion
        return self._on_failure if state.type == FAILED else ()

    def __repr__(self) -> str:
        return f"<Task {self.key}>"


@overload
def task[**Q, T](fn: Callable[Q, Coroutine[Any, Any, T]], /) -> Task[Q, Coroutine[Any, Any, T], T]: ...
@overload
def task[**Q, T, S, U](fn: Callable[Q, Generator[T, S, U]], /) -> Task[Q, Generator[T, S, U], list[T]]: ...
@overload
def task[**Q, T, S](fn: Callable[Q, AsyncGenerator[T, S]], /) -> Task[Q, AsyncGenerator[T, S], list[T]]: ...
@overload
def task[**Q, T](fn: Callable[Q, State[T]], /) -> Task[Q, T]: ...
@overload
def task[**Q, T](fn: Callable[Q, T], /) -> Task[Q, T]: ...
@overload
def task[**Q, T](fn: classmethod[Any, Q, Coroutine[Any, Any, T]], /) -> Task[Q, Coroutine[Any, Any, T], T]: ...
@overload
def task[**Q, T](fn: classmethod[Any, Q, T], /) -> Task[Q, T]: ...
@overload
def task(**settings: Unpack[TaskWords]) -> TaskDecorator: ...
def task(fn: Any = None, /, **settings: Any) -> Any:
    """Make a task of a function: `@task` or `@task(retries=3, …)`.

    Args:
        fn: the function or method, sync or async, which may be a generator; on a classmethod or staticmethod, put `@task`
            outside.
        **settings: any of
            `name`, `description` (default: the docstring), `version`, `tags`;
            `task_run_name`: a template over the parameters (`"clean {city}"`, on a method also `"{self.table}"`) or a callable,
            sync or async, that may take `parameters`;
            `retries` and `retry_delay_seconds` (a number, a list, or a callable such as `exponential_backoff(2)`),
            `retry_jitter_factor`, `retry_condition_fn(task, task_run, state)`, sync or async;
            `crash_retries`: tries after a crash, such as the death of the worker process that ran it;
            `timeout_seconds`: for each try on its own;
            `log_prints`: True makes `print` a line of the log, None takes the flow's setting;
            `on_completion`, `on_failure`, `on_running`: hooks, sync or async, called with (task, task_run, state), the run as
            `mintaka.runs.TaskRun`;
            `persist_result`, `result_storage` (a URL or folder), `result_serializer`, `result_storage_key` (a template over
            `parameters`, `flow_run`, `task_run`), `cache_result_in_memory`;
            `cache_policy` (of `mintaka.cache_policies`) or `cache_key_fn(context, parameters)`, `cache_expiration`,
            `refresh_cache`; `on_commit`, `on_rollback`: hooks called with the transaction (`mintaka.transactions`).
    """
    if fn is not None:
        return Task(fn, **settings)
    return lambda function: Task(function, **settings)


__all__ = ["Task", "exponential_backoff", "task", "task_input_hash"]
