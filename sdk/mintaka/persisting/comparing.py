"""What differs between two flow runs: parameters, which tasks ran, how they ended, and how long they took.

Task runs are paired by their task and by how many runs of that task came before, in the order they were called. Pure: the
runs are documents as the API has them.
"""

from __future__ import annotations

from collections import Counter
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

#: Durations differ where one is this many times the other, and more than so many seconds longer.
_SLOWER_FACTOR, _SLOWER_SECONDS = 2.0, 0.1


class Difference(NamedTuple):
    """One thing that differs; `what` is the run's name, a parameter or a task run, "" where there is none on that side."""

    kind: str
    what: str
    first: str
    second: str


def compared(
    first: Mapping[str, Any], second: Mapping[str, Any], first_tasks: Iterable[Mapping[str, Any]], second_tasks: Iterable[Mapping[str, Any]]
) -> list[Difference]:
    """What differs between two flow runs, with the task runs of each."""
    return [
        *_states(first, second),
        *_run_durations(first, second),
        *_parameters(first.get("parameters") or {}, second.get("parameters") or {}),
        *_tasks(_called(first_tasks), _called(second_tasks)),
    ]


def _states(first: Mapping[str, Any], second: Mapping[str, Any]) -> list[Difference]:
    one, other = first["state"]["name"], second["state"]["name"]
    return [Difference("state", "flow run", one, other)] if one != other else []


def _run_durations(first: Mapping[str, Any], second: Mapping[str, Any]) -> list[Difference]:
    one, other = _seconds(first), _seconds(second)
    return [Difference("duration", "flow run", f"{one:.2f} s", f"{other:.2f} s")] if _slower(one, other) else []


def _parameters(first: Mapping[str, Any], second: Mapping[str, Any]) -> list[Difference]:
    return [
        Difference("parameter", name, repr(first[name]) if name in first else "", repr(second[name]) if name in second else "")
        for name in sorted({*first, *second})
        if first.get(name, _NOTHING) != second.get(name, _NOTHING)
    ]


_NOTHING = object()


def _called(tasks: Iterable[Mapping[str, Any]]) -> dict[tuple[str, int], Mapping[str, Any]]:
    """Task runs by task and count."""
    counts: Counter[str] = Counter()
    found = {}
    for run in sorted(tasks, key=lambda run: int(run["n"])):
        task = str(run["task"]).rpartition(".")[2]  # a script's module has another name when it is imported
        found[task, counts[task]] = run
        counts[task] += 1
    return found


def _tasks(first: dict[tuple[str, int], Mapping[str, Any]], second: dict[tuple[str, int], Mapping[str, Any]]) -> list[Difference]:
    found = []
    for task, count in {**first, **second}:
        one, other = first.get((task, count)), second.get((task, count))
        what = f"{task} #{count + 1}"
        if one is None or other is None:
            found.append(Difference("task", what, _ended(one), _ended(other)))
        elif _ended(one) != _ended(other):
            found.append(Difference("state", what, _ended(one), _ended(other)))
        else:
            if one.get("runs", 1) != other.get("runs", 1):
                found.append(Difference("tries", what, str(one.get("runs", 1)), str(other.get("runs", 1))))
            if _slower(_seconds(one), _seconds(other)):
                found.append(Difference("duration", what, f"{_seconds(one):.2f} s", f"{_seconds(other):.2f} s"))
    return found


def _ended(run: Mapping[str, Any] | None) -> str:
    if run is None:
        return ""
    why = ": ".join(str(run[word]) for word in ("reason", "message") if run.get(word))
    return f"{run['state_name']}{f' ({why})' if why and run['state'] != 'COMPLETED' else ''}"


def _seconds(run: Mapping[str, Any]) -> float:
    """How long it ran; nan where that is not known."""
    if not run.get("started") or not run.get("ended"):
        return float("nan")
    return (_time(run["ended"]) - _time(run["started"])).total_seconds()


def _time(given: str | datetime) -> datetime:
    return given if isinstance(given, datetime) else datetime.fromisoformat(given)


def _slower(one: float, other: float) -> bool:
    less, more = sorted((one, other)) if one == one and other == other else (0.0, 0.0)  # noqa: PLR0124 - nan is not itself
    return more > _SLOWER_FACTOR * less and more - less > _SLOWER_SECONDS
