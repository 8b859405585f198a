"""Futures: identity, callbacks, waiting for many, and what they are replaced by wherever they hide."""

from __future__ import annotations

import sys
import threading
from collections import OrderedDict, defaultdict
from dataclasses import dataclass
from types import ModuleType
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from pydantic import BaseModel, ConfigDict

from mintaka import Completed, Future, as_completed, flow, quote, runtime, task, wait
from mintaka.cache_policies import INPUTS
from mintaka.engine.loops import is_cancellation, loop_is_running
from mintaka.futures import resolve_futures_to_results, resolve_futures_to_states
from mintaka.testing import recorded

if TYPE_CHECKING:
    from pathlib import Path


@task
def give(value: Any) -> Any:
    return value


@task
def fail() -> None:
    raise ValueError("no")


@dataclass
class Record:
    part: Any
    fixed: int = 0


class Pair(NamedTuple):
    one: Any
    two: Any


class Model(BaseModel):
    model_config = ConfigDict(arbitrary_types_allowed=True)
    part: Any
    nested: Any = None


HIDING: dict[str, Any] = {
    "alone": lambda passed: passed,
    "in a list": lambda passed: [0, passed],
    "in a tuple": lambda passed: (passed,),
    "in a named tuple": lambda passed: Pair(0, passed),
    "in a set": lambda passed: {passed},
    "in a dict": lambda passed: {"k": passed},
    "in an ordered dict": lambda passed: OrderedDict(k=passed),
    "in a default dict": lambda passed: defaultdict(list, k=passed),
    "in a dataclass": Record,
    "in a pydantic model": lambda passed: Model(part=passed),
    "in all of these": lambda passed: {"a": [Record((passed, Model(part=[passed])))]},
}


@pytest.mark.parametrize("hide", HIDING.values(), ids=HIDING)
def test_a_future_is_replaced_by_its_result_wherever_it_hides_and_is_an_edge(hide: Any) -> None:
    @flow
    def main() -> Any:
        return give.submit(hide(give.submit(7))).result(), resolve_futures_to_results(hide(give.submit(7)))

    with recorded() as history:
        assert main() == (hide(7), hide(7))
    assert history.upstream_of("give-1") == {"give-0"}


@pytest.mark.parametrize("hide", HIDING.values(), ids=HIDING)
def test_what_holds_no_future_is_the_same_object_in_a_call_and_an_equal_one_if_it_is_submitted(hide: Any) -> None:
    value = hide(7)
    assert flow(lambda: give(value) is value)()
    assert flow(lambda: give.submit(value).result())() == value
    assert resolve_futures_to_results(value) is value


def test_what_is_quoted_is_not_looked_into() -> None:
    @flow
    def main() -> Any:
        inside = give.submit(1)
        return type(give(quote([inside]))[0])

    assert main() is Future


def test_futures_and_states_become_states() -> None:
    @flow
    def main() -> Any:
        states = resolve_futures_to_states({"good": give.submit(1), "bad": [fail.submit()], "state": Completed(data=3)})
        return Completed(data=[states["good"].name, states["bad"][0].name, states["state"].result()])

    assert main() == ["Completed", "Failed", 3]


def test_results_of_failed_futures_raise() -> None:
    @flow
    def main() -> Any:
        resolve_futures_to_results([give.submit(1), fail.submit()])

    with pytest.raises(ValueError, match="no"):
        main()


def test_a_future_has_the_identity_of_its_run() -> None:
    @task
    def who() -> Any:
        return runtime.task_run.id

    @flow
    def main() -> Any:
        future = who.submit()
        return str(future.task_run_id) == future.result()

    with recorded(flow_run_id="uid", attempt=3):
        assert main()


def test_callbacks_are_called_once_whether_added_before_or_after_the_end() -> None:
    gate, called = threading.Event(), []

    @task
    def waits() -> int:
        gate.wait(5)
        return 1

    @flow
    def main() -> None:
        future = waits.submit()
        future.add_done_callback(lambda done: called.append(("before", done.state.name)))
        gate.set()
        future.wait()
        future.add_done_callback(lambda done: called.append(("after", done.result())))

    main()
    assert sorted(called) == [("after", 1), ("before", "Completed")]


def test_a_callback_that_fails_is_logged_and_changes_nothing(caplog: pytest.LogCaptureFixture) -> None:
    @flow
    def main() -> Any:
        future = give.submit(1)
        future.add_done_callback(lambda _: 1 / 0)
        return future.result()

    assert main() == 1
    assert "ZeroDivisionError" in caplog.text


def test_waiting_for_many_tells_done_from_not_done_and_times_out() -> None:
    gate = threading.Event()

    @task
    def waits() -> None:
        gate.wait(5)

    @flow
    def main() -> Any:
        quick, slow = give.submit(1), waits.submit()
        quick.wait()
        done, not_done = wait([quick, slow], timeout=0.01)
        with pytest.raises(TimeoutError, match="not over"):
            slow.result(timeout=0.01)
        with pytest.raises(TimeoutError, match="not all"):
            list(as_completed([quick, slow], timeout=0.05))
        gate.set()
        return done == {quick}, not_done == {slow}, {future.name for future in as_completed([quick, slow], timeout=5)}

    assert main() == (True, True, {"give-0", "waits-1"})


def test_while_another_thread_imports_asyncio_no_loop_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """The module is there before its functions are."""
    monkeypatch.setitem(sys.modules, "asyncio", ModuleType("asyncio"))
    assert not loop_is_running()
    assert not is_cancellation(ValueError())


def test_a_mistake_of_ours_crashes_the_run_and_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Never a future that is done while its run is not."""

    @task(cache_policy=INPUTS, result_storage=str(tmp_path))
    def cached() -> int:
        return 1

    @flow
    def main() -> Any:
        future = cached.submit()
        with pytest.raises(LookupError, match="ours"):
            future.result()
        return future.state.type, future.state.reason

    def broken(_place: object) -> None:
        raise LookupError("ours")

    monkeypatch.setattr("mintaka.persisting.caching.board", broken)
    assert main() == ("CRASHED", "LookupError")


TIMEOUTS = {
    "infinity": float("inf"),
    "more than the operating system waits": 1e12,
    "the largest float": 1.7e308,
    "an integer beyond a float": 10**400,
}


@pytest.mark.parametrize("seconds", TIMEOUTS.values(), ids=TIMEOUTS)
def test_a_timeout_beyond_every_clock_waits_until_the_end(seconds: float) -> None:
    @flow
    def main() -> Any:
        open_ = threading.Event()

        @task
        def waits(value: int) -> int:
            open_.wait(10)
            return value

        futures = waits.map([1, 2, 3])
        threading.Timer(0.05, open_.set).start()
        return (
            sorted(future.result(seconds) for future in as_completed(futures, timeout=seconds)),
            futures[0].result(timeout=seconds),
            len(wait(futures, timeout=seconds).done),
            futures.result(timeout=seconds),
        )

    assert main() == ([1, 2, 3], 1, 3, [1, 2, 3])


def test_a_negative_timeout_has_passed() -> None:
    @flow
    def main() -> Any:
        open_ = threading.Event()
        future = task(lambda: open_.wait(10)).submit()
        for seconds in (-1, -0.5, float("-inf")):
            with pytest.raises(TimeoutError):
                future.result(seconds)
        open_.set()
        return future.result()

    assert main() is True
