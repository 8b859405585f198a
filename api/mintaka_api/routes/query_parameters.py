"""The query parameters of each list, validated before any query runs. An unknown parameter is refused."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal
from uuid import UUID

from fastapi import Path as PathParameter
from pydantic import AfterValidator, AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field

from mintaka_api.paging import decode_cursor
from mintaka_api.problems import Problem
from mintaka_core.instants import to_utc
from mintaka_core.states import StateType
from mintaka_history.paging import Page

LIMIT = 200
LOG_LIMIT = 1000
TRANSITION_LIMIT = 1000
_DEFAULT_LIMIT = 50
_VALUES = 50


def _without_nul(text: str) -> str:
    if "\0" in text:
        message = "the character NUL is not allowed"
        raise ValueError(message)
    return text


def _rfc3339(value: Any) -> Any:
    """Accept only RFC 3339: pydantic would also accept numbers. A space stands for the + that an unquoted query lost."""
    if isinstance(value, str) and value.lstrip("-+").replace(".", "", 1).isdigit():
        message = "write an RFC 3339 time such as 2026-01-31T12:00:00Z"
        raise ValueError(message)
    return value.replace(" ", "+") if isinstance(value, str) and "T" in value else value


Text = Annotated[str, Field(max_length=500), AfterValidator(_without_nul)]
Instant = Annotated[AwareDatetime, BeforeValidator(_rfc3339), AfterValidator(to_utc)]
Namespaces = Annotated[list[Text], Field(max_length=_VALUES, description="Only these namespaces; repeatable.", examples=[["default"]])]
States = Annotated[
    list[StateType], Field(max_length=len(StateType), description="Only these state types; repeatable.", examples=[["FAILED", "CRASHED"]])
]
Tags = Annotated[list[Text], Field(max_length=10, description="Only those with all of these tags; repeatable.", examples=[["nightly"]])]
Limit = Annotated[int, Field(ge=1, le=LIMIT, description="The most items of a page.")]
Namespace = Annotated[str, PathParameter(max_length=500, description="The namespace."), AfterValidator(_without_nul)]
Cursor = Annotated[str | None, Field(max_length=2000, description="`next` or `previous` of another page, under the same filters and sort.")]
Fields = Annotated[Text | None, Field(description="Only these members of each item, separated by commas.", examples=["uid,name,state"])]


Attempt = Annotated[int, PathParameter(ge=1, le=2**15 - 1, description="The attempt, from 1.")]


class NoQuery(BaseModel):
    """A route without query parameters."""

    model_config = ConfigDict(extra="forbid")


class ReportQuery(BaseModel):
    """How a report is delivered."""

    model_config = ConfigDict(extra="forbid")

    late: Annotated[
        bool,
        Field(
            description="The report is sent by another process than the one it describes: "
            "it does not count as a heartbeat, and reports of older attempts are accepted."
        ),
    ] = False


class RetentionQuery(BaseModel):
    """A limit to try."""

    model_config = ConfigDict(extra="forbid")

    days: Annotated[
        float | None, Field(ge=0, le=36500, description="A general limit in place of the configured one, in days; 0: none.")
    ] = None


class ListQuery(BaseModel):
    """The query parameters of every list."""

    model_config = ConfigDict(extra="forbid")
    key_types: ClassVar[dict[str, tuple[type, ...]]] = {}

    limit: Limit = _DEFAULT_LIMIT
    cursor: Cursor = None

    @property
    def order(self) -> str:
        """The sort key without its direction."""
        return self._sort.removeprefix("-")

    def question(self, *scope: Any) -> Any:
        """The query that a cursor belongs to: filters, sort and `scope`, but not the page size or fields."""
        return [*scope, self.model_dump(mode="json", exclude={"limit", "cursor", "fields", "tail", "around"})]

    def page(self, *scope: Any) -> Page:
        """The requested part of the list. Raises a Problem if the cursor is of another list."""
        after, backwards = decode_cursor(self.question(*scope), self.cursor, self.key_types[self.order])
        return Page(self.limit, self._sort.startswith("-"), after, backwards)

    @property
    def _sort(self) -> str:
        return str(getattr(self, "sort", ""))


def member_names(fields: str | None, members: tuple[str, ...]) -> frozenset[str] | None:
    """The members named in `fields` (None: all), which must be in `members`."""
    if fields is None:
        return None
    wanted = frozenset(field.strip() for field in fields.split(",") if field.strip())
    if unknown := wanted.difference(members):
        shown = ", ".join(sorted(unknown))
        raise Problem(
            "invalid-parameter",
            f"fields: there is no {shown}; there are {', '.join(members)}",
            errors=[{"path": "fields", "message": shown}],
        )
    return wanted or None


class DocumentQuery(ListQuery):
    """Query parameters of the list of documents of a kind."""

    namespace: Annotated[Text | None, Field(description="Only this namespace.")] = None

    @property
    def order(self) -> str:
        """By namespace and name."""
        return "name"


class FlowDeploymentQuery(ListQuery):
    """Query parameters of the list of flow deployments."""

    namespace: Namespaces = []
    name: Annotated[Text | None, Field(description="Only names that begin so.")] = None
    tag: Tags = []
    sort: Literal["name", "-name", "created", "-created"] = "name"
    fields: Fields = None


class FlowRunQuery(ListQuery):
    """Query parameters of the list of flow runs."""

    namespace: Namespaces = []
    deployment: Annotated[Text | None, Field(description="Only runs of the flow deployment of this name.")] = None
    state: States = []
    state_name: Annotated[Text | None, Field(description="Only runs whose state is called so, such as Late or TimedOut.")] = None
    name: Annotated[Text | None, Field(description="Only names that begin so.")] = None
    tag: Tags = []
    created_after: Annotated[Instant | None, Field(description="Only runs created at or after this time.")] = None
    created_before: Annotated[Instant | None, Field(description="Only runs created before this time.")] = None
    alive_after: Annotated[Instant | None, Field(description="Only runs that started and had not ended before this time.")] = None
    alive_before: Annotated[Instant | None, Field(description="Only runs that started before this time.")] = None
    not_namespace: Annotated[list[Text], Field(alias="not.namespace", max_length=_VALUES, description="Not these; repeatable.")] = []
    not_deployment: Annotated[list[Text], Field(alias="not.deployment", max_length=_VALUES, description="Not these; repeatable.")] = []
    not_state: Annotated[
        list[StateType], Field(alias="not.state", max_length=len(StateType), description="Not in these state types; repeatable.")
    ] = []
    not_tag: Annotated[list[Text], Field(alias="not.tag", max_length=10, description="With none of these tags; repeatable.")] = []
    parent: Annotated[
        UUID | Literal["any"] | None,
        Field(
            description="Only runs that the run with this uid called or started. Absent: only runs by themselves, unless `root`, `kind` "
            "or `name` is given; `any`: all."
        ),
    ] = None
    root: Annotated[UUID | None, Field(description="Only runs below the run with this uid, however deep.")] = None
    kind: Annotated[
        list[Literal["deployed", "called", "script"]],
        Field(max_length=3, description="Only runs of these kinds, called by other runs or not; repeatable."),
    ] = []
    sort: Literal["created", "-created", "name", "-name"] = "-created"
    fields: Fields = None


class TaskRunQuery(ListQuery):
    """Query parameters of the list of task runs across flow runs."""

    namespace: Namespaces = []
    state: States = []
    state_name: Annotated[Text | None, Field(description="Only task runs whose state is called so, such as Cached.")] = None
    task: Annotated[Text | None, Field(description="Only runs of this task, such as `etl.clean`.")] = None
    name: Annotated[Text | None, Field(description="Only names given by the author that begin so.")] = None
    tag: Tags = []
    started_after: Annotated[
        Instant | None, Field(description="Only those started at or after this time and created at most a week before it.")
    ] = None
    started_before: Annotated[Instant | None, Field(description="Only those started before this time.")] = None
    sort: Literal["created", "-created"] = "-created"
    fields: Fields = None


class TaskRunOfFlowRunQuery(ListQuery):
    """Query parameters of the list of task runs of one flow run."""

    attempt: Annotated[int | None, Field(ge=1, le=32767, description="The attempt; absent: the current one.")] = None
    state: States = []
    state_name: Annotated[Text | None, Field(description="Only task runs whose state is called so.")] = None
    task: Annotated[Text | None, Field(description="Only runs of this task.")] = None
    name: Annotated[Text | None, Field(description="Only names given by the author that begin so.")] = None
    tag: Tags = []
    sort: Annotated[Literal["n", "-n", "name", "-name"], Field(description="By name: only those with a name given by the author.")] = "n"
    fields: Fields = None


_Line = Annotated[int | None, Field(ge=1 - 2**53, le=2**53 - 1)]


class LogQuery(ListQuery):
    """Query parameters of the log of a flow run."""

    limit: Annotated[int, Field(ge=1, le=LOG_LIMIT, description="The most lines of a page.")] = 200
    attempt: Annotated[int | None, Field(ge=1, le=32767, description="The attempt; absent: the current one.")] = None
    level: Annotated[
        int | None, Field(ge=0, le=32767, description="Only lines of at least this level (20 INFO, 30 WARNING, 40 ERROR).")
    ] = None
    q: Annotated[Text | None, Field(min_length=1, description="Only lines that contain this text, in upper or lower case.")] = None
    match_case: Annotated[bool, Field(description="`q` as it is written.")] = False
    after: Annotated[_Line, Field(description="Only lines after the one with this `seq`.")] = None
    before: Annotated[_Line, Field(description="Only lines before the one with this `seq`.")] = None
    tail: Annotated[int | None, Field(ge=1, le=LOG_LIMIT, description="The last lines, this many; with `cursor` it means nothing.")] = None
    around: Annotated[
        _Line,
        Field(description="The line with this `seq` in the middle of the page; with `cursor` it means nothing. Not with `q` or `level`."),
    ] = None
    sort: Literal["seq", "-seq"] = "seq"

    def page(self, *scope: Any) -> Page:
        """The requested part of the log; of `tail`, the last lines in the list's order."""
        page = super().page(*scope)
        if self.tail is None or self.cursor is not None:
            return page
        return Page(self.tail, page.descending, None, backwards=not page.descending)


