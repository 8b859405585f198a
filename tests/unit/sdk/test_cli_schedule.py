"""`mintaka schedule preview`: a sentence and the next times, of the command line and of a file."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from mintaka import cli

if TYPE_CHECKING:
    from pathlib import Path

BERLIN = ("--time-zone", "Europe/Berlin", "--from", "2026-03-28T12:00:00Z", "--count", "1")
MANIFEST = """
apiVersion: mintaka.dev/v1alpha1
kind: FlowDeployment
metadata: {name: etl}
spec:
  entrypoint: m:f
  schedules:
  - {name: s, interval: P1D, timeZone: UTC}
  - {name: broken, rrule: FREQ=DAILY;BYHOUR=99}
"""


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    """The exit code."""
    monkeypatch.setattr("sys.argv", ["mintaka", "schedule", "preview", *arguments])
    try:
        cli.main()
    except SystemExit as ended:
        return int(ended.code or 0)
    return 0


def test_a_cron_expression_has_a_note_when_clocks_change(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(monkeypatch, "--cron", "30 2 * * *", *BERLIN) == 0
    assert capsys.readouterr().out == (
        "At 02:30 every day, by the clock of Europe/Berlin.\n"
        "  Sun 2026-03-29 03:00:00+02:00  clocks go forward on 2026-03-29: 02:30 does not exist, moved to 03:00\n"
    )


def test_all_schedules_of_a_file_are_shown_and_a_bad_one_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "etl.yaml").write_text(MANIFEST)
    assert run(monkeypatch, str(tmp_path / "etl.yaml"), "--from", "2026-03-28T12:00:00Z", "--count", "1") == 1
    assert capsys.readouterr().out == (
        "etl/s: Every day with its time of day by the clock of UTC, counted from 2020-01-01 00:00:00+00:00.\n"
        "  Sun 2026-03-29 00:00:00+00:00\n\n"
        "etl/broken: rrule 'FREQ=DAILY;BYHOUR=99' is not valid: BYHOUR is between 0 and 23, not 99\n"
    )


@pytest.mark.parametrize("arguments", [(), ("etl", "--cron", "@daily"), ("--cron", "@daily", "--interval", "1h")])
def test_exactly_one_thing_is_previewed(arguments: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    assert run(monkeypatch, *arguments) == 2
