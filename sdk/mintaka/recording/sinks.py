"""Where a recorder delivers to: the API over HTTP, or the embedded SQLite file.

A sink never raises: its answer says what became of a report, `problem` why it was not accepted. Only the historian's
thread calls it.
"""

from __future__ import annotations

import gzip
from typing import TYPE_CHECKING, Protocol

from mintaka.recording.sending import Answer, Connection
from mintaka.recording.wire import packed
from mintaka_core.wire_versions import WIRE_VERSION
from mintaka_history.batch_errors import MalformedBatch, OversizedBatch, UnservedVersion
from mintaka_history.batch_rows import StaleAttempt
from mintaka_history.batches import decode
from mintaka_history.embedded_sqlite import EmbeddedDatabase, HistoryBusy, HistoryUnreadable

if TYPE_CHECKING:
    from pathlib import Path

    from mintaka_history.batches import HistoryBatch


class Sink(Protocol):
    """See the module's words.

    `name` is what it is called in the log, `destination` its URL or file. `wants_beats` says that it cannot see whether the
    process lives, and has to be told now and then.
    """

    name: str
    destination: str
    wants_beats: bool

    @property
    def problem(self) -> str:
        """Why the last report was not accepted."""

    @property
    def previous(self) -> int | None:
        """The highest report of the attempt that was stored before the last accepted one; None if that is not known."""

    def deliver(self, flow_run_id: str, report: HistoryBatch, timeout_seconds: float) -> Answer:
        """Deliver a report, within about `timeout_seconds`."""

    def deliver_packed(self, flow_run_id: str, number: int, body: bytes, timeout_seconds: float, *, late: bool = False) -> Answer:
        """Deliver report `number` as it lay on disk; `late` where the process it speaks of may be gone."""

    def interrupt(self) -> None:
        """The process has to end: have a delivery that is under way fail now, if that can be done. From any thread."""

    def close(self) -> None:
        """Let go of connections that nobody else uses."""


class ApiSink:
    """The API at `url`."""

    name = "the API"
    wants_beats = True

    def __init__(self, url: str, timeout_seconds: float = 10.0) -> None:
        self.destination = url
        self._connection = Connection(url, timeout_seconds)

    @property
    def problem(self) -> str:
        """What the last answer other than ACCEPTED said."""
        return self._connection.problem

    @property
    def previous(self) -> int | None:
        """What the last ACCEPTED answer said."""
        return self._connection.previous

    def deliver(self, flow_run_id: str, report: HistoryBatch, timeout_seconds: float) -> Answer:
        """Send a report."""
        return self.deliver_packed(flow_run_id, report.report, packed(report), timeout_seconds)

    def deliver_packed(self, flow_run_id: str, number: int, body: bytes, timeout_seconds: float, *, late: bool = False) -> Answer:
        """Send report `number`, gzipped JSON."""
        return self._connection.send_report(flow_run_id, number, body, timeout_seconds, late=late)

    def interrupt(self) -> None:
        """Break the connection."""
        self._connection.interrupt()

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()


class EmbeddedSink:
    """The SQLite file `path`, opened when the first report comes and kept open for all flow runs of the process."""

    wants_beats = False

    def __init__(self, path: Path) -> None:
        self.destination = str(path)
        self.name = f"the database {path}"
        self.problem = ""
        self.previous: int | None = None
        self._path = path
        self._database: EmbeddedDatabase | None = None

    def deliver(self, flow_run_id: str, report: HistoryBatch, timeout_seconds: float) -> Answer:  # noqa: ARG002 - SQLite has its own
        """Store a report; durable when this returns ACCEPTED."""
        return self._taken_in(flow_run_id, report, late=False)

    def _taken_in(self, flow_run_id: str, report: HistoryBatch, *, late: bool) -> Answer:
        try:
            if self._database is None:
                self._database = EmbeddedDatabase(self._path)
            self.previous = self._database.store_batch(flow_run_id, report, late=late)
        except HistoryUnreadable as error:
            return self._because(error, Answer.HOPELESS)
        except HistoryBusy as error:
            return self._because(error, Answer.UNAVAILABLE if self._database is not None or error.passing else Answer.HOPELESS)
        except StaleAttempt as error:
            return self._because(error, Answer.FENCED)
        except MalformedBatch as error:
            return self._because(error, Answer.REFUSED)
        return Answer.ACCEPTED

    def deliver_packed(self, flow_run_id: str, number: int, body: bytes, timeout_seconds: float, *, late: bool = False) -> Answer:  # noqa: ARG002
        """Store a report as it lay on disk."""
        try:
            report = decode(gzip.decompress(body))
        except UnservedVersion as error:
            return self._because(error, Answer.TOO_NEW if error.version > WIRE_VERSION else Answer.TOO_OLD)
        except (MalformedBatch, OversizedBatch, OSError, EOFError) as error:
            return self._because(error, Answer.REFUSED)
        return self._taken_in(flow_run_id, report, late=late)

    def interrupt(self) -> None:
        """What SQLite is at is over soon."""

    def close(self) -> None:
        """Other flow runs of the process use it too: it stays open."""

    def _because(self, error: Exception, answer: Answer) -> Answer:
        self.problem = str(error)
        return answer
