"""What surrounds the running code, by the names that Prefect's users know: `get_run_context()`, `FlowRunContext`, `TaskRunContext`.

What they show is looked up when it is read: each read of `flow_run` or `task_run` gives the run as it is then (`mintaka.runs`).
`mintaka.runtime` tells the same without a context.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from mintaka.engine.entries import starts, to_datetime
from mintaka.exceptions import MissingContextError

if TYPE_CHECKING:
    from datetime import datetime

    from mintaka.context import FlowContext, RunContext
    from mintaka.engine.runs import Run
    from mintaka.flows import Flow
    from mintaka.runs import FlowRun, TaskRun
    from mintaka.task_runners import TaskRunner
    from mintaka.tasks import Task


class FlowRunContext:
    """A flow that runs: `flow`, `flow_run` (a `mintaka.runs.FlowRun`), `parameters`, `task_runner`, `start_time`."""

    __slots__ = ("_flow",)

    def __init__(self, flow: FlowContext) -> None:
        self._flow = flow

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
    def flow_run(self) -> FlowRun:
        """The flow run as it is now."""
        from mintaka.runs import FlowRun  # noqa: PLC0415 - would be a cycle

        return FlowRun(self._flow)

    @property
    def parameters(self) -> dict[str, Any]:
        """The flow's parameters, validated."""
        return dict(self._flow.parameters)

    @property
    def task_runner(self) -> TaskRunner:
        """Where submitted tasks run."""
        return self._flow.runner

    @property
    def start_time(self) -> datetime | None:
        """When this try of its body started; `flow_run.start_time` is when the first one did."""
        return _last_start(self._flow.run)

    @property
    def surroundings(self) -> RunContext:
        """What the SDK itself knows of the run."""
        from mintaka.context import RunContext  # noqa: PLC0415 - would be a cycle

        return RunContext(self._flow, self._flow.ledger, self._flow.run, None, log_prints=False)


class TaskRunContext:
    """A task that runs: `task`, `task_run` (a `mintaka.runs.TaskRun`), `parameters`, `start_time`."""

    __slots__ = ("_context",)

    def __init__(self, context: RunContext) -> None:
        self._context = context

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
    def task_run(self) -> TaskRun:
        """The task run as it is now."""
        from mintaka.runs import TaskRun  # noqa: PLC0415 - would be a cycle

        return TaskRun(self._context)

    @property
    def parameters(self) -> dict[str, Any]:
        """The task's arguments by name, with results in the place of futures."""
        return self._context.arguments()

    @property
    def log_prints(self) -> bool:
        """Whether `print` is a line of the log."""
        return self._context.log_prints

    @property
    def start_time(self) -> datetime | None:
        """When this try of its body started; `task_run.start_time` is when the first one did."""
        return _last_start(self._context.run)

    @property
    def surroundings(self) -> RunContext:
        """What the SDK itself knows of the run."""
        return self._context

    @property
    def results_id(self) -> str:
        """The flow run under whose id its results are: a run that is resumed in another one shares them. "": outside of flows."""
        flow = self._context.flow
        return "" if flow is None else flow.launch.results_id


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


def _last_start(run: Run) -> datetime | None:
    began = starts(tuple(run.history))
    return to_datetime(began[-1]) if began else None


def _current() -> RunContext | None:
    from mintaka.context import CURRENT  # noqa: PLC0415 - would be a cycle

    return CURRENT.get()
