"""What the processes that go on with a run are asked."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from mintaka.cli import supervising
from mintaka.persisting.kept_runs import KeptRun

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("words", [[], ["--json"], ["--no-progress"], ["--json", "--no-progress"]], ids=" ".join)
def test_a_run_that_goes_on_in_another_process_is_shown_as_it_was(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, words: list[str]
) -> None:
    """By the same options."""
    asked: list[list[str]] = []

    def child(_self: object, arguments: list[str], _run: str) -> int:
        asked.append(arguments)
        return 4 if len(asked) == 1 else 0

    monkeypatch.setenv("MINTAKA_HISTORY", "on")
    monkeypatch.setenv("MINTAKA_HOME", str(tmp_path))
    monkeypatch.setattr("sys.argv", ["mintaka", "run", "flow.py:main", "--restart-on-crash", "1", *words, "-p", "token=x"])
    monkeypatch.setattr(supervising.AskedToEnd, "child", child)
    kept = KeptRun("r", "r", "r", "f", "flow.py:main", None, (), ("token",))
    monkeypatch.setattr(supervising, "_kept", lambda _: kept)
    assert supervising.supervised(1, progress="--no-progress" not in words, json="--json" in words) == 0
    first, second = asked
    assert first == ["run", "flow.py:main", *words, "-p", "token=x"]
    assert (second[0], second[2:]) == ("resume", ["-p", "token=x", *words])
