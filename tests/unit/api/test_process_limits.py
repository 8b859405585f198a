"""How many processes of a group run at once: `flow.serve(limit=…)`."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from mintaka_api.local.processes.launch import AttemptPlaces, InvalidLaunch, Machine, build_launch
from mintaka_api.local.processes.process_slots import RESERVED_SECONDS, ProcessSlots
from mintaka_core.names import ANNOTATION_PROCESS_LIMITS
from mintaka_core.resources import FlowRun

EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
GROUP = {"serve/etl": 1}


class Machinery:
    """Slots whose offers are recorded; runs are numbers, older ones first."""

    def __init__(self, limit: int) -> None:
        self.offered: list[str] = []
        self.slots = ProcessSlots(limit, lambda run: self.offered.append(run[1]))

    def ask(self, n: int, limits: dict[str, int], now: float = 0.0) -> str:
        """The message for run `n`: "" if it starts."""
        error = self.slots.take(f"w{n}", f"r{n}", ("local", str(n)), EPOCH + timedelta(seconds=n), now, limits)
        return "" if error is None else error.message


def test_a_full_group_waits_and_lets_others_pass() -> None:
    machine = Machinery(3)
    assert machine.ask(1, GROUP) == ""
    assert machine.ask(2, GROUP).startswith("1 of at most 1 processes of serve/etl run: it starts when one of them ends")
    assert machine.ask(3, GROUP).startswith("1 of at most 1 processes of serve/etl run, 1 older run waits")
    assert machine.ask(4, {}) == ""
    assert machine.ask(5, {"other": 2}) == ""
    assert machine.ask(6, {}).startswith("3 of at most 3 processes run on this machine: it starts")


def test_a_slot_of_a_group_is_offered_to_its_oldest_run_and_no_other_of_it() -> None:
    machine = Machinery(4)
    for n in (1, 3, 2):
        machine.ask(n, GROUP)
    machine.slots.free("w1", 1.0)
    assert machine.offered == ["2"]
    assert machine.ask(3, GROUP, 1.0), "the slot is reserved for the older one"
    assert machine.ask(2, GROUP, 1.0) == ""


def test_a_run_that_does_not_take_what_it_was_offered_leaves_it_to_the_next() -> None:
    machine = Machinery(4)
    for n in (1, 2, 3):
        machine.ask(n, GROUP)
    machine.slots.free("w1", 1.0)
    machine.slots.offer_next(1.0 + RESERVED_SECONDS + 0.1)
    assert machine.offered == ["2", "3"]


def test_a_run_of_two_groups_needs_room_in_both() -> None:
    machine = Machinery(9)
    assert machine.ask(1, {"a": 1, "b": 2}) == ""
    assert "processes of a run" in machine.ask(2, {"b": 2, "a": 1})
    assert machine.ask(3, {"b": 2}) == ""
    assert "2 of at most 2 processes of b run" in machine.ask(4, {"b": 2})


def launch_of(annotation: str) -> Any:
    """The launch of a run whose template has the annotation."""
    run = FlowRun.model_validate(
        {
            "metadata": {"name": "r", "uid": "u"},
            "spec": {
                "template": {"entrypoint": "f.py:x", "podTemplate": {"metadata": {"annotations": {ANNOTATION_PROCESS_LIMITS: annotation}}}}
            },
        }
    )
    assert run.spec.template is not None
    places = AttemptPlaces("/source", "/work", "/report")
    return build_launch(run, run.spec.template, 1, "", machine=Machine("/python"), places=places, own_variables={}, files={}, token="")


def test_the_limits_are_those_of_the_annotation() -> None:
    assert launch_of(json.dumps(GROUP)).limits == GROUP


@pytest.mark.parametrize("annotation", ["3", "{", '{"a": 0}', '{"a": true}', '{"a": "3"}'])
def test_an_annotation_that_is_something_else_is_refused(annotation: str) -> None:
    with pytest.raises(InvalidLaunch, match=r"mintaka\.dev/process-limits is an object"):
        launch_of(annotation)
