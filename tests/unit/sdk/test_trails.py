"""What the rules said about every proposal is part of a run's history, refusals too."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from mintaka import flow, task
from mintaka.cli.clusters import flow_run_of
from mintaka.cli.task_inputs import inputs_text
from mintaka.histories import history
from mintaka.testing import recorded
from mintaka_core import policies, transitions
from mintaka_core.decision_sentences import decision_sentence, task_sentences, transition_sentence
from mintaka_core.policies import TASK_RUN_POLICY
from mintaka_core.rules import edges
from mintaka_core.states import CRASHED, FAILED, RUNNING, State
from mintaka_core.transitions import Redirect, Rule, Transition

if TYPE_CHECKING:
    from mintaka_core.transitions import Policy


def cancelled_while_it_runs(*, fails: bool) -> list[Any]:
    """The history of a task that was cancelled and went on to an end of its own."""
    begun, go_on = threading.Event(), threading.Event()

    @task
    def stubborn() -> int:
        begun.set()
        while not go_on.is_set():
            try:
                go_on.wait(10)
            except BaseException:  # noqa: BLE001, S112 - it does not let itself be cancelled
                continue
        if fails:
            raise ValueError("too late")
        return 1

    @flow
    def main() -> None:
        future = stubborn.submit()
        assert begun.wait(10)
        assert future.cancel()
        go_on.set()
        deadline = time.monotonic() + 10
        while len(future.run.history) < 4 and time.monotonic() < deadline:
            time.sleep(0.001)

    with recorded() as kept:
        main()
    row = kept.row("stubborn-0")
    assert (row["state"], row["ended"], row["seq"]) == ("CANCELLED", row["created"] + row["history"][2][2], 4)
    assert kept.states_of("stubborn-0") == ["Pending", "Running", "Cancelled"]
    entry: list[Any] = row["history"][-1]
    return entry


@pytest.mark.parametrize(("fails", "proposed"), [(False, "COMPLETED"), (True, "FAILED")], ids=["completes", "fails"])
def test_an_end_that_came_too_late_is_on_record_as_refused(*, fails: bool, proposed: str) -> None:
    entry = cancelled_while_it_runs(fails=fails)
    assert entry[:2] == ["CANCELLED", "Cancelled"]
    assert entry[3:] == [proposed, [["terminal_states_stay", "Abort", "the run already ended Cancelled"]]]


def test_a_run_that_no_rule_spoke_about_has_no_trail() -> None:
    @task
    def plain() -> None:
        return None

    with recorded() as kept:
        flow(plain)()
    assert [entry[3:] for entry in kept.row("plain-0")["history"]] == [["", []]] * 3


def test_an_ordinary_task_run_asks_no_rule(monkeypatch: pytest.MonkeyPatch) -> None:
    """Recording what rules read costs time only in runs that fail, are retried or are served from a cache."""
    asked: list[Any] = []
    monkeypatch.setattr(transitions, "decide", asked.append)

    @task
    def plain(x: int) -> int:
        return x

    @flow
    def main() -> int:
        return plain(1) + plain.submit(2).result() + sum(plain.map([1, 2]).result())

    assert main() == 6
    assert asked == []


@pytest.mark.usefixtures("mintaka_home")
def test_the_decisions_about_a_script_s_flow_run_are_stored_and_told() -> None:
    @flow(retries=1, flow_run_name="twice")
    def fails() -> None:
        raise ValueError("no rows")

    assert fails(return_state=True).is_failed()
    with history() as reading:
        decisions = reading.transitions(reading.flow_run("twice")["uid"])
    retry = next(each for each in decisions if each["name"] == "AwaitingRetry")
    assert (retry["proposed"], retry["rule"], retry["verdict"]) == ("FAILED", "retry_failed", "Redirect")
    assert [tuple(opinion) for opinion in retry["trail"]] == [("retry_failed", "Redirect", retry["reason"])]
    assert "RUNNING → AwaitingRetry  FAILED was proposed; retry_failed changed that: failure 1 of 1 allowed" in transition_sentence(retry)
    assert transition_sentence(decisions[0]).endswith("new → Pending")


def _rename(transition: Transition) -> Redirect | None:
    proposed = transition.proposed
    return Redirect(replace(proposed, message="later"), "said afterwards") if proposed.name == "AwaitingRetry" else None


def _blame(transition: Transition) -> Redirect | None:
    return Redirect(State(CRASHED, reason="Blamed"), "blamed") if transition.failures == 0 else None


RENAMED = Rule("rename", "A rule after the retries that changes their message.", None, _rename)
BLAMED = Rule("blame", "A rule before the retries: the first failure counts as a crash.", edges([RUNNING], [FAILED]), _blame)


@pytest.mark.parametrize(
    ("policy", "tries", "reported"),
    [
        pytest.param(
            (*TASK_RUN_POLICY, RENAMED),
            3,
            [["retry_failed", "rename"], ["retry_failed", "rename"]],
            id="a rule that speaks after the retry does not uncount it",
        ),
        pytest.param((BLAMED, *TASK_RUN_POLICY), 1, [], id="a failure that a rule makes a crash uses the budget of crashes: none is left"),
    ],
)
def test_retries_of_a_task_are_counted_from_all_that_was_said(
    monkeypatch: pytest.MonkeyPatch, policy: Policy, tries: int, reported: list[list[str]]
) -> None:
    """As those of a flow run are."""
    monkeypatch.setattr(policies, "TASK_RUN_POLICY", policy)
    tried = []

    @task(retries=2)
    def fails() -> None:
        tried.append(1)
        raise ValueError("no rows")

    with recorded() as kept:
        flow(fails)(return_state=True)
    assert len(tried) == tries
    retries = [entry for entry in kept.row("fails-0")["history"] if entry[1] == "AwaitingRetry"]
    assert [[opinion[0] for opinion in entry[4]] for entry in retries] == reported


RESOURCE = {"metadata": {"uid": "u", "name": "r", "namespace": "n", "creationTimestamp": "t"}, "spec": {"deployment": "d"}}


@pytest.mark.parametrize(
    ("record", "reported"),
    [
        pytest.param(
            {"verdict": "Wait", "proposed": "PENDING", "rule": "wait_for_scheduled_time", "message": "due at noon", "until": "12:00"},
            "11:00  stays Scheduled  PENDING was proposed; wait_for_scheduled_time had it wait; due at noon; until 12:00",
            id="a wait: that it stays, what for, until when",
        ),
        pytest.param(
            {"verdict": "Abort", "proposed": "PENDING", "rule": "no_fridays", "message": "not on a Friday"},
            "11:00  stays Scheduled  PENDING was proposed; no_fridays refused; not on a Friday",
            id="a refusal: that it stays, and why",
        ),
        pytest.param(
            {
                "verdict": "Redirect",
                "from": "RUNNING",
                "name": "AwaitingRetry",
                "proposed": "CRASHED",
                "rule": "retry_failed",
                "reason": "TimedOut",
                "message": "failure 1 of 1 allowed: stopped",
                "trail": [
                    {"rule": "time_out_running", "verdict": "Redirect", "reason": "run timeout"},
                    {"rule": "retry_failed", "verdict": "Redirect", "reason": "failure 1 of 1 allowed"},
                ],
            },
            "11:00  RUNNING → AwaitingRetry  CRASHED was proposed; time_out_running changed that: run timeout; "
            "retry_failed changed that: failure 1 of 1 allowed; stopped",
            id="several rules: each once",
        ),
    ],
)
def test_a_decision_that_only_the_cluster_knows_is_told_like_the_api_s(record: dict[str, Any], reported: str) -> None:
    """`explain` without an API reads the resource, whose trail has another form."""
    record = {"sequence": 2, "from": "SCHEDULED", "to": "SCHEDULED", "name": "Scheduled", "time": "11:00", **record}
    (found,) = flow_run_of({**RESOURCE, "status": {"transitions": [record]}})["transitions"]
    assert transition_sentence(found) == reported


TOLD: dict[str, tuple[tuple[Any, ...], str]] = {
    "nobody spoke": (("RUNNING", "RUNNING", []), ""),
    "changed": (
        ("FAILED", "SCHEDULED", [("retry_failed", "Redirect", "once more")]),
        "FAILED was proposed; retry_failed changed that: once more",
    ),
    "refused": (("FAILED", "FAILED", [("stay", "Abort", "it ended")]), "FAILED was proposed; stay refused: it ended"),
    "two rules": (
        ("FAILED", "PENDING", [("a", "Redirect", "x"), ("b", "Wait", "until noon")]),
        "FAILED was proposed; a changed that: x; b had it wait: until noon",
    ),
    "let pass": (("PENDING", "PENDING", [("use_kept_result", "Accept", "expired")]), "use_kept_result let it pass: expired"),
}


@pytest.mark.parametrize(("given", "expected"), TOLD.values(), ids=TOLD)
def test_a_decision_is_told_in_words(given: tuple[Any, ...], expected: str) -> None:
    assert decision_sentence(*given) == expected


INPUTS: dict[str, tuple[dict[str, Any], str]] = {
    "none": ({"inputs": {}, "upstream": []}, ""),
    "one": ({"inputs": {"rows": [3]}, "upstream": [3]}, "rows=3"),
    "many in a row": ({"inputs": {"rows": [*range(1, 501), 7], "wait_for": [9]}, "upstream": []}, "rows=1-500,7 wait_for=9"),
    "without a parameter": ({"inputs": {}, "upstream": [0, 1, 4]}, "0-1,4"),
}


@pytest.mark.parametrize(("task", "expected"), INPUTS.values(), ids=INPUTS)
def test_inputs_are_told_by_parameter(task: dict[str, Any], expected: str) -> None:
    assert inputs_text(task) == expected


def test_only_decisions_about_a_task_run_are_told() -> None:
    entries = [
        ["PENDING", "Pending", 0, "PENDING", []],
        ["SCHEDULED", "AwaitingRetry", 5, "FAILED", [["retry_failed", "Redirect", "again"]]],
    ]
    assert task_sentences({"name": "load-0", "history": entries}) == [
        "load-0 AwaitingRetry: FAILED was proposed; retry_failed changed that: again"
    ]
