"""History as the API takes it: rows of task runs, lines of logs, and the report that carries them.

A row is made from one snapshot of a run's history, so it is consistent whatever the run does meanwhile.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

from mintaka_core.states import RUNNING

if TYPE_CHECKING:
    from mintaka.context import Launch
    from mintaka.runs import Entry, Run

#: Texts longer than this many characters are cut: a row has to fit into a report.
_TEXT_LIMIT = 4096
#: A run that was tried so often keeps the beginning and the end of its history.
_HISTORY_LIMIT = 1000


class LogLine(NamedTuple):
    """One line of a log; `time` in µs since the epoch, `n` the task run it belongs to (None: the flow run)."""

    seq: int
    time: int
    level: int
    logger: str
    n: int | None
    message: str

    def encode(self) -> str:
        """The line as JSON."""
        return json.dumps(
            {
                "seq": self.seq,
                "time": self.time,
                "level": self.level,
                "logger": clean(self.logger),
                "n": self.n,
                "message": clean(self.message),
            }
        )


class Row(NamedTuple):
    """One task run as JSON, with what the sender counts by."""

    n: int
    seq: int
    type: str
    is_over: bool
    text: str


def row_of(run: Run) -> Row:
    """The row of `run` as it is now."""
    history = tuple(run.history)
    first, last = history[0], history[-1]
    over = last.type.is_terminal
    text = json.dumps(
        {
            "n": run.n,
            "task": clean(run.task),
            "name": None if run.own_name is None else clean(run.own_name),
            "state": last.type,
            "state_name": clean(last.name),
            "reason": clean(last.reason),
            "message": clean(last.message),
            "seq": len(history),
            "started": next((entry.time for entry in history if entry.type == RUNNING), None),
            "ended": last.time if over else None,
            "runs": sum(entry.type == RUNNING for entry in history),
            "upstream": run.upstream,
            "tags": [clean(tag) for tag in run.tags],
            "parent": run.parent,
            "kind": run.kind,
            "history": _lines(history, first.time),
            "created": first.time,
        }
    )
    return Row(run.n, len(history), last.type, over, text)


def _lines(history: tuple[Entry, ...], created: int) -> list[list[Any]]:
    if len(history) > _HISTORY_LIMIT:
        history = history[: _HISTORY_LIMIT // 2] + history[-_HISTORY_LIMIT // 2 :]
    return [[entry.type, clean(entry.name), entry.time - created, entry.rule, clean(entry.decision)] for entry in history]


def clean(text: str, limit: int = _TEXT_LIMIT) -> str:
    """`text` as every database and JSON parser takes it: no NUL, no lone surrogate, not endless."""
    if len(text) > limit:
        text = f"{text[: limit // 2]} […] {text[-limit // 2 :]}"
    if text.isascii():
        return text.replace("\0", "\ufffd") if "\0" in text else text
    return text.encode("utf-8", "replace").decode().replace("\0", "\ufffd")


def report_of(launch: Launch, number: int, rows: list[str], lines: list[str], counts: dict[str, int], *, final: bool) -> bytes:
    """The body of report `number`, as one line of JSON."""
    head = json.dumps(
        {
            "attempt": launch.attempt,
            "report": number,
            "flow_run": {"name": launch.name, "namespace": launch.namespace, "deployment": launch.deployment},
            "counts": {name: count for name, count in counts.items() if count},
            "final": final,
        }
    )
    return f'{head[:-1]}, "tasks": [{", ".join(rows)}], "logs": [{", ".join(lines)}]}}\n'.encode()
