"""How a run stands among those that share its slots, what becomes of it, and what its owner reads."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import ValidationError

from mintaka_core import rules
from mintaka_core.concurrency import Contender, Outcome, Place, Policy, Standing, place_of, renewal_of, slot_key, standing
from mintaka_core.reconciling.observation import RunObservation
from mintaka_core.reconciling.plans import CancelRun, CreateWorkload
from mintaka_core.reconciling.records import transition_of
from mintaka_core.reconciling.runs import reconcile
from mintaka_core.resources import FlowRun
from mintaka_core.resources.concurrency import Concurrency
from mintaka_core.resources.deployments import FlowDeploymentSpec
from mintaka_core.states import PENDING, State, scheduled
from mintaka_core.transitions import Redirect, Transition, Wait, decide

if TYPE_CHECKING:
    from mintaka_core.reconciling.plans import RunPlan

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


def run(name: str, minute: int = 0, *, priority: int = 0, namespace: str = "n", leaving: bool = False) -> Contender:
    """A run that was created in that minute."""
    return Contender(namespace, name, f"uid-{name}", place_of(priority, None, NOW + minute * MINUTE, f"uid-{name}"), leaving)


ME = run("me", 9)
FREE, WAIT, REFUSE, REPLACE = "free", "wait", "refuse", "replace"

STANDINGS: dict[str, tuple[dict[str, Any], str, str]] = {
    "no other run": ({}, FREE, ""),
    "one of two slots is taken": ({"limit": 2, "holders": [run("a")]}, FREE, ""),
    "the other slot is for a run ahead": (
        {"limit": 2, "holders": [run("a")], "position": 1},
        WAIT,
        "key 'etl' admits 2 runs at a time: flow run 'a' holds a slot; 1 run is ahead of it",
    ),
    "the only slot is taken": ({"holders": [run("a")]}, WAIT, "key 'etl' admits 1 run at a time: flow run 'a' holds the slot"),
    "all of three are taken": (
        {"limit": 3, "holders": [run("a"), run("b"), run("c")], "position": 4},
        WAIT,
        "key 'etl' admits 3 runs at a time: flow run 'a' and 2 others hold slots; 4 runs are ahead of it",
    ),
    "the limit was lowered": (
        {"holders": [run("a"), run("b")]},
        WAIT,
        "key 'etl' admits 1 run at a time: flow run 'a' and 1 other hold slots",
    ),
    "a holder of another namespace": (
        {"holders": [run("secret", namespace="other")]},
        WAIT,
        "key 'etl' admits 1 run at a time: a run of another namespace holds the slot",
    ),
    "its caller holds the slot": (
        {"holders": [run("p")], "caller_uid": "uid-p"},
        WAIT,
        "key 'etl' admits 1 run at a time: flow run 'p' holds the slot; "  # noqa: ISC004 - one sentence
        "flow run 'p', which called it, holds a slot: if it waits for this run, neither continues",
    ),
    "Allow": ({"policy": Policy.ALLOW, "holders": [run("a")], "position": 3}, FREE, ""),
    "CancelNew with a free slot": ({"policy": Policy.CANCEL_NEW, "limit": 2, "holders": [run("a")]}, FREE, ""),
    "CancelNew": (
        {"policy": Policy.CANCEL_NEW, "holders": [run("a")]},
        REFUSE,
        "key 'etl' admits 1 run at a time: flow run 'a' holds the slot",
    ),
    "CancelNew, and it ran before": (
        {"policy": Policy.CANCEL_NEW, "holders": [run("a")], "new": False},
        WAIT,
        "key 'etl' admits 1 run at a time: flow run 'a' holds the slot",
    ),
    "Replace": (
        {"policy": Policy.REPLACE, "holders": [run("a")]},
        REPLACE,
        "key 'etl' admits 1 run at a time: flow run 'a' holds the slot; it replaces flow run 'a'",
    ),
    "Replace, and the holder is being cancelled": (
        {"policy": Policy.REPLACE, "holders": [run("a", leaving=True)]},
        WAIT,
        "key 'etl' admits 1 run at a time: flow run 'a' holds the slot",
    ),
    "Replace, and an older one waits to replace": (
        {"policy": Policy.REPLACE, "holders": [run("a", leaving=True)], "waiting": [run("b", 1)], "position": 1},
        REPLACE,
        "key 'etl' admits 1 run at a time: flow run 'a' holds the slot; it replaces flow run 'b'",
    ),
    "Replace, and the holder is newer": (
        {"policy": Policy.REPLACE, "holders": [run("z", 10)]},
        WAIT,
        "key 'etl' admits 1 run at a time: flow run 'z' holds the slot",
    ),
    "Replace, and the holder has a higher priority": (
        {"policy": Policy.REPLACE, "holders": [run("a", priority=1)]},
        WAIT,
        "key 'etl' admits 1 run at a time: flow run 'a' holds the slot",
    ),
    "Replace, and the holder is of another namespace": (
        {"policy": Policy.REPLACE, "holders": [run("a", namespace="other")]},
        WAIT,
        "key 'etl' admits 1 run at a time: a run of another namespace holds the slot",
    ),
    "Replace takes the least urgent and oldest": (
        {"policy": Policy.REPLACE, "limit": 3, "holders": [run("a", 1), run("b", 2), run("low", 3, priority=-5)]},
        REPLACE,
        "key 'etl' admits 3 runs at a time: flow run 'a' and 2 others hold slots; it replaces flow run 'low'",
    ),
    "Replace after its limit was lowered": (
        {"policy": Policy.REPLACE, "limit": 1, "holders": [run("b", 2), run("a", 1), run("c", 3)]},
        REPLACE,
        "key 'etl' admits 1 run at a time: flow run 'b' and 2 others hold slots; it replaces flow run 'a' and flow run 'b' and 1 more",
    ),
}


@pytest.mark.parametrize(("facts", "outcome", "sentence"), STANDINGS.values(), ids=STANDINGS)
def test_a_run_stands(facts: dict[str, Any], outcome: str, sentence: str) -> None:
    """According to its policy, by what holds slots and what is ahead."""
    found = standing(ME, "etl", **{"limit": 1, "policy": Policy.QUEUE, "new": True, **facts})
    assert found.outcome == outcome.upper()
    assert outcome == FREE or found.sentence == sentence


def test_the_order_is_priority_then_time_then_creation_then_uid() -> None:
    due = NOW + 5 * MINUTE
    places = [
        place_of(5, due, NOW, "z"),
        place_of(0, NOW, NOW + MINUTE, "z"),
        place_of(0, None, NOW + MINUTE, "b"),
        place_of(0, None, NOW + MINUTE, "c"),
        place_of(0, NOW + 2 * MINUTE, NOW, "a"),
        place_of(-1, None, NOW, "a"),
    ]
    assert sorted([*places[3:], *places[:3]]) == places
    assert places[0] == Place(-5, due, NOW, "z")


KEYS: dict[str, tuple[str, tuple[str, str]]] = {
    "of a namespace": ("etl", ("n", "etl")),
    "of the cluster": ("cluster/etl", ("", "cluster/etl")),
    "that only resembles one of the cluster": ("cluster-etl", ("n", "cluster-etl")),
}


@pytest.mark.parametrize(("key", "expected"), KEYS.values(), ids=KEYS)
def test_a_key_is(key: str, expected: tuple[str, str]) -> None:
    assert slot_key("n", key) == expected


RENEWALS: dict[str, tuple[int, timedelta, timedelta]] = {
    "the first": (0, timedelta(0), MINUTE),
    "far behind": (100, timedelta(0), timedelta(seconds=400)),
    "after a long wait": (0, timedelta(hours=1), timedelta(minutes=15)),
    "at most": (5000, timedelta(days=1), timedelta(hours=1)),
}


@pytest.mark.parametrize(("position", "waited", "expected"), RENEWALS.values(), ids=RENEWALS)
def test_the_message_of_a_wait_is_renewed(position: int, waited: timedelta, expected: timedelta) -> None:
    assert renewal_of(position, waited) == expected


REFUSED: dict[str, dict[str, Any]] = {
    "no limit": {},
    "a limit of nothing": {"limit": 0},
    "an unknown policy": {"limit": 1, "policy": "Wait"},
    "a key of capitals": {"limit": 1, "key": "ETL"},
    "a key with two slashes": {"limit": 1, "key": "cluster/a/b"},
    "a key of another namespace": {"limit": 1, "key": "other/etl"},
}


@pytest.mark.parametrize("given", REFUSED.values(), ids=REFUSED)
def test_a_concurrency_is_refused(given: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Concurrency.model_validate(given)


# The rule.

SLOT = Standing(Outcome.WAIT, "etl", 1, 1, "flow run 'a'")
WAITS = scheduled(NOW, name="AwaitingConcurrencySlot", reason="AwaitingConcurrencySlot", message=SLOT.sentence).at(NOW)
OTHER = Standing(Outcome.WAIT, "etl", 1, 1, "flow run 'b'")

VERDICTS: dict[str, tuple[State, Standing | None, timedelta, str]] = {
    "nothing is limited": (scheduled().at(NOW), None, MINUTE, "pass"),
    "a slot is free": (scheduled().at(NOW), Standing(Outcome.FREE, "etl", 1), MINUTE, "pass"),
    "it begins to wait": (scheduled(NOW).at(NOW), SLOT, MINUTE, "AwaitingConcurrencySlot since 12:01, due 12:00"),
    "it waits on": (WAITS, SLOT, MINUTE, "wait until 2026-01-02T12:00"),
    "it waits for a second day": (WAITS, SLOT, timedelta(hours=24), "wait until 2026-01-03T12:00"),
    "another run holds the slot": (WAITS, OTHER, MINUTE, "AwaitingConcurrencySlot since 12:01, due 12:00"),
    "another run holds it already": (WAITS, OTHER, timedelta(seconds=29), "wait until 2026-01-02T12:00"),
    "it is refused": (scheduled().at(NOW), Standing(Outcome.REFUSE, "etl", 1), MINUTE, "Cancelled since 12:01, due None"),
}


@pytest.mark.parametrize(("current", "slot", "passed", "expected"), VERDICTS.values(), ids=VERDICTS)
def test_the_rule_decides(current: State, slot: Standing | None, passed: timedelta, expected: str) -> None:
    """The time at which the run was due is never lost."""
    decision = decide((rules.wait_for_a_slot,), Transition(current, State(PENDING), NOW + passed, slot=slot))
    match decision.trail[0].verdict if decision.trail else None:
        case Wait(until):
            found = f"wait until {until:%Y-%m-%dT%H:%M}"
        case Redirect():
            assert decision.state is not None
            due = decision.state.scheduled_time
            found = f"{decision.state.name} since {decision.time:%H:%M}, due {f'{due:%H:%M}' if due else None}"
        case _:
            found = "pass"
    assert found == expected


# A whole pass.


def plan(slot: Standing | None, *, status: dict[str, Any] | None = None, **spec: Any) -> RunPlan:
    """A pass over a run."""
    document = {"metadata": {"name": "me", "uid": "u", "generation": 1}, "spec": {"deployment": "d", **spec}, "status": status or {}}
    seen = RunObservation(FlowRun.model_validate(document), FlowDeploymentSpec(entrypoint="a:b"), mirrored=False, slot=slot)
    return reconcile(seen, NOW)


def states(found: RunPlan) -> list[str]:
    """The states that it entered, and what waits."""
    return [record.name if record.accepted else record.verdict for record in found.transitions]


PASSES: dict[str, tuple[Standing | None, dict[str, Any], list[str]]] = {
    "starts": (Standing(Outcome.FREE, "etl", 1), {}, ["Scheduled", "Pending"]),
    "waits": (SLOT, {}, ["Scheduled", "AwaitingConcurrencySlot", "Wait"]),
    "is cancelled": (SLOT, {"cancel": True}, ["Scheduled", "Cancelled"]),
    "is suspended": (SLOT, {"suspend": True}, ["Scheduled", "Suspended"]),
    "is not due": (SLOT, {"scheduledTime": "2026-01-01T13:00:00Z"}, ["Scheduled", "Wait"]),
    "is refused": (Standing(Outcome.REFUSE, "etl", 1, 1, "flow run 'a'"), {}, ["Scheduled", "Cancelled"]),
}


@pytest.mark.parametrize(("slot", "spec", "expected"), PASSES.values(), ids=PASSES)
def test_a_new_run(slot: Standing | None, spec: dict[str, Any], expected: list[str]) -> None:
    """Its owner's wishes come before the slot."""
    found = plan(slot, **spec)
    assert states(found) == expected
    assert any(isinstance(effect, CreateWorkload) for effect in found.effects) == (expected[-1] == "Pending")


