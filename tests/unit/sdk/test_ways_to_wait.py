"""Whatever a flow waits for, SIGINT and SIGTERM end it within a second, and every run has an end."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import ways_to_wait
from mintaka_core.states import TERMINAL
from ways_to_wait import Case

pytestmark = pytest.mark.timeout(180)

#: Beyond what a flow's own clean-up takes; the machine of the tests may have other things to do.
SECONDS = 1.0
SLACK_SECONDS = 1.0

CASES = ways_to_wait.cases()


def name_of(case: Case) -> str:
    return f"{case.way}, in the {case.place}, {signal.Signals(case.signal).name}"


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[Case, dict[str, Any]]:
    """What became of all cases: they run a few at a time, in processes that one forks."""
    folder = tmp_path_factory.mktemp("ways")
    given, found = folder / "cases.json", folder / "results.json"
    given.write_text(json.dumps(CASES))
    script = Path(ways_to_wait.__file__)
    subprocess.run([sys.executable, script, given, found], check=True, env={**os.environ, "MINTAKA_HISTORY": "off"})
    return {Case(*result["case"]): result for result in json.loads(found.read_text())}


def test_there_are_more_than_forty_ways() -> None:
    assert len({case.way for case in CASES}) > 40


@pytest.mark.parametrize("case", CASES, ids=name_of)
def test_a_flow_that_waits_ends_on_a_signal(case: Case, results: dict[Case, dict[str, Any]]) -> None:
    result = results[case]
    assert result["seconds"] is not None, "it did not end"
    assert result["seconds"] < SECONDS + SLACK_SECONDS
    if case[::2] not in ways_to_wait.HIDDEN:
        assert result["code"] not in (0, -signal.SIGKILL)
    assert result["runs"] is not None
    assert set(result["runs"].values()) <= {str(kind) for kind in TERMINAL}
    if case.place.endswith("submitted task") and case[::2] not in ways_to_wait.HIDDEN:
        assert result["runs"]["waits-0"] != "COMPLETED"
