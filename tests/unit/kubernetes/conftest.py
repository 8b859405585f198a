"""A clock that jumps instead of waiting."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest

from jumping import Clock, JumpingLoop
from mintaka_kubernetes import informer

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[Clock]:
    """A clock that jumps."""
    loop = JumpingLoop()
    monkeypatch.setattr(informer, "time", SimpleNamespace(monotonic=loop.time))
    yield Clock(loop)
    loop.run_until_complete(loop.shutdown_asyncgens())
    loop.close()
