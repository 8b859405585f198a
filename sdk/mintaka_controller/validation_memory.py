"""What validating the parameters of a run gave, so that a run that waits is not validated again and again."""

from __future__ import annotations

from collections import OrderedDict

_KEPT = 4096


class ValidationMemory:
    """The latest verdicts by (run's uid, version of what it is validated by)."""

    def __init__(self) -> None:
        self._verdicts: OrderedDict[tuple[str, int], str] = OrderedDict()

    def get(self, uid: str, version: int) -> str | None:
        """What was found wrong, "" for nothing; None if it was not validated."""
        return self._verdicts.get((uid, version))

    def put(self, uid: str, version: int, verdict: str) -> None:
        """Store a verdict."""
        self._verdicts[uid, version] = verdict
        while len(self._verdicts) > _KEPT:
            self._verdicts.popitem(last=False)
