"""The documents the API answers with. The OpenAPI schemas are generated from these, so the two cannot drift apart.

Times are RFC 3339 in UTC, with microseconds if not zero. `Raw` members are JSON text, sent as stored.
"""

from __future__ import annotations

from datetime import datetime  # noqa: TC003 - msgspec reads the annotations
from typing import Any, Literal

import msgspec

from mintaka_core.stop_reasons import StopReason  # noqa: TC001
from mintaka_history.enum_codes import ShownState  # noqa: TC001
from mintaka_history.history_responses import BucketAnswer, ChangeAnswer, CountAnswer, EventAnswer  # noqa: TC001
from mintaka_history.run_responses import (  # noqa: TC001
    ArtifactAnswer,
    FlowRunAnswer,
    LogAnswer,
    PauseAnswer,
    RunAttemptAnswer,
    TaskRunAnswer,
    TransitionAnswer,
)


class LastRunAnswer(msgspec.Struct):
    """A run of a flow deployment; `seconds` is how long it took, null if it has not started or not ended."""

    uid: str
    name: str
    state: ShownState
    created: datetime
    seconds: float | None


class VersionAnswer(msgspec.Struct):
    """A version of a flow deployment: the spec under the name `revision`, first seen at `created` in `generation` of the resource."""

    revision: str
    generation: int
    created: datetime
    spec: msgspec.Raw


class FlowDeploymentAnswer(msgspec.Struct):
    """A flow deployment. `ready` is null until the operator has checked it; the schedules include their next and last times.

    `revision` is the newest version of its spec, `last_runs` are its newest 20 flow runs, oldest first. `result_storage` is the URL
    under which its runs store results; null if it is not set.
    """

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
    revision: str | None = None
    last_runs: list[LastRunAnswer] = []
    result_storage: str | None = None


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


class EndedRuns(msgspec.Struct):
    """Flow runs that are over; `gone` has the uids of those that were checked and are neither in the cluster nor in history."""

    items: list[FlowRunAnswer]
    gone: list[str] = []


class LoginCodeAnswer(msgspec.Struct):
    """A code that opens a local server in a browser, once; `url` is the address with it."""

    code: str
    url: str
    expires_in_seconds: int


class DocumentAnswer(msgspec.Struct):
    """A document as Kubernetes would return it; members that its kind does not have are absent. Secret parameters are masked."""

    kind: str
    metadata: dict[str, Any]
    api_version: str = msgspec.field(name="apiVersion")
    spec: Any = None
    status: Any = None
    data: Any = None


class AppliedAnswer(msgspec.Struct):
    """A document that was applied, and the result; of a dry run, the result that it would have."""

    kind: str
    namespace: str
    name: str
    result: Literal["created", "configured", "unchanged"]
    document: Any


class AppliedPage(msgspec.Struct):
    """The documents of a request, in its order."""

    items: list[AppliedAnswer]


class DocumentPage(msgspec.Struct):
    """A page of documents, by namespace and name."""

    items: list[DocumentAnswer]
    next: str | None


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
    """A page of flow runs; `next` is the cursor of the next page, null on the last, `previous` that of the page before, null on the first."""

    items: list[FlowRunAnswer]
    next: str | None
    previous: str | None = None


class FlowDeploymentPage(msgspec.Struct):
    """A page of flow deployments."""

    items: list[FlowDeploymentAnswer]
    next: str | None
    previous: str | None = None


class VersionPage(msgspec.Struct):
    """A page of the versions of a flow deployment, newest first."""

    items: list[VersionAnswer]
    next: str | None
    previous: str | None = None


class TaskRunPage(msgspec.Struct):
    """A page of task runs."""

    items: list[TaskRunAnswer]
    next: str | None
    previous: str | None = None


class TransitionPage(msgspec.Struct):
    """A page of the decisions about a flow run, oldest first."""

    items: list[TransitionAnswer]
    next: str | None
    previous: str | None = None


class ExplanationAnswer(msgspec.Struct):
    """Why a flow run is where it is (`why`), what happens `next`, and what would change it (`remedy`): one sentence each, as of `time`.

    `reason` is one word for programs, empty for a run that waits for its time, runs or completed as expected.
    """

    uid: str
    namespace: str
    name: str
    time: datetime
    reason: str
    why: str
    next: str
    remedy: str


class RunAttemptPage(msgspec.Struct):
    """A page of the attempts of a flow run, in order."""

    items: list[RunAttemptAnswer]
    next: str | None
    previous: str | None = None


class ArtifactPage(msgspec.Struct):
    """A page of the artifacts of a flow run, oldest first."""

    items: list[ArtifactAnswer]
    next: str | None
    previous: str | None = None


class EventPage(msgspec.Struct):
    """A page of events."""

    items: list[EventAnswer]
    next: str | None
    previous: str | None = None


class LogPage(msgspec.Struct):
    """A page of log lines.

    `partial` is true if the time for searching was over before the page was full: the search continues with `next` (or
    `previous`), even if no line was found yet.
    """

    items: list[LogAnswer]
    next: str | None
    previous: str | None = None
    partial: bool = False


class HistogramAnswer(msgspec.Struct):
    """The number of flow runs created in the hours from `since` to `until`, in buckets of whole hours."""

    since: datetime
    until: datetime
    buckets: list[BucketAnswer]


class CountsAnswer(msgspec.Struct):
    """The number of flow runs created in the hours from `since` to `until`, by group.

    `truncated` is true if there are more groups than are shown, which are those with most runs.
    """

    since: datetime
    until: datetime
    items: list[CountAnswer]
    truncated: bool


class FacetAnswer(msgspec.Struct):
    """Values that a filter can have, in order; `more` is true if there are others that begin so."""

    values: list[str]
    more: bool


class ChangesAnswer(msgspec.Struct):
    """What changed after a position, each object once, in the order in which the changes were committed; `next` is the position after.

    `more` is true if there are more changes already. `reset` is true if the position is older than the stored changes, or from before the
    database was restored: any object may have changed, so read the lists again and continue from `next`.
    """

    items: list[ChangeAnswer]
    next: str
    more: bool
    reset: bool


class PausePage(msgspec.Struct):
    """The pauses in which a flow run waits, oldest first; `next` is always null."""

    items: list[PauseAnswer]
    next: str | None
