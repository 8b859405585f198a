"""One result for each cache key, and what happens where it cannot be had or kept."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import sleep
from typing import Any

import pytest
from fsspec.implementations.local import LocalFileSystem

from mintaka import flow, task
from mintaka.cache_policies import DEFAULT, FLOW_PARAMETERS, INPUTS, NO_CACHE, RUN_ID, TASK_SOURCE, CachePolicy, IsolationLevel
from mintaka.exceptions import ConfigurationError
from mintaka.locking.memory import MemoryLockManager
from mintaka.persisting.flights import in_flight
from mintaka.results import ResultRecord
from mintaka.testing import recorded
from mintaka_core.states import COMPLETED

RAN: Counter[str] = Counter()


@pytest.fixture(autouse=True)
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder for the results of one test; nothing is left in flight afterwards."""
    monkeypatch.setenv("MINTAKA_RESULT_STORAGE", str(tmp_path / "results"))
    for name in ("MINTAKA_RESULTS_PERSIST_BY_DEFAULT", "MINTAKA_RESULT_SERIALIZER", "MINTAKA_TASKS_REFRESH_CACHE"):
        monkeypatch.delenv(name, raising=False)
    RAN.clear()
    return tmp_path / "results"


def files(folder: Path) -> list[Path]:
    """The results in `folder`; what is kept of the flow runs themselves is apart."""
    return sorted(path for path in folder.rglob("*") if path.is_file() and path.name != "run")


@task(cache_policy=INPUTS)
def double(number: int, note: str = "") -> int:  # noqa: ARG001 - part of its key
    RAN["double"] += 1
    return 2 * number


def test_the_same_inputs_run_once_and_the_second_state_is_cached() -> None:
    """Also across flow runs; the record names the rule that decided."""

    @flow
    def twice() -> list[int]:
        return [double(2), double(2), double(3)]

    with recorded() as history:
        assert twice() == [4, 4, 6]
    assert twice() == [4, 4, 6]
    assert RAN["double"] == 2
    assert history.states_of("double-0") == ["Pending", "Running", "Completed"]
    assert history.states_of("double-1") == ["Pending", "Cached"]
    end = history.run("double-1").history[-1]
    assert (end.type, end.rule) == (COMPLETED, "use_kept_result")
    assert end.decision == "a result is kept for this call"


def test_a_cached_result_is_found_without_a_flow_and_however_it_is_called() -> None:
    """A task on its own, submitted, and awaited."""
    assert double(7) == 14
    assert double(number=7, note="") == 14

    @flow
    def submitted() -> int:
        return double.submit(7).result()

    assert submitted() == 14
    assert RAN["double"] == 1


def test_an_async_task_is_cached_too() -> None:
    """The look and the keeping happen beside the event loop."""

    @task(cache_policy=INPUTS)
    async def triple(number: int) -> int:
        RAN["triple"] += 1
        return 3 * number

    @flow
    async def thrice() -> list[int]:
        return [await triple(1), await triple(1), *(await asyncio.gather(triple(2), triple(2), triple(2)))]

    assert asyncio.run(thrice()) == [3, 3, 6, 6, 6]
    assert RAN["triple"] == 2


def test_two_tasks_with_the_same_inputs_do_not_share_results() -> None:
    """Nor do two instances of a class with one method as a task."""

    @task(cache_policy=INPUTS)
    def halve(number: int, note: str = "") -> float:  # noqa: ARG001 - the same inputs as double's
        return number / 2

    class Scale:
        def __init__(self, factor: int) -> None:
            self.factor = factor

        @task(cache_policy=INPUTS)
        def scaled(self, number: int) -> int:
            RAN["scaled"] += 1
            return self.factor * number

    assert (double(4), halve(4)) == (8, 2)
    assert (Scale(2).scaled(5), Scale(3).scaled(5), Scale(2).scaled(5)) == (10, 15, 10)
    assert RAN["scaled"] == 2


