"""History reaches the API, once, whatever the API does meanwhile."""

from __future__ import annotations

import gzip
import json
import random
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from mintaka import flow, get_run_logger, task
from mintaka.context import LAUNCH, Launch
from mintaka.engine.runs import Ledger
from mintaka.recording.delivery import HistoryRecorder
from mintaka.recording.delivery_settings import DeliverySettings
from mintaka.recording.sinks import ApiSink

if TYPE_CHECKING:
    from collections.abc import Callable

    from mintaka.recording.recorder import Delivery

QUICK = {"flush_seconds": 0.02, "retry_seconds": 0.02, "retry_max_seconds": 0.1, "timeout_seconds": 2.0, "batch_items": 50}


@task
def add(a: int, b: int = 1) -> int:
    get_run_logger().debug("never shown")
    return a + b


class Delivered:
    """Runs flows with their history sent to `api`."""

    def __init__(self, api: Any, tmp_path: Path, on_fenced: Callable[[], object] = lambda: None, **settings: Any) -> None:
        self.launch = Launch(flow_run_id="uid", name="run-1", namespace="team", deployment="daily")
        self.recorder = HistoryRecorder(
            ApiSink(api.url), self.launch, DeliverySettings(**QUICK | {"spool_folder": tmp_path} | settings), on_fenced
        )
        self.launch.recorder = self.recorder

    def run(self, body: Callable[[], Any]) -> Any:
        token = LAUNCH.set(self.launch)
        try:
            return flow(body)()
        finally:
            LAUNCH.reset(token)

    def close(self, seconds: float = 20) -> Delivery:
        return self.recorder.close(time.monotonic() + seconds)


def many(count: int = 300) -> Callable[[], Any]:
    return lambda: sum(add.map(range(count)).result())


def spooled_numbers(folder: str) -> list[int]:
    text = b"".join(gzip.decompress(path.read_bytes()) for path in sorted(Path(folder).glob("*.gz")))
    return [json.loads(line)["report"] for line in text.splitlines()]


def test_a_run_with_the_api_there_is_delivered_and_final(api: Any, tmp_path: Path) -> None:
    delivered = Delivered(api, tmp_path)
    delivered.run(many())
    delivery = delivered.close()
    assert (delivery.complete, delivery.spool, delivery.lost) == (True, "", 0)
    api.assert_complete(300)
    assert {row["state"] for row in api.tasks.values()} == {"COMPLETED"}
    assert all(report["flow_run"] == {"name": "run-1", "namespace": "team", "deployment": "daily"} for report in api.reports)
    assert list(tmp_path.iterdir()) == []


def test_runs_that_end_between_two_reports_are_sent_once(api: Any, tmp_path: Path) -> None:
    delivered = Delivered(api, tmp_path, flush_seconds=30.0, batch_items=1000)
    delivered.run(many(100))
    delivered.close()
    api.assert_complete(100)
    assert sum(len(report["tasks"]) for report in api.reports) == 100


def test_a_long_task_is_seen_running_before_it_ends(api: Any, tmp_path: Path) -> None:
    release = threading.Event()

    @task
    def waits() -> None:
        assert release.wait(10)

    def body() -> None:
        future = waits.submit()
        deadline = time.monotonic() + 10
        while api.tasks.get(0, {}).get("state") != "RUNNING":
            assert time.monotonic() < deadline
            time.sleep(0.01)
        release.set()
        future.result()

    delivered = Delivered(api, tmp_path)
    delivered.run(body)
    delivered.close()
    api.assert_complete(1)
    assert api.tasks[0]["state"] == "COMPLETED"


FAULTS = {
    "503 for a while": [503] * 6,
    "500, 502, 429, 404, 403": [500, 502, 429, 404, 403],
    "connections dropped before the report is stored": ["drop"] * 5,
    "connections dropped after the report is stored": ["forget"] * 5,
    "a mixture": [503, "forget", 0.05, "drop", 500, "forget", 0.05],
    "slow answers": [0.05] * 10,
}


@pytest.mark.parametrize("faults", FAULTS.values(), ids=FAULTS)
def test_an_api_in_trouble_gets_everything_once(api: Any, tmp_path: Path, faults: list[Any]) -> None:
    api.faults = list(faults)
    delivered = Delivered(api, tmp_path)
    delivered.run(many())
    assert delivered.close().complete
    api.assert_complete(300)


@pytest.mark.parametrize("seed", range(8))
def test_random_trouble_all_the_time_loses_nothing(api: Any, tmp_path: Path, seed: int) -> None:
    draw = random.Random(seed)
    api.faults = [draw.choice([503, "drop", "forget", None, None, 0.01]) for _ in range(60)]
    delivered = Delivered(api, tmp_path, batch_items=draw.choice([7, 50, 400]))
    delivered.run(many(draw.choice([10, 200, 700])))
    assert delivered.close().complete
    api.assert_complete(max(api.tasks) + 1)


def test_an_api_away_at_the_start_gets_all_when_it_comes(api: Any, tmp_path: Path) -> None:
    api.stop()
    delivered = Delivered(api, tmp_path)
    delivered.run(many())
    delivered.run(lambda: time.sleep(0.1))
    assert spooled_numbers(str(tmp_path / "uid-1"))
    api.start()
    assert delivered.close().complete
    api.assert_complete(300)
    assert list(tmp_path.iterdir()) == []


