"""Reports on disk while they cannot be delivered: append-only files, read back in the same order.

Each file is a series of gzip members, one report each, so `zcat` shows JSON lines and a member can be sent as it is. A file
whose reports were all acknowledged is deleted. A file `owner` says whose reports they are and where they were to go; a file `lock` is
locked for as long as somebody sends them, be it the process that wrote them or, when that is gone, one that takes them over
(`mintaka.recording.leftovers`).
"""

from __future__ import annotations

import json
import shutil
from collections import deque
from typing import TYPE_CHECKING, NamedTuple
from uuid import uuid4

from mintaka.recording.spool_locks import LOCK, FolderLock

if TYPE_CHECKING:
    from pathlib import Path

#: The file that says whose reports a folder holds.
OWNER = "owner"
#: How the files with reports are called, in the order of their names.
PATTERN = "*.jsonl.gz"
_FILE_BYTES = 4 * 1024 * 1024


class Owner(NamedTuple):
    """Whose reports they are, and to which API or database (a URL, a file) they were to go; "" where that is not known."""

    flow_run: str
    destination: str

    def encode(self) -> bytes:
        """As it stands in the file."""
        return json.dumps(self._asdict()).encode()

    @classmethod
    def decode(cls, text: bytes) -> Owner:
        """What stands in the file.

        Raises:
            ValueError: it is something else.
        """
        try:
            told = json.loads(text)
            return cls(str(told["flow_run"]), str(told["destination"]))
        except (KeyError, TypeError) as error:
            message = f"it does not say whose history it is: {text[:100]!r}"
            raise ValueError(message) from error


class _Place(NamedTuple):
    """Where a report stands."""

    path: Path
    offset: int
    length: int


class Spool:
    """Reports of `owner` that wait in `folder`, at most `limit_bytes` of them; the folder is made when the first one comes."""

    def __init__(self, folder: Path, limit_bytes: int, owner: Owner) -> None:
        self.folder = folder
        self._owner = owner
        self._limit_bytes = limit_bytes
        self._lock: FolderLock | None = None
        self._places: deque[_Place] = deque()
        self._bytes = 0
        self._files = 0
        self._path: Path | None = None
        self._offset = 0

    def __len__(self) -> int:
        """How many reports wait."""
        return len(self._places)

    def append(self, body: bytes) -> bool:
        """Keep one report; False where the limit or the disk does not allow it."""
        if self._bytes + len(body) > self._limit_bytes:
            return False
        try:
            if self._lock is None:
                self._lock = self._made()
            path = self._file_for(len(body))
            with path.open("ab") as file:
                file.truncate(self._offset)  # what a full disk cut short the last time
                file.write(body)
        except OSError:
            return False
        self._places.append(_Place(path, self._offset, len(body)))
        self._offset += len(body)
        self._bytes += len(body)
        return True

    def oldest(self) -> bytes | None:
        """The report to be sent next; None where none waits.

        Raises:
            OSError: it cannot be read back.
        """
        if not self._places:
            return None
        place = self._places[0]
        with place.path.open("rb") as file:
            file.seek(place.offset)
            return file.read(place.length)

    def drop_oldest(self) -> None:
        """The oldest report was acknowledged, or will never be."""
        place = self._places.popleft()
        self._bytes -= place.length
        if not self._places or self._places[0].path != place.path:
            place.path.unlink(missing_ok=True)
            if place.path == self._path:
                self._path = None

    def close(self) -> None:
        """Nothing more is sent from here: the folder goes, or what is left in it may be taken over by others."""
        if not self._places and self._lock is not None:
            shutil.rmtree(self.folder, ignore_errors=True)
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    def _made(self) -> FolderLock:
        """Make the folder, ours before anybody else can see it."""
        parent = self.folder.parent
        parent.mkdir(parents=True, exist_ok=True)
        hidden = parent / f".{self.folder.name}.{uuid4().hex[:8]}"
        hidden.mkdir()
        try:
            (hidden / OWNER).write_bytes(self._owner.encode())
            (hidden / LOCK).touch()
            lock = FolderLock.of(hidden)
        except OSError:
            shutil.rmtree(hidden, ignore_errors=True)
            raise
        if self.folder.exists():  # an earlier process of this very attempt left it
            self.folder = parent / f"{self.folder.name}.{uuid4().hex[:8]}"
        hidden.rename(self.folder)
        if lock is None:  # nobody else knew of it
            message = f"{self.folder} cannot be locked"
            raise OSError(message)
        lock.moved(self.folder)
        return lock

    def _file_for(self, length: int) -> Path:
        if self._path is None or self._offset + length > _FILE_BYTES:
            self._files += 1
            self._path = self.folder / f"{self._files:06}.jsonl.gz"
            self._offset = 0
        return self._path