def test_arguments_that_json_confuses_are_told_apart() -> None:
    """A list, a tuple, keys that are numbers, and sets in any order."""

    @task(cache_policy=INPUTS)
    def kind(value: Any) -> str:
        RAN["kind"] += 1
        return repr(value)

    values: list[Any] = [[1, 2], (1, 2), {1: "a"}, {"1": "a"}, 1, 1.0, True, "1", b"1", None, {1, 2}, frozenset({1, 2})]
    assert [kind(value) for value in values] == [repr(value) for value in values]
    assert RAN["kind"] == len(values)
    assert kind({2, 1}) == repr({1, 2})
    assert kind({"b": 1, "a": 2}) == kind({"a": 2, "b": 1})
    assert RAN["kind"] == len(values) + 1


def test_a_policy_without_an_argument_ignores_it() -> None:
    """INPUTS - "note": the note makes no difference."""
    quiet = double.with_options(cache_policy=INPUTS - "note")
    assert (quiet(9, note="a"), quiet(9, note="b"), quiet(8)) == (18, 18, 16)
    assert RAN["double"] == 2


def test_run_id_caches_within_a_flow_run_only() -> None:
    """The next flow run begins anew; so does a task outside of flows."""
    once = double.with_options(cache_policy=RUN_ID)

    @flow
    def runs() -> list[int]:
        return [once(1), once(2)]

    assert runs() == [2, 2]
    assert runs() == [2, 2]
    assert RAN["double"] == 2
    once(1)
    once(1)
    assert RAN["double"] == 4


def test_flow_parameters_cache_for_the_same_parameters() -> None:
    """Whatever the task's own arguments."""
    by_flow = double.with_options(cache_policy=FLOW_PARAMETERS)

    @flow
    def runs(day: str, number: int) -> int:
        return by_flow(number if day == "mon" else 10 * number)

    assert [runs("mon", 1), runs("mon", 1), runs("tue", 1)] == [2, 2, 20]
    assert RAN["double"] == 2


def test_task_source_tells_two_versions_of_a_task_apart() -> None:
    """The same name and inputs, other code."""

    def made(version: int) -> Any:
        if version == 1:

            @task(cache_policy=INPUTS + TASK_SOURCE)
            def step(number: int) -> int:
                return number + 1
        else:

            @task(cache_policy=INPUTS + TASK_SOURCE)
            def step(number: int) -> int:
                return number + 2

        return step

    assert (made(1)(1), made(2)(1), made(1)(1)) == (2, 3, 2)


def test_persisting_alone_caches_within_the_run_and_no_cache_does_not() -> None:
    """What persist_result=True means in Prefect; NO_CACHE persists without using again."""
    kept, plain, never = (
        double.with_options(cache_policy=None, persist_result=True),
        double.with_options(cache_policy=None),
        double.with_options(cache_policy=NO_CACHE, persist_result=True),
    )

    @flow
    def runs() -> None:
        for each in (kept, plain, never):
            before = RAN["double"]
            each(1)
            each(1)
            RAN[f"{each.results.policy} {each.results.asked}"] = RAN["double"] - before

    runs()
    assert RAN["None True"] == 1
    assert RAN["None False"] == 2
    assert RAN["NoCache True"] == 2


def test_a_key_function_and_a_policy_of_ones_own() -> None:
    """The function's key is used as it is, also by another task; None does not cache."""

    class ByParity(CachePolicy):
        def compute_key(self, task_ctx: Any, inputs: dict[str, Any], flow_parameters: dict[str, Any], **_: Any) -> str | None:
            assert flow_parameters == {}
            return f"{task_ctx.task.name}-{inputs['number'] % 2}"

    parity = double.with_options(cache_policy=ByParity())
    assert (parity(1), parity(3), parity(2)) == (2, 2, 4)
    shared = double.with_options(
        cache_policy=None, cache_key_fn=lambda context, parameters: f"{context.task.name}-{parameters['number'] % 2}"
    )
    assert shared(5) == 2
    never = double.with_options(cache_policy=None, cache_key_fn=lambda *_: None)
    assert (never(5), never(5)) == (10, 10)


