"""The pool of threads, and the record keeping around it."""

from __future__ import annotations

import threading
from contextvars import copy_context

import pytest

from mintaka import ThreadPoolTaskRunner, as_completed, flow, task, wait
from mintaka.engine.runs import Ledger
from mintaka.executing.jobs import Job
from mintaka.executing.pool import SlotPool
from mintaka.recording.recorder import NullRecorder
from mintaka_core.states import CANCELLED, COMPLETED, State


def test_threads_are_made_on_demand_and_go_when_the_pool_closes() -> None:
    before = set(threading.enumerate())
    pool = SlotPool(4)
    done = threading.Semaphore(0)
    for _ in range(100):
        pool.submit(Job(lambda _: done.release(), copy_context(), print))
    for _ in range(100):
        assert done.acquire(timeout=5)
    threads = set(threading.enumerate()) - before
    assert len(threads) <= 4
    pool.close()
    for thread in threads:
        thread.join(5)
        assert not thread.is_alive()


def test_jobs_that_block_get_every_thread_however_few_were_woken() -> None:
    pool = SlotPool(8)
    together = threading.Barrier(9)
    for _ in range(2):
        for _ in range(8):
            pool.submit(Job(lambda _: together.wait(10) and None, copy_context(), print))
        together.wait(10)
    pool.close()


def test_a_job_is_run_once_whoever_takes_it() -> None:
    pool = SlotPool(1)
    gate, ran = threading.Event(), []
    pool.submit(Job(lambda _: gate.wait(5) and None, copy_context(), print))
    job = Job(lambda _: ran.append(1), copy_context(), print)
    pool.submit(job)
    assert job.claim()
    assert not job.claim()
    gate.set()
    last = threading.Event()
    pool.submit(Job(lambda _: last.set(), copy_context(), print))
    assert last.wait(5)
    assert ran == []
    pool.close()


def test_a_pool_needs_a_worker() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        ThreadPoolTaskRunner(max_workers=0)


def end_all(ledger: Ledger, barrier: threading.Barrier) -> None:
    barrier.wait()
    ledger.end_all(State(CANCELLED))


def test_only_one_side_can_end_a_run() -> None:
    ledger = Ledger(NullRecorder())
    for _ in range(200):
        run = ledger.open("t", "task", None)
        ledger.start(run)
        barrier = threading.Barrier(2)

        thread = threading.Thread(target=end_all, args=(ledger, barrier))
        thread.start()
        barrier.wait()
        completed = ledger.complete(run)
        thread.join()
        assert [entry.type for entry in run.history][2:] == [COMPLETED if completed else CANCELLED]


def test_futures_are_yielded_as_they_are_done_and_waits_can_be_bounded() -> None:
    gates = [threading.Event() for _ in range(3)]

    @task
    def gated(n: int) -> int:
        assert gates[n].wait(10)
        return n

    @flow
    def main() -> list[int]:
        futures = [gated.submit(n) for n in range(3)]
        done, not_done = wait(futures, timeout=0.01)
        assert (len(done), len(not_done)) == (0, 3)
        with pytest.raises(TimeoutError, match="gated-0 is not over"):
            futures[0].result(timeout=0.01)
        order = []
        gates[2].set()
        for future in as_completed(futures):
            order.append(future.result())
            for gate in gates:
                gate.set()
        return order

    order = main()
    assert order[0] == 2
    assert sorted(order) == [0, 1, 2]


def test_waiting_for_several_inside_a_single_worker_does_not_deadlock() -> None:
    @task
    def leaf(n: int) -> int:
        return n

    @task
    def collects() -> int:
        futures = [leaf.submit(n) for n in range(5)]
        assert len(wait(futures, timeout=10).done) == 5
        return sum(future.result() for future in as_completed([leaf.submit(n) for n in range(5)]))

    @flow(task_runner=ThreadPoolTaskRunner(max_workers=1))
    def main() -> int:
        return collects.submit().result()

    assert main() == 10


def test_callbacks_are_called_when_the_run_is_over() -> None:
    called: list[str] = []

    @task
    def leaf() -> int:
        return 1

    @flow
    def main() -> None:
        future = leaf.submit()
        future.wait()
        future.add_done_callback(lambda done: called.append(done.name))

    main()
    assert called == ["leaf-0"]
