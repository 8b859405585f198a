"""The latest used resources, parsed: parsing is slow, and parsed ones can take twenty-five times as much memory as their JSON."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

from mintaka_controller.memory_budget import parsed_bytes

if TYPE_CHECKING:
    from mintaka_controller.ports import Name


class ParsedCache[Model]:
    """At least the very latest used, and others while they fit into `limit` bytes by the estimate of `parsed_bytes`."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._size = 0
        #: Size and model.
        self._latest: OrderedDict[Name, tuple[int, Model]] = OrderedDict()

    def get(self, key: Name) -> Model | None:
        """One that is still parsed."""
        known = self._latest.get(key)
        if known is None:
            return None
        self._latest.move_to_end(key)
        return known[1]

    def put(self, key: Name, raw: bytes, parsed: Model) -> None:
        """Store one as the latest used."""
        self.remove(key)
        size = parsed_bytes(raw)
        self._latest[key] = size, parsed
        self._size += size
        while self._size > self._limit and len(self._latest) > 1:
            self._size -= self._latest.popitem(last=False)[1][0]

    def remove(self, key: Name) -> None:
        """Forget one."""
        known = self._latest.pop(key, None)
        self._size -= known[0] if known else 0
