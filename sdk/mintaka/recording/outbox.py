"""What waits to be reported: runs that changed, lines of logs, artifacts, events.

What belongs to a flow run that another one called is reported as part of it, and describes it in the same report.

A run puts itself in when it changes, once, however often it changes until it is looked at; so one that began and ended in
between is reported once, in its final state. Every thread adds, only the historian takes out. Where too much waits, those
who add wait until the historian has made room: back-pressure, not loss.
"""

from __future__ import annotations

import itertools
import threading
from collections import Counter, deque
from types import MappingProxyType
from typing import TYPE_CHECKING

from mintaka.engine.bookkeeping import uninterrupted
from mintaka.engine.entries import now_micros
from mintaka.recording.wire import Contents, LogLine, artifact_record, called_run, event_record, task_record
from mintaka_history.batches import CALLED_LIMIT, LINE_STEP

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from uuid import UUID

    from mintaka.artifacts import ArtifactVersion
    from mintaka.engine.runs import Run
    from mintaka.events import EmittedEvent
    from mintaka.recording.delivery_settings import DeliverySettings
    from mintaka.recording.historian import Historian
    from mintaka_history.batches import ArtifactRecord, CalledRun, EventRecord, LineRecord, TaskRecord

#: What a row takes beside its texts, and each entry of its history, about.
_ROW_BYTES, _ENTRY_BYTES = 300, 60


class StateCounts:
    """How many task runs of one flow run, of those that were reported, are in which state."""

    __slots__ = ("_over", "_under_way")

    def __init__(self) -> None:
        #: How many are over, by state, and the states of those that are not.
        self._over: Counter[str] = Counter()
        self._under_way: dict[int, str] = {}

    def count(self, row: TaskRecord) -> bool:
        """Count the row under its state; True where it is over."""
        if row.ended is None:
            self._under_way[row.n] = row.state
            return False
        self._over[row.state] += 1
        self._under_way.pop(row.n, None)
        return True

    def by_state(self) -> Mapping[str, int]:
        """The counts."""
        return self._over + Counter(self._under_way.values()) if self._under_way else dict(self._over)


class Mentioned:
    """The called flow runs that one report mentions, in order."""

    def __init__(self) -> None:
        self._positions: dict[UUID, int] = {}
        self._runs: list[Run] = []
        self._moved: set[int] = set()

    @property
    def full(self) -> bool:
        """True if the next row, which may mention two, could be one too many."""
        return len(self._runs) >= CALLED_LIMIT - 1

    def position(self, run: Run | None) -> int:
        """Where it is in the report, from 1; the outermost flow run (None) is 0."""
        if run is None or run.called is None:
            return 0
        uid = run.called.uid
        position = self._positions.get(uid)
        if position is None:
            self._runs.append(run)
            position = self._positions[uid] = len(self._runs)
        return position

    def move(self, run: Run) -> None:
        """It has new transitions."""
        self._moved.add(self.position(run))

    def records(self) -> list[CalledRun]:
        """What the report says of them."""
        return [
            called_run(run, run.called, counts_of(run).by_state(), moved=position in self._moved)
            for position, run in enumerate(self._runs, 1)
            if run.called is not None
        ]


def counts_of(run: Run) -> StateCounts:
    """The counts of a called flow run."""
    if run.called is None:
        return StateCounts()
    if run.called.counts is None:
        run.called.counts = StateCounts()
    counts: StateCounts = run.called.counts
    return counts


