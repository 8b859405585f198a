"""What type checkers and editors know of tasks and flows; nothing of it costs anything when a program runs.

A task has three type parameters: `P`, the parameters of its function; `R`, what calling it gives, as its function does; and
`V`, what its result is, which differs from `R` for coroutines (what they return) and generators (the list of their items).
`V` need not be written: it is `R` where it is not.

Words of the SDK's own cannot stand among typed parameters (PEP 612), so a call with `return_state` or `wait_for` has its
result's type and unchecked arguments, and so has one with a future in place of a value: in the first three positions, or by
keyword where all arguments are. `map` knows its results, not its arguments. On a staticmethod or classmethod that is reached
through an instance or a subclass the checkers disagree about what is bound.
"""

from __future__ import annotations

from types import GenericAlias
from typing import TYPE_CHECKING, Any, Generic, Literal, Protocol, overload

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Generator, Iterable, Mapping, Sequence

    from typing_extensions import ParamSpec, TypedDict, TypeVar

    from mintaka.annotations import Annotation
    from mintaka.engine.retries import RetryDelay
    from mintaka.flows import Flow
    from mintaka.futures import Future, FutureList
    from mintaka.persisting.result_settings import SerializerLike, StorageLike
    from mintaka.persisting.task_results import ResultWords
    from mintaka.runs import TaskRun
    from mintaka.states import State
    from mintaka.task_runners import TaskRunner
    from mintaka.tasks import Task

    P = ParamSpec("P")
    R_co = TypeVar("R_co", covariant=True)
    V_co = TypeVar("V_co", covariant=True, default=R_co)

    class Typed(Generic[P, R_co, V_co]):
        """A task or flow with parameters `P` that gives `R_co` when it is called and has the result `V_co`."""

    #: What may stand in the place of a value.
    type Passed = Future[Any] | State[Any] | Annotation | Sequence[Future[Any]] | Mapping[Any, Future[Any]]

    type Hooks = Iterable[Callable[..., Any]]

    class TaskWords(ResultWords, TypedDict, total=False):
        """The settings of a task."""

        name: str | None
        description: str | None
        version: str | None
        tags: Iterable[str]
        task_run_name: str | Callable[..., str | Awaitable[str]] | None
        retries: int
        retry_delay_seconds: RetryDelay | None
        retry_jitter_factor: float | None
        crash_retries: int
        retry_condition_fn: Callable[[Task[..., Any], TaskRun, State[Any]], bool | Awaitable[bool]] | None
        timeout_seconds: float | None
        log_prints: bool | None
        on_completion: Hooks
        on_failure: Hooks
        on_running: Hooks

    class FlowWords(TypedDict, total=False):
        """The settings of a flow."""

        name: str | None
        description: str | None
        version: str | None
        tags: Iterable[str]
        flow_run_name: str | Callable[..., str | Awaitable[str]] | None
        retries: int
        retry_delay_seconds: RetryDelay | None
        retry_jitter_factor: float | None
        timeout_seconds: float | None
        validate_parameters: bool
        task_runner: TaskRunner | type[TaskRunner] | None
        log_prints: bool | None
        on_completion: Hooks
        on_failure: Hooks
        on_cancellation: Hooks
        on_crashed: Hooks
        on_running: Hooks
        persist_result: bool | None
        result_storage: StorageLike | None
        result_serializer: SerializerLike | None
        cache_result_in_memory: bool
        semantics: Literal["mintaka", "prefect3"] | None

else:
    #: Present only so that classes can be written as above.
    P = R_co = V_co = None

    class Typed:
        """See above; `Task[[int], str]` is an ordinary generic alias when a program runs."""

        def __class_getitem__(cls, parameters):  # noqa: ANN001, ANN204 - as in `type`
            """Whatever stands in the brackets is for type checkers."""
            return GenericAlias(cls, parameters)


class TaskDecorator(Protocol):
    """What `task(...)` with settings returns."""

    @overload
    def __call__[**Q, T](self, fn: Callable[Q, Coroutine[Any, Any, T]], /) -> Task[Q, Coroutine[Any, Any, T], T]: ...
    @overload
    def __call__[**Q, T, S, U](self, fn: Callable[Q, Generator[T, S, U]], /) -> Task[Q, Generator[T, S, U], list[T]]: ...
    @overload
    def __call__[**Q, T, S](self, fn: Callable[Q, AsyncGenerator[T, S]], /) -> Task[Q, AsyncGenerator[T, S], list[T]]: ...
    @overload
    def __call__[**Q, T](self, fn: Callable[Q, State[T]], /) -> Task[Q, T]: ...
    @overload
    def __call__[**Q, T](self, fn: Callable[Q, T], /) -> Task[Q, T]: ...
    @overload
    def __call__[**Q, T](self, fn: classmethod[Any, Q, Coroutine[Any, Any, T]], /) -> Task[Q, Coroutine[Any, Any, T], T]: ...
    @overload
    def __call__[**Q, T](self, fn: classmethod[Any, Q, T], /) -> Task[Q, T]: ...
    def __call__(self, fn: Any, /) -> Any:
        """Make a task of `fn`."""


class FlowDecorator(Protocol):
    """What `flow(...)` with settings returns."""

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
    def __call__(self, fn: Any, /) -> Any:
        """Make a flow of `fn`."""
