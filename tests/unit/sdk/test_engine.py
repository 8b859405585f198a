"""The run protocol alone, and its short cuts held equal to the core's policy."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mintaka import exponential_backoff, flow, task
from mintaka.context import RunContext
from mintaka.engine.invocations import Invocation
from mintaka.engine.protocol import run_protocol
from mintaka.engine.retries import RetryPlan
from mintaka.engine.runs import PLAIN_EDGES, Ledger
from mintaka.engine.steps import CALL, Report, Sleep
from mintaka.engine.stopping import STOP
from mintaka.exceptions import InvalidSettingError, Terminated
from mintaka.recording.recorder import NullRecorder
from mintaka.testing import no_waiting, recorded
from mintaka_core.backoff import Backoff, Budget, Retries
from mintaka_core.policies import TASK_RUN_POLICY
from mintaka_core.states import CANCELLED, CRASHED, FAILED, State
from mintaka_core.transitions import Transition, decide

NOW = datetime(2026, 11, 22, tzinfo=UTC)


@given(
    edge=st.sampled_from(sorted(PLAIN_EDGES, key=str)),
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
        current=before and State(before, time=NOW),
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
    invocation.ledger.propose_end(invocation.run, State(CANCELLED))
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
        ("SCHEDULED", "AwaitingRetry", "wait_for_scheduled_time"),
        ("PENDING", "Pending", ""),
        ("RUNNING", "Retrying", ""),
        ("SCHEDULED", "AwaitingRetry", "retry_failed"),
        ("SCHEDULED", "AwaitingRetry", "wait_for_scheduled_time"),
        ("PENDING", "Pending", ""),
        ("RUNNING", "Retrying", ""),
        ("COMPLETED", "Completed", ""),
    ]
    assert row["history"][2][3:] == ["FAILED", [["retry_failed", "Redirect", "failure 1 of 2 allowed, again in 0.0 s"]]]
    assert row["history"][3][4][0][1] == "Wait"
    assert (row["runs"], row["seq"]) == (3, 11)


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
    "exponential backoff stops at a week": (50, exponential_backoff(10), [min(10 * 2.0**retry, 604800) for retry in range(50)]),
    "exponential backoff of an endless factor is a week": (2, exponential_backoff(float("inf")), [604800, 604800]),
    "exponential backoff of a negative factor is none": (2, exponential_backoff(-1), [0, 0]),
    "a number beyond every date is the longest wait": (2, 1e300, [1e9, 1e9]),
    "infinity is the longest wait": (1, float("inf"), [1e9]),
    "an integer beyond a float is the longest wait": (1, 10**400, [1e9]),
    "a list of all kinds of numbers": (4, [Decimal("0.5"), Fraction(1, 4), timedelta(minutes=1), timedelta.max], [0.5, 0.25, 60, 1e9]),
    "a callable gives a number": (2, lambda _: 3, [3, 3]),
    "a callable gives an integer beyond a float": (2, lambda retries: [10 ** (400 * k) for k in range(retries)], [1, 1e9]),
    "a callable gives infinity": (1, lambda _: [float("inf")], [1e9]),
    "a callable gives a Decimal": (1, lambda _: Decimal("1e999"), [1e9]),
    "a callable gives a timedelta": (1, lambda _: timedelta(seconds=5), [5]),
    "a callable gives a generator": (3, lambda retries: (k * 2 for k in range(retries)), [0, 2, 4]),
    "a callable gives no delays": (1, lambda _: [], [0]),
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


def test_jitter_does_not_carry_a_wait_beyond_every_date() -> None:
    for factor in (1e308, 10.0, 0.0):
        backoff: Backoff = RetryPlan(1, 1e300, factor).budgets(0).on_failure.backoff
        assert backoff.delay(0, 0.0).total_seconds() == 1e9
        assert backoff.delay(0, 0.999).total_seconds() == 1e9


REFUSED_DELAYS = {
    "nan": (lambda _: [1, float("nan")], "not nan"),
    "a Decimal that is not a number": (lambda _: Decimal("nan"), r"not Decimal\('NaN'\)"),
    "a negative number": (lambda _: [-1], "not -1"),
    "a negative timedelta": (lambda _: timedelta(seconds=-1), "not datetime.timedelta"),
    "minus infinity": (lambda _: float("-inf"), "not -inf"),
    "a negative integer beyond a float": (lambda _: -(10**400), "not -1000"),
    "nothing": (lambda _: None, "not None"),
    "a text": (lambda _: "10", "not '10'"),
    "a list of texts": (lambda _: ["10"], "not '10'"),
    "True": (lambda _: True, "not True"),
    "a list in a list": (lambda _: [[1]], r"not \[1\]"),
}


@pytest.mark.parametrize(("delay", "told"), REFUSED_DELAYS.values(), ids=REFUSED_DELAYS)
def test_a_function_of_delays_that_gives_anything_but_times_is_refused_where_it_is_given(delay: Any, told: str) -> None:
    with pytest.raises(
        InvalidSettingError, match=f"^the function given as retry_delay_seconds returned .* a number of seconds, 0 or more, {told}"
    ):
        task(retries=2, retry_delay_seconds=delay)(lambda: None)


LONG_DELAYS = {
    "exponential backoff": exponential_backoff(10),
    "powers of ten": lambda retries: [10**k for k in range(retries)],
    "infinity": float("inf"),
    "the largest timedelta": timedelta.max,
}


@pytest.mark.parametrize("delay", LONG_DELAYS.values(), ids=LONG_DELAYS)
@pytest.mark.parametrize("decorator", [task, flow], ids=["task", "flow"])
def test_what_always_fails_ends_with_its_own_error_however_long_its_delays(decorator: Any, delay: Any) -> None:
    tries: list[int] = []

    @decorator(retries=50, retry_delay_seconds=delay, retry_jitter_factor=1.0)
    def broken() -> None:
        tries.append(1)
        raise KeyError("its own")

    with no_waiting() as waits:
        state = broken(return_state=True)
    assert (state.type, state.name, state.reason, len(tries)) == (FAILED, "Failed", "KeyError", 51)
    assert len(waits) == 50
    assert max(waits) <= 1e9


def test_an_async_task_that_always_fails_ends_with_its_own_error_however_long_its_delays() -> None:
    @task(retries=40, retry_delay_seconds=exponential_backoff(10), crash_retries=2)
    async def broken() -> None:
        raise KeyError("its own")

    @flow
    async def main() -> Any:
        return [(await broken(return_state=True)).reason, broken.submit(return_state=True).reason]

    with no_waiting():
        assert asyncio.run(main()) == ["KeyError", "KeyError"]


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
