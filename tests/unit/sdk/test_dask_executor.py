"""Dask as an executor, without a cluster: a stand-in for its client does what one does when workers die."""

from __future__ import annotations

import threading
from concurrent.futures import CancelledError
from time import sleep
from typing import TYPE_CHECKING, Any

import pytest

from mintaka.executing import dask_executor
from mintaka.executing.dask_executor import DaskExecutor
from mintaka.executing.elsewhere import _crash
from mintaka.executing.start_marks import StartMarks, WorkerLost, run_once

if TYPE_CHECKING:
    from collections.abc import Iterator


class Sent:
    """A future of Dask's."""

    def __init__(self, call: Any, *args: Any, **kwargs: Any) -> None:
        self.run = lambda: call(*args, **kwargs)
        self.status = "pending"
        self.error: BaseException | None = None
        self.value: Any = None
        self.cancelled = False
        self._callbacks: list[Any] = []

    def add_done_callback(self, callback: Any) -> None:
        self._callbacks.append(callback)

    def become(self, status: str) -> None:
        """Dask says that it is over."""
        self.status = status
        callbacks, self._callbacks = self._callbacks, []
        for callback in callbacks:
            callback(self)

    def execute(self) -> None:
        """A worker runs it."""
        try:
            self.value = self.run()
        except Exception as error:  # noqa: BLE001 - as Dask
            self.error = error
            self.become("error")
        else:
            self.become("finished")

    def exception(self) -> BaseException | None:
        return self.error

    def cancel(self) -> None:
        self.cancelled = True


class Client:
    """A client of Dask's, of a cluster whose workers do what a test says."""

    def __init__(self, *_: Any, **__: Any) -> None:
        self.sent: list[Sent] = []
        self.workers = 1
        self.arrived = threading.Semaphore(0)

    def map(self, call: Any, *columns: Any, key: str, pure: bool, retries: int, **kwargs: Any) -> list[Sent]:
        assert (key, pure, retries) == ("work", False, 0)
        futures = [Sent(call, *row, **kwargs) for row in zip(*columns, strict=True)]
        self.sent += futures
        self.arrived.release(len(futures))
        return futures

    def gather(self, futures: list[Sent]) -> list[Any]:
        if any(isinstance(future.value, Exception) for future in futures):
            raise CancelledError
        return [future.value for future in futures]

    def nthreads(self) -> dict[str, int]:
        return dict.fromkeys(map(str, range(self.workers)), 1)

    def close(self) -> None:
        pass


@pytest.fixture
def executor(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.setattr("distributed.Client", Client)
    monkeypatch.setattr(dask_executor, "_LOOK_SECONDS", 0.01)
    monkeypatch.setattr(dask_executor, "_WITHOUT_WORKERS_SECONDS", 0.05)
    executor = DaskExecutor("tcp://somewhere", None, None, {}, {}, {})
    yield executor
    executor.shutdown()


BEGUN: list[Any] = []


def work(value: Any) -> Any:
    BEGUN.append(value)
    return value


def submitted(executor: Any, *values: Any) -> list[tuple[Any, Sent]]:
    futures = [executor.submit(work, value) for value in values]
    for _ in values:
        assert executor._client.arrived.acquire(timeout=10)
    while len(executor._out) < len(values) or any(not sent._callbacks for sent in executor._client.sent):
        sleep(0.001)
    return list(zip(futures, executor._client.sent, strict=True))


def test_a_call_that_had_not_begun_when_its_worker_died_runs_on_another_one(executor: Any) -> None:
    """Dask sends again all that the worker had: it neither fails nor runs twice."""
    (begun, sent), (waiting, sent_too) = submitted(executor, 1, 2)
    BEGUN.clear()
    sent.run()  # on a worker that dies before it is over
    for again in (sent, sent_too):  # on another one
        again.execute()
    with pytest.raises(WorkerLost):
        begun.result(10)
    assert (waiting.result(10), BEGUN) == (2, [1, 2])
    assert str(_crash(begun.exception())) == (
        "the worker that ran it died: the cluster has sent it to another one, where it is not started again"
    )


class KilledWorker(Exception):
    """As Dask tells that workers died with a call on them."""


def test_a_call_that_only_waited_on_a_worker_that_died_is_sent_again(executor: Any) -> None:
    """Whatever the cluster allows: the one that had begun has crashed."""
    (begun, sent), (waiting, sent_too) = submitted(executor, 1, 2)
    sent.run()
    for each in (sent, sent_too):
        each.error = KilledWorker("gone")
        each.become("error")
    with pytest.raises(KilledWorker):
        begun.result(10)
    assert executor._client.arrived.acquire(timeout=10)
    while not (again := executor._client.sent[2])._callbacks:
        sleep(0.001)
    again.execute()
    assert waiting.result(10) == 2


def test_a_call_on_a_worker_elsewhere_is_not_sent_again(executor: Any) -> None:
    """Nobody knows whether it had begun there."""
    (future, sent), *_ = submitted(executor, 1)
    sent.error = KilledWorker("gone")
    sent.become("error")
    with pytest.raises(KilledWorker):
        future.result(10)


def test_a_result_that_died_with_its_worker_is_waited_for_and_costs_no_other_result(executor: Any) -> None:
    """Its future is pending again, or fetching it fails together with those that are there."""
    (lost, sent), (there, sent_too), (again, third) = submitted(executor, 1, OSError("cannot be fetched"), 3)
    sent.status = "pending"
    executor._done.put((next(iter(executor._out)), sent))
    for each in (third, sent_too, sent):
        each.execute()
    assert (again.result(10), lost.result(10)) == (3, 1)
    with pytest.raises(CancelledError):
        there.result(10)


def test_calls_of_a_cluster_without_workers_end_those_of_one_that_has_some_do_not(executor: Any) -> None:
    (first, sent), (second, sent_too) = submitted(executor, 1, 2)
    sent.execute()
    assert first.result(10) == 1
    assert not second.done()
    executor._client.workers = 0
    with pytest.raises(ConnectionError, match=r"^its Dask cluster has had no worker for 0\.05 s$"):
        second.result(10)
    assert sent_too.cancelled
    sent_too.execute()  # too late
    assert not executor._out


def test_calls_that_come_while_there_is_no_worker_wait_for_one(executor: Any) -> None:
    """As on a cluster that is scaled down to none."""
    executor._client.workers = 0
    sleep(0.1)
    (future, sent), *_ = submitted(executor, 1)
    with pytest.raises(TimeoutError):
        future.result(0.2)
    executor._client.workers = 1
    sent.execute()
    assert future.result(10) == 1


def test_results_are_released_as_soon_as_they_are_here(executor: Any) -> None:
    """Dask would make them again when the worker that has them dies."""
    (future, sent), *_ = submitted(executor, 1)
    call = next(iter(executor._out))
    sent.execute()
    assert future.result(10) == 1
    assert call.sent is None


def test_marks_are_of_one_file_and_a_worker_elsewhere_does_without() -> None:
    marks = StartMarks()
    assert not marks.excludes(1000)  # no worker has found the file yet
    assert run_once(1000, 5, path=marks.path, fn=lambda value: value) == 5
    assert [marks.excludes(number) for number in (0, 999, 1000, 1001)] == [True, True, False, True]
    with pytest.raises(WorkerLost):
        run_once(1000, 5, path=marks.path, fn=lambda value: value)
    marks.close()
    assert [run_once(1, 5, path="/nowhere/at/all", fn=lambda value: value) for _ in range(2)] == [5, 5]
