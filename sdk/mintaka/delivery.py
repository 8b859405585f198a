"""The recorder: history goes to a sink in batches, through the disk while the sink does not take it.

Runs put themselves into a queue when they change (once, however often they change until they are looked at) and the
process's historian empties it: every half second, or as soon as a batch is full, it makes a report of what is there. A
run that began and ended in between is reported once, in its final state. A report that cannot be delivered goes to the
spool, and so do all after it, in order, until the sink takes the oldest one again; nothing is taken out before it was
acknowledged. Where the queue is full, those who add to it wait until the historian has made room, at the sink or on disk:
back-pressure, not loss. What the spool cannot hold is lost, counted and said; the flow goes on.
"""

from __future__ import annotations

import gzip
import itertools
import logging
import threading
from collections import Counter, deque
from dataclasses import dataclass
from pathlib import Path
from tempfile import gettempdir
from time import monotonic
from typing import TYPE_CHECKING

from mintaka.bookkeeping import uninterrupted
from mintaka.historian import historian
from mintaka.logging import UNRECORDED
from mintaka.recording import Delivery
from mintaka.runs import now_micros
from mintaka.sending import Answer
from mintaka.spool import Spool
from mintaka.wire import Contents, LogLine, artifact_report, encode, local_run, run_report, task_report
from mintaka_history.reports import RunReport

if TYPE_CHECKING:
    from collections.abc import Callable

    from mintaka.artifacts import ArtifactVersion
    from mintaka.context import Launch
    from mintaka.runs import Run
    from mintaka.sinks import Sink
    from mintaka_history.reports import LocalRun, TaskReport

logger = logging.getLogger(UNRECORDED)

SPOOL_LIMIT_BYTES = 256 * 1024 * 1024
#: How long after the deadline the historian may take to put the rest on disk.
_CLOSE_SECONDS = 1.5
_POLL_SECONDS = 0.1
_SHORTEST_PAUSE_SECONDS = 0.01
#: What a row takes beside its texts, and each entry of its history, about.
_ROW_BYTES, _ENTRY_BYTES = 300, 60


@dataclass(frozen=True, slots=True)
class DeliverySettings:
    """How history is delivered; the API takes at most 5,000 items and 4 MiB per report.

    `queue_items` is how many changes may wait before those who make them wait too. A failed delivery is tried again after
    `retry_seconds`, then twice that and so on up to `retry_max_seconds`.
    """

    flush_seconds: float = 0.5
    batch_items: int = 2000
    batch_bytes: int = 1024 * 1024
    queue_items: int = 20000
    timeout_seconds: float = 10.0
    retry_seconds: float = 0.25
    retry_max_seconds: float = 5.0
    spool_folder: Path | None = None
    spool_limit_bytes: int = SPOOL_LIMIT_BYTES


@dataclass(slots=True)
class _Parcel:
    """A report that is ready to be delivered; `weight` is how much is lost with it. On disk it is no longer held here."""

    number: int
    report: RunReport | None
    weight: int


