"""What the running code may ask about its run: `from mintaka import runtime; runtime.flow_run.name`.

The same values as those of the runs that hooks and contexts show (`mintaka.runs`), but ids are text here, as in Prefect. Outside of
a run every answer is None or empty, so code that asks also works in a plain script.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mintaka.context import CURRENT
from mintaka.runs import FlowRun, TaskRun

if TYPE_CHECKING:
    from datetime import datetime

    from mintaka.context import FlowContext


def _flow() -> FlowContext | None:
    context = CURRENT.get()
    return context.flow if context is not None else None


def _flow_run() -> FlowRun | None:
    flow = _flow()
    return FlowRun(flow) if flow is not None else None


def _task_run() -> TaskRun | None:
    context = CURRENT.get()
    return TaskRun(context) if context is not None and context.task is not None else None


def _text(value: object) -> str | None:
    return None if value is None else str(value)


class _FlowRun:
    """The innermost flow run that is running."""

    @property
    def id(self) -> str | None:
        """Its id, as history has it."""
        flow = _flow()
        return None if flow is None else flow.id

    @property
    def name(self) -> str | None:
        """Name of the flow run."""
        flow = _flow()
        return flow.run.name if flow else None

    @property
    def flow_name(self) -> str | None:
        """Name of the flow."""
        flow = _flow()
        return flow.flow.name if flow else None

    @property
    def flow_version(self) -> str | None:
        """The `version` of the flow."""
        run = _flow_run()
        return run.flow_version if run else None

    @property
    def namespace(self) -> str | None:
        """Namespace of the flow run; "" outside of a cluster."""
        flow = _flow()
        return flow.launch.namespace if flow else None

    @property
    def attempt(self) -> int | None:
        """Which attempt of the flow run this process is, from 1."""
        flow = _flow()
        return flow.launch.attempt if flow else None

    @property
    def parent_flow_run_id(self) -> str | None:
        """The id of the flow run that called this one; None: it is the outermost one."""
        run = _flow_run()
        return _text(run.parent_flow_run_id) if run else None

    @property
    def root_flow_run_id(self) -> str | None:
        """The id of the outermost flow run: this one's if no other one called it."""
        flow = _flow()
        return None if flow is None else flow.launch.flow_run_id or str(flow.ledger.ids.flow_run)

    @property
    def run_count(self) -> int:
        """How often the flow's body was started in this process."""
        flow = _flow()
        return flow.run.run_count if flow else 0

    @property
    def scheduled_start_time(self) -> datetime | None:
        """When it was to start: a scheduled run at its scheduled time, any other one when it was made."""
        run = _flow_run()
        return run.expected_start_time if run else None

    @property
    def start_time(self) -> datetime | None:
        """When its body first started."""
        run = _flow_run()
        return run.start_time if run else None

    @property
    def parameters(self) -> dict[str, Any]:
        """The flow's parameters, validated."""
        flow = _flow()
        return dict(flow.parameters) if flow else {}

    @property
    def tags(self) -> list[str]:
        """Tags of the flow run."""
        flow = _flow()
        return list(flow.run.tags) if flow else []


class _TaskRun:
    """The task run that is running."""

    @property
    def id(self) -> str | None:
        """Its id."""
        run = _task_run()
        return str(run.id) if run else None

    @property
    def n(self) -> int | None:
        """The task run's number within the attempt, from 0."""
        run = _task_run()
        return run.n if run else None

    @property
    def name(self) -> str | None:
        """Name of the task run."""
        run = _task_run()
        return run.name if run else None

    @property
    def task_name(self) -> str | None:
        """Name of the task."""
        context = CURRENT.get()
        return context.task.name if context and context.task else None

    @property
    def flow_run_id(self) -> str | None:
        """The id of the flow run that it is part of; None: outside of flows."""
        run = _task_run()
        return _text(run.flow_run_id) if run else None

    @property
    def run_count(self) -> int:
        """Which try this is, from 1."""
        run = _task_run()
        return run.run_count if run else 0

    @property
    def parameters(self) -> dict[str, Any]:
        """The arguments of the task by name, with results in the place of futures."""
        run = _task_run()
        return run.parameters if run else {}

    @property
    def start_time(self) -> datetime | None:
        """When its body first started."""
        run = _task_run()
        return run.start_time if run else None

    @property
    def tags(self) -> list[str]:
        """Tags of the task run."""
        run = _task_run()
        return run.tags if run else []


class _Deployment:
    """The flow deployment whose run this is."""

    @property
    def id(self) -> str | None:
        """Its id, made of its namespace and name; None where the run has none."""
        run = _flow_run()
        return _text(run.deployment_id) if run else None

    @property
    def name(self) -> str | None:
        """Name of the FlowDeployment; None where the run has none."""
        flow = _flow()
        return (flow.launch.deployment or None) if flow else None

    @property
    def flow_run_id(self) -> str | None:
        """The id of the flow run."""
        return flow_run.id

    @property
    def parameters(self) -> dict[str, Any]:
        """The flow's parameters, validated."""
        return flow_run.parameters


flow_run = _FlowRun()
task_run = _TaskRun()
deployment = _Deployment()
