"""The run protocol alone, and its short cuts held equal to the core's policy."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mintaka import exponential_backoff, flow, task
from mintaka.context import RunContext
from mintaka.engine.invocations import Invocation
from mintaka.engine.protocol import PLAIN_EDGES, run_protocol
from mintaka.engine.retries import RetryPlan
from mintaka.engine.runs import Entry, Ledger, now_micros
from mintaka.engine.steps import CALL, Report, Sleep
from mintaka.engine.stopping import STOP
from mintaka.exceptions import Terminated
from mintaka.recording.recorder import NullRecorder
from mintaka.testing import recorded
from mintaka_core.backoff import Backoff, Budget, Retries
from mintaka_core.policies import TASK_RUN_POLICY
from mintaka_core.states import CANCELLED, CRASHED, State
from mintaka_core.transitions import Transition, decide

NOW = datetime(2026, 11, 22, tzinfo=UTC)


@given(
    edge=st.sampled_from(sorted(PLAIN_EDGES)),
    failures=st.integers(0, 5),
    crashes=st.integers(0, 5),
    limit=st.integers(0, 5),
    retriable=st.booleans(),
    stopped=st.booleans(),
    overdue=st.booleans(),
    cancel=st.booleans(),
    explicit=st.booleans(),
    jitter=st.floats(0, 0.999),
)
def test_the_steps_taken_without_asking_are_those_the_policy_lets_pass_whatever_the_facts(
    edge: Any,
    *,
    failures: int,
    crashes: int,
    limit: int,
    retriable: bool,
    stopped: bool,
    overdue: bool,
    cancel: bool,
    explicit: bool,
    jitter: float,
) -> None:
    before, after = edge
    transition = Transition(
        current=State(before, time=NOW),
        proposed=State(after),
        now=NOW,
        failures=failures,
        crashes=crashes,
        retries=Retries(Budget(limit), Budget(limit)),
        retriable=retriable,
        stopped=stopped,
        deadline=NOW - timedelta(1) if overdue else None,
        cancel_requested=cancel,
        explicit=explicit,
        jitter=jitter,
    )
    decision = decide(TASK_RUN_POLICY, transition)
    assert (decision.verdict, decision.trail) == ("Accept", ())
    assert decision.state == State(after, time=NOW)


@task
def nothing() -> None:
    pass


def invocation_of(**settings: Any) -> Invocation:
    ledger = Ledger(NullRecorder())
    run = ledger.open("module.nothing", "task", None)
    return Invocation(nothing.with_options(**settings), run, ledger, RunContext(None, ledger, run, nothing, log_prints=False), (), {}, None)


def test_the_protocol_asks_for_the_call_and_ends_with_its_value() -> None:
    protocol = run_protocol(invocation_of())
    assert next(protocol) is CALL
    with pytest.raises(StopIteration) as end:
        protocol.send(5)
    assert (end.value.value.ok, end.value.value.value) == (True, 5)


def test_the_protocol_asks_for_the_wait_before_a_retry_and_then_for_the_call_again() -> None:
    protocol = run_protocol(invocation_of(retries=1, retry_delay_seconds=30))
    next(protocol)
    assert isinstance(protocol.throw(ValueError("no")), Report)
    sleep = next(protocol)
    assert isinstance(sleep, Sleep)
    assert 29 < sleep.seconds <= 30
    assert next(protocol) is CALL


def test_a_run_that_was_ended_from_outside_stays_so() -> None:
    invocation = invocation_of()
    protocol = run_protocol(invocation)
    next(protocol)
    invocation.ledger.end(invocation.run, Entry(CANCELLED, "Cancelled", now_micros()))
    with pytest.raises(StopIteration) as end:
        protocol.send(5)
    assert not end.value.value.ok
    assert invocation.run.history[-1].type == CANCELLED


def test_nothing_starts_once_the_process_was_asked_to_stop() -> None:
    protocol = run_protocol(invocation_of())
    STOP.request()
    with pytest.raises(Terminated):
        next(protocol)


def test_the_trail_of_a_retry_is_in_the_history() -> None:
    tries: list[int] = []

    @task(retries=2, retry_delay_seconds=[0.02, 0.03])
    def flaky() -> int:
        tries.append(1)
        if len(tries) < 3:
            raise ConnectionError("gone")
        return len(tries)

    @flow
    def main() -> int:
        return flaky()

    with recorded() as history:
        assert main() == 3
    row = history.row("flaky-0")
    assert [(entry[0], entry[1], entry[4][0][0] if entry[4] else "") for entry in row["history"]] == [
        ("PENDING", "Pending", ""),
        ("RUNNING", "Running", ""),
        ("SCHEDULED", "AwaitingRetry", "retry_failed"),
        ("PENDING", "Pending", "wait_for_scheduled_time"),
        ("RUNNING", "Retrying", ""),
        ("SCHEDULED", "AwaitingRetry", "retry_failed"),
        ("PENDING", "Pending", "wait_for_scheduled_time"),
        ("RUNNING", "Retrying", ""),
        ("COMPLETED", "Completed", ""),
    ]
    assert row["history"][2][3:] == ["FAILED", [["retry_failed", "Redirect", "failure 1 of 2 allowed, again in 0.0 s"]]]
    assert row["history"][3][4][0][1] == "Wait"
    assert (row["runs"], row["seq"]) == (3, 9)


def test_a_task_is_tried_once_more_than_it_has_retries() -> None:
    tries: list[int] = []

    @task(retries=3)
    def broken() -> None:
        tries.append(1)
        raise ValueError("no")

    assert broken(return_state=True).is_failed()
    assert len(tries) == 4


def test_a_condition_that_says_no_or_breaks_ends_the_tries() -> None:
    tries: list[int] = []

    def only_connections(_task: Any, _run: Any, state: Any) -> bool:
        return isinstance(state.error, ConnectionError)

    def breaks(_task: Any, _run: Any, _state: Any) -> bool:
        raise RuntimeError("condition")

    @task(retries=3, retry_condition_fn=only_connections)
    def broken(error: Exception) -> None:
        tries.append(1)
        raise error

    assert broken(ValueError("no"), return_state=True).is_failed()
    assert len(tries) == 1
    assert broken(ConnectionError("gone"), return_state=True).is_failed()
    assert len(tries) == 5
    assert broken.with_options(retry_condition_fn=breaks)(ConnectionError("gone"), return_state=True).is_failed()
    assert len(tries) == 6


DELAYS = {
    "a number repeats": (3, 7, [7, 7, 7]),
    "of a list the last one repeats": (4, [1, 2], [1, 2, 2, 2]),
    "a callable makes the list": (3, lambda retries: [retries * 10] * retries, [30, 30, 30]),
    "exponential backoff doubles": (4, exponential_backoff(3), [3, 6, 12, 24]),
    "none is none": (2, None, [0, 0]),
}


@pytest.mark.parametrize(("retries", "delay", "expected"), DELAYS.values(), ids=DELAYS)
def test_the_waits_before_retries(retries: int, delay: Any, expected: list[float]) -> None:
    plan = RetryPlan(retries, delay)
    assert [plan.budgets(k).on_failure.backoff.delay(k, 0.5).total_seconds() for k in range(retries)] == expected


@given(delay=st.floats(0, 1e6), factor=st.floats(0, 10), draw=st.floats(0, 0.999), retry=st.integers(0, 60))
def test_jitter_spreads_a_wait_between_itself_and_itself_times_one_plus_the_factor(
    delay: float, factor: float, draw: float, retry: int
) -> None:
    backoff: Backoff = RetryPlan(100, delay, factor).budgets(retry).on_failure.backoff
    waited = backoff.delay(retry, draw).total_seconds()
    assert delay - 1e-3 <= waited <= delay * (1 + factor) + 1e-3


@pytest.mark.parametrize(
    "settings",
    [{"retries": -1}, {"retries": 1, "retry_delay_seconds": -1}, {"retry_jitter_factor": -0.1}, {"retry_delay_seconds": [1] * 51}],
)
def test_retry_settings_that_make_no_sense_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="retr"):
        task(**settings)(lambda: None)


def test_a_task_that_fails_while_being_stopped_is_not_tried_again() -> None:
    tries: list[int] = []

    @task(retries=5)
    def broken() -> None:
        tries.append(1)
        STOP.request()
        raise ValueError("no")

    assert broken(return_state=True).is_failed()
    assert len(tries) == 1


def test_a_crash_is_not_tried_again() -> None:
    @task(retries=5)
    def leaves() -> None:
        raise SystemExit(1)

    @flow
    def main() -> Any:
        return leaves.submit(return_state=True).type

    assert main() == CRASHED
