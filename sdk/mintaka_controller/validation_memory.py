"""Caches the results of validating runs' parameters, so that a waiting run is not validated again and again."""

from __future__ import annotations

from collections import OrderedDict

_KEPT = 4096


class ValidationMemory:
    """The latest results by (run's uid, version of the validating resource)."""

    def __init__(self) -> None:
        self._verdicts: OrderedDict[tuple[str, int], str] = OrderedDict()

    def get(self, uid: str, version: int) -> str | None:
        """The errors found, "" for none; None if it was not validated."""
        return self._verdicts.get((uid, version))

    def put(self, uid: str, version: int, verdict: str) -> None:
        """Store a result."""
        self._verdicts[uid, version] = verdict
        while len(self._verdicts) > _KEPT:
            self._verdicts.popitem(last=False)