def test_an_expired_result_is_made_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    """And the record tells that there was one."""
    from mintaka.engine import decisions  # noqa: PLC0415 - its clock is moved

    brief = double.with_options(cache_expiration=timedelta(minutes=1))
    assert brief(1) == 2
    assert brief(1) == 2
    later = datetime.now(UTC) + timedelta(hours=1)
    monkeypatch.setattr(decisions, "now_micros", lambda: int(later.timestamp() * 1e6))

    @flow
    def again() -> int:
        return brief(1)

    with recorded() as history:
        assert again() == 2
    assert RAN["double"] == 2
    assert history.states_of("double-0") == ["Pending", "Running", "Completed"]
    assert history.run("double-0").history[1].decision.startswith("the kept result expired at 20")


def test_a_refresh_makes_a_new_result_and_keeps_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """By the task's word or the environment's."""
    double(1)
    double.with_options(refresh_cache=True)(1)
    assert RAN["double"] == 2
    monkeypatch.setenv("MINTAKA_TASKS_REFRESH_CACHE", "true")
    double(1)
    double.with_options(refresh_cache=False)(1)
    assert RAN["double"] == 3


def test_a_key_that_cannot_be_computed_is_told_once_and_the_task_runs(caplog: pytest.LogCaptureFixture) -> None:
    """The message names the argument and what to do."""

    @task(cache_policy=INPUTS)
    def with_lock(lock: Any) -> int:
        RAN["lock"] += lock is not None
        return 1

    with caplog.at_level(logging.WARNING):
        assert (with_lock(threading.Lock()), with_lock(threading.Lock())) == (1, 1)
    told = [record.getMessage() for record in caplog.records]
    assert len(told) == 1
    assert "argument 'lock': a lock can be neither written as JSON nor pickled" in told[0]
    assert "INPUTS - 'lock'" in told[0]
    assert RAN["lock"] == 2


def test_a_key_function_that_fails_does_not_fail_the_task(caplog: pytest.LogCaptureFixture) -> None:
    """Caching is a convenience; a bug in it is told."""

    @task(cache_key_fn=lambda *_: {}["missing"])
    def fine() -> int:
        return 1

    with caplog.at_level(logging.WARNING):
        assert fine() == 1
    assert "a cache key cannot be computed, so the call is not cached: KeyError: 'missing'" in caplog.text


def test_calls_with_one_key_at_the_same_time_run_once() -> None:
    """The others wait for the first and take its result."""
    begun, go_on = threading.Event(), threading.Event()

    @task(cache_policy=INPUTS)
    def slow(number: int) -> int:
        RAN["slow"] += 1
        begun.set()
        assert go_on.wait(10)
        return number

    @flow
    def many() -> list[int]:
        futures = slow.map([5] * 10)
        assert begun.wait(10)
        go_on.set()
        return futures.result()

    with recorded() as history:
        assert many() == [5] * 10
    assert RAN["slow"] == 1
    assert Counter(run.history[-1].name for run in history.runs.values()) == {"Completed": 1, "Cached": 9}
    assert in_flight() == []


def test_when_the_first_of_them_fails_the_next_one_tries() -> None:
    """A failure is nobody's result."""
    lock = threading.Lock()

    @task(cache_policy=INPUTS)
    def flaky(number: int) -> int:
        with lock:
            RAN["flaky"] += 1
            first = RAN["flaky"] == 1
        if first:
            raise ValueError("first")
        return number

    @flow
    def many() -> list[str]:
        return sorted(future.wait() or future.state.name for future in flaky.map([5] * 4))

    assert many() == ["Cached", "Cached", "Completed", "Failed"]
    assert RAN["flaky"] == 2
    assert in_flight() == []


def test_a_task_that_calls_one_with_its_own_key_does_not_wait_for_itself() -> None:
    """Waiting would never end; the inner run goes ahead, and its record says so."""

    @task(cache_key_fn=lambda *_: "the-same")
    def outer(depth: int) -> int:
        RAN["outer"] += 1
        return depth if depth == 0 else outer(depth - 1)

    @flow
    def nested() -> int:
        return outer(2)

    with recorded() as history:
        assert nested() == 0
    assert RAN["outer"] == 3
    assert "waits for this one" in history.run("outer-1").history[1].decision


