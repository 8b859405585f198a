"""What users see of a run: `FlowRun` and `TaskRun`, with the attributes that Prefect's have.

Hooks, `retry_condition_fn`, `cache_key_fn` and the contexts of `get_run_context()` are given these, and `mintaka.runtime` and futures
answer from them. Each shows the run as it was when it was made; hooks get one in the state that they are called for. It can be
pickled, and changing it changes no run. Values are computed when they are first read.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Self

from mintaka.engine.entries import starts, to_datetime
from mintaka.exceptions import ParameterBindError
from mintaka.states import State
from mintaka_core.run_ids import deployment_id, flow_id
from mintaka_core.states import RUNNING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from uuid import UUID

    from mintaka.context import FlowContext, RunContext
    from mintaka.engine.invocations import Invocation
    from mintaka.engine.run_ids import RunIds
    from mintaka.engine.runs import Run
    from mintaka_core.states import StateType


#: `dict` is the name of a method of runs.
type Values = dict[str, Any]
type Inputs = dict[str, list[TaskRunResult]]


class TaskRunResult:
    """That the result of task run `id` was passed to another one."""

    input_type: ClassVar[str] = "task_run"
    __match_args__ = ("id",)

    def __init__(self, id: UUID) -> None:  # noqa: A002 - Prefect's name for it
        self.id = id

    def __eq__(self, other: object) -> bool:
        return isinstance(other, TaskRunResult) and other.id == self.id

    def __hash__(self) -> int:
        return hash(self.id)

    def __repr__(self) -> str:
        return f"TaskRunResult(id={self.id!r})"


class RunView(ABC):
    """What flow runs and task runs have in common."""

    #: Attributes of Prefect's that Mintaka has nothing to put in.
    _empty: ClassVar[dict[str, Callable[[], object]]] = {}

    def __init__(self, run: Run, ids: RunIds, flow: FlowContext | None, state: State[Any] | None) -> None:
        self._run = run
        self._ids = ids
        self._flow = flow
        self._history = tuple(entry for entry in tuple(run.history) if not entry.refused)
        if state is not None:
            self.state = state

    @cached_property
    def id(self) -> UUID:
        """Its id."""
        return self._ids.of(self._run.n)

    @cached_property
    def name(self) -> str:
        """Its name."""
        return self._run.name

    @cached_property
    def n(self) -> int:
        """Its number within the attempt, from 0; -1: the outermost flow run."""
        return self._run.n

    @cached_property
    def tags(self) -> list[str]:
        """Its tags."""
        return list(self._run.tags)

    @cached_property
    def flow_run_id(self) -> UUID | None:
        """The id of the flow run that it is part of; a flow run's own. None: outside of flows."""
        return None if self._flow is None else self._flow.uid

    @cached_property
    def flow_id(self) -> UUID | None:
        """The id of that run's flow, made of the flow's name; None outside of flows."""
        return None if self._flow is None else flow_id(self._flow.flow.name)

    @cached_property
    def flow_name(self) -> str | None:
        """The name of that flow."""
        return None if self._flow is None else self._flow.flow.name

    @cached_property
    def deployment(self) -> str | None:
        """The name of the flow deployment whose run this is, or is part of; None: it has none."""
        return None if self._flow is None else self._flow.launch.deployment or None

    @cached_property
    def deployment_id(self) -> UUID | None:
        """The id of that flow deployment, made of its namespace and name; None: it has none."""
        if self._flow is None or not self.deployment:
            return None
        return deployment_id(self._flow.launch.namespace, self.deployment)

    @cached_property
    def attempt(self) -> int:
        """Which attempt of the flow run it belongs to, from 1."""
        return 1 if self._flow is None else self._flow.launch.attempt

    @property
    @abstractmethod
    def parameters(self) -> Values:
        """What it was called with, by name, defaults included."""

    @cached_property
    def task_inputs(self) -> Inputs:
        """By parameter (and `wait_for`): the task runs whose results were passed to it. Parameters without any have an empty list."""
        inputs: Inputs = {name: [] for name in self.parameters}
        for name, n in self._run.inputs:
            inputs.setdefault(name, []).append(TaskRunResult(self._ids.of(n)))
        return inputs

    @cached_property
    def state(self) -> State[Any]:
        """The state it is in; in hooks and `retry_condition_fn`, with the result or exception where it has ended."""
        entry = self._history[-1]
        return State(entry.type, entry.name, entry.reason, entry.message, time=to_datetime(entry.time))

    @cached_property
    def state_name(self) -> str:
        """The name of that state, such as Running, Retrying or TimedOut."""
        return self.state.name

    @cached_property
    def state_type(self) -> StateType:
        """The type of that state."""
        return self.state.type

    @cached_property
    def created(self) -> datetime:
        """When it was made."""
        return to_datetime(self._history[0].time)

    @cached_property
    def updated(self) -> datetime:
        """When it entered its state."""
        return to_datetime(self._history[-1].time)

    @cached_property
    def expected_start_time(self) -> datetime:
        """When it was to start: a scheduled run at its scheduled time, any other one when it was made."""
        return self.created

    @cached_property
    def start_time(self) -> datetime | None:
        """When its body first started, in this process; None: it has not. Contexts have a `start_time` that is that of this try."""
        began = starts(self._history)
        return to_datetime(began[0]) if began else None

    @cached_property
    def end_time(self) -> datetime | None:
        """When it ended; None: it has not."""
        first = next((entry for entry in self._history if entry.type.is_terminal), None)
        return None if first is None else to_datetime(first.time)

    @cached_property
    def run_count(self) -> int:
        """How often its body was started, in this process."""
        return len(starts(self._history))

    @cached_property
    def total_run_time(self) -> timedelta:
        """How long it ran, all tries that are over together."""
        return timedelta(microseconds=sum(end - start for start, end in self._spans() if end is not None))

    @cached_property
    def estimated_run_time(self) -> timedelta:
        """How long it ran until now, with the try that runs."""
        now = int(datetime.now(UTC).timestamp() * 1_000_000)
        return timedelta(microseconds=sum((end or now) - start for start, end in self._spans()))

    @cached_property
    def estimated_start_time_delta(self) -> timedelta:
        """How much later than expected it started; until then, how late it is by now."""
        return max((self.start_time or datetime.now(UTC)) - self.expected_start_time, timedelta(0))

    def _spans(self) -> Iterator[tuple[int, int | None]]:
        """When its body ran, in µs since the epoch; an end of None: it runs."""
        start: int | None = None
        for entry in self._history:
            if start is not None and entry.type != RUNNING:
                yield start, entry.time
                start = None
            elif start is None and entry.type == RUNNING:
                start = entry.time
        if start is not None:
            yield start, None

    def model_dump(self, *, mode: str = "python") -> Values:
        """All attributes by name, the state as a dict without its data; `mode="json"` makes each a value that JSON has."""
        values = {name: getattr(self, name) for name in self._names()}
        state = self.state
        shown = {"type": state.type, "name": state.name, "reason": state.reason, "message": state.message, "timestamp": state.time}
        inputs = {name: [{"input_type": each.input_type, "id": each.id} for each in given] for name, given in self.task_inputs.items()}
        values |= {"state": shown, "task_inputs": inputs}
        return values if mode == "python" else _as_json(values)

    def dict(self) -> Values:
        """The same."""
        return self.model_dump()

    def model_dump_json(self) -> str:
        """The same as a JSON text."""
        import json  # noqa: PLC0415 - start-up time

        return json.dumps(self.model_dump(mode="json"))

    @classmethod
    def _names(cls) -> list[str]:
        return sorted({name for kind in cls.__mro__ for name, value in vars(kind).items() if isinstance(value, cached_property)})

    def __getattr__(self, name: str) -> Any:
        if make := self._empty.get(name):
            return make()
        there = "" if name.startswith("__") else f"; it has {', '.join(self._names())}"
        message = f"a {type(self).__name__} has no attribute {name!r}{there}"
        raise AttributeError(message)

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *self._empty]

    def __reduce__(self) -> tuple[Any, ...]:
        return _copied, (type(self), {name: getattr(self, name) for name in self._names()})

    def __copy__(self) -> Self:
        make, given = self.__reduce__()
        copied: Self = make(*given)
        return copied

    def __repr__(self) -> str:
        return f"{type(self).__name__}(id={str(self.id)!r}, name={self.name!r}, state_name={self.state_name!r})"


