"""The SDK against the real API, on SQLite and PostgreSQL: what it says arrives, across kills of the API."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest

from mintaka import flow, get_run_logger, task
from mintaka.artifacts import create_markdown_artifact, create_table_artifact
from mintaka.context import LAUNCH, Launch
from mintaka.histories import FlowRunNotFound, HistoryError, Wanted, history
from mintaka.logging import TASK_LOGGER, HistoryHandler
from mintaka.recording.delivery import HistoryRecorder
from mintaka.recording.delivery_settings import DeliverySettings
from mintaka.recording.remote_history import RemoteHistory
from mintaka.recording.sinks import ApiSink
from mintaka_history.batches import LINE_STEP

if TYPE_CHECKING:
    from real_api import RealApi

UID = "0190f5fe-0000-7000-8000-000000000001"


@task
def double(n: int) -> int:
    get_run_logger().warning("doubling %d", n)
    return 2 * n


@task(retries=1)
def flaky(n: int, tries: list[int]) -> int:
    tries.append(n)
    if len(tries) < 2:
        raise ConnectionError("gone \0 ☃")
    return n


@task
def total(numbers: list[int]) -> int:
    return sum(numbers)


def test_a_run_with_the_api_killed_and_started_again_is_there_in_full(real_api: RealApi, tmp_path: Any) -> None:
    launch = Launch(flow_run_id=UID, name="run-1", namespace="team", deployment="daily")
    settings = DeliverySettings(
        flush_seconds=0.05, retry_seconds=0.05, retry_max_seconds=0.5, spool_folder=tmp_path / "spool", batch_items=100
    )
    recorder = HistoryRecorder(ApiSink(real_api.url), launch, settings)
    launch.recorder = recorder
    handler = HistoryHandler(recorder)

    @flow
    def inner(n: int) -> int:
        return double(n)

    @flow
    def main() -> int:
        first = double.map(range(500))
        first.wait()
        real_api.kill()
        second = double.map(first)
        second.wait()
        real_api.start(wait=False)
        third = flaky.submit(1, [])
        return total(second) + third.result() + inner(3)

    import logging  # noqa: PLC0415 - the handler is for this test alone

    logging.getLogger(TASK_LOGGER).addHandler(handler)
    token = LAUNCH.set(launch)
    try:
        assert main() == 4 * sum(range(500)) + 1 + 6
    finally:
        LAUNCH.reset(token)
        logging.getLogger(TASK_LOGGER).removeHandler(handler)
    assert recorder.close(time.monotonic() + 60).complete

    rows = real_api.all_of(f"/flow-runs/{UID}/task-runs")
    assert sorted(row["n"] for row in rows) == list(range(1003))
    (called,) = real_api.get(f"/flow-runs?root={UID}")["items"]
    assert (called["parent_n"], called["state"]["type"], called["task_counts"]) == (1002, "COMPLETED", {"COMPLETED": 1})
    assert [row["n"] for row in real_api.all_of(f"/flow-runs/{called['uid']}/task-runs")] == [1003]
    assert [line["message"] for line in real_api.all_of(f"/flow-runs/{called['uid']}/logs")] == ["doubling 3"]
    assert {row["state"]["type"] if isinstance(row["state"], dict) else row["state"] for row in rows} == {"COMPLETED"}
    lines = real_api.all_of(f"/flow-runs/{UID}/logs")
    assert sum("doubling" in line["message"] for line in lines) == 1000
    assert sum("gone" in line["message"] for line in lines) == 1
    graph = real_api.get(f"/flow-runs/{UID}/graph")
    edges = {tuple(edge) for edge in graph["edges"]}
    assert {(n, n + 500) for n in range(500)} <= edges
    assert {(n, 1001) for n in range(500, 1000)} <= edges
    run = real_api.get(f"/flow-runs/{UID}")
    assert run["history_complete"] is True
    assert run["task_counts"]["COMPLETED"] == 1003


def test_what_a_script_says_to_an_api_is_read_as_from_its_own_file(
    real_api: RealApi, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    @flow(tags=["nightly"])
    def script(n: int) -> int:
        create_markdown_artifact("# Sums", key="sums")
        create_table_artifact([{"undecodable \udcff": "\0"}], key="files")
        return total([double(number) for number in range(n)])

    monkeypatch.setenv("MINTAKA_HISTORY", "on")
    monkeypatch.setenv("MINTAKA_HOME", str(tmp_path))
    seen = []
    for url in (real_api.url, ""):
        monkeypatch.setenv("MINTAKA_API_URL", url)
        script(3)
        with history() as reading:
            (run,) = reading.flow_runs(Wanted(["COMPLETED"], "script-"))
            assert reading.flow_run(run["name"]) == reading.flow_run(run["uid"]) == run
            with pytest.raises(FlowRunNotFound):
                reading.flow_run("nothing")
            uid = run["uid"]
            seen.append(
                {
                    "run": [run[key] for key in ("flow", "namespace", "tags", "parameters", "history_complete", "task_counts", "sequence")],
                    "transitions": [(each["from"], each["to"], each["verdict"]) for each in reading.transitions(uid)],
                    "tasks": [(each["n"], each["task"], each["state"], len(each["history"])) for each in reading.task_runs(uid)],
                    "logs": [(each["seq"], each["n"], each["message"]) for each in reading.logs(uid, level=30, after=LINE_STEP)],
                    "artifacts": {each["key"]: (each["kind"], each["data"]) for each in reading.artifacts(uid)},
                }
            )
            assert run.keys() >= {"state", "created", "started", "ended"}
    over_http, from_file = seen
    assert over_http == from_file
    assert from_file["run"] == ["script", "local", ["nightly"], {"n": 3}, True, {"COMPLETED": 4}, 3]
    assert [message for _, _, message in from_file["logs"]] == ["doubling 1", "doubling 2"]
    assert from_file["artifacts"] == {"sums": ("markdown", "# Sums"), "files": ("table", [{"undecodable \ufffd": "\ufffd"}])}


def test_an_api_that_is_away_says_so() -> None:
    with RemoteHistory("http://127.0.0.1:9") as reading, pytest.raises(HistoryError, match="cannot be asked"):
        reading.flow_runs()