def test_two_tasks_that_call_each_others_keys_do_not_wait_in_a_circle() -> None:
    """Each holds what the other needs: one of them goes ahead."""
    both = threading.Barrier(2)

    @task(cache_key_fn=lambda _, parameters: parameters["key"])
    def leaf(key: str) -> str:
        return key

    @task(cache_key_fn=lambda _, parameters: parameters["key"])
    def stem(key: str, other: str) -> str:
        both.wait(10)
        return leaf(other) if key else ""

    @flow
    def crossed() -> list[str]:
        futures = [stem.submit("a", "b"), stem.submit("b", "a")]
        return [future.result(timeout=20) for future in futures]

    assert set(crossed()) <= {"a", "b"}
    assert in_flight() == []


def test_a_state_holds_the_reference_and_gives_the_value() -> None:
    """With key, serializer, size; the value need not stay in memory."""
    state = double(21, return_state=True)
    assert isinstance(state.data, ResultRecord)
    assert state.data.metadata.serializer == "pickle"
    assert state.result() == 42

    @flow
    def forgetful() -> tuple[int, bool]:
        future = double.with_options(cache_result_in_memory=False).submit(22)
        future.wait()
        data: Any = future.state.data
        for path in files(Path(data.storage.url)):
            path.unlink()
        try:
            future.result()
        except Exception as error:  # noqa: BLE001 - which one is what is tested
            return (future.run.n, type(error).__name__ == "MissingResult")
        return (future.run.n, False)

    assert forgetful() == (0, True)


def test_a_result_that_cannot_be_serialized_is_told_in_the_state(caplog: pytest.LogCaptureFixture) -> None:
    """The run completed and its value is there; nobody can believe that it is kept."""

    @task(persist_result=True)
    def lock() -> Any:
        return threading.Lock()

    @flow
    def locks() -> bool:
        return lock() is not lock()

    with recorded() as history:
        assert locks()
    end = history.run("lock-0").history[-1]
    assert (end.type, end.name, end.reason) == (COMPLETED, "NotPersisted", "SerializationError")
    assert "a lock cannot be serialized with pickle" in end.message
    assert "its result is not persisted" in caplog.text


def test_a_storage_that_fails_at_write_is_told_in_the_state(monkeypatch: pytest.MonkeyPatch) -> None:
    """And the next call, which finds nothing, runs."""

    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(LocalFileSystem, "pipe_file", full)

    @flow
    def twice() -> list[int]:
        return [double(1), double(1)]

    with recorded() as history:
        assert twice() == [2, 2]
    for name in ("double-0", "double-1"):
        end = history.run(name).history[-1]
        assert (end.name, end.reason) == ("NotPersisted", "StorageError")
        assert "No space left on device" in end.message


