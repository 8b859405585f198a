"""Columns of text: on a terminal a line ends at its edge, elsewhere nothing is ever cut."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from rich.console import Console

_GAP = 2


def columns(titles: Sequence[str], rows: Iterable[Sequence[str | Text]]) -> list[Text]:
    """One line for the titles (none where they are all ""), one for each row; every column but the last is padded. A last column
    with nothing in it is left out.
    """
    table = [[Text(cell) if isinstance(cell, str) else cell for cell in row] for row in rows]
    if table and not any(row[-1] for row in table):
        table, titles = [row[:-1] for row in table], titles[:-1]
    if any(titles):
        table.insert(0, [Text(title, style="bold") for title in titles])
    widths = [max((row[index].cell_len for row in table), default=0) for index in range(len(titles))]
    return [_line(row, widths) for row in table]


def _line(row: Sequence[Text], widths: Sequence[int]) -> Text:
    line = Text()
    for cell, width in zip(row, widths, strict=True):
        line.append_text(cell)
        line.append(" " * (width - cell.cell_len + _GAP))
    line.rstrip()
    return line


def print_lines(out: Console, lines: Iterable[Text]) -> None:
    """Print `lines`, each on a line of its own."""
    for line in lines:
        if out.is_terminal:
            out.print(line, no_wrap=True, overflow="ellipsis", soft_wrap=False)
        else:
            out.print(line, soft_wrap=True)
