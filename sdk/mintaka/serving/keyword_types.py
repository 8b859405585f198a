"""The keywords of `to_deployment`, `serve` and `deploy`, for type checkers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypedDict

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from mintaka.schedules import Schedule
    from mintaka.serving.deployable import EntrypointType
    from mintaka.serving.schedule_arguments import Intervals, Texts


class _CommonWords(TypedDict, total=False):
    """The keywords of all three."""

    interval: Intervals | None
    cron: Texts | None
    rrule: Texts | None
    schedule: Schedule | None
    schedules: Iterable[Any] | None
    paused: bool | None
    parameters: Mapping[str, Any] | None
    triggers: Any
    description: str | None
    tags: Iterable[str] | None
    version: str | None
    enforce_parameter_schema: bool
    entrypoint_type: str | EntrypointType


class DeploymentWords(_CommonWords, total=False):
    """The keywords of `to_deployment`."""

    concurrency_limit: Any
    version_type: Any
    work_pool_name: str | None
    work_queue_name: str | None
    job_variables: Mapping[str, Any] | None


class ServeWords(_CommonWords, total=False):
    """The keywords of `flow.serve`."""

    global_limit: Any
    limit: int | None
    pause_on_shutdown: bool
    print_starting_message: bool
    webserver: bool


class DeployWords(DeploymentWords, total=False):
    """The keywords of `flow.deploy`."""

    image: Any
    build: bool
    push: bool
    print_next_steps: bool
    ignore_warnings: bool
