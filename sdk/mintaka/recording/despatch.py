"""Reports on their way to a sink, through the disk while the sink does not take them.

A report that cannot be delivered goes to the spool, and so do all after it, in order, until the sink takes the oldest one
again; nothing is taken out before it was acknowledged. What the spool cannot hold is lost, counted and said.

A sink that does not serve the wire version of the reports is not called again. If it is older than this SDK, the reports go to
the spool, since a sink that is upgraded takes them; if it is newer, none will ever take them, and they are dropped.
"""

from __future__ import annotations

import logging
from collections import deque
from dataclasses import dataclass
from time import monotonic
from typing import TYPE_CHECKING

from mintaka.logging import UNRECORDED
from mintaka.recording.sending import Answer
from mintaka.recording.wire import packed
from mintaka_core.history_reasons import SENTENCES, HistoryReason
from mintaka_history.batches import HistoryBatch

if TYPE_CHECKING:
    from collections.abc import Callable

    from mintaka.recording.delivery_settings import DeliverySettings
    from mintaka.recording.sinks import Sink
    from mintaka.recording.spool import Spool

logger = logging.getLogger(UNRECORDED)

_SHORTEST_PAUSE_SECONDS = 0.01


@dataclass(slots=True)
class _Item:
    """A report on its way; `weight` is how much is lost with it. On disk it is no longer held here."""

    number: int
    report: HistoryBatch | None
    weight: int


