"""What the rules said about every proposal is part of a run's history, refusals too."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest

from mintaka import flow, task
from mintaka.cli.clusters import flow_run_of
from mintaka.cli.telling import decision_told, inputs_told, task_told, transition_told
from mintaka.histories import history
from mintaka.testing import recorded


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


@pytest.mark.usefixtures("mintaka_home")
def test_the_decisions_about_a_script_s_flow_run_are_stored_and_told() -> None:
    @flow(retries=1, flow_run_name="twice")
    def fails() -> None:
        raise ValueError("no rows")

    assert fails(return_state=True).is_failed()
    with history() as reading:
        transitions = reading.transitions(reading.flow_run("twice")["uid"])
    retry = next(each for each in transitions if each["name"] == "AwaitingRetry")
    assert (retry["proposed"], retry["rule"], retry["verdict"]) == ("FAILED", "retry_failed", "Redirect")
    assert [tuple(opinion) for opinion in retry["trail"]] == [("retry_failed", "Redirect", retry["reason"])]
    assert "RUNNING → AwaitingRetry  FAILED was proposed; retry_failed changed that: failure 1 of 1 allowed" in transition_told(retry)
    assert transition_told(transitions[0]).endswith("new → Pending")


RESOURCE = {"metadata": {"uid": "u", "name": "r", "namespace": "n", "creationTimestamp": "t"}, "spec": {"deployment": "d"}}


@pytest.mark.parametrize(
    ("record", "told"),
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
def test_a_decision_that_only_the_cluster_knows_is_told_like_the_api_s(record: dict[str, Any], told: str) -> None:
    """`explain` without an API reads the resource, whose trail has another form."""
    record = {"sequence": 2, "from": "SCHEDULED", "to": "SCHEDULED", "name": "Scheduled", "time": "11:00", **record}
    (found,) = flow_run_of({**RESOURCE, "status": {"transitions": [record]}})["transitions"]
    assert transition_told(found) == told


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
    assert decision_told(*given) == expected


INPUTS: dict[str, tuple[dict[str, Any], str]] = {
    "none": ({"inputs": {}, "upstream": []}, ""),
    "one": ({"inputs": {"rows": [3]}, "upstream": [3]}, "rows=3"),
    "many in a row": ({"inputs": {"rows": [*range(1, 501), 7], "wait_for": [9]}, "upstream": []}, "rows=1-500,7 wait_for=9"),
    "without a parameter": ({"inputs": {}, "upstream": [0, 1, 4]}, "0-1,4"),
}


@pytest.mark.parametrize(("task", "expected"), INPUTS.values(), ids=INPUTS)
def test_inputs_are_told_by_parameter(task: dict[str, Any], expected: str) -> None:
    assert inputs_told(task) == expected


def test_only_decisions_about_a_task_run_are_told() -> None:
    entries = [
        ["PENDING", "Pending", 0, "PENDING", []],
        ["SCHEDULED", "AwaitingRetry", 5, "FAILED", [["retry_failed", "Redirect", "again"]]],
    ]
    assert task_told({"name": "load-0", "history": entries}) == [
        "load-0 AwaitingRetry: FAILED was proposed; retry_failed changed that: again"
    ]
