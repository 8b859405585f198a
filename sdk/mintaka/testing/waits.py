"""Retries without their waits."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from mintaka.engine.stopping import STOP

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def no_waiting() -> Iterator[list[float]]:
    """Inside the block, no run waits for its retry; yields the waits that were skipped, in seconds, as they come.

    with no_waiting() as waits:
        my_flow()
    assert waits == pytest.approx([1, 2, 4], abs=0.1)
    """
    before, STOP.skipped = STOP.skipped, []
    try:
        yield STOP.skipped
    finally:
        STOP.skipped = before
