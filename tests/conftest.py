"""What all tests share."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, settings
from xdist.scheduler import LoadScopeScheduling

if TYPE_CHECKING:
    from collections.abc import Generator

#: Flows that tests call keep no history, but where a test is about that and says where to.
os.environ["MINTAKA_HISTORY"] = "off"
#: Terminals of tests have sizes of their own; that of pytest's, which its workers are told, is none of theirs.
for _name in ("COLUMNS", "LINES"):
    os.environ.pop(_name, None)

# How long an example takes says nothing where other tests share the machine.
settings.register_profile("mintaka", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("mintaka")


class ByFile(LoadScopeScheduling):  # type: ignore[misc] - xdist has no types
    """The tests of a file run in one process, one after the other; so do all of the cluster's, which share its installation."""

    def _split_scope(self, nodeid: str) -> str:
        return "cluster" if nodeid.startswith("tests/cluster/") else nodeid.partition("::")[0]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Workers send reports as UTF-8, which half of a surrogate pair in a captured log line is not."""
    report = yield
    report.sections = [(title, text.encode(errors="backslashreplace").decode()) for title, text in report.sections]
    return report


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> ByFile:
    """Documented by xdist for schedules of one's own."""
    return ByFile(config, log)
