"""How many task runs of a flow run are in which state, by task, subflows with what they called inside of them.

Pure: whoever shows it says which runs changed, as often as they did.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mintaka_core.states import COMPLETED, RUNNING, StateType

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from mintaka.engine.runs import Run

#: What is counted, in the order it is shown.
BUCKETS = ("completed", "cached", "running", "waiting", "retrying", "paused", "failed", "crashed", "cancelled")

#: States of a run that was not tried again: pending, running, and an end.
_PLAIN = 3
_BUCKET_OF_NAME = {"Cached": "cached", "Retrying": "retrying", "AwaitingRetry": "retrying"}
_BUCKET_OF_TYPE = {
    COMPLETED: "completed",
    RUNNING: "running",
    StateType.PAUSED: "paused",
    StateType.FAILED: "failed",
    StateType.CRASHED: "crashed",
    StateType.CANCELLING: "cancelled",
    StateType.CANCELLED: "cancelled",
}


def bucket_of(kind: StateType | str, name: str) -> str:
    """What a run in this state is counted as."""
    return _BUCKET_OF_NAME.get(name) or _BUCKET_OF_TYPE.get(StateType(kind), "waiting")


class Group:
    """The runs of one task (or subflow) inside of the same group; `inside` are the groups of what they called."""

    __slots__ = ("cells", "depth", "inside", "kind", "name", "retried", "unbegun")

    def __init__(self, name: str, kind: str, depth: int) -> None:
        self.name = name
        self.kind = kind
        self.depth = depth
        self.cells: dict[str, Cell] = {}
        self.inside: dict[str, Group] = {}
        #: How many of them ran more than once, and how many have not begun.
        self.retried = 0
        self.unbegun = 0

    def cell(self, bucket: str) -> Cell:
        """The counter of `bucket`."""
        found = self.cells.get(bucket)
        if found is None:
            found = self.cells[bucket] = Cell(self, bucket)
        return found

    def counts(self) -> dict[str, int]:
        """How many are in which bucket, without zeros."""
        found = {bucket: self.cells[bucket].count if bucket in self.cells else 0 for bucket in BUCKETS}
        found["waiting"] += self.unbegun
        return {bucket: count for bucket, count in found.items() if count}


class Cell:
    """How many runs of a group are in one bucket; each run that was seen points to the cell it is counted in."""

    __slots__ = ("bucket", "count", "group")

    def __init__(self, group: Group, bucket: str) -> None:
        self.group = group
        self.bucket = bucket
        self.count = 0


class Tally:
    """See the module's words. Not for several threads at once."""

    def __init__(self) -> None:
        self._top = Group("", "flow", -1)
        self._cells: dict[int, Cell] = {}
        self._retried: set[int] = set()

    def take(self, runs: Iterable[Run]) -> None:
        """Look at runs that changed; the flow run itself (-1) is not counted."""
        cells = self._cells
        for run in runs:
            n = run.n
            if n < 0:
                continue
            entry = run.history[-1]
            bucket = "completed" if entry.name == "Completed" else bucket_of(entry.type, entry.name)
            before = cells.get(n)
            if before is None:
                cell = self._group(run).cell(bucket)
            elif before.bucket != bucket:
                before.count -= 1
                cell = before.group.cell(bucket)
            else:
                continue
            cell.count += 1
            cells[n] = cell
            if len(run.history) > _PLAIN and n not in self._retried and run.run_count > 1:
                self._retried.add(n)
                cell.group.retried += 1

    def wait(self, live: Iterable[Run]) -> None:
        """Look at all runs that are not over: those never seen to change have not begun."""
        for group in self.groups():
            group.unbegun = 0
        cells = self._cells
        for run in live:
            if run.n >= 0 and run.n not in cells:
                self._group(run).unbegun += 1

    def groups(self) -> Iterator[Group]:
        """All groups, those inside of others after them."""
        waiting = list(reversed(self._top.inside.values()))
        while waiting:
            group = waiting.pop()
            yield group
            waiting += reversed(group.inside.values())

    def counts(self) -> dict[str, int]:
        """How many task runs are in which bucket, without zeros; `retried` counts those that ran more than once."""
        found = dict.fromkeys(BUCKETS, 0)
        for group in self.groups():
            for bucket, count in group.counts().items():
                found[bucket] += count
        return {name: count for name, count in {**found, "retried": len(self._retried)}.items() if count}

    def _group(self, run: Run) -> Group:
        around = self._cells.get(-1 if run.parent is None else run.parent)
        outer = self._top if around is None else around.group
        group = outer.inside.get(run.task)
        if group is None:
            group = outer.inside[run.task] = Group(run.task.rpartition(".")[2], run.kind, outer.depth + 1)
        return group