def test_a_storage_that_fails_at_read_lets_the_task_run_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is no miss: the record tells the fault."""

    def refuse(*_: Any, **__: Any) -> None:
        raise PermissionError("access denied")

    double(1)

    @flow
    def again() -> int:
        return double(1)

    with monkeypatch.context() as patched, recorded() as history:
        patched.setattr(LocalFileSystem, "cat_file", refuse)
        assert again() == 2
    assert RAN["double"] == 2
    assert history.states_of("double-0") == ["Pending", "Running", "Completed"]
    assert "PermissionError: access denied" in history.run("double-0").history[1].decision


@pytest.mark.parametrize("damage", [lambda blob: blob[:-3], lambda blob: blob[:-1] + b"X", lambda _: b""], ids=["cut", "changed", "empty"])
def test_a_corrupt_result_is_not_used_and_is_replaced(results: Path, damage: Any) -> None:
    """The checksum is looked at before anything is unpickled."""
    double(1)
    (path,) = files(results)
    path.write_bytes(damage(path.read_bytes()))

    @flow
    def again() -> list[int]:
        return [double(1), double(1)]

    with recorded() as history:
        assert again() == [2, 2]
    assert RAN["double"] == 2
    assert "is corrupt" in history.run("double-0").history[1].decision
    assert history.states_of("double-1") == ["Pending", "Cached"]


def test_a_flow_says_for_its_tasks_and_subflows_where_and_whether(tmp_path: Path) -> None:
    """Persisting, storage and serializer are inherited; a task may refuse."""
    plain = double.with_options(cache_policy=None)
    refusing = plain.with_options(persist_result=False)

    @flow
    def inner() -> None:
        plain(2)

    @flow(result_storage=tmp_path / "own", result_serializer="json")
    def outer() -> int:
        plain(1)
        refusing(3)
        inner()
        return plain(1)

    outer()
    assert RAN["double"] == 3
    kept = [path.read_bytes() for path in files(tmp_path / "own")]
    assert sum(b'"serializer": "json"' in blob for blob in kept) == len(kept)
    assert sum(blob.endswith(b"\n2") for blob in kept) >= 1
    assert not any(blob.endswith(b"\n6") for blob in kept)


def test_persisting_by_default_shares_nothing_between_calls(monkeypatch: pytest.MonkeyPatch, results: Path) -> None:
    """What nobody asked for in the code does not change what a flow does: two calls are two calls, both are kept."""
    monkeypatch.setenv("MINTAKA_RESULTS_PERSIST_BY_DEFAULT", "true")
    plain = double.with_options(cache_policy=None)

    @flow
    def twice() -> int:
        return plain(1) + plain(1)

    assert twice() == 4
    assert RAN["double"] == 2
    assert len([path for path in files(results) if path.name.startswith("double-")]) == 2


def test_a_deployed_run_with_a_storage_persists_by_itself(results: Path) -> None:
    """One without, or a script, does not."""
    plain = double.with_options(cache_policy=None)

    @flow
    def once() -> int:
        return plain(1)

    once()
    assert files(results) == []
    with recorded(deployment="nightly", flow_run_id="uid-1"):
        once()
    assert any("runs/uid-1/double-" in str(path) for path in files(results))


def test_a_storage_key_names_the_file_and_stands_in_for_the_next_run(results: Path) -> None:
    """As a template over parameters and runtime; a bad one is told, and the task runs."""
    named = double.with_options(cache_policy=None, result_storage_key="doubles/{parameters[number]}", result_serializer="json")
    assert (named(3), named(3)) == (6, 6)
    assert RAN["double"] == 1
    assert (results / "doubles" / "3").read_bytes().endswith(b"\n6")
    escaping = double.with_options(cache_policy=None, result_storage_key="../{parameters[note]}")
    wrong = double.with_options(cache_policy=None, result_storage_key="{parameters[nothing]}")

    @flow
    def odd() -> list[int]:
        return [escaping(1, note="x"), wrong(1)]

    with recorded() as history:
        assert odd() == [2, 2]
    assert "is no key of a result" in history.run("double-0").history[-1].message
    assert "cannot be filled in" in history.run("double-1").history[1].decision


def test_a_lock_manager_is_asked_and_let_go() -> None:
    """Serializable: whoever holds the lock elsewhere is waited for."""
    manager = MemoryLockManager()
    locked = double.with_options(cache_policy=INPUTS.configure(lock_manager=manager, isolation_level=IsolationLevel.SERIALIZABLE))
    state = locked(1, return_state=True)
    key = state.data.metadata.storage_key
    assert not manager.is_locked(key)
    assert manager.acquire_lock(key, "somebody", 0)
    ended: list[int] = []
    thread = threading.Thread(target=lambda: ended.append(locked(1)))
    thread.start()
    thread.join(0.1)
    assert ended == []
    manager.release_lock(key, "somebody")
    thread.join(10)
    assert ended == [2]
    assert RAN["double"] == 1


def test_settings_that_contradict_each_other_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """At once, not when the task runs."""
    with pytest.raises(ConfigurationError, match="needs a lock_manager"):
        INPUTS.configure(isolation_level=IsolationLevel.SERIALIZABLE)
    with pytest.raises(ConfigurationError, match="two different values of key_storage"):
        _ = INPUTS.configure(key_storage="a") + RUN_ID.configure(key_storage="b")
    with pytest.raises(ConfigurationError, match="is a policy such as"):
        double.with_options(cache_policy="INPUTS")
    monkeypatch.setenv("MINTAKA_RESULTS_PERSIST_BY_DEFAULT", "maybe")
    with pytest.raises(ConfigurationError, match="MINTAKA_RESULTS_PERSIST_BY_DEFAULT should be true or false"):
        flow(lambda: 1, name="x")()


def test_a_policy_keeps_its_own_storage_and_reads_as_it_was_written(tmp_path: Path) -> None:
    """key_storage; the sum of policies shows its parts."""
    own = double.with_options(cache_policy=(INPUTS + RUN_ID).configure(key_storage=tmp_path / "keys"))
    own(1)
    assert len(files(tmp_path / "keys")) == 1
    assert repr(DEFAULT - "note") == "Inputs - 'note' + TaskSource + RunId"
    assert INPUTS + NO_CACHE is INPUTS


def test_the_result_of_a_flow_is_persisted_where_asked() -> None:
    """Its state holds the reference, under the flow run's id."""

    @flow(persist_result=True)
    def answer() -> int:
        return 42

    with recorded(flow_run_id="uid-2"):
        state = answer(return_state=True)
    assert isinstance(state.data, ResultRecord)
    assert state.data.metadata.storage_key == "runs/uid-2/result"
    assert state.result() == 42


