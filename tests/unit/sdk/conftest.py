"""What tests of the SDK share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from mintaka.stopping import STOP

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(autouse=True)
def nobody_asked_to_stop() -> Iterator[None]:
    """Each test begins in a process that nobody asked to stop."""
    STOP.clear()
    yield
    STOP.clear()
