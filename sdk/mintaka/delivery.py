"""The recorder of pods: history goes to the API in batches, through the disk while the API is away.

Runs put themselves into a queue when they change (once, however often they change until they are looked at) and one
thread empties it: every half second, or as soon as a batch is full, it makes a report of what is there. A run that began
and ended in between is sent once, in its final state. A report that cannot be delivered goes to the spool, and so do all
after it, in order, until the API takes the oldest one again; nothing is taken out before it was acknowledged. Where the
queue is full, those who add to it wait until the thread has made room, on the wire or on disk: back-pressure, not loss.
What the spool cannot hold is lost, counted and said; the flow goes on.
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
from mintaka.logging import UNRECORDED
from mintaka.recording import Delivery
from mintaka.runs import now_micros
from mintaka.sending import Answer, Connection
from mintaka.spool import Spool
from mintaka.wire import LogLine, report_of, row_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from mintaka.context import Launch
    from mintaka.runs import Run

logger = logging.getLogger(UNRECORDED)

SPOOL_LIMIT_BYTES = 256 * 1024 * 1024
#: How long after the deadline the thread may take to put the rest on disk.
_CLOSE_SECONDS = 1.5
_POLL_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class DeliverySettings:
    """How history is sent; the API takes at most 5,000 items and 4 MiB per report.

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
class _Report:
    """A report that is ready to be sent: `body` gzipped, `weight` how much is lost with it."""

    number: int
    body: bytes
    weight: int
    final: bool = False


