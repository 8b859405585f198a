"""The inputs of a task run in short."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mintaka.histories import Document


def inputs_text(task: Document) -> str:
    """The task runs whose results it got, by parameter; consecutive numbers as a range: `rows=1-500 wait_for=7`."""
    inputs: dict[str, list[int]] = task.get("inputs") or {}
    named = {n for numbers in inputs.values() for n in numbers}
    others = [n for n in task.get("upstream", ()) if n not in named]
    parts = [f"{name}={','.join(_ranges(numbers))}" for name, numbers in inputs.items()]
    return " ".join([*parts, *([",".join(_ranges(others))] if others else [])])


def _ranges(numbers: Sequence[int]) -> list[str]:
    found: list[list[int]] = []
    for number in numbers:
        if found and number == found[-1][-1] + 1:
            found[-1][1:] = [number]
        else:
            found.append([number])
    return ["-".join(map(str, part)) for part in found]