class FlowRun(RunView):
    """A flow run. `id` is what `mintaka get` calls its uid; that of a flow run which another one called is the same in each attempt."""

    _empty: ClassVar[dict[str, Callable[[], object]]] = {
        **dict.fromkeys(("deployment_version", "work_queue_name", "work_queue_id", "work_pool_name", "work_pool_id"), lambda: None),
        **dict.fromkeys(("idempotency_key", "infrastructure_document_id", "infrastructure_pid", "created_by"), lambda: None),
        **dict.fromkeys(("context", "labels", "job_variables"), dict),
        "next_scheduled_start_time": lambda: None,
    }

    def __init__(self, flow: FlowContext, state: State[Any] | None = None) -> None:
        super().__init__(flow.run, flow.ledger.ids, flow, state)
        self._context = flow

    @cached_property
    def id(self) -> UUID:
        """Its id."""
        return self._context.uid

    @cached_property
    def parameters(self) -> dict[str, Any]:
        """The flow's parameters, validated, by name, defaults included."""
        return dict(self._context.parameters)

    @cached_property
    def task_key(self) -> None:
        """None: it is no task run."""
        return

    @cached_property
    def flow_version(self) -> str | None:
        """The `version` of the flow."""
        version: str | None = self._context.flow.version
        return version

    @cached_property
    def namespace(self) -> str:
        """The namespace it is in; outside of a cluster that of MINTAKA_NAMESPACE, by default "local"."""
        return self._context.launch.namespace

    @cached_property
    def expected_start_time(self) -> datetime:
        """When it was to start: a scheduled run at its scheduled time, any other one when it was made."""
        scheduled = self._context.launch.scheduled_time
        return scheduled if scheduled is not None and self._run.n < 0 else self.created

    @cached_property
    def auto_scheduled(self) -> bool:
        """Whether it has a scheduled time."""
        return self._run.n < 0 and self._context.launch.scheduled_time is not None

    @cached_property
    def parent_flow_run_id(self) -> UUID | None:
        """The id of the flow run that called it; None: it is the outermost one."""
        return self._context.parent

    @cached_property
    def root_flow_run_id(self) -> UUID:
        """The id of the outermost flow run around it: its own if no other one called it."""
        return self._ids.flow_run

    @cached_property
    def parent_task_run_id(self) -> UUID | None:
        """The id of the task run that stands for it in the flow run that called it; None: no other one called it."""
        return None if self._context.parent is None else self._ids.within(self._context.parent, self._run.n)


