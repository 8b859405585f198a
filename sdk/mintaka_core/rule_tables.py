"""The rules of both policies as tables: the edges of a rule as text, and the tables of docs/concepts.md.

`python -m mintaka_core.rule_tables docs/concepts.md` writes the tables of that page anew, each below its mark.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from mintaka_core.policies import POLICIES
from mintaka_core.states import StateType

if TYPE_CHECKING:
    from collections.abc import Iterable

    from mintaka_core.transitions import Edge, Policy

_BEFORE: tuple[StateType | None, ...] = (None, *StateType)


def edge_pairs(edges: frozenset[Edge] | None) -> list[list[str | None]] | None:
    """The edges as pairs [from, to], in the order of the states; None as from: the run has no state yet. None: any edge."""
    if edges is None:
        return None
    return [[before and before.value, after.value] for before in _BEFORE for after in StateType if (before, after) in edges]


def edges_text(edges: frozenset[Edge] | None) -> str:
    """The edges in short: `PENDING, RUNNING → FAILED`, groups with the same targets together; `any` for all, `new` for a run without a state."""
    if edges is None:
        return "any"
    groups: dict[tuple[StateType, ...], list[StateType | None]] = {}
    for before in _BEFORE:
        after = tuple(each for each in StateType if (before, each) in edges)
        if after:
            groups.setdefault(after, []).append(before)
    return "; ".join(f"{_names(before, len(_BEFORE))} → {_names(after, len(StateType))}" for after, before in groups.items())


def _names(states: Iterable[StateType | None], number_of_all: int) -> str:
    names = [state.value if state else "new" for state in states]
    return "any" if len(names) == number_of_all else ", ".join(names)


def table(policy: Policy) -> str:
    """The rules in order, each with its sentence, as a table in Markdown."""
    rows = [f"| `{rule.name}` | {rule.sentence} |" for rule in policy]
    return "\n".join(["| rule | what it says |", "| --- | --- |", *rows, ""])


def with_tables(page: str) -> str:
    """The page with the tables of both policies below their marks, `<!-- rules: NAME -->`."""
    for name, policy in POLICIES.items():
        mark = f"<!-- rules: {name} -->\n\n"
        before, _, after = page.partition(mark)
        page = before + mark + table(policy) + re.sub(r"\A(?:\|.*\n)*", "", after)
    return page


if __name__ == "__main__":
    for place in map(Path, sys.argv[1:]):
        place.write_text(with_tables(place.read_text(encoding="utf-8")), encoding="utf-8")
