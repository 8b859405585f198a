"""What surrounds the running code, by the names that Prefect's users know: `get_run_context()`, `FlowRunContext`, `TaskRunContext`.

They are views: what they show is asked for when it is looked at. `mintaka.runtime` tells the same without a context.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from mintaka.exceptions import MissingContextError

if TYPE_CHECKING:
    from datetime import datetime

    from mintaka.context import FlowContext, RunContext
    from mintaka.engine.runs import Run
    from mintaka.flows import Flow
    from mintaka.states import State
    from mintaka.task_runners import TaskRunner
    from mintaka.tasks import Task


class _Run:
    """What flow runs and task runs have in common."""

    __slots__ = ("_run", "id")

    def __init__(self, run: Run, run_id: str) -> None:
        self._run = run
        self.id = run_id

    @property
    def name(self) -> str:
        """The run's name."""
        return self._run.name

    @property
    def tags(self) -> list[str]:
        """Its tags."""
        return list(self._run.tags)

    @property
    def run_count(self) -> int:
        """How often its body was started in this process."""
        return self._run.run_count

    @property
    def start_time(self) -> datetime | None:
        """When its body first started."""
        return self._run.start_time

    @property
    def state(self) -> State:
        """The state it is in."""
        from mintaka.states import State  # noqa: PLC0415 - would be a cycle

        state = self._run.state
        return State(state.type, state.name, reason=state.reason, message=state.message)

    @property
    def state_name(self) -> str:
        """The name of that state."""
        return self._run.state.name


class FlowRunView(_Run):
    """A flow run, as the code in it sees it. `id` is the flow run's uid."""

    __slots__ = ("_flow",)

    def __init__(self, flow: FlowContext) -> None:
        super().__init__(flow.run, flow.launch.flow_run_id)
        self._flow = flow

    @property
    def parameters(self) -> dict[str, Any]:
        """The flow's parameters, validated."""
        return dict(self._flow.parameters)

    @property
    def deployment(self) -> str | None:
        """The name of its flow deployment; None where it has none."""
        return self._flow.launch.deployment or None


class TaskRunView(_Run):
    """A task run, as its code sees it. `id` is the flow run's uid, the attempt and its number `n` in that."""

    __slots__ = ("flow_run_id", "n")

    def __init__(self, context: RunContext) -> None:
        launch = context.flow.launch if context.flow else None
        n = context.run.n
        super().__init__(context.run, f"{launch.flow_run_id}/{launch.attempt}/{n}" if launch else str(n))
        self.n = n
        self.flow_run_id = launch.flow_run_id if launch else None


class FlowRunContext:
    """A flow that runs: `flow`, `flow_run` (id, name, tags, parameters, run_count, start_time, state), `parameters`, `task_runner`."""

    __slots__ = ("_flow", "flow_run")

    def __init__(self, flow: FlowContext) -> None:
        self._flow = flow
        self.flow_run = FlowRunView(flow)

    @classmethod
    def get(cls) -> FlowRunContext | None:
        """Of the innermost flow that runs, around a task too; None outside of all."""
        context = _current()
        return None if context is None or context.flow is None else cls(context.flow)

    @property
    def flow(self) -> Flow[Any, Any]:
        """The flow."""
        return self._flow.flow

    @property
    def parameters(self) -> dict[str, Any]:
        """The flow's parameters, validated."""
        return self.flow_run.parameters

    @property
    def task_runner(self) -> TaskRunner:
        """Where submitted tasks run."""
        return self._flow.runner

    @property
    def start_time(self) -> datetime | None:
        """When its body first started."""
        return self.flow_run.start_time


class TaskRunContext:
    """A task that runs: `task`, `task_run` (id, name, tags, run_count, start_time, state, flow_run_id), `parameters`."""

    __slots__ = ("_context", "task_run")

    def __init__(self, context: RunContext) -> None:
        self._context = context
        self.task_run = TaskRunView(context)

    @classmethod
    def get(cls) -> TaskRunContext | None:
        """Of the task that runs; None outside of tasks."""
        context = _current()
        return None if context is None or context.task is None else cls(context)

    @property
    def task(self) -> Task[Any, Any]:
        """The task."""
        return cast("Task[Any, Any]", self._context.task)

    @property
    def parameters(self) -> dict[str, Any]:
        """The task's arguments by name, with results in the place of futures."""
        return dict(self._context.arguments())

    @property
    def log_prints(self) -> bool:
        """Whether `print` is a line of the log."""
        return self._context.log_prints

    @property
    def start_time(self) -> datetime | None:
        """When its body first started."""
        return self.task_run.start_time


def get_run_context() -> FlowRunContext | TaskRunContext:
    """The context of the innermost run: of the task, else of the flow.

    Raises:
        MissingContextError: outside of every run.
    """
    found = TaskRunContext.get() or FlowRunContext.get()
    if found is None:
        message = "get_run_context() only works inside a flow or task run: call it from a function under @flow or @task"
        raise MissingContextError(message)
    return found


def _current() -> RunContext | None:
    from mintaka.context import CURRENT  # noqa: PLC0415 - would be a cycle

    return CURRENT.get()
