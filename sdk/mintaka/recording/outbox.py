"""What waits to be reported: runs that changed, lines of logs, artifacts.

A run puts itself in when it changes, once, however often it changes until it is looked at; so one that began and ended in
between is reported once, in its final state. Every thread adds, only the historian takes out. Where too much waits, those
who add wait until the historian has made room: back-pressure, not loss.
"""

from __future__ import annotations

import itertools
import threading
from collections import Counter, deque
from typing import TYPE_CHECKING

from mintaka.engine.bookkeeping import uninterrupted
from mintaka.engine.runs import now_micros
from mintaka.recording.wire import Contents, LogLine, artifact_record, task_record
from mintaka_history.batches import LINE_STEP

if TYPE_CHECKING:
    from mintaka.artifacts import ArtifactVersion
    from mintaka.engine.runs import Run
    from mintaka.recording.delivery_settings import DeliverySettings
    from mintaka.recording.historian import Historian
    from mintaka_history.batches import ArtifactRecord, LineRecord, TaskRecord

#: What a row takes beside its texts, and each entry of its history, about.
_ROW_BYTES, _ENTRY_BYTES = 300, 60


class Outbox:
    """See the module's words; `historian` is woken when a batch is full."""

    def __init__(self, settings: DeliverySettings, historian: Historian) -> None:
        self._settings = settings
        self._historian = historian
        self._wake = historian.wake
        self._runs: deque[Run] = deque()
        self._lines: deque[LogLine] = deque()
        self._artifacts: deque[ArtifactVersion] = deque()
        self._line_numbers = itertools.count(LINE_STEP, LINE_STEP)
        self._room = threading.Condition()
        #: How many task runs are over, by state, and the states of those that are not.
        self._over: Counter[str] = Counter()
        self._under_way: dict[int, str] = {}
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
    def log(self, level: int, logger: str, n: int | None, message: str) -> None:
        """Put in one line; waits where too much is."""
        self._lines.append(LogLine(next(self._line_numbers), now_micros(), level, logger, n, message))
        self._added(len(self._lines))

    @uninterrupted
    def keep(self, artifact: ArtifactVersion) -> None:
        """Put in one version of an artifact; waits where too much is."""
        self._artifacts.append(artifact)
        self._added(len(self._artifacts))

    def _added(self, waiting: int) -> None:
        if waiting >= self._settings.batch_items and not self._wake.is_set():
            self._wake.set()
        if waiting >= self._settings.queue_items and not self._historian.is_current():
            with self._room:
                self._room.wait_for(self._has_room)

    def _has_room(self) -> bool:
        return self.closed or max(len(self._runs), len(self._lines), len(self._artifacts)) < self._settings.queue_items

    # -- called by the historian --------------------------------------------------------------------------------------

    def made_room(self) -> None:
        """Let those who wait look whether there is room."""
        with self._room:
            self._room.notify_all()

    @property
    def empty(self) -> bool:
        """True where nothing waits."""
        return not (self._runs or self._lines or self._artifacts)

    @property
    def crowded(self) -> bool:
        """True where those who add will soon have to wait."""
        return max(len(self._runs), len(self._lines), len(self._artifacts)) >= self._settings.queue_items // 2

    def counts(self) -> dict[str, int]:
        """How many of the task runs taken out are in which state."""
        return self._over + Counter(self._under_way.values()) if self._under_way else dict(self._over)

    def take(self) -> tuple[Contents, int, bool]:
        """What the next report is to hold, how much would be lost with it, and whether the flow run itself changed."""
        contents = Contents([], [], [], {}, None)
        weight, size, about_itself = self._take_runs(contents.tasks)
        items = len(contents.tasks)
        size = self._take_lines(contents.logs, items, size)
        self._take_artifacts(contents.artifacts, items + len(contents.logs), size)
        return contents, weight + len(contents.logs) + len(contents.artifacts), about_itself

    def _take_runs(self, rows: list[TaskRecord]) -> tuple[int, int, bool]:
        weight = size = 0
        about_itself = False
        settings = self._settings
        while self._runs and len(rows) < settings.batch_items and size < settings.batch_bytes:
            run = self._runs.popleft()
            run.queued = False  # before the look at it: what changes from now on queues it again
            if run.n < 0:
                about_itself = True
                continue
            row = task_record(run)
            if row.seq == run.reported:
                continue
            run.reported = row.seq
            rows.append(row)
            size += _size(row)
            weight += self._counted(row)
        return weight, size, about_itself

    def _take_lines(self, lines: list[LineRecord], items: int, size: int) -> int:
        settings = self._settings
        while self._lines and items + len(lines) < settings.batch_items and size < settings.batch_bytes:
            line = self._lines.popleft().report()
            lines.append(line)
            size += len(line.message) + _ROW_BYTES
        return size

    def _take_artifacts(self, artifacts: list[ArtifactRecord], items: int, size: int) -> None:
        settings = self._settings
        while self._artifacts and items + len(artifacts) < settings.batch_items and size < settings.batch_bytes:
            artifact = artifact_record(self._artifacts.popleft())
            artifacts.append(artifact)
            size += len(bytes(artifact.data)) + _ROW_BYTES

    def _counted(self, row: TaskRecord) -> bool:
        """Count the row under its state; True where it is over."""
        if row.ended is None:
            self._under_way[row.n] = row.state
            return False
        self._over[row.state] += 1
        self._under_way.pop(row.n, None)
        return True


def _size(row: TaskRecord) -> int:
    """About how many bytes a row takes."""
    texts = len(row.message) + len(row.reason) + len(row.task)
    return _ROW_BYTES + texts + sum(_ENTRY_BYTES + sum(len(reason) for *_, reason in trail) for *_, trail in row.history)
