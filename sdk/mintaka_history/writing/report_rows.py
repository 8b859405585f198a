"""What one report writes, as rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mintaka_history.writing.runs import Movement

#: The columns of a task run's row, in the order of `Rows.tasks`.
TASK_COLUMNS = (
    *("n", "created", "started", "ended", "task", "seq", "parent", "runs", "state", "subflow", "state_name", "name", "reason", "message"),
    *("upstream", "tags", "history"),
)

#: A line of a log: seq, time, level, logger, n, message.
type LogRow = tuple[int, int, int, int | None, int | None, str]
#: An event: id, time, name, resource, payload.
type EventRow = tuple[str, int, str, str, str]


@dataclass(frozen=True, slots=True)
class Rows:
    """The rows of one report.

    `tasks` have the columns `TASK_COLUMNS`, ordered by `n`, each once; `tags` are (tag, created, n); `artifacts` (id,
    created, updated, n, seq, kind, key, description, data), each id once.
    """

    namespace: int
    tasks: Sequence[tuple[Any, ...]]
    tags: Sequence[tuple[int, int, int]] = ()
    logs: Sequence[LogRow] = ()
    artifacts: Sequence[tuple[Any, ...]] = ()


@dataclass(frozen=True, slots=True)
class CalledRows:
    """A called run of a report. `columns` are those of its row, `parent` is the uid of the run that called it (None: the root)."""

    uid: str
    parent: str | None
    columns: Mapping[str, Any]
    counts: str | None
    rows: Rows
    movement: Movement | None


@dataclass(frozen=True, slots=True)
class Contents:
    """What a report contains: the rows of its flow run, the run's own transitions (None: not reported here), the runs that were called
    in its process, and events by the position of their run (0: its own, i: the i-th called one).
    """

    rows: Rows
    movement: Movement | None = None
    called: Sequence[CalledRows] = ()
    events: Sequence[tuple[int, Sequence[EventRow]]] = ()