@pytest.mark.parametrize("lifetime", [timedelta.max, timedelta(days=10**6 * 9)], ids=["the longest", "longer than dates"])
def test_a_cache_expiration_beyond_every_date_never_comes(lifetime: timedelta) -> None:
    lasting = double.with_options(cache_policy=INPUTS, cache_expiration=lifetime)
    assert (lasting(21), lasting(21)) == (42, 42)
    assert RAN["double"] == 1


def test_a_cache_expiration_before_every_date_has_passed() -> None:
    gone = double.with_options(cache_policy=INPUTS, cache_expiration=timedelta.min)
    assert (gone(21), gone(21)) == (42, 42)
    assert RAN["double"] == 2


class Slow:
    """An argument whose fingerprint takes its time."""

    def __reduce__(self) -> Any:
        sleep(0.06)
        return Slow, ()


@task(cache_policy=INPUTS)
def slow_by_argument(rows: Any, limit: Any = 3) -> int:
    return len(rows) + limit


@task(cache_key_fn=lambda _context, arguments: sleep(0.06) or str(len(arguments["rows"])))  # type: ignore[func-returns-value]
def slow_by_function(rows: Any, limit: Any = 3) -> int:
    return len(rows) + limit


@task(persist_result=True)
async def slow_and_async(rows: Any, limit: Any = 3) -> int:
    return len(rows) + limit


@pytest.mark.parametrize("slow", [slow_by_argument, slow_by_function, slow_and_async], ids=lambda each: each.name)
def test_a_key_that_takes_long_to_compute_says_so_once_per_call(
    slow: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("mintaka.persisting.caching._LONG_SECONDS", 0.05)

    @flow
    def main() -> list[int]:
        first = slow.submit([Slow(), Slow()]).result()
        return [first, *slow.map([[Slow()], [Slow()] * 3]).result(), give_number()]

    with caplog.at_level(logging.WARNING):
        assert main() == [5, 4, 6, 1]
    told = [record.getMessage() for record in caplog.records if "took" in record.getMessage()]
    assert sorted(each.partition(":")[0] for each in told) == [f"{slow.name}-{n}" for n in range(3)]
    assert all(
        "pass the address of 'rows' in place of its content, leave it out with cache_policy=INPUTS - 'rows'" in each for each in told
    )


@task(cache_policy=INPUTS)
def give_number() -> int:
    return 1
