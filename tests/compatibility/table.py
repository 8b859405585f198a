"""The table of docs/coming-from-prefect.md, made from the flows and the notes beside them: `python table.py` writes it."""

from __future__ import annotations

from pathlib import Path

from both_libraries import cases

PAGE = Path(__file__).parents[2] / "docs" / "coming-from-prefect.md"
BEGIN, END = "<!-- table of the compatibility flows: begin -->", "<!-- table of the compatibility flows: end -->"


def table() -> str:
    """One line for each flow: what it tries, and whether that is the same."""
    lines = ["| what | with Mintaka |", "| --- | --- |"]
    for case in cases():
        if case.missing:
            told = f"missing: {case.missing}"
        elif case.differs:
            told = "differs: " + "; ".join(note["why"].strip() for note in case.differs.values())
        else:
            told = "unchanged"
        lines.append(f"| {case.title} | {told} |".replace("\n", " "))
    return "\n".join(lines)


def page_with_table(text: str) -> str:
    """`text` with the table between its marks as it should be."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{table()}\n{END}{after}"


if __name__ == "__main__":
    PAGE.write_text(page_with_table(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
