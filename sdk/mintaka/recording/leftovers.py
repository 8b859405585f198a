"""History that a process left undelivered: taken in by whoever comes later, at least once.

A spool's folder whose process is gone can be locked; whoever has the lock sends the reports, oldest first, each file being
deleted when all of it was acknowledged, so two takers neither lose nor disturb anything, and what is sent twice does no harm.
What the last process was writing when it was killed may be cut short: that report is lost, which is logged. Reports that the API
or database will never accept (it rejects the report itself, or does not serve their wire version any more) are set aside, in
the folder `set-aside`, and logged. If it does not serve their wire version yet, they wait.
"""

from __future__ import annotations

import logging
import threading
import zlib
from collections import Counter
from contextlib import suppress
from time import monotonic
from typing import TYPE_CHECKING

import msgspec

from mintaka.exceptions import MissingResult, StorageError
from mintaka.logging import UNRECORDED
from mintaka.recording.leftover_places import local_leftovers
from mintaka.recording.sending import Answer

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator
    from pathlib import Path

    from mintaka.recording.leftover_places import Leftover
    from mintaka.recording.sinks import Sink
    from mintaka.recording.spool import Owner

logger = logging.getLogger(UNRECORDED)

_TIMEOUT_SECONDS = 10.0
#: For one report in a turn: flows that end meanwhile wait for the historian, and not for longer than they can bear.
_TURN_TIMEOUT_SECONDS = 1.0
_TURN_SECONDS = 0.2
_EXIT_SECONDS = 2.0
_GZIP = 16 + zlib.MAX_WBITS


class _Numbered(msgspec.Struct):
    report: int


_number_of = msgspec.json.Decoder(_Numbered).decode


def reports_in(blob: bytes) -> Iterator[tuple[int, bytes]]:
    """The reports of a file with their numbers, each as it was packed; the last number is 0 where something is no report."""
    while blob:
        unpacker = zlib.decompressobj(_GZIP)
        try:
            number = _number_of(unpacker.decompress(blob)).report
        except (zlib.error, msgspec.DecodeError, UnicodeDecodeError):
            number = 0
        if not number or not unpacker.eof:
            yield 0, blob
            return
        rest = unpacker.unused_data
        yield number, blob[: len(blob) - len(rest)]
        blob = rest


def taken_in(leftover: Leftover, owner: Owner, sink: Sink, timeout_seconds: float = _TIMEOUT_SECONDS) -> Generator[None, None, str]:
    """Send what is there; pauses after every report, and gives what became of it: "delivered", "refused" or "unavailable"."""
    for name in leftover.files():
        for number, body in reports_in(leftover.read(name)):
            if not number:
                logger.error("history lost: %s/%s ends with %d bytes that were cut short", leftover.place, name, len(body))
                continue
            answer = sink.deliver_packed(owner.flow_run, number, body, timeout_seconds, late=True)
            if answer in (Answer.REFUSED, Answer.FENCED, Answer.TOO_OLD):
                told = leftover.set_aside()
                logger.error(
                    "%s does not take report %d of flow run %s: %s; what was left of it is in %s",
                    sink.name,
                    number,
                    owner.flow_run,
                    sink.problem,
                    told,
                )
                return "refused"
            if answer != Answer.ACCEPTED:
                return "unavailable"
            yield
        leftover.drop(name)
    leftover.remove()
    return "delivered"


class Leftovers:
    """Has turns with the historian until all that was left in `folder` for this very sink is taken in, or it takes nothing."""

    def __init__(self, folder: Path, sink: Sink) -> None:
        self._folder = folder
        self._sink = sink
        self._steps = self._all()
        self._over = threading.Event()

    def turn(self) -> float | None:
        """Send for a moment."""
        until = monotonic() + _TURN_SECONDS
        try:
            while monotonic() < until:
                next(self._steps)
        except StopIteration:
            self._sink.close()
            self._over.set()
            return None
        except Exception:
            logger.exception("history that was left in %s cannot be taken in", self._folder)
            self._over.set()
            return None
        return 0.0

    def flush(self, deadline: float) -> None:
        """At the process's end: wait a little, so that also short scripts take in something."""
        self._over.wait(min(deadline - monotonic(), _EXIT_SECONDS))

    def _all(self) -> Iterator[None]:
        for leftover, lock in local_leftovers(self._folder):
            try:
                with suppress(OSError, ValueError):
                    owner = leftover.owner()
                    if owner.destination != self._sink.destination:
                        continue
                    end = yield from taken_in(leftover, owner, self._sink, _TURN_TIMEOUT_SECONDS)
                    if end == "delivered":
                        logger.info("history of flow run %s that was left in %s is delivered", owner.flow_run, leftover.place)
                    elif end == "unavailable":
                        return
            finally:
                lock.release()


def deliver_all(leftovers: Iterable[Leftover], sink: Sink) -> Counter[str]:
    """Take in all of `leftovers`; how many are "delivered", "refused", "unavailable" or "unreadable"."""
    ends: Counter[str] = Counter()
    for leftover in leftovers:
        try:
            owner = leftover.owner()
            steps = taken_in(leftover, owner, sink)
            while True:
                next(steps)
        except StopIteration as end:
            ends[end.value] += 1
        except MissingResult:  # somebody else takes it in
            ends["delivered"] += 1
        except (OSError, StorageError, ValueError, msgspec.DecodeError) as error:
            logger.error("%s cannot be read: %s", leftover.place, error)  # noqa: TRY400 - the traceback says no more
            ends["unreadable"] += 1
        if ends["unavailable"]:
            break
    return ends