class ApiRecorder:
    """Sends the history of `launch`'s flow run to the API at `url`. `on_fenced` is called (in the thread) at most once."""

    def __init__(
        self, url: str, launch: Launch, settings: DeliverySettings | None = None, on_fenced: Callable[[], object] = lambda: None
    ) -> None:
        self._settings = settings or DeliverySettings()
        self._launch = launch
        self._on_fenced = on_fenced
        self._connection = Connection(url, self._settings.timeout_seconds)
        folder = self._settings.spool_folder or Path(gettempdir(), "mintaka-spool")
        self._spool = Spool(folder / f"{launch.flow_run_id}-{launch.attempt}", self._settings.spool_limit_bytes)
        self._spooled: deque[_Report] = deque()
        self._runs: deque[Run] = deque()
        self._lines: deque[LogLine] = deque()
        self._line_numbers = itertools.count()
        self._report_numbers = itertools.count(1)
        self._over: Counter[str] = Counter()
        self._under_way: dict[int, str] = {}
        self._wake = threading.Event()
        self._pause = threading.Event()
        self._room = threading.Condition()
        self._deadline: float | None = None
        self._next_try = 0.0
        self._retry_seconds = self._settings.retry_seconds
        self.fenced = False
        self.lost = 0
        self._broken = False
        self._thread = threading.Thread(target=self._work, name="mintaka-history", daemon=True)
        self._thread.start()

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

    def _added(self, waiting: int) -> None:
        if waiting >= self._settings.batch_items and not self._wake.is_set():
            self._wake.set()
        if waiting >= self._settings.queue_items and threading.current_thread() is not self._thread:
            with self._room:
                self._room.wait_for(self._has_room)

    def _has_room(self) -> bool:
        return self._stopped or max(len(self._runs), len(self._lines)) < self._settings.queue_items

    @property
    def _stopped(self) -> bool:
        return self.fenced or self._broken or not self._thread.is_alive()

    def close(self, deadline: float) -> Delivery:
        """Deliver what is left until `deadline` (`time.monotonic()`), then stop; say what became of it."""
        self._deadline = deadline
        self._wake.set()
        while self._thread.is_alive() and monotonic() < self._deadline + _CLOSE_SECONDS:
            self._thread.join(_POLL_SECONDS)
        waiting = len(self._spooled) or self._thread.is_alive()
        complete = not (waiting or self.lost or self.fenced or self._broken or self._runs or self._lines)
        return Delivery(complete, str(self._spool.folder) if waiting else "", self.lost)

    def hurry(self, deadline: float) -> None:
        """While it closes: be done by `deadline` if that is earlier. Safe to call from a signal handler."""
        if self._deadline is not None:
            self._deadline = min(self._deadline, deadline)

    @property
    def _overdue(self) -> bool:
        return self._deadline is not None and monotonic() >= self._deadline

    # -- the thread ---------------------------------------------------------------------------------------------------

    def _work(self) -> None:
        try:
            while self._deadline is None and not self.fenced:
                self._wake.wait(self._settings.flush_seconds)
                self._wake.clear()
                self._flush()
            if not self.fenced:
                self._finish()
        except Exception:
            self._broken = True
            logger.exception("recording history ended by a defect; the flow goes on, its history is incomplete")
        finally:
            with self._room:
                self._room.notify_all()
            self._connection.close()

    def _flush(self) -> None:
        """Send or spool all that is queued."""
        self._resend()
        while (report := self._batch()) is not None and not self.fenced:
            self._send_or_spool(report)
        with self._room:
            self._room.notify_all()

    def _finish(self) -> None:
        """The flow is over: deliver everything until the deadline; the last report says that it was all."""
        self._flush()
        self._drain()
        if self.fenced:
            return
        last = self._report([], [], 0, final=not self.lost)
        if self._spooled or self._overdue or not self._deliver(last):
            self._keep(last)
        self._drain()
        if not self._spooled:
            self._spool.remove()

    def _drain(self) -> None:
        """Try again and again to send what is on disk, until the deadline."""
        while self._spooled and not self.fenced and not self._overdue:
            self._pause.wait(min(max(self._next_try - monotonic(), 0.01), self._left()))
            self._resend()

    def _left(self) -> float:
        """Seconds until the deadline, or a whole try's time where there is none."""
        return self._settings.timeout_seconds if self._deadline is None else max(self._deadline - monotonic(), 0.01)

    def _batch(self) -> _Report | None:
        """The next report of what is queued; None where nothing is."""
        rows: list[str] = []
        lines: list[str] = []
        size = weight = 0
        settings = self._settings
        while self._runs and len(rows) < settings.batch_items and size < settings.batch_bytes:
            run = self._runs.popleft()
            run.queued = False  # before the look at it: what changes from now on queues it again
            row = row_of(run)
            if row.seq == run.reported:
                continue
            run.reported = row.seq
            rows.append(row.text)
            size += len(row.text)
            if row.is_over:
                weight += 1
                self._over[row.type] += 1
                self._under_way.pop(row.n, None)
            else:
                self._under_way[row.n] = row.type
        while self._lines and len(lines) + len(rows) < settings.batch_items and size < settings.batch_bytes:
            text = self._lines.popleft().encode()
            lines.append(text)
            size += len(text)
        if not rows and not lines:
            return None
        return self._report(rows, lines, weight + len(lines))

    def _report(self, rows: list[str], lines: list[str], weight: int, *, final: bool = False) -> _Report:
        number = next(self._report_numbers)
        counts = self._over + Counter(self._under_way.values())
        body = gzip.compress(report_of(self._launch, number, rows, lines, counts, final=final), compresslevel=1, mtime=0)
        return _Report(number, body, weight, final)

    def _send_or_spool(self, report: _Report) -> None:
        if self._spooled or self._overdue or monotonic() < self._next_try or not self._deliver(report):
            self._keep(report)
            self._resend()

    def _keep(self, report: _Report) -> None:
        """Put a report on disk, or lose it."""
        if self.fenced:
            return
        if self._spool.append(report.body):
            report.body = b""
            self._spooled.append(report)
        else:
            self._lose(report, f"the spool {self._spool.folder} is full or cannot be written")

    def _resend(self) -> None:
        """Send what is on disk, oldest first, as far as the API takes it; new reports go on disk meanwhile."""
        while self._spooled and not self.fenced and monotonic() >= self._next_try and not self._overdue:
            report = self._spooled[0]
            try:
                report.body = self._spool.oldest() or b""
            except OSError as error:
                self._lose(report, f"the spool cannot be read: {error}")
                delivered = True
            else:
                delivered = self._deliver(report)
            report.body = b""
            if not delivered:
                return
            self._spooled.popleft()
            self._spool.drop_oldest()
            if len(self._runs) + len(self._lines) >= self._settings.queue_items // 2:
                self._spool_queue()

    def _spool_queue(self) -> None:
        """Make room in the queue while older reports are still under way."""
        while (report := self._batch()) is not None:
            self._keep(report)
        with self._room:
            self._room.notify_all()

    def _deliver(self, report: _Report) -> bool:
        """Send one report; True where it needs no further try."""
        timeout = min(self._settings.timeout_seconds, self._left())
        answer = self._connection.send_report(self._launch.flow_run_id, report.number, report.body, timeout)
        if answer == Answer.UNAVAILABLE:
            if self._next_try == 0.0:
                logger.warning("the API does not take history, which is kept on disk meanwhile: %s", self._connection.problem)
            self._next_try = monotonic() + self._retry_seconds
            self._retry_seconds = min(self._retry_seconds * 2, self._settings.retry_max_seconds)
            return False
        if self._next_try and answer == Answer.ACCEPTED:
            logger.info("the API takes history again")
        self._next_try, self._retry_seconds = 0.0, self._settings.retry_seconds
        if answer == Answer.REFUSED:
            self._lose(report, f"the API refused it: {self._connection.problem}")
        elif answer == Answer.FENCED:
            self.fenced = True
            logger.error("a newer attempt of this flow run has taken over; this one ends")
            self._on_fenced()
        return True

    def _lose(self, report: _Report, why: str) -> None:
        self.lost += max(report.weight, 1)
        logger.error("history lost: report %d with %d finished task runs and lines; %s", report.number, report.weight, why)