class HistoryRecorder:
    """Hands the history of `launch`'s flow run to `sink`. `on_fenced` is called (by the historian) at most once."""

    def __init__(
        self, sink: Sink, launch: Launch, settings: DeliverySettings | None = None, on_fenced: Callable[[], object] = lambda: None
    ) -> None:
        self._settings = settings or DeliverySettings()
        self._launch = launch
        self._on_fenced = on_fenced
        self._sink = sink
        folder = self._settings.spool_folder or Path(gettempdir(), "mintaka-spool")
        self._spool = Spool(folder / f"{launch.flow_run_id}-{launch.attempt}", self._settings.spool_limit_bytes)
        self._spooled: deque[_Parcel] = deque()
        self._runs: deque[Run] = deque()
        self._lines: deque[LogLine] = deque()
        self._artifacts: deque[ArtifactVersion] = deque()
        self._line_numbers = itertools.count()
        self._report_numbers = itertools.count(1)
        self._over: Counter[str] = Counter()
        self._under_way: dict[int, str] = {}
        self._historian = historian()
        self._wake = self._historian.wake
        self._room = threading.Condition()
        self._waiters: deque[threading.Event] = deque()
        self._done = threading.Event()
        self._deadline: float | None = None
        self._said_all = False
        self._next_try = 0.0
        self._retry_seconds = self._settings.retry_seconds
        self.fenced = False
        self.lost = 0
        self._hopeless = False
        self._broken = False
        self._historian.add(self)

    # -- called from every thread -------------------------------------------------------------------------------------

    @uninterrupted
    def changed(self, run: Run) -> None:
        """Queue `run`, unless it is queued; waits where the queue is full."""
        if not run.queued:
            run.queued = True
            self._runs.append(run)
            self._added(len(self._runs))

    @uninterrupted
    def log(self, level: int, logger: str, n: int | None, message: str) -> None:
        """Queue one line; waits where the queue is full."""
        self._lines.append(LogLine(next(self._line_numbers), now_micros(), level, logger, n, message))
        self._added(len(self._lines))

    @uninterrupted
    def keep(self, artifact: ArtifactVersion) -> None:
        """Queue one version of an artifact; waits where the queue is full."""
        self._artifacts.append(artifact)
        self._added(len(self._artifacts))

    def _added(self, waiting: int) -> None:
        if waiting >= self._settings.batch_items and not self._wake.is_set():
            self._wake.set()
        if waiting >= self._settings.queue_items and not self._historian.is_current():
            with self._room:
                self._room.wait_for(self._has_room)

    def _has_room(self) -> bool:
        return self._stopped or max(len(self._runs), len(self._lines), len(self._artifacts)) < self._settings.queue_items

    @property
    def _stopped(self) -> bool:
        return self.fenced or self._broken or self._done.is_set()

    def flush(self, deadline: float) -> None:
        """Wait until what is there now was delivered or kept on disk, at most until `deadline` (`time.monotonic()`)."""
        turned = threading.Event()
        self._waiters.append(turned)
        self._wake.set()
        turned.wait(max(deadline - monotonic(), 0))

    def close(self, deadline: float) -> Delivery:
        """Deliver what is left until `deadline` (`time.monotonic()`), then stop; say what became of it."""
        self._deadline = deadline
        self._wake.set()
        while not self._done.wait(_POLL_SECONDS) and monotonic() < self._deadline + _CLOSE_SECONDS:
            self._wake.set()
        waiting = len(self._spooled) or not self._done.is_set()
        left = self._runs or self._lines or self._artifacts
        complete = not (waiting or self.lost or self.fenced or self._broken or left)
        return Delivery(complete, str(self._spool.folder) if waiting else "", self.lost)

    def hurry(self, deadline: float) -> None:
        """While it closes: be done by `deadline` if that is earlier. Safe to call from a signal handler."""
        if self._deadline is not None:
            self._deadline = min(self._deadline, deadline)

    @property
    def _overdue(self) -> bool:
        return self._hopeless or (self._deadline is not None and monotonic() >= self._deadline)

    # -- the historian's turns ----------------------------------------------------------------------------------------

    def turn(self) -> float | None:
        """Do what is due; how many seconds later the next turn should come, None: never again."""
        waiters = len(self._waiters)
        try:
            left = self._turned()
        except Exception:
            self._broken = True
            logger.exception("recording history ended by a defect; the flow goes on, its history is incomplete")
            left = None
        for _ in range(waiters):
            self._waiters.popleft().set()
        if left is None:
            self._done.set()
            self._sink.close()
        with self._room:
            self._room.notify_all()
        return left

    def _turned(self) -> float | None:
        closing = self._deadline is not None
        if not self.fenced:
            self._flush()
        if self.fenced:
            return None
        if not closing:
            return self._settings.flush_seconds
        return self._finished()

    def _flush(self) -> None:
        """Deliver or spool all that is queued."""
        self._resend()
        while (parcel := self._batch()) is not None and not self.fenced:
            self._deliver_or_keep(parcel)
            with self._room:
                self._room.notify_all()

    def _finished(self) -> float | None:
        """The flow is over: what waits on disk is tried until the deadline; the last report says that it was all."""
        if not self._said_all and (not self._spooled or self._overdue):
            self._said_all = True
            last = self._parcel(Contents([], [], [], self._counts(), self._local(), final=not self.lost), 0)
            if self._spooled or self._overdue or not self._deliver(last):
                self._keep(last)
        if self._spooled and not self.fenced and not self._overdue:
            left = monotonic() if self._deadline is None else self._deadline
            return max(min(self._next_try, left) - monotonic(), _SHORTEST_PAUSE_SECONDS)
        if not self._spooled:
            self._spool.remove()
        return None

    def _left(self) -> float:
        """Seconds until the deadline, or a whole try's time where there is none."""
        return self._settings.timeout_seconds if self._deadline is None else max(self._deadline - monotonic(), 0.01)

    def _batch(self) -> _Parcel | None:
        """The next report of what is queued; None where nothing is."""
        contents = Contents([], [], [], {}, None)
        weight = size = 0
        about_itself = False
        settings = self._settings
        while self._runs and len(contents.tasks) < settings.batch_items and size < settings.batch_bytes:
            run = self._runs.popleft()
            run.queued = False  # before the look at it: what changes from now on queues it again
            if run.n < 0:
                about_itself = self._launch.local
                continue
            row = task_report(run)
            if row.seq == run.reported:
                continue
            run.reported = row.seq
            contents.tasks.append(row)
            size += _size(row)
            weight += self._counted(row)
        items = len(contents.tasks)
        while self._lines and items + len(contents.logs) < settings.batch_items and size < settings.batch_bytes:
            line = self._lines.popleft().report()
            contents.logs.append(line)
            size += len(line.message) + _ROW_BYTES
        items += len(contents.logs)
        while self._artifacts and items + len(contents.artifacts) < settings.batch_items and size < settings.batch_bytes:
            artifact = artifact_report(self._artifacts.popleft())
            contents.artifacts.append(artifact)
            size += len(bytes(artifact.data)) + _ROW_BYTES
        items += len(contents.artifacts)
        if not items and not about_itself:
            return None
        all_of_it = self._deadline is not None and not (self._runs or self._lines or self._artifacts or self._spooled or self.lost)
        self._said_all = self._said_all or all_of_it
        contents = contents._replace(counts=self._counts(), local=self._local(), final=all_of_it)
        return self._parcel(contents, weight + len(contents.logs) + len(contents.artifacts))

    def _counted(self, row: TaskReport) -> bool:
        """Count the row under its state; True where it is over."""
        if row.ended is None:
            self._under_way[row.n] = row.state
            return False
        self._over[row.state] += 1
        self._under_way.pop(row.n, None)
        return True

    def _counts(self) -> dict[str, int]:
        return self._over + Counter(self._under_way.values()) if self._under_way else dict(self._over)

    def _local(self) -> LocalRun | None:
        run = self._launch.run
        return local_run(self._launch, run) if self._launch.local and run is not None else None

    def _parcel(self, contents: Contents, weight: int) -> _Parcel:
        number = next(self._report_numbers)
        return _Parcel(number, run_report(self._launch, number, contents), weight)

    def _deliver_or_keep(self, parcel: _Parcel) -> None:
        if self._spooled or self._overdue or monotonic() < self._next_try or not self._deliver(parcel):
            self._keep(parcel)
            self._resend()

    def _keep(self, parcel: _Parcel) -> None:
        """Put a report on disk, or lose it."""
        if self.fenced:
            return
        if self._spool.append(packed(parcel.report)):
            parcel.report = None
            self._spooled.append(parcel)
        else:
            self._lose(parcel, f"the spool {self._spool.folder} is full or cannot be written")

    def _resend(self) -> None:
        """Deliver what is on disk, oldest first, as far as the sink takes it; new reports go on disk meanwhile."""
        while self._spooled and not self.fenced and monotonic() >= self._next_try and not self._overdue:
            parcel = self._spooled[0]
            try:
                body = self._spool.oldest() or b""
            except OSError as error:
                self._lose(parcel, f"the spool cannot be read: {error}")
                delivered = True
            else:
                delivered = self._judged(parcel, self._sink.deliver_packed(self._launch.flow_run_id, parcel.number, body, self._timeout()))
            if not delivered:
                return
            self._spooled.popleft()
            self._spool.drop_oldest()
            if len(self._runs) + len(self._lines) >= self._settings.queue_items // 2:
                self._spool_queue()

    def _spool_queue(self) -> None:
        """Make room in the queue while older reports are still under way."""
        while (parcel := self._batch()) is not None:
            self._keep(parcel)
        with self._room:
            self._room.notify_all()

    def _timeout(self) -> float:
        return min(self._settings.timeout_seconds, self._left())

    def _deliver(self, parcel: _Parcel) -> bool:
        """Deliver one report; True where it needs no further try."""
        if parcel.report is None:
            return True
        return self._judged(parcel, self._sink.deliver(self._launch.flow_run_id, parcel.report, self._timeout()))

    def _judged(self, parcel: _Parcel, answer: Answer) -> bool:
        """Act on the sink's answer; True where the report needs no further try."""
        if answer == Answer.HOPELESS:
            if not self._hopeless:
                logger.error("history cannot be kept as it should: %s", self._sink.problem)
            self._hopeless = True
            return False
        if answer == Answer.UNAVAILABLE:
            if self._next_try == 0.0:
                logger.warning("%s does not take history, which is kept on disk meanwhile: %s", self._sink.name, self._sink.problem)
            self._next_try = monotonic() + self._retry_seconds
            self._retry_seconds = min(self._retry_seconds * 2, self._settings.retry_max_seconds)
            return False
        if self._next_try and answer == Answer.ACCEPTED:
            logger.info("%s takes history again", self._sink.name)
        self._next_try, self._retry_seconds = 0.0, self._settings.retry_seconds
        if answer == Answer.REFUSED:
            self._lose(parcel, f"{self._sink.name} refused it: {self._sink.problem}")
        elif answer == Answer.FENCED:
            self.fenced = True
            logger.error("a newer attempt of this flow run has taken over; this one ends")
            self._on_fenced()
        return True

    def _lose(self, parcel: _Parcel, why: str) -> None:
        self.lost += max(parcel.weight, 1)
        logger.error("history lost: report %d with %d finished task runs and lines; %s", parcel.number, parcel.weight, why)


def packed(report: RunReport | None) -> bytes:
    """A report as it travels and lies on disk: one line of JSON, gzipped."""
    return gzip.compress(encode(report) + b"\n", compresslevel=1, mtime=0)


def _size(row: TaskReport) -> int:
    """About how many bytes a row takes."""
    texts = len(row.message) + len(row.reason) + len(row.task)
    return _ROW_BYTES + texts + sum(_ENTRY_BYTES + len(reason) for *_, reason in row.history)
