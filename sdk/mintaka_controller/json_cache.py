"""Resources as JSON text, the most recently used ones: what is dropped is read from the API server when it is needed again.

Without a limit, any user who may create objects in one namespace could fill the memory: a thousand of 256 KiB are enough.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mintaka_controller.ports import Name


class JsonCache:
    """JSON texts by (namespace, name), together at most `limit_bytes`, and at most `limit_count` of them."""

    def __init__(self, limit_bytes: int, limit_count: int | None = None) -> None:
        self._limit_bytes = limit_bytes
        self._limit_count = limit_count
        self._texts: OrderedDict[Name, bytes] = OrderedDict()
        self._bytes = 0

    def put(self, key: Name, text: bytes) -> None:
        """Store a text as the most recently used one; drop the least recently used ones if there are too many."""
        self.remove(key)
        self._texts[key] = text
        self._bytes += len(text)
        while self._bytes > self._limit_bytes or len(self._texts) > (self._limit_count or len(self._texts)):
            self._bytes -= len(self._texts.popitem(last=False)[1])

    def get(self, key: Name) -> bytes | None:
        """The text, None if it is not cached."""
        text = self._texts.get(key)
        if text is not None:
            self._texts.move_to_end(key)
        return text

    def remove(self, key: Name) -> None:
        """Forget the text of `key`."""
        self._bytes -= len(self._texts.pop(key, b""))
