"""What commands print: tables and lines for people, JSON for programs."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TextIO

from rich.console import Console
from rich.text import Text

from mintaka.cli.columns import columns
from mintaka.cli.task_inputs import inputs_text

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
#: Characters of a list of upstream task runs.
_INPUTS = 30
_ENDS = frozenset({"COMPLETED", "FAILED", "CRASHED", "CANCELLED"})
#: Up to so many minutes or hours the next smaller unit is told too.
_EXACT = 10
_TENTH, _TENTHS, _MINUTE, _HOUR, _DAY = 0.1, 10, 60, 3600, 86400


def console() -> Console:
    """Standard output; colours only where it is a terminal."""
    return Console(highlight=False, soft_wrap=True)


def stderr_console() -> Console:
    """Standard error, for what is told beside the answer."""
    return Console(stderr=True, highlight=False, soft_wrap=True, markup=False)


def print_json(document: Any, out: TextIO | None = None) -> None:
    """One JSON document on one line of `out` (None: standard output)."""
    out = out or sys.stdout
    out.write(json.dumps(document, ensure_ascii=False, default=str) + "\n")
    out.flush()


def is_over(run: Document) -> bool:
    """True where the flow run has ended."""
    return run["state"]["type"] in _ENDS


def state_text(kind: str, name: str) -> Text:
    """A state's name in the colour of its type."""
    return Text(name, style=COLOURS.get(kind, ""))


_NARROW = ("NAME", "FLOW", "STATE", "ATTEMPT", "TASKS", "DURATION", "AGE", "REASON")
_WIDE = (*_NARROW[:-1], "NAMESPACE", "UID", "TAGS", "PARAMETERS", "REASON")


def runs_table(runs: Iterable[Document], *, wide: bool = False, titles: bool = True, now: datetime | None = None) -> list[Text]:
    """Flow runs, one a line."""
    now = now or datetime.now(UTC)
    names = _WIDE if wide else _NARROW
    lines = columns(names, [_run_row(run, now, wide=wide) for run in runs])
    return lines if titles else lines[1:]


def _run_row(run: Document, now: datetime, *, wide: bool) -> list[str | Text]:
    state = run["state"]
    more = [run["namespace"], run["uid"], ",".join(run["tags"]), json.dumps(run["parameters"], ensure_ascii=False)] if wide else []
    return [
        run["name"],
        run.get("flow") or run["deployment"] or "",
        state_text(state["type"], state["name"]),
        str(run["attempt"]),
        counts_text(run["task_counts"]),
        took(run["started"], run["ended"], now),
        lasting((now - instant(run["created"])).total_seconds()),
        *more,
        shortly(told(state["reason"], state["message"])) if wide else state["reason"],
    ]


def tasks_table(tasks: Iterable[Document], now: datetime | None = None) -> list[Text]:
    """Task runs, one a line."""
    now = now or datetime.now(UTC)
    rows: list[list[str | Text]] = [
        [
            str(task["n"]),
            task["name"],
            state_text(task["state"], task["state_name"]),
            str(task["runs"]),
            took(task["started"], task["ended"], now),
            shortly(inputs_text(task), _INPUTS),
            shortly(told(task["reason"], task["message"])),
        ]
        for task in tasks
    ]
    return columns(("N", "NAME", "STATE", "RUNS", "DURATION", "INPUTS", "REASON"), rows)


def told(*parts: str) -> str:
    """Reason and message, as far as there are any."""
    return ": ".join(part for part in parts if part)


def shortly(text: str, most: int = 300) -> str:
    """`text` on one line of at most `most` characters."""
    line = " ".join(text.split())
    return line if len(line) <= most else f"{line[: most - 1]}…"


def counts_text(counts: dict[str, int]) -> str:
    """How many task runs are over of how many, and how many in which state where not all completed: `7/9 1 running 1 failed`."""
    total = sum(counts.values())
    if not total:
        return ""
    others = [f"{count} {kind.lower()}" for kind, count in counts.items() if count and kind != "COMPLETED"]
    return " ".join([f"{sum(counts.get(kind, 0) for kind in _ENDS)}/{total}", *others])


def run_line(run: Document) -> Text:
    """A flow run in one line."""
    state = run["state"]
    text = Text(f"{run['name']} ").append(state_text(state["type"], state["name"]))
    why, counts = shortly(told(state["reason"], state["message"])), counts_text(run["task_counts"])
    return text.append(f" {why}" if why else "").append(f"  {counts}" if counts else "")


def instant(text: str | datetime) -> datetime:
    """A time of a document."""
    return text if isinstance(text, datetime) else datetime.fromisoformat(text)


def took(started: str | None, ended: str | None, now: datetime) -> str:
    """How long it ran, or has run; "" where it has not begun."""
    return lasting(((instant(ended) if ended else now) - instant(started)).total_seconds()) if started else ""


def lasting(seconds: float) -> str:
    """A duration as people say it, the shorter the less it matters: 20ms, 0.3s, 12s, 4m3s, 25m, 2h10m, 13h, 5d."""
    if 0 < seconds < _TENTH:
        return f"{seconds * 1000:.0f}ms"
    if seconds < _TENTHS:
        return f"{max(seconds, 0.0):.1f}s"
    whole = int(seconds)
    for large, large_name, small, small_name in ((_DAY, "d", 0, ""), (_HOUR, "h", _MINUTE, "m"), (_MINUTE, "m", 1, "s")):
        if whole >= large:
            rest = whole % large // small if small and whole < _EXACT * large else 0
            return f"{whole // large}{large_name}" + (f"{rest}{small_name}" if rest else "")
    return f"{whole}s"
