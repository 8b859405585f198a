"""A clock that jumps instead of waiting, and an API server in memory."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings

from jumping import Clock, JumpingLoop
from memory_cluster import MemoryCluster
from mintaka_operator import informing, leading, queueing

if TYPE_CHECKING:
    from collections.abc import Iterator

# How long an example takes says nothing where other tests share the machine.
settings.register_profile("operator", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("operator")


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[Clock]:
    """A clock that jumps."""
    loop = JumpingLoop()
    for module in (queueing, leading, informing):
        monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=loop.time))
    yield Clock(loop)
    loop.run_until_complete(loop.shutdown_asyncgens())
    loop.close()


@pytest.fixture
def cluster() -> MemoryCluster:
    """An API server in memory."""
    return MemoryCluster()
