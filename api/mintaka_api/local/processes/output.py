"""The end of what a process prints, on disk, of bounded size, each line with the time at which it was read.

Two files: `output`, and `output.1` with the content of `output` when it was last full; together they hold at least the last
`LIMIT_BYTES`. Lines have the form of `kubectl logs --timestamps`.

Imported by the supervisor: only the standard library, and little of it.
"""

from __future__ import annotations

import os
from contextlib import suppress
from time import gmtime, time

#: The size of each file.
LIMIT_BYTES = 4 * 1024 * 1024
#: How much of the end is kept in memory, for the verdict: a full disk does not affect it.
TAIL_BYTES = 4096
#: A longer line is stored as several.
_LONGEST_LINE = 64 * 1024
OUTPUT, _OLDER = "output", "output.1"


class Output:
    """Stores output in `folder`; never raises. `full` is True once the disk was full, and `dropped` counts bytes that are lost."""

    def __init__(self, folder: str) -> None:
        self._path = f"{folder}/{OUTPUT}"
        self._older = f"{folder}/{_OLDER}"
        self._descriptor: int | None = None
        self._size = 0
        self._in_line = 0
        self.tail = b""
        self.full = False
        self.dropped = 0

    def add(self, chunk: bytes) -> None:
        """Store what was read."""
        self.tail = (self.tail + chunk)[-TAIL_BYTES:]
        begin, ends_at = stamp(), chunk.rfind(b"\n")
        too_long = b"\n" not in chunk[:_LONGEST_LINE] and self._in_line + len(chunk) > _LONGEST_LINE
        text = chunk.replace(b"\n", b"\n" + begin)
        if not self._in_line:
            text = begin + text
        elif too_long:
            text = b"\n" + begin + text
        if ends_at == len(chunk) - 1:
            text = text[: -len(begin)]
        self._in_line = len(chunk) - ends_at - 1 if ends_at >= 0 or too_long else self._in_line + len(chunk)
        if self._size >= LIMIT_BYTES and b"\n" in text:  # each file begins with a whole line
            line, _, text = text.partition(b"\n")
            self._write(line + b"\n")
            self._rotate()
        self._write(text)

    def _write(self, text: bytes) -> None:
        try:
            if self._descriptor is None:
                self._descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
                self._size = os.fstat(self._descriptor).st_size
            written = os.write(self._descriptor, text)
        except OSError:
            self.full = True
            self.dropped += len(text)
            return
        self._size += written
        if written < len(text):
            self.full = True
            self.dropped += len(text) - written

    def _rotate(self) -> None:
        self.close()
        with suppress(OSError):
            os.replace(self._path, self._older)  # noqa: PTH105 - pathlib takes a megabyte
        self._size = 0

    def close(self) -> None:
        """Close the file."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def read_output(folder: str, limit: int) -> tuple[bytes, bool]:
    """The last `limit` bytes, beginning with a whole line, and whether earlier output is missing."""
    parts: list[bytes] = []
    whole = 0
    for name in (_OLDER, OUTPUT):
        try:
            with open(f"{folder}/{name}", "rb") as file:  # noqa: PTH123 - as above
                size = os.fstat(file.fileno()).st_size
                whole += size
                file.seek(max(size - limit, 0))
                parts.append(file.read(limit))
        except FileNotFoundError:
            continue
    text = b"".join(parts)
    if whole <= limit:
        return text, False
    return text[-limit:].partition(b"\n")[2], True


def output_size(folder: str) -> tuple[int, int]:
    """A value that changes when output is added: the number of the file and its size."""
    try:
        status = os.stat(f"{folder}/{OUTPUT}")  # noqa: PTH116 - as above
    except FileNotFoundError:
        return (0, 0)
    return (status.st_ino, status.st_size)


def stamp() -> bytes:
    """The current time as `kubectl logs --timestamps` writes it before a line."""
    now = time()
    year, month, day, hour, minute, second = gmtime(now)[:6]
    return f"{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{int(now % 1 * 1e9):09}Z ".encode()
