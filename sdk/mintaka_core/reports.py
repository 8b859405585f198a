"""The report a flow leaves when its process ends, and its exit codes.

Kubernetes hands over up to 4,096 bytes of a container's termination message file (Container v1 core,
`terminationMessagePath`), API or no API, so the end of a run never depends on ours. The report is one JSON object:

    {"mintaka": 1, "attempt": 1, "type": "FAILED", "name": "Failed", "reason": "ValueError", "message": "…",
     "retriable": true, "historyComplete": true, "spool": ""}

`historyComplete` false says that task runs or logs could not be delivered; `spool` says where they are.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from enum import IntEnum

from mintaka_core.states import COMPLETED, State, StateType

LIMIT_BYTES = 4096
_VERSION = 1


class ExitCode(IntEnum):
    """What the runner's exit code means; documented in docs/exit-codes.md."""

    COMPLETED = 0
    FAILED = 1
    USAGE = 2
    CANCELLED = 3
    CRASHED = 4
    FENCED = 75
    TERMINATED = 143


@dataclass(frozen=True, slots=True)
class Report:
    """How one attempt of a flow run ended, in the words of its own process."""

    attempt: int
    state: State
    retriable: bool = True
    history_complete: bool = True
    spool: str = ""

    def encode(self) -> str:
        """The report as JSON of at most `LIMIT_BYTES` bytes; a long message loses its middle."""
        message = self.state.message
        while True:
            text = json.dumps(
                {
                    "mintaka": _VERSION,
                    "attempt": self.attempt,
                    "type": self.state.type,
                    "name": self.state.name[:200],
                    "reason": self.state.reason[:200],
                    "message": message,
                    "retriable": self.retriable,
                    "historyComplete": self.history_complete,
                    "spool": self.spool[:500],
                }
            )
            excess = len(text.encode()) - LIMIT_BYTES
            if excess <= 0:
                return text
            keep = max(len(message) - excess - 16, 0) * 3 // 4
            message = message[: keep // 4] + " […] " + message[len(message) - (keep - keep // 4) :]


def decode_report(text: str) -> Report | None:
    """The report in a termination message, or None where there is none or it is not one of ours.

    What a container writes is not trusted: anything but a well-formed report in a terminal state (or PAUSED) is no report.
    """
    try:
        data = json.loads(text)
        if data["mintaka"] != _VERSION:
            return None
        state_type = StateType(data["type"])
        if not (state_type.is_terminal or state_type == StateType.PAUSED):
            return None
        state = State(state_type, str(data["name"]), str(data["reason"]), str(data["message"]))
        return Report(int(data["attempt"]), state, bool(data["retriable"]), bool(data["historyComplete"]), str(data["spool"]))
    except (ValueError, KeyError, TypeError):
        return None


def completed_report(attempt: int) -> Report:
    """A plain good end."""
    return Report(attempt, State(COMPLETED))
