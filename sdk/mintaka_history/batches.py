"""Reports of flow pods: the wire format, validated while it is decoded.

Values that programs rely on are validated strictly: no number may be larger than the column that it goes to, or than 64 bits
within JSON. Texts for people are truncated rather than refused, because a refused report is lost.

A report is of one flow run and may contain flow runs that were called in its process; its rows say to which of them they belong.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal
from uuid import UUID  # noqa: TC003 - msgspec reads the annotations

import msgspec

from mintaka_core.wire_versions import is_served
from mintaka_history.batch_checks import check_contents
from mintaka_history.batch_errors import MalformedBatch, OversizedBatch, UnservedVersion
from mintaka_history.enum_codes import StateWord, Trail
from mintaka_history.json_text import storable_json, without_nul
from mintaka_history.timestamps import LATEST_MICROSECONDS

#: The maximum number of task runs, log lines, artifacts and events together in one report.
ITEMS_LIMIT = 5000
#: The maximum number of called flow runs in one report.
CALLED_LIMIT = 500
#: The maximum length of a stored message in characters.
MESSAGE_LIMIT = 16_384
NAME_LIMIT = 200

#: The step in which the lines of a log are numbered: it leaves room for lines of containers between two of them.
LINE_STEP = 1 << 16
_VERSION_LIMIT = 2**31 - 1

_Number = Annotated[int, msgspec.Meta(ge=0, le=2**31 - 1)]
#: A number to which the database adds one by itself: the largest integer is one more.
_Sequence = Annotated[int, msgspec.Meta(ge=0, le=2**31 - 2)]
_PositiveSequence = Annotated[int, msgspec.Meta(ge=1, le=2**31 - 2)]
#: The range in which JSON numbers are exact in every implementation.
_LineNumber = Annotated[int, msgspec.Meta(ge=0, le=2**53 - 1)]
_Positive = Annotated[int, msgspec.Meta(ge=1, le=2**31 - 1)]
_Small = Annotated[int, msgspec.Meta(ge=1, le=2**15 - 1)]
_Instant = Annotated[int, msgspec.Meta(ge=0, le=LATEST_MICROSECONDS)]
_Offset = Annotated[int, msgspec.Meta(ge=-LATEST_MICROSECONDS, le=LATEST_MICROSECONDS)]
_Parameter = Annotated[str, msgspec.Meta(max_length=200)]
#: The state that was proposed; "" if it is the one that was entered.
_Proposed = StateWord | Literal[""]
#: Which flow run it belongs to: 0 the report's own, i the i-th of `called`.
_Of = Annotated[int, msgspec.Meta(ge=0, le=CALLED_LIMIT)]
#: What the rules read for one decision.
_Facts = dict[str, Any]
_Tag = Annotated[str, msgspec.Meta(min_length=1, max_length=100)]


class TaskRecord(msgspec.Struct, frozen=True, gc=False):
    """The latest state of one task run; `history` is everything since it was created:
    `[state type, state name, µs since created, state type proposed ("": the same), trail]`, the trail a list of
    `[rule, verdict, reason]`. If the verdict is Abort or Wait, the task run stayed in its state, which the entry repeats.
    `facts` are what the rules read, by the position of the entry in `history`; entries without unusual facts are left out.

    `inputs` are the numbers of the task runs whose results were passed to it, by parameter; `wait_for` lists those it only
    waited for.
    """

    n: _Number
    task: Annotated[str, msgspec.Meta(min_length=1, max_length=500)]
    state: StateWord
    seq: _Sequence
    created: _Instant
    name: str | None = None
    state_name: str = ""
    reason: str = ""
    message: str = ""
    started: _Instant | None = None
    ended: _Instant | None = None
    runs: _Number = 0
    inputs: dict[_Parameter, tuple[_Number, ...]] = {}
    tags: Annotated[tuple[_Tag, ...], msgspec.Meta(max_length=50)] = ()
    parent: _Number | None = None
    kind: Literal["task", "subflow"] = "task"
    history: tuple[tuple[StateWord, str, _Offset, _Proposed, Trail], ...] = ()
    of: _Of = 0
    facts: dict[_Number, _Facts] = {}


class LineRecord(msgspec.Struct, frozen=True, gc=False):
    """One line of the log; `seq` orders the lines of an attempt, those of its called runs included, in steps of `LINE_STEP`."""

    seq: _LineNumber
    time: _Instant
    message: str
    level: Annotated[int, msgspec.Meta(ge=0, le=2**15 - 1)] = 20
    logger: str = ""
    n: _Number | None = None
    of: _Of = 0


class ArtifactRecord(msgspec.Struct, frozen=True):
    """The current version of one artifact; `seq` counts its versions. `data` is any JSON value, of the shape that `kind` requires."""

    id: UUID
    seq: _Positive
    kind: Literal["markdown", "table", "link", "image", "progress"]
    created: _Instant
    updated: _Instant
    data: msgspec.Raw
    key: Annotated[str, msgspec.Meta(max_length=200)] | None = None
    description: str | None = None
    n: _Number | None = None
    of: _Of = 0


def _null() -> msgspec.Raw:
    return msgspec.Raw(b"null")


class EventRecord(msgspec.Struct, frozen=True):
    """Something that happened to a resource of any kind; `payload` is any JSON value of at most 8 KiB."""

    id: UUID
    name: Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
    resource: Annotated[str, msgspec.Meta(min_length=1, max_length=500)]
    time: _Instant
    payload: msgspec.Raw = msgspec.field(default_factory=_null)
    of: _Of = 0


#: The transitions of a flow run: number from 1, state type, state name, µs since the epoch, state type proposed ("": the same), trail,
#: the state's reason, its message.
type _Transitions = tuple[tuple[_PositiveSequence, StateWord, str, _Instant, _Proposed, Trail, str, str], ...]


class LocalRun(msgspec.Struct, frozen=True):
    """A flow run that is not a resource of any cluster, as reported by its own process.

    `parameters` are the flow's arguments by name. `transitions` holds all of them, oldest first:
    `[number from 1, state type, state name, µs since the epoch, state type proposed ("": the same), trail, the state's
    reason, its message]`, the trail as in the history of a task run. `facts` are what the rules read, by the transition's number.
    """

    flow: Annotated[str, msgspec.Meta(min_length=1, max_length=500)]
    created: _Instant
    parameters: dict[str, Any] = {}
    tags: Annotated[tuple[_Tag, ...], msgspec.Meta(max_length=50)] = ()
    transitions: _Transitions = ()
    facts: dict[_Number, _Facts] = {}


class CalledRun(msgspec.Struct, frozen=True):
    """A flow run that was called in the process of the report's flow run, by task run `parent_n` of `parent` (None: of the report's
    flow run). The rest is as in `LocalRun`; `counts` are of its own task runs.
    """

    uid: UUID
    name: Annotated[str, msgspec.Meta(min_length=1, max_length=253)]
    flow: Annotated[str, msgspec.Meta(min_length=1, max_length=500)]
    created: _Instant
    parent: UUID | None = None
    parent_n: _Number | None = None
    parameters: dict[str, Any] = {}
    tags: Annotated[tuple[_Tag, ...], msgspec.Meta(max_length=50)] = ()
    transitions: _Transitions = ()
    counts: dict[StateWord, _Number] | None = None
    facts: dict[_Number, _Facts] = {}


class BatchRun(msgspec.Struct, frozen=True, omit_defaults=True):
    """The flow run of the report, for a database that does not have it yet."""

    name: Annotated[str, msgspec.Meta(min_length=1, max_length=253)]
    namespace: Annotated[str, msgspec.Meta(min_length=1, max_length=253)]
    deployment: Annotated[str, msgspec.Meta(max_length=253)] | None = None
    local: LocalRun | None = None


class HistoryBatch(msgspec.Struct, frozen=True):
    """Part `report` of the history of one attempt, counted from 1.

    `version` is the wire version. `lost` says that the database lacks what it had acknowledged of the attempt.
    """

    attempt: _Small
    report: _Positive
    flow_run: BatchRun
    tasks: tuple[TaskRecord, ...] = ()
    logs: tuple[LineRecord, ...] = ()
    artifacts: tuple[ArtifactRecord, ...] = ()
    counts: dict[StateWord, _Number] | None = None
    final: bool = False
    version: _Number = 0
    called: Annotated[tuple[CalledRun, ...], msgspec.Meta(max_length=CALLED_LIMIT)] = ()
    events: tuple[EventRecord, ...] = ()
    lost: Literal["SchemaReplaced", "HistoryLost"] | None = None


class _Versioned(msgspec.Struct):
    """What every version of a report has."""

    version: int = 0


_decoder = msgspec.json.Decoder(HistoryBatch)
_version_decoder = msgspec.json.Decoder(_Versioned)


def _decode(body: bytes) -> HistoryBatch:
    """Decode `body`; if that fails, replace unpaired surrogates and retry. Scanning for them first would cost time for every body."""
    try:
        return _decoder.decode(body)
    except msgspec.ValidationError:
        raise
    except msgspec.DecodeError:
        cleaned = storable_json(body)
        if cleaned == body:
            raise
    return _decoder.decode(cleaned)


def decode(body: bytes) -> HistoryBatch:
    """The report in `body`; what a database cannot store in a text (NUL, an unpaired surrogate) is replaced.

    Raises:
        UnservedVersion: it is of another wire version, regardless of its other content.
        MalformedBatch: it is not a report.
        OversizedBatch: it contains too much.
    """
    body = without_nul(body)
    try:
        report = _decode(body)
    except msgspec.ValidationError as error:
        _check_version(body)
        text, _, path = str(error).partition(" - at `")
        place = path.removesuffix("`").removeprefix("$").removeprefix(".")
        raise MalformedBatch(str(error), place, text) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        message = f"the body is not JSON: {error}"
        raise MalformedBatch(message, problem=str(error)) from error
    if not is_served(report.version):
        raise UnservedVersion(report.version)
    if (items := len(report.tasks) + len(report.logs) + len(report.artifacts) + len(report.events)) > ITEMS_LIMIT:
        message = f"{items} task runs, log lines, artifacts and events in one report; at most {ITEMS_LIMIT}: send several reports"
        raise OversizedBatch(message)
    check_contents(report)
    return report


def _check_version(body: bytes) -> None:
    """Raise UnservedVersion for a body that cannot be decoded because it is of another version."""
    try:
        version = _version_decoder.decode(body).version
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return
    if 0 <= version <= _VERSION_LIMIT and not is_served(version):
        raise UnservedVersion(version)
