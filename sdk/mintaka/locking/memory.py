"""Locks within one process."""

from __future__ import annotations

import threading
from time import monotonic

from mintaka.locking.waiting import until
from mintaka_core.durations import cap_seconds


class MemoryLockManager:
    """Locks in this process's memory; every manager of this kind sees the same ones."""

    _guard = threading.Lock()
    _held: dict[str, tuple[str, float | None]] = {}  # noqa: RUF012 - shared on purpose: two tasks' managers have to agree

    def acquire_lock(self, key: str, holder: str, acquire_timeout: float | None = None, hold_timeout: float | None = None) -> bool:
        """See `LockManager`."""
        return until(lambda: self._taken(key, holder, hold_timeout), acquire_timeout)

    def _taken(self, key: str, holder: str, hold_timeout: float | None) -> bool:
        with self._guard:
            if self._holder(key) not in (None, holder):
                return False
            self._held[key] = (holder, None if hold_timeout is None else monotonic() + cap_seconds(hold_timeout))
            return True

    def _holder(self, key: str) -> str | None:
        held = self._held.get(key)
        if held is None or (held[1] is not None and held[1] <= monotonic()):
            return None
        return held[0]

    def release_lock(self, key: str, holder: str) -> None:
        """See `LockManager`."""
        with self._guard:
            if self._holder(key) != holder:
                message = f"{holder} does not hold the lock of {key}"
                raise ValueError(message)
            del self._held[key]

    def is_locked(self, key: str) -> bool:
        """See `LockManager`."""
        return self._holder(key) is not None

    def is_lock_holder(self, key: str, holder: str) -> bool:
        """See `LockManager`."""
        return self._holder(key) == holder

    def wait_for_lock(self, key: str, timeout: float | None = None) -> bool:
        """See `LockManager`."""
        return until(lambda: not self.is_locked(key), timeout)
