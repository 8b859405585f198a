"""What commands print: tables and lines for people, JSON for programs."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Iterable

    from mintaka.histories import Document

COLOURS = {
    "COMPLETED": "green",
    "FAILED": "red",
    "CRASHED": "magenta",
    "CANCELLED": "yellow",
    "CANCELLING": "yellow",
    "RUNNING": "blue",
    "PAUSED": "cyan",
}
_ENDS = frozenset({"COMPLETED", "FAILED", "CRASHED", "CANCELLED"})
_TENTHS, _MINUTE, _HOUR, _DAY = 10, 60, 3600, 86400


def console() -> Console:
    """Standard output; colours only where it is a terminal."""
    return Console(highlight=False, soft_wrap=True)


def stderr_console() -> Console:
    """Standard error, for what is told beside the answer."""
    return Console(stderr=True, highlight=False, soft_wrap=True, markup=False)


def print_json(document: Any) -> None:
    """One JSON document on one line."""
    sys.stdout.write(json.dumps(document, ensure_ascii=False, default=str) + "\n")
    sys.stdout.flush()


def is_over(run: Document) -> bool:
    """True where the flow run has ended."""
    return run["state"]["type"] in _ENDS


def state_text(kind: str, name: str) -> Text:
    """A state's name in the colour of its type."""
    return Text(name, style=COLOURS.get(kind, ""))


def runs_table(runs: Iterable[Document]) -> Table:
    """Flow runs, one a line."""
    table = Table(box=None, pad_edge=False)
    for title in ("NAME", "FLOW", "STATE", "ATTEMPT", "REASON", "TASKS", "TOOK", "AGE"):
        table.add_column(title, no_wrap=True)
    for run in runs:
        state = run["state"]
        table.add_row(
            run["name"],
            run.get("flow") or run["deployment"] or "",
            state_text(state["type"], state["name"]),
            str(run["attempt"]),
            state["reason"],
            counts_text(run["task_counts"]),
            _took(run["started"], run["ended"]),
            _lasting(_instant(run["created"]), datetime.now(UTC)),
        )
    return table


def tasks_table(tasks: Iterable[Document]) -> Table:
    """Task runs, one a line."""
    table = Table(box=None, pad_edge=False)
    for title in ("N", "NAME", "STATE", "RUNS", "TOOK", "INPUTS", "REASON"):
        table.add_column(title, no_wrap=title != "REASON")
    for task in tasks:
        told = ": ".join(part for part in (task["reason"], task["message"]) if part)
        inputs = inputs_text(task["inputs"])
        took = _took(task["started"], task["ended"])
        table.add_row(str(task["n"]), task["name"], state_text(task["state"], task["state_name"]), str(task["runs"]), took, inputs, told)
    return table


def inputs_text(inputs: dict[str, list[int]]) -> str:
    """Whose results came in through which parameter; many numbers in a row as a range: `rows=1-500 wait_for=7`."""
    return " ".join(f"{name}={','.join(_ranges(numbers))}" for name, numbers in inputs.items())


def _ranges(numbers: list[int]) -> list[str]:
    found: list[list[int]] = []
    for number in numbers:
        if found and number == found[-1][-1] + 1:
            found[-1][1:] = [number]
        else:
            found.append([number])
    return ["-".join(map(str, part)) for part in found]


def counts_text(counts: dict[str, int]) -> str:
    """How many task runs are in which state."""
    return " ".join(f"{count} {kind.lower()}" for kind, count in counts.items() if count)


def run_line(run: Document) -> Text:
    """A flow run in one line."""
    state = run["state"]
    told = ": ".join(part for part in (state["reason"], state["message"]) if part)
    text = Text(f"{run['name']} ").append(state_text(state["type"], state["name"]))
    return text.append(f" {told}" if told else "").append(f"  {counts_text(run['task_counts'])}".rstrip())


def _instant(text: str | datetime) -> datetime:
    return text if isinstance(text, datetime) else datetime.fromisoformat(text)


def _took(started: str | None, ended: str | None) -> str:
    if not started:
        return ""
    return _lasting(_instant(started), _instant(ended) if ended else datetime.now(UTC))


def _lasting(begin: datetime, end: datetime) -> str:
    return lasting((end - begin).total_seconds())


def lasting(seconds: float) -> str:
    """A duration as people say it: 0.3s, 12s, 4m3s, 2h10m, 5d3h."""
    if seconds < _TENTHS:
        return f"{max(seconds, 0.0):.1f}s"
    whole = int(seconds)
    if whole < _MINUTE:
        return f"{whole}s"
    if whole < _HOUR:
        return f"{whole // _MINUTE}m{whole % _MINUTE}s"
    if whole < _DAY:
        return f"{whole // _HOUR}h{whole % _HOUR // _MINUTE}m"
    return f"{whole // _DAY}d{whole % _DAY // _HOUR}h"
