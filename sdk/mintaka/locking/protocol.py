"""What a lock manager offers."""

from __future__ import annotations

from typing import Protocol


class LockManager(Protocol):
    """Grants a key to one holder at a time. Seconds are floats; None means for ever."""

    def acquire_lock(self, key: str, holder: str, acquire_timeout: float | None = None, hold_timeout: float | None = None) -> bool:
        """Wait at most `acquire_timeout` (0: not at all) for `key`; True where `holder` has it, for at most `hold_timeout`."""

    def release_lock(self, key: str, holder: str) -> None:
        """Let go of it.

        Raises:
            ValueError: `holder` does not hold it.
        """

    def is_locked(self, key: str) -> bool:
        """True while somebody holds it."""

    def is_lock_holder(self, key: str, holder: str) -> bool:
        """True while `holder` holds it."""

    def wait_for_lock(self, key: str, timeout: float | None = None) -> bool:
        """Wait until nobody holds it; False where that takes longer than `timeout`."""