class Despatch:
    """The way of one flow run's reports to `sink`; only the historian's thread goes it.

    `on_fenced` is called at most once. `deadline` is when it has to be over (`time.monotonic()`, None: not yet known).
    """

    def __init__(self, sink: Sink, spool: Spool, flow_run_id: str, settings: DeliverySettings, on_fenced: Callable[[], object]) -> None:
        self._sink = sink
        self._spool = spool
        self._flow_run_id = flow_run_id
        self._settings = settings
        self._on_fenced = on_fenced
        self._spooled: deque[_Item] = deque()
        self._next_try = 0.0
        self._retry_seconds = settings.retry_seconds
        self._hopeless = False
        self._unwanted = False
        self._acknowledged = 0
        self._last_put = monotonic()
        self.deadline: float | None = None
        self.fenced = False
        self.lost = 0
        #: Why history is incomplete, if it is for a special reason.
        self.reason: HistoryReason | None = None

    @property
    def waiting(self) -> int:
        """How many reports are on disk."""
        return len(self._spooled)

    @property
    def overdue(self) -> bool:
        """True where nothing more is tried."""
        return self._hopeless or self._unwanted or (self.deadline is not None and monotonic() >= self.deadline)

    def idle(self, seconds: float) -> bool:
        """True where the sink has heard nothing for so long, and nothing is on its way to it."""
        return not self._spooled and monotonic() - self._last_put >= seconds

    @property
    def pause(self) -> float:
        """Seconds until the next try of what is on disk."""
        until = self._next_try if self.deadline is None else min(self._next_try, self.deadline)
        return max(until - monotonic(), _SHORTEST_PAUSE_SECONDS)

    def put(self, report: HistoryBatch, weight: int, relieve: Callable[[], None]) -> None:
        """Deliver a report, or keep it on disk; `relieve` is called now and then while older ones go first."""
        item = _Item(report.report, report, weight)
        self._last_put = monotonic()
        if self._spooled or self.overdue or monotonic() < self._next_try or not self._delivered(item):
            self._keep(item)
            self.resend(relieve)

    def put_last(self, report: HistoryBatch) -> None:
        """Deliver the report that says that there is no other, or keep it on disk."""
        item = _Item(report.report, report, 0)
        if self._spooled or self.overdue or not self._delivered(item):
            self._keep(item)

    def keep(self, report: HistoryBatch, weight: int) -> None:
        """Put a report on disk, behind those that are there."""
        self._keep(_Item(report.report, report, weight))

    def resend(self, relieve: Callable[[], None]) -> None:
        """Deliver what is on disk, oldest first, as far as the sink takes it."""
        while self._spooled and not self.fenced and monotonic() >= self._next_try and not self.overdue:
            item = self._spooled[0]
            try:
                body = self._spool.oldest() or b""
            except OSError as error:
                self._lose(item, f"the spool cannot be read: {error}")
            else:
                answer = self._sink.deliver_packed(self._flow_run_id, item.number, body, self._timeout())
                if not self._judged(item, answer):
                    return
            self._spooled.popleft()
            self._spool.drop_oldest()
            relieve()
        while self._unwanted and self._spooled:
            self._spooled.popleft()
            self._spool.drop_oldest()

    def interrupt(self) -> None:
        """Have a try that is under way fail, so that there is time to put the report on disk; from any thread."""
        self._sink.interrupt()

    def close(self) -> None:
        """All is delivered, or nothing more will be: what is left on disk is for others to deliver."""
        self._spool.close()
        self._sink.close()

    def _keep(self, item: _Item) -> None:
        """Put a report on disk, or lose it."""
        if self.fenced:
            return
        if self._unwanted:
            self.lost += max(item.weight, 1)
            return
        if item.report is not None and self._spool.append(packed(item.report)):
            item.report = None
            self._spooled.append(item)
        else:
            told = "set MINTAKA_HOME to a folder that has room and can be written, or keep no history (MINTAKA_HISTORY=off)"
            self._lose(item, f"the spool {self._spool.folder} is full or cannot be written: {told}")

    def _timeout(self) -> float:
        """Seconds that one try may take."""
        seconds = self._settings.timeout_seconds
        return seconds if self.deadline is None else min(seconds, max(self.deadline - monotonic(), 0.01))

    def _delivered(self, item: _Item) -> bool:
        """Deliver one report; True where it needs no further try."""
        return item.report is None or self._judged(item, self._sink.deliver(self._flow_run_id, item.report, self._timeout()))

    def _judged(self, item: _Item, answer: Answer) -> bool:
        """Act on the sink's answer; True where the report needs no further try."""
        if answer in (Answer.TOO_NEW, Answer.TOO_OLD):
            self._not_served(item, answer)
            return answer == Answer.TOO_OLD
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
        if answer == Answer.ACCEPTED:
            self._compare(item.number)
            if self._next_try:
                logger.info("%s takes history again", self._sink.name)
        self._next_try, self._retry_seconds = 0.0, self._settings.retry_seconds
        if answer == Answer.REFUSED:
            self._lose(item, f"{self._sink.name} refused it: {self._sink.problem}")
        elif answer == Answer.FENCED:
            self.fenced = True
            logger.error("a newer attempt of this flow run has taken over; this one ends")
            self._on_fenced()
        return True

    def _not_served(self, item: _Item, answer: Answer) -> None:
        """The sink serves other wire versions: it is not called again."""
        self.reason = HistoryReason.WIRE_VERSION_NOT_SERVED
        if answer == Answer.TOO_NEW:
            self._hopeless = True
            rest = "it is kept on disk, for the next process or mintaka deliver to send once that is upgraded"
        else:
            self._unwanted = True
            self.lost += max(item.weight, 1) + sum(max(other.weight, 1) for other in self._spooled if other is not item)
            rest = "the flow goes on without history"
        logger.error("%s does not take the history of this run: %s; %s", self._sink.name, self._sink.problem, rest)

    def _compare(self, number: int) -> None:
        """Compare what the sink had of the attempt before report `number` with what it acknowledged: it may have been replaced or restored."""
        previous = self._sink.previous
        if previous is not None and previous < self._acknowledged and self.reason is None:
            self.reason = HistoryReason.HISTORY_LOST if previous else HistoryReason.SCHEMA_REPLACED
            logger.error("the history of this run is incomplete: %s", SENTENCES[self.reason])
        self._acknowledged = max(self._acknowledged, number)

    def _lose(self, item: _Item, why: str) -> None:
        self.lost += max(item.weight, 1)
        logger.error("history lost: report %d with %d finished task runs and lines; %s", item.number, item.weight, why)
