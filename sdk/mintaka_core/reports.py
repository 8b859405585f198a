"""The report a flow leaves when its process ends, and its exit codes.

Kubernetes hands over up to 4,096 bytes of a container's termination message file (Container v1 core,
`terminationMessagePath`), API or no API, so the end of a run never depends on ours. The report is one JSON object:

    {"mintaka": 1, "attempt": 1, "type": "FAILED", "name": "Failed", "reason": "ValueError", "message": "…",
     "retriable": true, "historyComplete": true, "spool": ""}

`historyComplete` false says that task runs or logs could not be delivered; `spool` says where they are. A flow that
suspended itself is PAUSED, with `"suspension": "…"`, which of its suspensions it is, and `"resumeBy": "…"` (RFC 3339) where it
waits for so long only.
"""

from __future__ import annotations

import json
from bisect import bisect_right
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import IntEnum

from mintaka_core.states import COMPLETED, State, StateType

LIMIT_BYTES = 4096
_VERSION = 1
_WORD_BYTES = 300
_SPOOL_BYTES = 600
_ELLIPSIS = " […] "


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
        fields = {
            "mintaka": _VERSION,
            "attempt": self.attempt,
            "type": self.state.type,
            "name": _fitting(self.state.name, _WORD_BYTES),
            "reason": _fitting(self.state.reason, _WORD_BYTES),
            "message": "",
            "retriable": self.retriable,
            "historyComplete": self.history_complete,
            "spool": _fitting(self.spool, _SPOOL_BYTES),
        }
        if self.suspension:
            fields["suspension"] = _fitting(self.suspension, _WORD_BYTES)
        if self.resume_by is not None:
            fields["resumeBy"] = self.resume_by.astimezone(UTC).isoformat()
        room = LIMIT_BYTES - len(_json(fields).encode())
        return _json(fields | {"message": _fitting(self.state.message, room)})


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


def _fitting(text: str, limit: int) -> str:
    """`text` without its middle where its JSON would pass `limit` bytes; the end of a message says more than its beginning."""
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
    """The report in a termination message, or None where there is none or it is not one of ours.

    What a container writes is not trusted: anything but a well-formed report in a terminal state (or PAUSED) is no report,
    and texts are freed of what could not be stored.
    """
    try:
        data = json.loads(text)
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
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
        return None


def completed_report(attempt: int) -> Report:
    """A plain good end."""
    return Report(attempt, State(COMPLETED))
