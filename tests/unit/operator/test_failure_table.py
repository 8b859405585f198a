"""The page docs/failure-table.md is the table that decides."""

from __future__ import annotations

from pathlib import Path

import pytest

from mintaka_operator.diagnosis import ELSEWHERE
from mintaka_operator.failure_table import main, render
from mintaka_operator.pending_reasons import PENDING_REASONS
from mintaka_operator.pod_verdicts import POD_VERDICTS

PAGE = Path(__file__).parents[3] / "docs" / "failure-table.md"


class TestFailureTable:
    def test_the_committed_page_is_current(self) -> None:
        told = "run: python -m mintaka_operator.failure_table docs/failure-table.md"
        assert PAGE.read_text(encoding="utf-8") == render(), told

    def test_every_row_of_the_research_is_there(self) -> None:
        numbers = (
            " ".join([*(row.number for row in (*POD_VERDICTS, *PENDING_REASONS)), *(row[0] for row in ELSEWHERE)]).replace(",", "").split()
        )
        assert {str(number) for number in range(1, 29)} <= set(numbers)

    def test_no_row_is_there_twice(self) -> None:
        numbers = [*(row.number for row in (*POD_VERDICTS, *PENDING_REASONS)), *(row[0] for row in ELSEWHERE)]
        assert len(numbers) == len(set(numbers))

    @pytest.mark.parametrize("line", [line for line in render().splitlines() if line.startswith("|")], ids=lambda line: line[:40])
    def test_every_row_has_all_its_cells(self, line: str) -> None:
        assert line.count(" |") in {2, 3, 5}
        assert "|  |" not in line

    def test_it_is_written_where_it_is_asked_to(self, tmp_path: Path) -> None:
        main(str(tmp_path / "table.md"))
        assert (tmp_path / "table.md").read_text(encoding="utf-8") == render()
