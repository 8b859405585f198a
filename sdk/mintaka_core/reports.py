"""The report a flow leaves when its process ends, and its exit codes.

Kubernetes passes on up to 4,096 bytes of a container's termination message file (Container v1 core, `terminationMessagePath`), with or
without our API, so the end of a run never depends on the API. For all containers of a pod together it stores 12 KiB, the same share for
each (kubelet, `MaxPodTerminationMessageLogLength`), and truncates longer messages at the end; injected containers count too. Therefore
the report is one JSON object whose first line has the deciding fields, and may be truncated anywhere after it:

    {"mintaka":1,"attempt":1,"type":"FAILED","name":"Failed","reason":"ValueError","retriable":true,"historyComplete":true,
    "spool":"","message":"…"}

`mintaka` is the wire version (`wire_versions.py`). `historyComplete` false means that task runs or logs could not be delivered; `spool`
says where they are, and `"historyReason":"…"` what happened to the rest if that is known (`history_reasons.py`). A flow that suspended
itself is PAUSED, with `"suspension":"…"`, the name of the suspension, and `"resumeBy":"…"` (RFC 3339) if it has a deadline.
"""

from __future__ import annotations

import json
import re
from bisect import bisect_right
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import IntEnum
from typing import Any

from mintaka_core.history_reasons import HistoryReason, reason_named
from mintaka_core.states import COMPLETED, State, StateType
from mintaka_core.wire_versions import WIRE_VERSION, is_served

#: What four containers of a pod may write without being truncated.
LIMIT_BYTES = 3072
#: Lengths of texts in the first line. Reasons that a deployment can name have at most 100 characters (`verdicts`, `retries.reasons`).
_NAME_LENGTH, _REASON_LENGTH, _SUSPENSION_LENGTH = 60, 100, 200
_SPOOL_BYTES = 600
_ELLIPSIS = " […] "
_LONGEST_ESCAPE = len("\\uD83D\\uDE00")
#: The beginning of a report of any version.
_VERSIONED = re.compile(r'\s*\{\s*"mintaka"\s*:\s*(\d{1,9})\s*,')
_MEMBER = re.compile(r'[\s,]*"(\w+)"\s*:\s*')


class ExitCode(IntEnum):
    """The exit codes of the runner; documented in docs/exit-codes.md."""

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
    """How one attempt of a flow run ended, as reported by its own process.

    `history_reason` says why its history is incomplete (None: for no special reason). `suspension` names the suspension that a PAUSED run waits in, `resume_by` is its deadline (aware; None: none).
    """

    attempt: int
    state: State
    retriable: bool = True
    history_complete: bool = True
    spool: str = ""
    suspension: str = ""
    resume_by: datetime | None = None
    history_reason: HistoryReason | None = None

    def encode(self) -> str:
        """The report as JSON of at most `LIMIT_BYTES` bytes of UTF-8; a long message loses its middle."""
        deciding: dict[str, Any] = {
            "mintaka": WIRE_VERSION,
            "attempt": self.attempt,
            "type": self.state.type,
            "name": storable(self.state.name)[:_NAME_LENGTH],
            "reason": storable(self.state.reason)[:_REASON_LENGTH],
            "retriable": self.retriable,
            "historyComplete": self.history_complete,
        }
        if self.history_reason is not None:
            deciding["historyReason"] = self.history_reason
        if self.suspension:
            deciding["suspension"] = storable(self.suspension)[:_SUSPENSION_LENGTH]
        if self.resume_by is not None:
            deciding["resumeBy"] = self.resume_by.astimezone(UTC).isoformat()
        # A line break between two members: any JSON parser treats it as white space.
        first_line, spool = _json(deciding)[:-1] + ",\n", _json(_fitting(self.spool, _SPOOL_BYTES))
        frame = f'{first_line}"spool":{spool},"message":'
        room = LIMIT_BYTES - len(frame.encode()) - len('""}')
        return f"{frame}{_json(_fitting(self.state.message, room))}}}"


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _fitting(text: str, limit: int) -> str:
    """`text` without its middle if its JSON would exceed `limit` bytes; the end of a message says more than its beginning."""
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
    """`text` with U+FFFD for what UTF-8 or a database cannot store: unpaired surrogates and NUL; all else is unchanged."""
    try:
        text.encode()
    except UnicodeEncodeError:
        text = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text.replace("\0", "\N{REPLACEMENT CHARACTER}")


def decode_report(text: str) -> Report | None:
    """The report in a termination message, or None if there is none or it is not one of ours.

    A report that was truncated after its first line is accepted, with an ellipsis at the end of its message. Container
    output is not trusted: anything but a well-formed report in a terminal state (or PAUSED) is not a report, and characters
    that cannot be stored are replaced.
    """
    try:
        return _report_of(_whole(text) or _cut(text))
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
        return None


def is_cut_report(text: str) -> bool:
    """True for the beginning of a report that was truncated within its first line, so that it contains nothing usable."""
    return text.startswith('{"mintaka":') and unserved_version(text) is None and decode_report(text) is None


def unserved_version(text: str) -> int | None:
    """The wire version of a report that this release does not serve; None for any other text, and for a report that it serves."""
    found = _VERSIONED.match(text)
    return None if found is None or is_served(int(found[1])) else int(found[1])


def _report_of(data: Any) -> Report | None:
    version = data["mintaka"]
    if type(version) is not int or not is_served(version):
        return None
    state_type = StateType(data["type"])
    if not (state_type.is_terminal or state_type == StateType.PAUSED):
        return None
    # An unpaired surrogate, as Python writes it for an undecodable file name, is not valid in a resource.
    name, reason, message, spool = (storable(str(data[field])) for field in ("name", "reason", "message", "spool"))
    state = State(state_type, name, reason, message)
    suspension, resume_by = storable(str(data.get("suspension", ""))), data.get("resumeBy")
    due = None if resume_by is None else datetime.fromisoformat(resume_by).astimezone(UTC)
    complete = bool(data["historyComplete"])
    why = None if complete else reason_named(str(data.get("historyReason", "")))
    return Report(int(data["attempt"]), state, bool(data["retriable"]), complete, spool, suspension, due, why)


def _whole(text: str) -> Any:
    """The text as JSON; None if it is not JSON."""
    try:
        return json.loads(text)
    except ValueError:
        return None


def _cut(text: str) -> Any:
    """The members of an object whose text was truncated somewhere after its first line."""
    first_line, _, rest = text.partition("\n")
    if not first_line.endswith(","):
        return None
    return {"spool": "", "message": "", **json.loads(first_line[:-1] + "}"), **_members(rest)}


def _members(rest: str) -> dict[str, Any]:
    """The complete members, and as much of a message as there is."""
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
    """The beginning of a JSON string that was truncated, perhaps within an escape or a character."""
    for missing in range(_LONGEST_ESCAPE + 1):
        try:
            return f"{json.loads(text[: len(text) - missing] + '"')}".rstrip("\N{REPLACEMENT CHARACTER}") + _ELLIPSIS.rstrip()
        except ValueError:
            continue
    return ""


def completed_report(attempt: int) -> Report:
    """The report of an attempt that completed normally."""
    return Report(attempt, State(COMPLETED))
