"""The documents the API answers with. The OpenAPI schemas are generated from these, so the two cannot drift apart.

Times are RFC 3339 in UTC, with microseconds if not zero. `Raw` members are JSON text, sent as stored.
"""

from __future__ import annotations

from datetime import datetime  # noqa: TC003 - msgspec reads the annotations
from typing import Any

import msgspec

from mintaka_core.stop_reasons import StopReason  # noqa: TC001
from mintaka_history.response_models import ArtifactAnswer, FlowRunAnswer, LogAnswer, PauseAnswer, TaskRunAnswer, TransitionAnswer  # noqa: TC001


class FlowDeploymentAnswer(msgspec.Struct):
    """A flow deployment. `ready` is null until the operator has checked it; the schedules include their next and last times."""

    uid: str
    namespace: str
    name: str
    entrypoint: str | None
    image: str | None
    version: str | None
    description: str | None
    tags: list[str]
    parameters: dict[str, Any]
    parameter_schema: dict[str, Any] | None
    suspend: bool
    schedules: list[dict[str, Any]]
    ready: dict[str, Any] | None
    active_runs: int
    last_schedule_time: str | None
    next_schedule_time: str | None
    generation: int
    created: datetime
    deleted: datetime | None


class ReportAnswer(msgspec.Struct):
    """The report that is now stored. `previous` is the highest report of the attempt that was stored before (0: none; null: a newer
    attempt has reported). If it is less than what was acknowledged, the database was replaced or restored.
    """

    report: int
    previous: int | None


class IntentAnswer(msgspec.Struct):
    """An intent that Kubernetes has accepted; the operator acts on it."""

    uid: str
    namespace: str
    name: str
    intent: str


class StopReasonAnswer(msgspec.Struct):
    """Why an attempt is requested to stop. Outside: for a reason that its run does not state, such as a node drain."""

    reason: StopReason


class ProblemAnswer(msgspec.Struct):
    """An RFC 9457 problem; `errors` names the places that are wrong."""

    type: str
    title: str
    status: int
    detail: str
    errors: list[dict[str, str]] = []


class FlowRunPage(msgspec.Struct):
    """A page of flow runs; `next` is the cursor of the next page, null on the last."""

    items: list[FlowRunAnswer]
    next: str | None


class FlowDeploymentPage(msgspec.Struct):
    """A page of flow deployments."""

    items: list[FlowDeploymentAnswer]
    next: str | None


class TaskRunPage(msgspec.Struct):
    """A page of task runs."""

    items: list[TaskRunAnswer]
    next: str | None


class TransitionPage(msgspec.Struct):
    """All transitions of a flow run, oldest first; `next` is always null."""

    items: list[TransitionAnswer]
    next: str | None


class LogPage(msgspec.Struct):
    """A page of log lines, oldest first."""

    items: list[LogAnswer]
    next: str | None


class ArtifactPage(msgspec.Struct):
    """The artifacts of a flow run, oldest first; `next` is always null."""

    items: list[ArtifactAnswer]
    next: str | None


class PausePage(msgspec.Struct):
    """The pauses in which a flow run waits, oldest first; `next` is always null."""

    items: list[PauseAnswer]
    next: str | None