class TransitionQuery(ListQuery):
    """Query parameters of the transitions of a flow run."""

    limit: Annotated[int, Field(ge=1, le=TRANSITION_LIMIT, description="The most transitions of a page.")] = TRANSITION_LIMIT
    changed: Annotated[bool, Field(description="Only decisions that changed the state: not those that wait or were refused.")] = False


class VersionQuery(ListQuery):
    """Query parameters of the versions of a flow deployment."""

    limit: Annotated[int, Field(ge=1, le=_DEFAULT_LIMIT, description="The most versions of a page.")] = 20
    sort: Literal["created", "-created"] = "-created"


class EventQuery(ListQuery):
    """Query parameters of the list of events."""

    namespace: Namespaces = []
    resource: Annotated[Text | None, Field(description="Only of resources whose names begin so.")] = None
    flow_run: Annotated[UUID | None, Field(description="Only of the flow run with this uid.")] = None
    since: Annotated[Instant | None, Field(description="Only events at or after this time.")] = None
    until: Annotated[Instant | None, Field(description="Only events before this time.")] = None
    sort: Literal["time", "-time"] = "-time"


class WindowQuery(BaseModel):
    """Query parameters of counts over time."""

    model_config = ConfigDict(extra="forbid")

    since: Annotated[Instant | None, Field(description="From the hour of this time on; absent: 24 hours before the end.")] = None
    until: Annotated[Instant | None, Field(description="Up to the hour of this time; absent: now.")] = None
    namespace: Namespaces = []
    deployment: Annotated[Text | None, Field(description="Only runs of the flow deployment of this name.")] = None


