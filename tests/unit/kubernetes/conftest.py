"""A clock that jumps instead of waiting, and an API server in memory."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest

from jumping import Clock, JumpingLoop
from memory_cluster import MemoryCluster
from mintaka_kubernetes import informer, leader_election

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[Clock]:
    """A clock that jumps."""
    loop = JumpingLoop()
    for module in (informer, leader_election):
        monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=loop.time))
    yield Clock(loop)
    loop.run_until_complete(loop.shutdown_asyncgens())
    loop.close()


@pytest.fixture
def cluster() -> MemoryCluster:
    """An API server in memory."""
    return MemoryCluster()
