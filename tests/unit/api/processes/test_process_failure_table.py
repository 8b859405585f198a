"""The page docs/process-failure-table.md matches the table in the code."""

from __future__ import annotations

from pathlib import Path

from mintaka_api.local.processes.process_failure_table import main, render

PAGE = Path(__file__).parents[4] / "docs" / "process-failure-table.md"


def test_the_page_is_current(tmp_path: Path) -> None:
    hint = "run: python -m mintaka_api.local.processes.process_failure_table docs/process-failure-table.md"
    assert PAGE.read_text(encoding="utf-8") == render(), hint
    main(str(tmp_path / "page.md"))
    assert (tmp_path / "page.md").read_text(encoding="utf-8") == render()
