"""What all tests share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

ROOT = Path(__file__).parent

#: Flows that tests call keep no history, but where a test is about that and says where to.
os.environ["MINTAKA_HISTORY"] = "off"

# How long an example takes says nothing where other tests share the machine.
settings.register_profile("mintaka", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("mintaka")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The tests of a file run in one process, one after the other; so do all of the cluster's, which share its installation."""
    for item in items:
        there = item.path.relative_to(ROOT)
        item.add_marker(pytest.mark.xdist_group("cluster" if there.parts[0] == "cluster" else str(there)))
