"""The report a flow leaves when its process ends, and its exit codes.

Kubernetes hands over up to 4,096 bytes of a container's termination message file (Container v1 core, `terminationMessagePath`), API or no
API, so the end of a run never depends on ours. Of all containers of a pod together it keeps 12 KiB, the same share of each (kubelet,
`MaxPodTerminationMessageLogLength`), and cuts what is longer at its end; containers that others inject count too. So the report is one
JSON object whose first line holds what decides, and may be cut anywhere after it:

    {"mintaka":1,"attempt":1,"type":"FAILED","name":"Failed","reason":"ValueError","retriable":true,"historyComplete":true,
    "spool":"","message":"…"}

`historyComplete` false says that task runs or logs could not be delivered; `spool` says where they are. A flow that suspended itself is
PAUSED, with `"suspension":"…"`, which of its suspensions it is, and `"resumeBy":"…"` (RFC 3339) if it waits for so long only.
"""

from __future__ import annotations

import json
import re
from bisect import bisect_right
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import IntEnum
from typing import Any

from mintaka_core.states import COMPLETED, State, StateType

#: What four containers of a pod may write without being cut.
LIMIT_BYTES = 3072
_VERSION = 1
#: Characters of what stands in the first line. Reasons that a deployment can name have at most 100 (`verdicts`, `retries.reasons`).
_NAME_LENGTH, _REASON_LENGTH, _SUSPENSION_LENGTH = 60, 100, 200
_SPOOL_BYTES = 600
_ELLIPSIS = " […] "
_LONGEST_ESCAPE = len("\\uD83D\\uDE00")
_MEMBER = re.compile(r'[\s,]*"(\w+)"\s*:\s*')


class ExitCode(IntEnum):
    """What the runner's exit code means; documented in docs/exit-codes.md."""

    COMPLETED = 0
    FAILED = 1
    USAGE = 2
    CANCELLED = 3
    CRASHED = 4
    SUSPENDED = 5
    FENCED = 75
    TERMINATED = 143


@dataclass(frozen=True, slots=True)
class Report:
    """How one attempt of a flow run ended, in the words of its own process.

    `suspension` names the suspension that a PAUSED run waits in, `resume_by` is until when (aware; None: for ever).
    """

    attempt: int
    state: State
    retriable: bool = True
    history_complete: bool = True
    spool: str = ""
    suspension: str = ""
    resume_by: datetime | None = None

    def encode(self) -> str:
        """The report as JSON of at most `LIMIT_BYTES` bytes of UTF-8; a long message loses its middle."""
        deciding: dict[str, Any] = {
            "mintaka": _VERSION,
            "attempt": self.attempt,
            "type": self.state.type,
            "name": storable(self.state.name)[:_NAME_LENGTH],
            "reason": storable(self.state.reason)[:_REASON_LENGTH],
            "retriable": self.retriable,
            "historyComplete": self.history_complete,
        }
        if self.suspension:
            deciding["suspension"] = storable(self.suspension)[:_SUSPENSION_LENGTH]
        if self.resume_by is not None:
            deciding["resumeBy"] = self.resume_by.astimezone(UTC).isoformat()
        # A line break between two members: it is white space to every reader of JSON.
        first_line, spool = _json(deciding)[:-1] + ",\n", _json(_fitting(self.spool, _SPOOL_BYTES))
        frame = f'{first_line}"spool":{spool},"message":'
        room = LIMIT_BYTES - len(frame.encode()) - len('""}')
        return f"{frame}{_json(_fitting(self.state.message, room))}}}"


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _fitting(text: str, limit: int) -> str:
    """`text` without its middle if its JSON would pass `limit` bytes; the end of a message says more than its beginning."""
    text = storable(text)

    def cut(keep: int) -> str:
        head = keep // 4
        return text if keep >= len(text) else text[:head] + _ELLIPSIS + text[len(text) - (keep - head) :]

    def size(keep: int) -> int:
        return len(_json(cut(keep)).encode()) - len('""')

    if size(len(text)) <= limit:
        return text
    return cut(bisect_right(range(min(len(text), limit)), limit, key=size) - 1)


def storable(text: str) -> str:
    """`text` without what UTF-8 or a database cannot hold: lone surrogates and NUL."""
    return text.encode("utf-8", "replace").decode().replace("\0", "\N{REPLACEMENT CHARACTER}")


def decode_report(text: str) -> Report | None:
    """The report in a termination message, or None if there is none or it is not one of ours.

    A report that was cut after its first line is read, its message ending in an ellipsis. What a container writes is not trusted:
    anything but a well-formed report in a terminal state (or PAUSED) is no report, and texts are freed of what could not be stored.
    """
    try:
        return _report_of(_whole(text) or _cut(text))
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
        return None


def is_cut_report(text: str) -> bool:
    """True for the beginning of a report that was cut before its first line ended, so that it says nothing."""
    return text.startswith('{"mintaka":') and decode_report(text) is None


def _report_of(data: Any) -> Report | None:
    if data["mintaka"] != _VERSION:
        return None
    state_type = StateType(data["type"])
    if not (state_type.is_terminal or state_type == StateType.PAUSED):
        return None
    # Half of a surrogate pair, as Python writes it for an undecodable file name, fits into no resource.
    name, reason, message, spool = (storable(str(data[field])) for field in ("name", "reason", "message", "spool"))
    state = State(state_type, name, reason, message)
    suspension, resume_by = storable(str(data.get("suspension", ""))), data.get("resumeBy")
    due = None if resume_by is None else datetime.fromisoformat(resume_by).astimezone(UTC)
    return Report(int(data["attempt"]), state, bool(data["retriable"]), bool(data["historyComplete"]), spool, suspension, due)


def _whole(text: str) -> Any:
    """The text as JSON; None if it is none."""
    try:
        return json.loads(text)
    except ValueError:
        return None


def _cut(text: str) -> Any:
    """The members of an object whose text ends somewhere after its first line."""
    first_line, _, rest = text.partition("\n")
    if not first_line.endswith(","):
        return None
    return {"spool": "", "message": "", **json.loads(first_line[:-1] + "}"), **_members(rest)}


def _members(rest: str) -> dict[str, Any]:
    """The members that are there in full, and as much as there is of a message."""
    members: dict[str, Any] = {}
    position = 0
    while found := _MEMBER.match(rest, position):
        try:
            members[found[1]], position = json.JSONDecoder().raw_decode(rest, found.end())
        except ValueError:
            if found[1] == "message":
                members["message"] = _beginning(rest[found.end() :])
            break
    return members


def _beginning(text: str) -> str:
    """What a JSON string that was cut, perhaps within an escape or a character, begins with."""
    for missing in range(_LONGEST_ESCAPE + 1):
        try:
            return f"{json.loads(text[: len(text) - missing] + '"')}".rstrip("\N{REPLACEMENT CHARACTER}") + _ELLIPSIS.rstrip()
        except ValueError:
            continue
    return ""


def completed_report(attempt: int) -> Report:
    """A plain good end."""
    return Report(attempt, State(COMPLETED))
