"""History as the API takes it: rows of task runs, lines of logs, and the report that carries them.

A row is made from one snapshot of a run's history, so it is consistent whatever the run does meanwhile.
"""

from __future__ import annotations

import json
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from mintaka_core.states import RUNNING

if TYPE_CHECKING:
    from mintaka.context import Launch
    from mintaka.runs import Entry, Run

#: Texts longer than this many characters are cut: a row has to fit into a report.
_TEXT_LIMIT = 4096
#: A run that was tried so often keeps the beginning and the end of its history.
_HISTORY_LIMIT = 1000
#: Texts up to this many characters are remembered in their quoted form.
_SHORT = 100


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
    """The row of `run` as it is now.

    Written by hand rather than through a dictionary: this is most of what recording a task costs. Every text in it goes
    through `_quoted`, which remembers the short ones, since almost all of them come again and again.
    """
    history = tuple(run.history)
    first, last = history[0], history[-1]
    created = first.time
    over = last.type.is_terminal
    started = next((entry.time for entry in history if entry.type == RUNNING), None)
    text = (
        f'{{"n": {run.n}, "task": {_quoted(run.task)}, "name": {"null" if run.own_name is None else _quoted(run.own_name)}, '
        f'"state": "{last.type}", "state_name": {_quoted(last.name)}, "reason": {_quoted(last.reason)}, "message": {_quoted(last.message)}, '
        f'"seq": {len(history)}, "started": {"null" if started is None else started}, "ended": {last.time if over else "null"}, '
        f'"runs": {sum(entry.type == RUNNING for entry in history)}, "upstream": {list(run.upstream)}, '
        f'"tags": [{", ".join(map(_quoted, run.tags))}], "parent": {"null" if run.parent is None else run.parent}, "kind": "{run.kind}", '
        f'"history": [{_lines(history, created)}], "created": {created}}}'
    )
    return Row(run.n, len(history), last.type, over, text)


def _lines(history: tuple[Entry, ...], created: int) -> str:
    if len(history) > _HISTORY_LIMIT:
        history = history[: _HISTORY_LIMIT // 2] + history[-_HISTORY_LIMIT // 2 :]
    return ", ".join(
        [
            f'["{entry.type}", {_quoted(entry.name)}, {entry.time - created}, {_quoted(entry.rule)}, {_quoted(entry.decision)}]'
            for entry in history
        ]
    )


def _quoted(text: str) -> str:
    """`text` as a JSON string."""
    return _remembered(text) if len(text) <= _SHORT else json.dumps(clean(text))


@lru_cache(maxsize=4096)
def _remembered(text: str) -> str:
    return json.dumps(clean(text))


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
