"""The wait that a server requests before another pod is created."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from mintaka_controller.create_backoff import CreateBackoff, Place
from mintaka_core.states import CRASHED
from mintaka_core.workloads import CreateError, CreateErrorKind

NOW = datetime(2026, 3, 4, 5, tzinfo=UTC)


@pytest.mark.parametrize(("asked_for", "wait"), [(None, 1), (0.0, 1), (77.0, 77), (86_400.0, 120), (1e300, 120), (float("inf"), 120)])
def test_a_wait_that_is_asked_for_is_obeyed_up_to_two_minutes(asked_for: float | None, wait: float) -> None:
    """A longer one would hold a whole namespace."""
    error = CreateError("AdmissionUnavailable", "later", CRASHED, None, CreateErrorKind.TRANSIENT, asked_for)
    refused, woken = CreateBackoff().refuse(Place(NOW, 1, ("sales", "nightly")), error, NOW)
    assert (refused.retry_time, woken) == (NOW + timedelta(seconds=wait), [])