class TaskRun(RunView):
    """A task run."""

    _empty: ClassVar[dict[str, Callable[[], object]]] = {
        **dict.fromkeys(("cache_key", "cache_expiration", "next_scheduled_start_time"), lambda: None),
        "labels": dict,
    }

    def __init__(self, context: RunContext, state: State[Any] | None = None) -> None:
        super().__init__(context.run, context.ledger.ids, context.flow, state)
        self._context = context

    @cached_property
    def parameters(self) -> dict[str, Any]:
        """The task's arguments by name, defaults included, with results in the place of futures; of a call that does not fit the
        task's signature, those that have a name.
        """
        try:
            return self._context.arguments()
        except ParameterBindError:  # the run fails because of it, and its hooks are called
            return dict(self._context.kwargs)

    @cached_property
    def task_key(self) -> str:
        """The module and qualified name of the task's function."""
        return self._run.task

    @cached_property
    def task_version(self) -> str | None:
        """The `version` of the task."""
        version: str | None = getattr(self._context.task, "version", None)
        return version

    @cached_property
    def dynamic_key(self) -> str:
        """Its number within the attempt, as text."""
        return str(self._run.n)

    @cached_property
    def flow_run_run_count(self) -> int:
        """How often the body of the flow around it was started, in this process; 0: outside of flows."""
        return 0 if self._flow is None else self._flow.run.run_count


def run_of(invocation: Invocation, state: State[Any] | None = None) -> FlowRun | TaskRun:
    """The run of one call, in `state` (None: that which it is in)."""
    return TaskRun(invocation.context, state) if invocation.child is None else FlowRun(invocation.child, state)


def _copied[V: RunView](kind: type[V], values: Values) -> V:
    """A run out of a pickle: it has its values, and no way to find out more."""
    run = kind.__new__(kind)
    run.__dict__.update(values)
    return run


def _as_json(values: Values) -> Values:
    from pydantic_core import to_jsonable_python  # noqa: PLC0415 - start-up time

    plain: Values = to_jsonable_python(values, fallback=str)
    return plain


__all__ = ["FlowRun", "TaskRun", "TaskRunResult"]
