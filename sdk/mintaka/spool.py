"""Reports on disk while the API is away: append-only files, read back in the same order.

Each file is a series of gzip members, one report each, so `zcat` shows JSON lines and a member can be sent as it is. A
file whose reports were all acknowledged is deleted. Where reports stand is kept in memory: the process that wrote them
is the one that sends them; whatever it leaves behind names its reports by number, and sending one twice does no harm.
"""

from __future__ import annotations

import shutil
from collections import deque
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from pathlib import Path

_FILE_BYTES = 4 * 1024 * 1024


class _Place(NamedTuple):
    """Where a report stands; `last` where it is the last of its file."""

    path: Path
    offset: int
    length: int


class Spool:
    """Reports that wait in `folder`, at most `limit_bytes` of them."""

    def __init__(self, folder: Path, limit_bytes: int) -> None:
        self.folder = folder
        self._limit_bytes = limit_bytes
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

    def remove(self) -> None:
        """Delete the folder, once nothing waits in it."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _file_for(self, length: int) -> Path:
        if self._path is None or self._offset + length > _FILE_BYTES:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._files += 1
            self._path = self.folder / f"{self._files:06}.jsonl.gz"
            self._path.unlink(missing_ok=True)
            self._offset = 0
        return self._path
