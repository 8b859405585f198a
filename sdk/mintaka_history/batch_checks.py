"""What the types of a report cannot express: members that refer to each other, sizes, and numbers within JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mintaka_history.batch_errors import refuse
from mintaka_history.json_numbers import overflow_in, overflow_in_json

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from mintaka_history.batches import HistoryBatch

#: The maximum size of an event's payload in bytes of JSON.
PAYLOAD_LIMIT_BYTES = 8 * 1024
_COUNTS_LIMIT = 2**31 - 1
_OVERFLOW = "the number is out of range: at most 64 bits"


def check_contents(report: HistoryBatch) -> None:
    """Check a report whose members have the right types.

    Raises:
        MalformedBatch: with the place.
    """
    _check_owners(report)
    for index, event in enumerate(report.events):
        if (size := len(bytes(event.payload))) > PAYLOAD_LIMIT_BYTES:
            refuse(f"events[{index}].payload", f"it takes {size} bytes of JSON, at most {PAYLOAD_LIMIT_BYTES} are allowed")
    for place, value in _parameters(report):
        if (inside := overflow_in(value)) is not None:
            refuse(place + inside, _OVERFLOW)
    for place, text in _values(report):
        if (inside := overflow_in_json(text)) is not None:
            refuse(place + inside, _OVERFLOW)
    for place, counts in (("counts", report.counts), *((f"called[{index}].counts", run.counts) for index, run in enumerate(report.called))):
        if counts is not None and sum(counts.values()) > _COUNTS_LIMIT:
            refuse(place, f"the sum is out of range: at most {_COUNTS_LIMIT}")


def _check_owners(report: HistoryBatch) -> None:
    """Check that rows belong to runs of the report, and that these are different ones."""
    highest = len(report.called)
    owners = {
        "tasks": [task.of for task in report.tasks],
        "logs": [line.of for line in report.logs],
        "artifacts": [artifact.of for artifact in report.artifacts],
        "events": [event.of for event in report.events],
    }
    for name, numbers in owners.items():
        if (wrong := max(numbers, default=0)) > highest:
            refuse(f"{name}[{numbers.index(wrong)}].of", f"the report has {highest} called runs, not {wrong}")
    seen = set()
    for index, run in enumerate(report.called):
        if run.uid in seen:
            refuse(f"called[{index}].uid", f"flow run {run.uid} is in the report twice")
        if run.uid == run.parent:
            refuse(f"called[{index}].parent", "a flow run cannot be called by itself")
        seen.add(run.uid)


def _parameters(report: HistoryBatch) -> Iterator[tuple[str, dict[str, Any]]]:
    if report.flow_run.local is not None:
        yield "flow_run.local.parameters", report.flow_run.local.parameters
        yield "flow_run.local.facts", _named(report.flow_run.local.facts)
    for index, run in enumerate(report.called):
        yield f"called[{index}].parameters", run.parameters
        yield f"called[{index}].facts", _named(run.facts)
    for index, task in enumerate(report.tasks):
        if task.facts:
            yield f"tasks[{index}].facts", _named(task.facts)


def _named(facts: dict[int, dict[str, Any]]) -> dict[str, Any]:
    return {str(number): each for number, each in facts.items()}


def _values(report: HistoryBatch) -> Iterator[tuple[str, bytes]]:
    for index, artifact in enumerate(report.artifacts):
        yield f"artifacts[{index}].data", bytes(artifact.data)
    for index, event in enumerate(report.events):
        yield f"events[{index}].payload", bytes(event.payload)
