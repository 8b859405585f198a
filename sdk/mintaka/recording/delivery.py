"""The recorder: history goes to a sink in batches.

What runs, logs and artifacts have to say waits in the outbox; the process's historian empties it every half second, or as
soon as a batch is full, and sends what was in it on its way. The flow itself waits for neither server nor disk, only, at
most, for room in the outbox, and at its end for the last report.
"""

from __future__ import annotations

import itertools
import logging
import threading
from collections import deque
from pathlib import Path
from tempfile import gettempdir
from time import monotonic
from typing import TYPE_CHECKING

from mintaka.logging import UNRECORDED
from mintaka.recording.delivery_settings import DeliverySettings
from mintaka.recording.despatch import Despatch
from mintaka.recording.historian import historian
from mintaka.recording.outbox import Outbox
from mintaka.recording.recorder import Delivery
from mintaka.recording.spool import Owner, Spool
from mintaka.recording.wire import Contents, history_batch, local_run
from mintaka_core.history_reasons import DATABASE_REASONS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from mintaka.context import Launch
    from mintaka.engine.runs import Run
    from mintaka.recording.sinks import Sink
    from mintaka_history.batches import HistoryBatch, LocalRun

logger = logging.getLogger(UNRECORDED)

#: How long after the deadline the historian may take to put the rest on disk.
_CLOSE_SECONDS = 1.5
#: How long after the deadline a try that is under way may still come to its own end.
_INTERRUPT_SECONDS = 0.25
_POLL_SECONDS = 0.1


class HistoryRecorder:
    """Hands the history of `launch`'s flow run to `sink`. `on_fenced` is called (by the historian) at most once."""

    def __init__(
        self, sink: Sink, launch: Launch, settings: DeliverySettings | None = None, on_fenced: Callable[[], object] = lambda: None
    ) -> None:
        self._settings = settings = settings or DeliverySettings()
        self._launch = launch
        folder = settings.spool_folder or Path(gettempdir(), "mintaka-spool")
        owner = Owner(launch.flow_run_id, sink.destination)
        self._spool = Spool(folder / f"{launch.flow_run_id}-{launch.attempt}", settings.spool_limit_bytes, owner)
        self._beats = launch.local and sink.wants_beats
        self._despatch = Despatch(sink, self._spool, launch.flow_run_id, settings, on_fenced)
        self._historian = historian()
        self._outbox = Outbox(settings, self._historian, self._owners)
        self._report_numbers = itertools.count(1)
        self._waiters: deque[threading.Event] = deque()
        self._done = threading.Event()
        self._said_all = False
        self._said_reason = False
        self._broken = False
        #: What every thread calls; see `mintaka.recording.recorder.Recorder`.
        self.changed = self._outbox.changed
        self.log = self._outbox.log
        self.keep = self._outbox.keep
        self.emit = self._outbox.emit
        self._historian.add(self)

    # -- called from every thread -------------------------------------------------------------------------------------

    @property
    def fenced(self) -> bool:
        """True where a newer attempt has taken over."""
        return self._despatch.fenced

    def flush(self, deadline: float) -> None:
        """Wait until what is there now was delivered or kept on disk, at most until `deadline` (`time.monotonic()`)."""
        turned = threading.Event()
        self._waiters.append(turned)
        self._historian.wake.set()
        turned.wait(max(deadline - monotonic(), 0))

    def close(self, deadline: float) -> Delivery:
        """Deliver what is left until `deadline` (`time.monotonic()`), then stop; say what became of it."""
        self._despatch.deadline = deadline
        self._historian.wake.set()
        interrupted = False
        while not self._done.wait(_POLL_SECONDS) and monotonic() < self._despatch.deadline + _CLOSE_SECONDS:
            if monotonic() > self._despatch.deadline + _INTERRUPT_SECONDS and not interrupted:
                interrupted = True
                self._despatch.interrupt()
            self._historian.wake.set()
        waiting = self._despatch.waiting or not self._done.is_set()
        lost = self._despatch.lost
        reason = self._despatch.reason
        complete = not (waiting or lost or reason or self.fenced or self._broken) and self._outbox.empty
        return Delivery(complete, str(self._spool.folder) if waiting else "", lost, reason)

    def hurry(self, deadline: float) -> None:
        """While it closes: be done by `deadline` if that is earlier. Safe to call from a signal handler."""
        if self._despatch.deadline is not None:
            self._despatch.deadline = min(self._despatch.deadline, deadline)

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
            self._outbox.closed = True
            self._despatch.close()
            self._done.set()
        self._outbox.made_room()
        return left

    def _turned(self) -> float | None:
        closing = self._despatch.deadline is not None
        if not self.fenced:
            self._flush()
        if self.fenced:
            return None
        if not closing:
            if self._beats and self._despatch.idle(self._settings.beat_seconds):
                self._despatch.put(self._made(Contents([], [], [], {}, None), final=False), 0, self._relieve)
            return self._settings.flush_seconds
        return self._finished()

    def _flush(self) -> None:
        """Deliver or spool all that waits."""
        self._despatch.resend(self._relieve)
        while not self.fenced and (made := self._report()) is not None:
            self._despatch.put(*made, self._relieve)
            self._outbox.made_room()

    def _relieve(self) -> None:
        """Make room in the outbox while older reports are still under way."""
        if self._outbox.crowded:
            while (made := self._report()) is not None:
                self._despatch.keep(*made)
            self._outbox.made_room()

    def _finished(self) -> float | None:
        """The flow is over: what waits on disk is tried until the deadline; the last report says that it was all."""
        despatch = self._despatch
        # The answer to the last report may be what shows a loss: then another report states it.
        while not (self._said_all and self._said_all_of_the_loss) and (not despatch.waiting or despatch.overdue):
            self._said_all = True
            despatch.put_last(self._made(Contents([], [], [], {}, None), final=not (despatch.lost or despatch.reason)))
        return despatch.pause if despatch.waiting and not self.fenced and not despatch.overdue else None

    def _report(self) -> tuple[HistoryBatch, int] | None:
        """The next report of what waits, with its weight; None where nothing does."""
        contents, weight, about_itself = self._outbox.take()
        if not (contents.tasks or contents.logs or contents.artifacts or contents.events or (about_itself and self._launch.local)):
            return None
        despatch = self._despatch
        all_of_it = despatch.deadline is not None and self._outbox.empty and not (despatch.waiting or despatch.lost or despatch.reason)
        self._said_all = self._said_all or all_of_it
        return self._made(contents, final=all_of_it), weight

    @property
    def _said_all_of_the_loss(self) -> bool:
        """True if no report to the database is needed that what it had of the attempt is gone."""
        return self._said_reason or self._despatch.reason not in DATABASE_REASONS

    def _made(self, contents: Contents, *, final: bool) -> HistoryBatch:
        """The next report, of these contents."""
        contents = contents._replace(counts=self._outbox.counts(), local=self._local(), final=final, lost=self._despatch.reason)
        self._said_reason = self._said_reason or contents.lost is not None
        return history_batch(self._launch, next(self._report_numbers), contents)

    def _owners(self) -> Mapping[int, Run]:
        """The called flow runs that runs are part of, by the numbers of these."""
        ledger = self._launch.ledger
        return {} if ledger is None else ledger.ids.owners

    def _local(self) -> LocalRun | None:
        run = self._launch.run
        return local_run(self._launch, run) if self._launch.local and run is not None else None
