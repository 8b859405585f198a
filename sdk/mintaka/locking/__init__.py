"""Locks that keep two runs from working on the same key at a time, beyond one process where they lie in a file system."""

from mintaka.locking.protocol import LockManager

__all__ = ["LockManager"]