class Outbox:
    """See the module's docstring; `historian` is woken when a batch is full. `owners` gives the ledger's `RunIds.owners`."""

    def __init__(
        self, settings: DeliverySettings, historian: Historian, owners: Callable[[], Mapping[int, Run]] = lambda: MappingProxyType({})
    ) -> None:
        self._settings = settings
        self._owners = owners
        self._historian = historian
        self._wake = historian.wake
        self._runs: deque[Run] = deque()
        self._lines: deque[LogLine] = deque()
        self._artifacts: deque[ArtifactVersion] = deque()
        self._events: deque[EmittedEvent] = deque()
        self._line_numbers = itertools.count(LINE_STEP, LINE_STEP)
        self._room = threading.Condition()
        #: Of the task runs of the outermost flow run.
        self._counts = StateCounts()
        #: True once nobody takes anything out any more: nobody waits for room then.
        self.closed = False

    # -- called from every thread -------------------------------------------------------------------------------------

    @uninterrupted
    def changed(self, run: Run) -> None:
        """Put in `run`, unless it is in; waits where too much is."""
        if not run.queued:
            run.queued = True
            self._runs.append(run)
            self._added(len(self._runs))

    @uninterrupted
    def log(self, level: int, logger: str, n: int | None, message: str, called: Run | None = None) -> None:
        """Put in one line; waits where too much is."""
        self._lines.append(LogLine(next(self._line_numbers), now_micros(), level, logger, n, message, called))
        self._added(len(self._lines))

    @uninterrupted
    def keep(self, artifact: ArtifactVersion) -> None:
        """Put in one version of an artifact; waits where too much is."""
        self._artifacts.append(artifact)
        self._added(len(self._artifacts))

    @uninterrupted
    def emit(self, event: EmittedEvent) -> None:
        """Add one event; waits while the queue is full."""
        self._events.append(event)
        self._added(len(self._events))

    def _added(self, waiting: int) -> None:
        if waiting >= self._settings.batch_items and not self._wake.is_set():
            self._wake.set()
        if waiting >= self._settings.queue_items and not self._historian.is_current():
            with self._room:
                self._room.wait_for(self._has_room)

    def _has_room(self) -> bool:
        return self.closed or self._longest < self._settings.queue_items

    @property
    def _longest(self) -> int:
        return max(len(self._runs), len(self._lines), len(self._artifacts), len(self._events))

    # -- called by the historian --------------------------------------------------------------------------------------

    def made_room(self) -> None:
        """Let those who wait look whether there is room."""
        with self._room:
            self._room.notify_all()

    @property
    def empty(self) -> bool:
        """True where nothing waits."""
        return not (self._runs or self._lines or self._artifacts or self._events)

    @property
    def crowded(self) -> bool:
        """True where those who add will soon have to wait."""
        return self._longest >= self._settings.queue_items // 2

    def counts(self) -> dict[str, int]:
        """How many of the task runs taken out, those of the outermost flow run, are in which state."""
        return dict(self._counts.by_state())

    def take(self) -> tuple[Contents, int, bool]:
        """What the next report is to hold, how much would be lost with it, and whether the flow run itself changed."""
        mentioned = Mentioned()
        contents = Contents([], [], [], {}, None)
        weight, size, about_itself = self._take_runs(contents.tasks, mentioned)
        items = len(contents.tasks)
        size = self._take_lines(contents.logs, items, size, mentioned)
        size = self._take_artifacts(contents.artifacts, items + len(contents.logs), size, mentioned)
        events = self._take_events(items + len(contents.logs) + len(contents.artifacts), size, mentioned)
        contents = contents._replace(called=mentioned.records(), events=events)
        return contents, weight + len(contents.logs) + len(contents.artifacts) + len(events), about_itself

    def _take_runs(self, rows: list[TaskRecord], mentioned: Mentioned) -> tuple[int, int, bool]:
        weight = size = 0
        about_itself = False
        settings, owners = self._settings, self._owners()
        while self._runs and len(rows) < settings.batch_items and size < settings.batch_bytes and not mentioned.full:
            run = self._runs.popleft()
            run.queued = False  # before the look at it: what changes from now on queues it again
            if run.n < 0:
                about_itself = True
                continue
            if len(run.history) == run.reported:
                continue
            owner = run.owner if owners else None
            row = task_record(run, owners, mentioned.position(owner))
            run.reported = row.seq
            rows.append(row)
            size += _size(row)
            weight += (self._counts if owner is None else counts_of(owner)).count(row)
            if run.called is not None:
                mentioned.move(run)
                size += _size(row)
        return weight, size, about_itself

    def _take_lines(self, lines: list[LineRecord], items: int, size: int, mentioned: Mentioned) -> int:
        settings = self._settings
        while self._lines and items + len(lines) < settings.batch_items and size < settings.batch_bytes and not mentioned.full:
            line = self._lines.popleft()
            lines.append(line.report(mentioned.position(line.called)))
            size += len(line.message) + _ROW_BYTES
        return size

    def _take_artifacts(self, artifacts: list[ArtifactRecord], items: int, size: int, mentioned: Mentioned) -> int:
        settings = self._settings
        while self._artifacts and items + len(artifacts) < settings.batch_items and size < settings.batch_bytes and not mentioned.full:
            artifact = self._artifacts.popleft()
            artifacts.append(artifact_record(artifact, mentioned.position(artifact.called)))
            size += len(artifact.data) + _ROW_BYTES
        return size

    def _take_events(self, items: int, size: int, mentioned: Mentioned) -> list[EventRecord]:
        settings = self._settings
        events: list[EventRecord] = []
        while self._events and items + len(events) < settings.batch_items and size < settings.batch_bytes and not mentioned.full:
            event = self._events.popleft()
            events.append(event_record(event, mentioned.position(event.called)))
            size += len(event.payload) + _ROW_BYTES
        return events


def _size(row: TaskRecord) -> int:
    """About how many bytes a row takes."""
    texts = len(row.message) + len(row.reason) + len(row.task)
    return _ROW_BYTES + texts + sum(_ENTRY_BYTES + sum(len(reason) for *_, reason in trail) for *_, trail in row.history)
