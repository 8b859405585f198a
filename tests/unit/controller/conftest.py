"""A clock that jumps instead of waiting, and an API server in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from jumping import Clock, JumpingLoop
from memory_cluster import MemoryCluster

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def clock() -> Iterator[Clock]:
    """A clock that jumps."""
    loop = JumpingLoop()
    yield Clock(loop)
    loop.run_until_complete(loop.shutdown_asyncgens())
    loop.close()


@pytest.fixture
def cluster() -> MemoryCluster:
    """An API server in memory."""
    return MemoryCluster()
