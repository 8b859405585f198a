"""What the running code may ask about its run: `from mintaka import runtime; runtime.flow_run.name`.

Outside of a run every answer is None or empty, so code that asks also works in a plain script.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mintaka.context import CURRENT

if TYPE_CHECKING:
    from datetime import datetime

    from mintaka.context import FlowContext, RunContext


def _flow() -> FlowContext | None:
    context = CURRENT.get()
    return context.flow if context is not None else None


def _task() -> RunContext | None:
    context = CURRENT.get()
    return context if context is not None and context.task is not None else None


class _FlowRun:
    """The flow run (or subflow run) that is running."""

    @property
    def id(self) -> str | None:
        """The flow run's uid; subflow runs have that of the flow run they are part of."""
        flow = _flow()
        return flow.launch.flow_run_id if flow else None

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
        """The id of the flow run around this one, which has the same: subflow runs are part of it. None where there is none."""
        flow = _flow()
        return flow.launch.flow_run_id if flow and flow.outer else None

    @property
    def run_count(self) -> int:
        """How often the flow's body was started in this process."""
        flow = _flow()
        return flow.run.run_count if flow else 0

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
        """The flow run's uid, the attempt and the task run's number in it."""
        context = _task()
        if context is None:
            return None
        launch = context.flow.launch if context.flow else None
        return f"{launch.flow_run_id}/{launch.attempt}/{context.run.n}" if launch else str(context.run.n)

    @property
    def n(self) -> int | None:
        """The task run's number within the attempt, from 0."""
        context = _task()
        return context.run.n if context else None

    @property
    def name(self) -> str | None:
        """Name of the task run."""
        context = _task()
        return context.run.name if context else None

    @property
    def task_name(self) -> str | None:
        """Name of the task."""
        context = _task()
        return context.task.name if context and context.task else None

    @property
    def run_count(self) -> int:
        """Which try this is, from 1."""
        context = _task()
        return context.run.run_count if context else 0

    @property
    def parameters(self) -> dict[str, Any]:
        """The arguments of the task by name, with results in the place of futures."""
        context = _task()
        return dict(context.arguments()) if context else {}

    @property
    def start_time(self) -> datetime | None:
        """When its body first started."""
        context = _task()
        return context.run.start_time if context else None

    @property
    def tags(self) -> list[str]:
        """Tags of the task run."""
        context = _task()
        return list(context.run.tags) if context else []


class _Deployment:
    """The flow deployment whose run this is."""

    @property
    def name(self) -> str | None:
        """Name of the FlowDeployment; None where the run has none."""
        flow = _flow()
        return (flow.launch.deployment or None) if flow else None


flow_run = _FlowRun()
task_run = _TaskRun()
deployment = _Deployment()
