"""Reports of flow pods: the wire format, checked while it is decoded.

What programs rely on is checked strictly; texts that people read are cut to size rather than refused, because a report
that is refused is sent again and again.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal
from uuid import UUID  # noqa: TC003 - msgspec reads the annotations

import msgspec

from mintaka_core.errors import MintakaError
from mintaka_history.enum_codes import StateWord, Trail
from mintaka_history.json_text import storable_json, without_nul
from mintaka_history.timestamps import LATEST_MICROSECONDS

#: Task runs and log lines together that one report may hold.
ITEMS_LIMIT = 5000
#: Characters of a message that are kept.
MESSAGE_LIMIT = 16_384
NAME_LIMIT = 200

#: The step in which the lines of a log are numbered: between two of them there is room for lines of containers.
LINE_STEP = 1 << 16

_Number = Annotated[int, msgspec.Meta(ge=0, le=2**31 - 1)]
#: A number to which the database adds one by itself: the largest integer is one more.
_Sequence = Annotated[int, msgspec.Meta(ge=0, le=2**31 - 2)]
_PositiveSequence = Annotated[int, msgspec.Meta(ge=1, le=2**31 - 2)]
#: As far as JSON numbers are exact everywhere.
_LineNumber = Annotated[int, msgspec.Meta(ge=0, le=2**53 - 1)]
_Positive = Annotated[int, msgspec.Meta(ge=1, le=2**31 - 1)]
_Small = Annotated[int, msgspec.Meta(ge=1, le=2**15 - 1)]
_Instant = Annotated[int, msgspec.Meta(ge=0, le=LATEST_MICROSECONDS)]
_Offset = Annotated[int, msgspec.Meta(ge=-LATEST_MICROSECONDS, le=LATEST_MICROSECONDS)]
_Parameter = Annotated[str, msgspec.Meta(max_length=200)]
#: The state that was proposed; "" for the very one that was entered.
_Proposed = StateWord | Literal[""]
_Tag = Annotated[str, msgspec.Meta(min_length=1, max_length=100)]


class MalformedBatch(MintakaError):
    """The report is not one; `place` names the member that is wrong, "" where it is the whole."""

    def __init__(self, message: str, place: str = "", problem: str = "") -> None:
        super().__init__(message)
        self.place = place
        self.problem = problem or message


class OversizedBatch(MintakaError):
    """More task runs, log lines and artifacts than one report may hold."""


class TaskRecord(msgspec.Struct, frozen=True, gc=False):
    """The latest state of one task run; `history` is everything since it was created:
    `[state type, state name, µs since created, state type proposed ("": the same), what the rules said]`, the last a list of
    `[rule, verdict, reason]`. Where the verdict is Abort, it stayed in the state that is told once more.

    `inputs` are the numbers of the task runs whose results it was given, by parameter; `wait_for` stands for what it only
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
    """One artifact as it is now; `seq` counts its versions. `data` is any JSON value, of the shape that `kind` calls for."""

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
    """What the process itself says of a flow run that is no resource of any cluster.

    `parameters` are the flow's arguments by name. `transitions` holds all of them, oldest first:
    `[number from 1, state type, state name, µs since the epoch, state type proposed ("": the same), what the rules said, the
    state's reason, its message]`, as in the history of a task run.
    """

    flow: Annotated[str, msgspec.Meta(min_length=1, max_length=500)]
    created: _Instant
    parameters: dict[str, Any] = {}
    tags: Annotated[tuple[_Tag, ...], msgspec.Meta(max_length=50)] = ()
    transitions: tuple[tuple[_PositiveSequence, StateWord, str, _Instant, _Proposed, Trail, str, str], ...] = ()


class BatchRun(msgspec.Struct, frozen=True, omit_defaults=True):
    """Which flow run the report is about, for a database that has not heard of it yet."""

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
    """Decode, once more without halves of surrogate pairs if the body cannot be read: reading it for them first would cost each body."""
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
    """The report in `body`; what a database cannot keep in a text (NUL, half of a surrogate pair) is replaced.

    Raises:
        MalformedBatch: it is not a report.
        OversizedBatch: it holds too much.
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