def test_a_wait_states_the_reason_and_begins_no_attempt() -> None:
    found = plan(SLOT)
    assert found.status is not None
    assert found.status.state is not None
    assert (found.status.state.reason, found.status.state.message) == ("AwaitingConcurrencySlot", SLOT.sentence)
    assert (found.status.attempt, found.status.problem) == (0, "AwaitingConcurrencySlot")
    assert found.due == NOW + MINUTE


def test_what_it_replaces_is_cancelled() -> None:
    found = plan(Standing(Outcome.REPLACE, "etl", 1, 1, "flow run 'a'", victims=("a",)))
    assert CancelRun("a") in found.effects
    assert CancelRun("a") not in plan(Standing(Outcome.REPLACE, "etl", 1, 1, "flow run 'a'", victims=("a",)), suspend=True).effects


def test_a_decision_can_be_taken_again_from_its_record() -> None:
    """The standing is a fact."""
    found = plan(Standing(Outcome.REFUSE, "etl", 1, 1, "flow run 'a'"))
    again = decide((rules.wait_for_a_slot,), transition_of(found.transitions[-1]))
    assert again.state is not None
    assert again.state.reason == "ConcurrencyLimitReached"


def test_a_wait_is_written_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A pass that finds the same holder writes nothing; one that finds another holder does, after half a minute."""
    first = plan(SLOT)
    assert first.status is not None
    written = first.status.to_wire()
    assert plan(SLOT, status=written).status is None
    assert plan(OTHER, status=written).status is None
    monkeypatch.setitem(globals(), "NOW", NOW + MINUTE)
    renewed = plan(OTHER, status=written)
    assert states(renewed) == ["AwaitingConcurrencySlot", "Wait"]
