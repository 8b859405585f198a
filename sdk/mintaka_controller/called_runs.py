"""Which unfinished runs were called by which flow run, and which callers were cancelled: these runs are cancelled too.

A caller becomes CANCELLED once `spec.cancel` is set in each of these runs, so that it is not lost if the operator dies. Callers
are identified by their uids, because they may be in another namespace, or deleted. A run that left the cluster before it ended was
cancelled by its deletion, although no version of it says so.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from mintaka_controller.ports import Name

if TYPE_CHECKING:
    from mintaka_controller.run_cache import RunEntry

#: The number of deleted callers that are remembered.
_GONE_LIMIT = 10_000


def _wake_none(_runs: list[Name]) -> None: ...


@dataclass(slots=True)
class CalledRuns:
    """Belongs to a run cache. `wake` is called with runs whose caller was cancelled, and with a caller when one of them is cancelled."""

    wake: Callable[[list[Name]], None] = _wake_none
    #: By the uid of the caller; True for those that are to be cancelled already.
    _by_caller: dict[str, dict[Name, bool]] = field(default_factory=dict)
    _cancelled: dict[str, Name] = field(default_factory=dict)
    _gone: dict[str, None] = field(default_factory=dict)

    def put(self, key: Name, entry: RunEntry) -> None:
        """Add this version of a run, after `drop` of the one before."""
        self._gone.pop(entry.uid, None)
        if entry.caller and not entry.finished:
            self._by_caller.setdefault(entry.caller, {})[key] = entry.cancel or entry.deleting
        if entry.caller in self._cancelled and (entry.finished or entry.cancel or entry.deleting):
            self.wake([self._cancelled[entry.caller]])
        if not entry.cancels_called:
            self._cancelled.pop(entry.uid, None)
        elif entry.uid not in self._cancelled:
            self._cancelled[entry.uid] = key
            self._wake(entry.uid)

    def drop(self, key: Name, entry: RunEntry) -> None:
        """Forget a version of a run; another one follows, or `forget`."""
        called = self._by_caller.get(entry.caller)
        if called is not None:
            called.pop(key, None)
            if not called:
                del self._by_caller[entry.caller]

    def forget(self, entry: RunEntry) -> None:
        """Record that a run was deleted; `entry` is its last known version."""
        self._cancelled.pop(entry.uid, None)
        if entry.cancels_called or not entry.finished:
            self._gone[entry.uid] = None
            if len(self._gone) > _GONE_LIMIT:
                del self._gone[next(iter(self._gone))]
            self._wake(entry.uid)

    def is_cancelled(self, caller: str) -> bool:
        """Whether the run with that uid was cancelled, or deleted before it ended."""
        return caller in self._cancelled or caller in self._gone

    def of(self, caller: str) -> list[Name]:
        """The unfinished runs that the run with that uid called, but for detached ones."""
        return list(self._by_caller.get(caller, ()))

    def goes_on(self, caller: str) -> bool:
        """Whether one of them is not to be cancelled yet."""
        return not all(self._by_caller.get(caller, {}).values())

    def _wake(self, caller: str) -> None:
        if caller in self._by_caller:
            self.wake(self.of(caller))
