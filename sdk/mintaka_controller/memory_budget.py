"""Bounds the memory that parsed resources take: an object of 256 KiB of JSON, such as `[[],[],…]`, takes 6 MiB as Python objects.

The caches therefore store JSON. What is parsed lives as long as a key is reconciled; keys with large resources reserve what
their objects may take, and wait for one another if that exceeds the budget. Ordinary ones never wait.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

#: Bytes per occurrence, at most, on 64-bit CPython: a list, an object, another member, half of a string, another name.
_BYTES = {b"[": 88, b"{": 232, b",": 32, b'"': 32, b":": 16}
#: Up to this size even the worst case is small: 24 workers with such resources take less than 20 MiB.
LARGE_BYTES = 32 * 1024


def parsed_bytes(raw: bytes) -> int:
    """The most memory that a JSON text can take when it is parsed; about twice what an ordinary one takes."""
    return len(raw) + sum(raw.count(mark) * size for mark, size in _BYTES.items())


def reservation(raw: bytes) -> int:
    """What to reserve for reconciling a key with that resource: nothing for one that is not large."""
    return parsed_bytes(raw) if len(raw) > LARGE_BYTES else 0


class MemoryBudget:
    """A number of bytes of which parts can be reserved."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._free = limit
        self._changed = asyncio.Condition()

    @contextlib.asynccontextmanager
    async def reserve(self, size: int) -> AsyncIterator[None]:
        """Wait until so many bytes are free, or all of them for a larger size, and reserve them meanwhile."""
        size = min(size, self._limit)
        if not size:
            yield
            return
        async with self._changed:
            await self._changed.wait_for(lambda: self._free >= size)
            self._free -= size
        try:
            yield
        finally:
            self._free += size
            async with self._changed:
                self._changed.notify_all()
