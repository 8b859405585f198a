"""Percentiles, medians over repetitions, tables for people and JSON for the record."""

from __future__ import annotations

import json
import os
import platform
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

RESULTS = Path(__file__).resolve().parent.parent / "results"


def percentile(values: Iterable[float], share: float) -> float:
    """The value below which `share` (0 to 1) of the values lie (nearest rank); NaN where there are none."""
    ordered = sorted(values)
    if not ordered:
        return float("nan")
    return ordered[min(len(ordered) - 1, max(0, round(share * len(ordered) + 0.5) - 1))]


def medians(rounds: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """The median of each figure over repetitions."""
    return {key: median(measured[key] for measured in rounds if key in measured) for key in rounds[0]}


def table(columns: Mapping[str, Mapping[str, float]]) -> str:
    """Figures as rows, what was measured as columns; a figure that one of them lacks stays empty."""
    rows = list(dict.fromkeys(key for figures in columns.values() for key in figures))
    cells = [["", *columns], *([row, *(_cell(figures.get(row)) for figures in columns.values())] for row in rows)]
    widths = [max(len(line[index]) for line in cells) for index in range(len(cells[0]))]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if index == 0 else cell.rjust(width) for index, (cell, width) in enumerate(zip(line, widths, strict=True))
        )
        for line in cells
    )


def _cell(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}" if abs(value) < 10 else f"{value:.1f}"


def conditions() -> dict[str, Any]:
    """Where and when figures were taken."""
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False, cwd=RESULTS.parent)
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": commit.stdout.strip(),
        "cores": os.cpu_count(),
        "load": [round(load, 2) for load in os.getloadavg()],
        "python": platform.python_version(),
    }


def record(name: str, figures: Mapping[str, Any]) -> Path:
    """Keep the latest figures of a benchmark under benchmarks/results."""
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}.json"
    path.write_text(json.dumps({"conditions": conditions(), **figures}, indent=1, default=str) + "\n", encoding="utf-8")
    return path