class HistogramQuery(WindowQuery):
    """Query parameters of the histogram of flow runs."""

    buckets: Annotated[int, Field(ge=1, le=120, description="The most buckets; each is a whole number of hours.")] = 60
    split: Annotated[Literal["state"], Field(description="What a bucket is split by.")] = "state"


class CountQuery(WindowQuery):
    """Query parameters of the counts of flow runs."""

    by: Annotated[Literal["state", "namespace", "deployment"], Field(description="What a group is, besides the state.")] = "state"


class FacetQuery(BaseModel):
    """Query parameters of the values that a filter can have."""

    model_config = ConfigDict(extra="forbid")

    field: Annotated[Literal["namespace", "deployment", "tag", "task"], Field(description="The filter.")]
    q: Annotated[Text, Field(description="Only values that begin so.")] = ""


class ChangesQuery(BaseModel):
    """Query parameters of the feed of changes."""

    model_config = ConfigDict(extra="forbid")

    after: Annotated[str | None, Field(max_length=2000, description="`next` of another answer; absent: only the current position.")] = None
    wait: Annotated[float, Field(ge=0, le=30, description="How many seconds to wait for a change if there is none.")] = 0
    limit: Annotated[int, Field(ge=1, le=1000, description="The most changes of an answer.")] = 1000


class RunAttemptQuery(ListQuery):
    """Query parameters of the attempts of a flow run."""


class ArtifactQuery(ListQuery):
    """Query parameters of the artifacts of a flow run."""

    limit: Annotated[int, Field(ge=1, le=LIMIT, description="The most artifacts of a page; large ones make it shorter.")] = LIMIT


class VariableQuery(ListQuery):
    """Query parameters of the list of variables."""

    namespace: Namespaces = []
    name: Annotated[Text | None, Field(description="Only names that begin so.")] = None
    sort: Literal["namespace"] = "namespace"


class LimitQuery(ListQuery):
    """Query parameters of the list of concurrency limits."""

    namespace: Namespaces = []
    name: Annotated[Text | None, Field(description="Only names that begin so.")] = None
    sort: Literal["namespace"] = "namespace"


class LeaseQuery(ListQuery):
    """Query parameters of the leases of a concurrency limit."""


class AttemptQuery(BaseModel):
    """Query parameters of what belongs to one attempt."""

    model_config = ConfigDict(extra="forbid")
    attempt: Annotated[int | None, Field(ge=1, le=32767, description="The attempt; absent: the current one.")] = None