def test_an_api_killed_in_the_middle_gets_all_when_it_is_back(api: Any, tmp_path: Path) -> None:
    def body() -> Any:
        first = sum(add.map(range(200)).result())
        api.stop()
        second = sum(add.map(range(200)).result())
        time.sleep(0.1)
        api.start()
        return first + second + sum(add.map(range(200)).result())

    delivered = Delivered(api, tmp_path)
    assert delivered.run(body) == 3 * sum(range(1, 201))
    assert delivered.close().complete
    api.assert_complete(600)


def test_an_api_that_comes_back_within_the_grace_gets_all(api: Any, tmp_path: Path) -> None:
    delivered = Delivered(api, tmp_path)
    api.stop()
    delivered.run(many())
    threading.Timer(0.3, api.start).start()
    assert delivered.close().complete
    api.assert_complete(300)


def test_an_api_that_stays_away_leaves_a_spool_with_everything_in_order(api: Any, tmp_path: Path) -> None:
    api.stop()
    delivered = Delivered(api, tmp_path)
    delivered.run(many())
    began = time.monotonic()
    delivery = delivered.close(0.3)
    assert time.monotonic() - began < 2
    assert (delivery.complete, delivery.lost, delivery.spool) == (False, 0, str(tmp_path / "uid-1"))
    numbers = spooled_numbers(delivery.spool)
    assert numbers == sorted(numbers)
    bodies = b"".join(gzip.decompress(path.read_bytes()) for path in sorted(Path(delivery.spool).glob("*.gz")))
    rows = [row for line in bodies.splitlines() for row in json.loads(line)["tasks"]]
    assert {row["n"] for row in rows if row["state"] == "COMPLETED"} == set(range(300))


def test_an_api_that_hangs_delays_neither_the_flow_nor_its_end_for_ever(api: Any, tmp_path: Path) -> None:
    api.fault_forever = 30.0
    delivered = Delivered(api, tmp_path, timeout_seconds=0.2)
    began = time.monotonic()
    delivered.run(many())
    assert time.monotonic() - began < 5
    assert not delivered.close(0.5).complete
    assert time.monotonic() - began < 8


def test_a_full_queue_slows_the_flow_down_and_loses_nothing(api: Any, tmp_path: Path) -> None:
    api.faults = [0.05] * 10
    delivered = Delivered(api, tmp_path, queue_items=20, batch_items=10)
    delivered.run(many(400))
    assert delivered.close().complete
    api.assert_complete(400)


def test_a_spool_that_is_full_costs_history_not_the_flow_and_says_how_much(
    api: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    api.stop()
    delivered = Delivered(api, tmp_path, spool_limit_bytes=3000, batch_items=20)
    delivered.run(many(500))
    time.sleep(0.1)
    api.start()
    delivery = delivered.close()
    assert not delivery.complete
    assert delivery.lost > 0
    assert delivery.spool == ""
    assert not api.final
    assert api.problems == []
    assert len(api.tasks) + delivery.lost >= 500
    assert "history lost" in caplog.text


def test_a_refused_report_is_lost_said_and_does_not_block_the_others(api: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    api.faults = [422]
    delivered = Delivered(api, tmp_path)
    delivered.run(many(120))
    delivery = delivered.close()
    assert not delivery.complete
    assert "the API refused it: HTTP 422" in caplog.text
    assert len(api.tasks) + delivery.lost >= 120
    assert not api.final


def test_a_fenced_attempt_says_nothing_more(api: Any, tmp_path: Path) -> None:
    fenced = threading.Event()
    api.faults = [None, 409]
    delivered = Delivered(api, tmp_path, on_fenced=fenced.set)

    def body() -> None:
        for n in range(200):
            add(n)
            time.sleep(0.001)

    delivered.run(body)
    assert fenced.wait(5)
    taken = len(api.reports)
    assert not delivered.close().complete
    assert len(api.reports) == taken == 1


def test_lines_of_logs_arrive_in_order_with_their_runs(api: Any, tmp_path: Path) -> None:
    delivered = Delivered(api, tmp_path)
    ledger = Ledger(delivered.recorder)
    for n in range(500):
        ledger.log(20, "mintaka.task", n % 3 or None, f"line {n} ☃ \ud800 \0")
    assert delivered.close().complete
    api.assert_complete(0, logs=500)
    assert [line["message"][:8].split()[1] for _, line in sorted(api.logs.items())] == [str(n)[:3] for n in range(500)]


def test_a_report_never_passes_the_limits_of_the_api(api: Any, tmp_path: Path) -> None:
    delivered = Delivered(api, tmp_path, batch_items=2000, flush_seconds=0.2)
    ledger = Ledger(delivered.recorder)
    for n in range(3000):
        ledger.complete(ledger.open("module.function", "task", None))
        if n % 10 == 0:
            ledger.log(20, "x", None, "y" * 30_000)
    assert delivered.close().complete
    api.assert_complete(3000, logs=300)


def test_writers_in_many_threads_lose_nothing(api: Any, tmp_path: Path) -> None:
    delivered = Delivered(api, tmp_path, queue_items=300)
    ledger = Ledger(delivered.recorder)

    def work() -> None:
        for _ in range(400):
            run = ledger.open("t", "task", None)
            ledger.start(run)
            ledger.log(20, "x", run.n, "line")
            ledger.complete(run)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert delivered.close().complete
    api.assert_complete(3200, logs=3200)
    assert {(row["state"], row["seq"]) for row in api.tasks.values()} == {("COMPLETED", 3)}
