"""What tests of the SDK share."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import pytest

from mintaka.engine.child_processes import CHILD_PROCESSES
from mintaka.engine.stopping import STOP

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(autouse=True, scope="session")
def ctrl_c_is_heard() -> Iterator[None]:
    """Also where the tests run in the background of a shell, which has its children ignore SIGINT."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture(autouse=True)
def nobody_asked_to_stop() -> Iterator[None]:
    """Each test begins in a process that nobody asked to stop."""
    STOP.clear()
    yield
    STOP.clear()


@pytest.fixture(autouse=True)
def this_process_is_the_tests(monkeypatch: pytest.MonkeyPatch) -> None:
    """A command that a test calls here does not end what this process has started, as it does in its own."""
    monkeypatch.setattr(CHILD_PROCESSES, "dedicate", lambda: None)
