"""The table of docs/coming-from-prefect.md, made from the flows and the notes beside them: `python table.py` writes it."""

from __future__ import annotations

from pathlib import Path

from both_libraries import Case, cases

PAGE = Path(__file__).parents[2] / "docs" / "coming-from-prefect.md"
BEGIN, END = "<!-- table of the compatibility flows: begin -->", "<!-- table of the compatibility flows: end -->"


def table() -> str:
    """One line for each flow: what it tries, whether that is the same, and whether the switch makes it so."""
    lines = ["| what | with Mintaka | with `MINTAKA_SEMANTICS=prefect3` |", "| --- | --- | --- |"]
    for case in cases():
        if case.differs:
            shown = "differs: " + "; ".join(dict.fromkeys(note["why"].strip() for note in case.differs.values()))
            switched = with_the_switch(case)
        else:
            shown, switched = "unchanged", ""
        lines.append(f"| {case.title} | {shown} | {switched} |".replace("\n", " "))
    return "\n".join(lines)


def with_the_switch(case: Case) -> str:
    """What becomes of the differences of one flow."""
    stays = [key for key, note in case.differs.items() if not note["covered"]]
    if len(stays) == len(case.differs):
        return "still differs"
    return "as in Prefect" + (f", but for: {', '.join(stays)}" if stays else "")


def page_with_table(text: str) -> str:
    """`text` with the table between its marks as it should be."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{table()}\n{END}{after}"


if __name__ == "__main__":
    PAGE.write_text(page_with_table(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
