"""The query parameters of each list, validated before any query runs. An unknown parameter is refused."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

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
Cursor = Annotated[str | None, Field(max_length=2000, description="`next` of the page before, under the same filters and sort.")]
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
        return [*scope, self.model_dump(mode="json", exclude={"limit", "cursor", "fields"})]

    def page(self, *scope: Any) -> Page:
        """The requested part of the list. Raises a Problem if the cursor is of another list."""
        return Page(self.limit, self._sort.startswith("-"), decode_cursor(self.question(*scope), self.cursor, self.key_types[self.order]))

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


class LogQuery(ListQuery):
    """Query parameters of the log of a flow run."""

    limit: Annotated[int, Field(ge=1, le=LOG_LIMIT, description="The most lines of a page.")] = 200
    attempt: Annotated[int | None, Field(ge=1, le=32767, description="The attempt; absent: the current one.")] = None
    level: Annotated[
        int | None, Field(ge=0, le=32767, description="Only lines of at least this level (20 INFO, 30 WARNING, 40 ERROR).")
    ] = None
    after: Annotated[int | None, Field(ge=1 - 2**53, le=2**53 - 1, description="Only lines after the one with this `seq`.")] = None


class TransitionQuery(ListQuery):
    """Query parameters of the transitions of a flow run."""

    limit: Annotated[int, Field(ge=1, le=TRANSITION_LIMIT, description="The most transitions of a page.")] = TRANSITION_LIMIT


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


class AttemptQuery(BaseModel):
    """Query parameters of what belongs to one attempt."""

    model_config = ConfigDict(extra="forbid")
    attempt: Annotated[int | None, Field(ge=1, le=32767, description="The attempt; absent: the current one.")] = None
