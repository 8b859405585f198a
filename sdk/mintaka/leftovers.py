"""History that a process left undelivered: taken in by whoever comes later, at least once.

A spool's folder whose process is gone can be locked; whoever has the lock sends the reports, oldest first, each file being
deleted when all of it was acknowledged, so two takers neither lose nor disturb anything, and what is sent twice does no harm.
What the last process was writing when it was killed may be cut short: that report is lost, and said so. Reports that the API
or database will never take (it says so of the report itself) are set aside, in the folder `set-aside`, and said.
"""

from __future__ import annotations

import logging
import shutil
import threading
import zlib
from collections import Counter
from contextlib import suppress
from time import monotonic
from typing import TYPE_CHECKING, Protocol

import msgspec

from mintaka.exceptions import MissingResult, StorageError
from mintaka.logging import UNRECORDED
from mintaka.sending import Answer
from mintaka.spool import OWNER, PATTERN, Owner
from mintaka.spool_locks import KNOWS_THE_DEAD, FolderLock

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator, Sequence
    from pathlib import Path

    from mintaka.result_storage import ResultStorage
    from mintaka.sinks import Sink

logger = logging.getLogger(UNRECORDED)

#: Where spools lie in a storage of results.
UPLOADED = "spools"
SET_ASIDE = "set-aside"
_TIMEOUT_SECONDS = 10.0
_TURN_SECONDS = 0.2
_EXIT_SECONDS = 2.0
_GZIP = 16 + zlib.MAX_WBITS


class _Numbered(msgspec.Struct):
    report: int


_number_of = msgspec.json.Decoder(_Numbered).decode


class Leftover(Protocol):
    """What one process left. Its methods raise OSError or StorageError where it cannot be reached."""

    place: str

    def owner(self) -> Owner:
        """Whose it is; raises ValueError where that cannot be told."""

    def files(self) -> Sequence[str]:
        """The names of the files with reports, oldest first."""

    def read(self, name: str) -> bytes:
        """One of them."""

    def drop(self, name: str) -> None:
        """It was taken in."""

    def remove(self) -> None:
        """All was taken in."""

    def set_aside(self) -> str:
        """Nobody will take it in; where it is from now on."""


class LocalLeftover:
    """A folder of this machine, locked by us."""

    def __init__(self, folder: Path) -> None:
        self.place = str(folder)
        self._folder = folder

    def owner(self) -> Owner:
        """What its file says."""
        return Owner.decode((self._folder / OWNER).read_bytes())

    def files(self) -> Sequence[str]:
        """In the order of their numbers."""
        return sorted(path.name for path in self._folder.glob(PATTERN))

    def read(self, name: str) -> bytes:
        """The bytes of a file."""
        return (self._folder / name).read_bytes()

    def drop(self, name: str) -> None:
        """Delete a file."""
        (self._folder / name).unlink(missing_ok=True)

    def remove(self) -> None:
        """Delete the folder."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def set_aside(self) -> str:
        """Move it."""
        aside = self._folder.parent / SET_ASIDE / self._folder.name
        aside.parent.mkdir(exist_ok=True)
        shutil.move(self._folder, aside)
        return str(aside)


class UploadedLeftover:
    """What a pod put into its storage of results; it may be taken in twice at once, which does no harm."""

    def __init__(self, storage: ResultStorage, name: str) -> None:
        self.place = f"{storage.url}/{UPLOADED}/{name}"
        self._storage = storage
        self._name = name

    def owner(self) -> Owner:
        """What its object says."""
        return Owner.decode(self._storage.read(f"{UPLOADED}/{self._name}/{OWNER}"))

    def files(self) -> Sequence[str]:
        """In the order of their numbers."""
        return sorted(name for name in self._storage.names(f"{UPLOADED}/{self._name}") if name != OWNER)

    def read(self, name: str) -> bytes:
        """The bytes of an object."""
        return self._storage.read(f"{UPLOADED}/{self._name}/{name}")

    def drop(self, name: str) -> None:
        """Delete an object."""
        self._storage.delete(f"{UPLOADED}/{self._name}/{name}")

    def remove(self) -> None:
        """Delete what is left."""
        self.drop(OWNER)

    def set_aside(self) -> str:
        """Copy, then delete."""
        for name in (*self.files(), OWNER):
            self._storage.write(f"{UPLOADED}-{SET_ASIDE}/{self._name}/{name}", self.read(name))
            self.drop(name)
        return f"{self._storage.url}/{UPLOADED}-{SET_ASIDE}/{self._name}"


def spools(folder: Path) -> list[Path]:
    """The spools in `folder`, those of living processes too; what was set aside is none."""
    if not folder.is_dir():
        return []
    return sorted(each for each in folder.iterdir() if not each.name.startswith(".") and each.name != SET_ASIDE)


def local_leftovers(folder: Path) -> Iterator[tuple[LocalLeftover, FolderLock]]:
    """The spools in `folder` whose process is gone, each locked; whoever asks for the next one has to release it."""
    for each in spools(folder) if KNOWS_THE_DEAD else ():
        with suppress(OSError):
            if (lock := FolderLock.of(each)) is not None:
                yield LocalLeftover(each), lock


def uploaded_leftovers(storage: ResultStorage) -> Iterator[UploadedLeftover]:
    """The spools in a storage of results.

    Raises:
        StorageError: it cannot be read.
    """
    for name in storage.names(UPLOADED):
        yield UploadedLeftover(storage, name)


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


def taken_in(leftover: Leftover, owner: Owner, sink: Sink) -> Generator[None, None, str]:
    """Send what is there; pauses after every report, and gives what became of it: "delivered", "refused" or "unavailable"."""
    for name in leftover.files():
        for number, body in reports_in(leftover.read(name)):
            if not number:
                logger.error("history lost: %s/%s ends with %d bytes that were cut short", leftover.place, name, len(body))
                continue
            answer = sink.deliver_packed(owner.flow_run, number, body, _TIMEOUT_SECONDS, late=True)
            if answer in (Answer.REFUSED, Answer.FENCED):
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
                    end = yield from taken_in(leftover, owner, self._sink)
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
