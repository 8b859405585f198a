"""Flows: functions that call tasks and other flows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Concatenate, Literal, Self, Unpack, overload

from mintaka.calling.bodies import Decorated, checked_flow_name, name_run
from mintaka.calling.dependencies import Dependencies
from mintaka.calling.settings import check_hook, check_settings
from mintaka.calling.signatures import P, R_co, Typed, V_co
from mintaka.calling.task_identity import lasting_key
from mintaka.context import CURRENT, LAUNCH, FlowContext, RunContext, current_tags
from mintaka.engine.async_calls import noted
from mintaka.engine.called_flows import CalledFlow
from mintaka.engine.child_processes import CHILD_PROCESSES
from mintaka.engine.closing import close_flow, close_flow_async, close_generator, close_generator_async
from mintaka.engine.drivers import run_async, run_sync
from mintaka.engine.generating import generate_async, generate_sync
from mintaka.engine.invocations import Invocation
from mintaka.engine.retries import RetryPlan
from mintaka.engine.roots import Guard
from mintaka.engine.run_ids import RunIds
from mintaka.engine.runs import Ledger
from mintaka.engine.stopping import STOP
from mintaka.exceptions import Terminated
from mintaka.persisting.result_settings import ResultSettings
from mintaka.recording.launching import launched
from mintaka.serving.deployable import Deployable
from mintaka.serving.deployable import EntrypointType as EntrypointType  # noqa: PLC0414 - exported, as from Prefect's module
from mintaka.task_runners import task_runner_of
from mintaka_core.states import CANCELLED, COMPLETED, CRASHED, FAILED

if TYPE_CHECKING:
    import inspect
    from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Generator, Iterable
    from pathlib import Path

    from mintaka.calling.signatures import FlowDecorator, FlowWords, Passed
    from mintaka.engine.async_calls import AsyncCall
    from mintaka.engine.invocations import Keeping
    from mintaka.engine.outcomes import Outcome
    from mintaka.engine.retries import RetryDelay
    from mintaka.futures import Future, FutureList
    from mintaka.persisting.result_settings import SerializerLike, StorageLike
    from mintaka.states import State
    from mintaka.task_runners import TaskRunner
    from mintaka_core.states import StateType

_HOOKED = {"on_completion": COMPLETED, "on_failure": FAILED, "on_cancellation": CANCELLED, "on_crashed": CRASHED}


_WORDS = {state_type: word for word, state_type in _HOOKED.items()}


class Flow(Decorated, Deployable, Typed[P, R_co, V_co]):
    """What `@flow` makes of a function. See `flow` for the settings."""

    #: A flow's failures are tried again as often as `retries` says, whatever they are.
    retry_condition_fn: Callable[..., Any] | None = None

    def __init__(
        self,
        fn: Callable[P, R_co] | classmethod[Any, P, R_co],
        *,
        name: str | None = None,
        description: str | None = None,
        version: str | None = None,
        tags: Iterable[str] = (),
        flow_run_name: str | Callable[..., str | Awaitable[str]] | None = None,
        retries: int = 0,
        retry_delay_seconds: RetryDelay | None = None,
        retry_jitter_factor: float | None = None,
        timeout_seconds: float | None = None,
        validate_parameters: bool = True,
        task_runner: TaskRunner | type[TaskRunner] | None = None,
        log_prints: bool | None = None,
        on_completion: Iterable[Callable[..., Any]] = (),
        on_failure: Iterable[Callable[..., Any]] = (),
        on_cancellation: Iterable[Callable[..., Any]] = (),
        on_crashed: Iterable[Callable[..., Any]] = (),
        on_running: Iterable[Callable[..., Any]] = (),
        persist_result: bool | None = None,
        result_storage: StorageLike | None = None,
        result_serializer: SerializerLike | None = None,
        cache_result_in_memory: bool = True,
        semantics: Literal["mintaka", "prefect3"] | None = None,
    ) -> None:
        given = locals()
        super().__init__(fn, "flow")
        check_settings(f"flow {self.own_name}", given)
        self.name = checked_flow_name(name) if name else self.own_name.replace("_", "-").strip("-") or self.own_name
        self.description = description or self.description
        self.version = version
        self.tags = tuple(sorted(set(tags)))
        self.flow_run_name = flow_run_name
        self.retry_plan = RetryPlan(retries, retry_delay_seconds, retry_jitter_factor)
        self.timeout_seconds = float(timeout_seconds) if timeout_seconds else None
        self.validate_parameters = validate_parameters
        self.task_runner = task_runner_of(task_runner, f"flow {self.own_name}")
        self.log_prints = log_prints
        self._hooks: dict[StateType, tuple[Callable[..., Any], ...]] = {
            COMPLETED: tuple(on_completion),
            FAILED: tuple(on_failure),
            CANCELLED: tuple(on_cancellation),
            CRASHED: tuple(on_crashed),
        }
        self.running_hooks = tuple(on_running)
        self.semantics = semantics
        self.result_settings = ResultSettings(persist_result, result_storage, result_serializer, cache_result_in_memory)

    @overload
    def __get__(self, instance: None, owner: type | None = None) -> Self: ...
    @overload
    def __get__[X, **Q](self: Flow[Concatenate[X, Q], R_co, V_co], instance: X, owner: type | None = None) -> Flow[Q, R_co, V_co]: ...
    @overload
    def __get__(self, instance: object, owner: type | None = None) -> Self: ...
    def __get__(self, instance: object, owner: type | None = None) -> Any:
        """A flow on a method is bound to its instance, each on its own."""
        return self.bound_to(instance, owner)

    def with_options(self, **changes: Unpack[FlowWords]) -> Flow[P, R_co, V_co]:
        """The same function as a flow with other settings; what is not named stays as it is."""
        settings: dict[str, Any] = {
            "name": self.name,
            "description": self.description,
            "version": self.version,
            "tags": self.tags,
            "flow_run_name": self.flow_run_name,
            "retries": self.retry_plan.limit,
            "retry_delay_seconds": self.retry_plan.delays,
            "retry_jitter_factor": self.retry_plan.jitter_factor,
            "timeout_seconds": self.timeout_seconds,
            "validate_parameters": self.validate_parameters,
            "task_runner": self.task_runner,
            "log_prints": self.log_prints,
            "on_running": self.running_hooks,
            "persist_result": self.result_settings.persist,
            "result_storage": self.result_settings.storage,
            "result_serializer": self.result_settings.serializer,
            "cache_result_in_memory": self.result_settings.in_memory,
            "semantics": self.semantics,
        }
        hooks = {word: self._hooks[state_type] for word, state_type in _HOOKED.items()}
        return Flow(self.given, **{**settings, **hooks, **changes})

    def on_completion[H: Callable[..., Any]](self, hook: H) -> H:
        """Decorator: call `hook(flow, flow_run, state)` when a run completed."""
        return self._hook(COMPLETED, hook)

    def on_failure[H: Callable[..., Any]](self, hook: H) -> H:
        """Decorator: call `hook(flow, flow_run, state)` when a run failed for good."""
        return self._hook(FAILED, hook)

    def on_cancellation[H: Callable[..., Any]](self, hook: H) -> H:
        """Decorator: call `hook(flow, flow_run, state)` when a run was cancelled."""
        return self._hook(CANCELLED, hook)

    def on_crashed[H: Callable[..., Any]](self, hook: H) -> H:
        """Decorator: call `hook(flow, flow_run, state)` when a run was ended by something other than its code."""
        return self._hook(CRASHED, hook)

    def on_running[H: Callable[..., Any]](self, hook: H) -> H:
        """Decorator: call `hook(flow, flow_run, state)` each time the body is about to start."""
        check_hook(f"flow {self.name}", "on_running", hook)
        self.running_hooks = (*self.running_hooks, hook)
        return hook

    def _hook[H: Callable[..., Any]](self, state_type: StateType, hook: H) -> H:
        check_hook(f"flow {self.name}", _WORDS[state_type], hook)
        self._hooks = {**self._hooks, state_type: (*self._hooks[state_type], hook)}
        return hook

    @overload
    def __call__(self, /, *args: P.args, **kwargs: P.kwargs) -> R_co: ...
    @overload
    def __call__(
        self: Flow[..., Coroutine[Any, Any, Any], V_co], /, *args: Any, return_state: Literal[True], wait_for: Any = None, **kwargs: Any
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
    def __call__(self, /, **kwargs: Passed) -> R_co: ...
    def __call__(self, /, *args: Any, **kwargs: Any) -> Any:
        """Run the flow here, as a flow run of its own; inside of a flow, that one is its parent. Async flows give a coroutine;
        a generator hands out its items one by one, and begins when the first is asked for.

        `wait_for` and `return_state` (True: return the State, raise nothing) are taken out of the arguments.

        Raises:
            ParameterBindError: the arguments do not fit the signature; no run was made.
            ParameterTypeError: an argument does not fit its annotation; the run ended FAILED.
        """
        return_state = kwargs.pop("return_state", False)
        wait_for = kwargs.pop("wait_for", None)
        return self._started(self.parameters.bind(args, kwargs), wait_for, return_state=return_state)

    def run_with(self, values: dict[str, Any]) -> Any:
        """Run it with parameters from a document that names them all; returns the State (async flows: a coroutine of it).

        Raises:
            ParameterBindError: the names do not fit the signature.
        """
        return self._started(self.parameters.bind_by_name(values), None, return_state=True)

    def _started(self, bound: inspect.BoundArguments, wait_for: Any, *, return_state: bool) -> Any:
        if self.is_generator and not return_state:
            if self.is_async:
                return generate_async(lambda: self._invocation(bound, wait_for), close_generator_async)
            return generate_sync(lambda: self._invocation(bound, wait_for), close_generator)
        if self.is_async:
            call = noted(self, "flow", 2)
            coroutine = self._run_async(bound, wait_for, call, return_state=return_state)
            if call is not None:
                call.coroutine = coroutine
            return coroutine
        invocation = self._invocation(bound, wait_for)
        token = LAUNCH.set(None)
        try:
            if invocation.run.n >= 0:
                return _given(run_sync(invocation), return_state=return_state)
            with Guard(invocation):
                return _given(run_sync(invocation), return_state=return_state)
        finally:
            LAUNCH.reset(token)
            close_flow(invocation)

    async def _run_async(self, bound: inspect.BoundArguments, wait_for: Any, call: AsyncCall | None, *, return_state: bool) -> Any:
        if call is not None:
            call.begun = True
        invocation = self._invocation(bound, wait_for)
        token = LAUNCH.set(None)
        try:
            if invocation.run.n >= 0:
                return _given(await run_async(invocation), return_state=return_state)
            with Guard(invocation):
                try:
                    return _given(await run_async(invocation), return_state=return_state)
                except BaseException as error:
                    if not isinstance(error, Exception):
                        from mintaka.engine.loop_signals import tasks_over  # noqa: PLC0415 - start-up time

                        await tasks_over(invocation.ledger)
                    raise
        finally:
            LAUNCH.reset(token)
            await close_flow_async(invocation)
            if call is not None:
                call.over()

    def _invocation(self, bound: inspect.BoundArguments, wait_for: Any) -> Invocation:
        if STOP.requested:
            message = f"the process was asked to stop, so flow {self.name} does not start"
            raise Terminated(message)
        around = CURRENT.get()
        tags = tuple(sorted(current_tags().union(self.tags)))
        outer = around.flow if around is not None else None
        if around is not None and outer is not None:
            launch, ledger = outer.launch, outer.ledger
            run = ledger.open(self.key, "subflow", around.run.n if around.run.n >= 0 else None, tags, around.run)
            run.called = CalledFlow(self.name, lasting_key(self.key), outer.uid, outer.numbers, nested=outer.run.n >= 0)
            inherited = around.log_prints
        else:
            launch = LAUNCH.get() or launched(self.name)
            ledger, inherited = Ledger(launch.recorder, ids=RunIds(launch.flow_run_id, launch.attempt)), False
            run = ledger.root(self.key, tuple(sorted({*tags, *launch.tags})))
            run.own_name = launch.name or _default_name(self.name, launch.flow_run_id)
            launch.run, launch.ledger = run, ledger
        child = FlowContext(self, run, ledger, launch, outer)
        child.lineage.disregard(self.fn)
        context = RunContext(child, ledger, run, None, log_prints=inherited if self.log_prints is None else self.log_prints)
        dependencies = Dependencies(outer.lineage if outer else None)
        dependencies.find_arguments(bound.args, bound.kwargs)
        dependencies.find_waits(wait_for)
        run.inputs = self.parameters.inputs(dependencies.edges)
        keeping: Keeping | None = None
        if child.results.persist and not self.is_generator and launch.replay is None:
            from mintaka.persisting.keeping import FlowKeeping  # noqa: PLC0415 - start-up time

            keeping = FlowKeeping(child)
        elif launch.replay is not None and launch.replay.within and run.called is not None:
            from mintaka.persisting.replaying import ReplayedFlow  # noqa: PLC0415 - start-up time

            keeping = ReplayedFlow(launch.replay)
        if outer is None:
            CHILD_PROCESSES.begin_flow(ledger, CURRENT.get)
        return Invocation(self, run, ledger, context, bound.args, bound.kwargs, dependencies, child, needs_preparing=True, keeping=keeping)

    def prepare(self, invocation: Invocation) -> Awaitable[None] | None:
        """Validate the parameters and name the run.

        Raises:
            ParameterTypeError: an argument or a default does not fit its annotation.
        """
        bound = self.parameters.bind(invocation.args, invocation.kwargs)
        if invocation.child is not None:
            invocation.child.parameters = dict(bound.arguments)  # hooks see what was given, if it is not valid
        if self.validate_parameters:
            self.parameters.validate(bound)
        else:
            self.parameters.complete(bound)
        invocation.args, invocation.kwargs = bound.args, bound.kwargs
        if invocation.child is not None:
            invocation.child.parameters = dict(bound.arguments)
            called = invocation.run.called
            if called is not None:
                called.parameters = self.parameters.described(bound.arguments)
                invocation.run.own_name = _default_name(self.name, str(called.uid))
            elif invocation.child.launch.local:
                invocation.child.launch.parameters = self.parameters.described(bound.arguments)
        template = self.flow_run_name
        if template is not None and not (invocation.run.n < 0 and invocation.child is not None and invocation.child.launch.name):
            return name_run(invocation.run, template, self.fn, bound.arguments)
        return None

    def hooks_for(self, state: State) -> tuple[Callable[..., Any], ...]:
        """What is called when a run ends in `state`."""
        return self._hooks.get(state.type, ())

    def __repr__(self) -> str:
        return f"<Flow {self.key}>"


def _default_name(flow: str, uid: str) -> str:
    """The generated name of a flow run."""
    return f"{flow}-{uid[:8]}".rstrip("-")


def _given(outcome: Outcome, *, return_state: bool) -> Any:
    return outcome.state if return_state else outcome.called()


class FlowFactory:
    """`@flow`: makes a flow of a function, sync or async; `@flow(name="etl", …)` with settings.

    Args:
        fn: the function.
        **settings: any of
            `name` (default: the function's, with dashes), `description` (default: the docstring), `version`, `tags`;
            `flow_run_name`: a template over the parameters or a callable, sync or async, that may take `parameters`;
            `retries`, `retry_delay_seconds`, `retry_jitter_factor`, as for tasks: tries within the same process (a deployment's `retries` start a new one);
            `timeout_seconds`: for each try on its own;
            `validate_parameters`: arguments and defaults are checked and coerced by their annotations; False passes them as they are;
            `task_runner`: where submitted tasks run, such as `ThreadPoolTaskRunner(max_workers=8)`, or a class, such as
            `ProcessPoolTaskRunner`;
            `log_prints`: True makes `print` a line of the log, also in its tasks;
            `on_completion`, `on_failure`, `on_cancellation`, `on_crashed`, `on_running`: hooks, sync or async, called with (flow,
            flow_run, state), the run as `mintaka.runs.FlowRun`;
            `semantics`: "prefect3" has this flow, and its subflows unless they say otherwise, end as Prefect 3 ends them where
            "mintaka" does not on purpose (default: what is around it says, else MINTAKA_SEMANTICS, else "mintaka").
    """

    __name__ = "flow"

    @overload
    def __call__[**Q, T](self, fn: Callable[Q, Coroutine[Any, Any, T]], /) -> Flow[Q, Coroutine[Any, Any, T], T]: ...
    @overload
    def __call__[**Q, T, S, U](self, fn: Callable[Q, Generator[T, S, U]], /) -> Flow[Q, Generator[T, S, U], list[T]]: ...
    @overload
    def __call__[**Q, T, S](self, fn: Callable[Q, AsyncGenerator[T, S]], /) -> Flow[Q, AsyncGenerator[T, S], list[T]]: ...
    @overload
    def __call__[**Q, T](self, fn: Callable[Q, State[T] | Future[T]], /) -> Flow[Q, T]: ...
    @overload
    def __call__[**Q, T](self, fn: Callable[Q, FutureList[T] | list[Future[T]]], /) -> Flow[Q, list[T]]: ...
    @overload
    def __call__[**Q, T](self, fn: Callable[Q, T], /) -> Flow[Q, T]: ...
    @overload
    def __call__[**Q, T](self, fn: classmethod[Any, Q, Coroutine[Any, Any, T]], /) -> Flow[Q, Coroutine[Any, Any, T], T]: ...
    @overload
    def __call__[**Q, T](self, fn: classmethod[Any, Q, T], /) -> Flow[Q, T]: ...
    @overload
    def __call__(self, /, **settings: Unpack[FlowWords]) -> FlowDecorator: ...
    def __call__(self, fn: Any = None, /, **settings: Any) -> Any:
        """Make a flow of `fn`, or a decorator that does, with these settings."""
        if fn is not None:
            return Flow(fn, **settings)
        return lambda function: Flow(function, **settings)

    if TYPE_CHECKING:

        def from_source(self, source: str | Path, entrypoint: str) -> Flow[..., Any]:
            """`Flow.from_source`."""

        async def afrom_source(self, source: str | Path, entrypoint: str) -> Flow[..., Any]:
            """`Flow.afrom_source`."""

    else:
        from_source, afrom_source = Flow.from_source, Flow.afrom_source


flow = FlowFactory()
