"""Reports of flow pods: the wire format, validated while it is decoded.

Values that programs rely on are validated strictly. Texts for people are truncated rather than refused, because a refused
report is sent again and again.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal
from uuid import UUID  # noqa: TC003 - msgspec reads the annotations

import msgspec

from mintaka_core.errors import MintakaError
from mintaka_history.enum_codes import StateWord, Trail
from mintaka_history.json_text import storable_json, without_nul
from mintaka_history.timestamps import LATEST_MICROSECONDS

#: The maximum number of task runs, log lines and artifacts together in one report.
ITEMS_LIMIT = 5000
#: The maximum length of a stored message in characters.
MESSAGE_LIMIT = 16_384
NAME_LIMIT = 200

#: The step in which the lines of a log are numbered: it leaves room for lines of containers between two of them.
LINE_STEP = 1 << 16

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
_Tag = Annotated[str, msgspec.Meta(min_length=1, max_length=100)]


class MalformedBatch(MintakaError):
    """The report is not valid; `place` names the invalid member, "" if it is the whole report."""

    def __init__(self, message: str, place: str = "", problem: str = "") -> None:
        super().__init__(message)
        self.place = place
        self.problem = problem or message


class OversizedBatch(MintakaError):
    """More task runs, log lines and artifacts than one report may contain."""


class TaskRecord(msgspec.Struct, frozen=True, gc=False):
    """The latest state of one task run; `history` is everything since it was created:
    `[state type, state name, µs since created, state type proposed ("": the same), trail]`, the trail a list of
    `[rule, verdict, reason]`. If the verdict is Abort, the task run stayed in its state, which the entry repeats.

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


class LineRecord(msgspec.Struct, frozen=True, gc=False):
    """One line of the log; `seq` orders the lines of an attempt, usually in steps of `LINE_STEP`."""

    seq: _LineNumber
    time: _Instant
    message: str
    level: Annotated[int, msgspec.Meta(ge=0, le=2**15 - 1)] = 20
    logger: str = ""
    n: _Number | None = None


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


class LocalRun(msgspec.Struct, frozen=True):
    """A flow run that is not a resource of any cluster, as reported by its own process.

    `parameters` are the flow's arguments by name. `transitions` holds all of them, oldest first:
    `[number from 1, state type, state name, µs since the epoch, state type proposed ("": the same), trail, the state's
    reason, its message]`, the trail as in the history of a task run.
    """

    flow: Annotated[str, msgspec.Meta(min_length=1, max_length=500)]
    created: _Instant
    parameters: dict[str, Any] = {}
    tags: Annotated[tuple[_Tag, ...], msgspec.Meta(max_length=50)] = ()
    transitions: tuple[tuple[_PositiveSequence, StateWord, str, _Instant, _Proposed, Trail, str, str], ...] = ()


class BatchRun(msgspec.Struct, frozen=True, omit_defaults=True):
    """The flow run of the report, for a database that does not have it yet."""

    name: Annotated[str, msgspec.Meta(min_length=1, max_length=253)]
    namespace: Annotated[str, msgspec.Meta(min_length=1, max_length=253)]
    deployment: Annotated[str, msgspec.Meta(max_length=253)] | None = None
    local: LocalRun | None = None


class HistoryBatch(msgspec.Struct, frozen=True):
    """Part `report` of the history of one attempt, counted from 1."""

    attempt: _Small
    report: _Positive
    flow_run: BatchRun
    tasks: tuple[TaskRecord, ...] = ()
    logs: tuple[LineRecord, ...] = ()
    artifacts: tuple[ArtifactRecord, ...] = ()
    counts: dict[StateWord, _Number] | None = None
    final: bool = False


_decoder = msgspec.json.Decoder(HistoryBatch)


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
        MalformedBatch: it is not a report.
        OversizedBatch: it contains too much.
    """
    try:
        report = _decode(without_nul(body))
    except msgspec.ValidationError as error:
        text, _, path = str(error).partition(" - at `")
        place = path.removesuffix("`").removeprefix("$").removeprefix(".")
        raise MalformedBatch(str(error), place, text) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        message = f"the body is not JSON: {error}"
        raise MalformedBatch(message, problem=str(error)) from error
    if (items := len(report.tasks) + len(report.logs) + len(report.artifacts)) > ITEMS_LIMIT:
        message = f"{items} task runs, log lines and artifacts in one report; at most {ITEMS_LIMIT}: send several reports"
        raise OversizedBatch(message)
    return report
