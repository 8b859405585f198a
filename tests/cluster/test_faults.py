"""Operators that are killed, frozen and doubled; an API and a database that go away."""

from __future__ import annotations

import random
import signal
import time
from datetime import datetime
from typing import TYPE_CHECKING

import pytest

from kube import Api, Kube, container, eventually, flow_deployment, flow_run, kubectl, names, python_flow
from pod_chaos import unleash
from processes import leading, operator

if TYPE_CHECKING:
    from pathlib import Path

ORDINARY = ["Scheduled", "Pending", "Running", "Completed"]
TICKS = """
import time
from mintaka import flow, get_run_logger, task

@task
def tick(i):
    get_run_logger().info("tick %d", i)
    time.sleep(0.25)
    return i

@flow
def main(ticks: int):
    for i in range(ticks):
        tick(i)
"""


@pytest.mark.usefixtures("operator_away")
@pytest.mark.timeout(400)
def test_an_operator_killed_at_random_moments_loses_and_repeats_nothing(kube: Kube, api: Api, tmp_path: Path) -> None:
    """50 runs, SIGKILL again and again: each run goes its ordinary way, once, with one pod."""
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    draw = random.Random(seed)
    killed = operator(tmp_path / "operator.log", kube.namespace)
    runs = [f"r{number}" for number in range(50)]
    kube.apply(*(flow_run(name, template=container("sh", "-c", f"sleep {draw.uniform(0, 2):.2f}")) for name in runs))
    kills = 0
    deadline = time.monotonic() + 300
    while True:
        try:
            leading(killed)
            finished = kube.items("fr", "--field-selector=status.state.type=COMPLETED")
            if len(finished) == len(runs):
                break
            assert time.monotonic() < deadline, f"{len(finished)} of {len(runs)} runs ended; {killed.text()[-3000:]}"
            time.sleep(draw.uniform(0, 1.5))
        finally:
            killed.kill()
        kills += 1
    assert kills > 3
    ended = kube.items("fr")
    assert [names(run) for run in ended] == [ORDINARY] * len(runs)
    assert {run["status"]["attempt"] for run in ended} == {1}
    assert sorted(pod["metadata"]["name"] for pod in kube.items("pods")) == sorted(f"{name}-1" for name in runs)
    for run in ended:
        api.agrees_with(run)


@pytest.mark.usefixtures("operator_away")
@pytest.mark.timeout(400)
def test_pods_deleted_and_operators_killed_repeat_no_finished_work(kube: Kube, tmp_path: Path) -> None:
    """The small twin of tests/soak/test_chaos.py."""
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    kills, deletions = unleash(kube, random.Random(seed), tmp_path / "operator.log", runs=12, seconds=300)
    assert kills > 1
    assert deletions > 1


@pytest.mark.usefixtures("operator_away")
def test_a_frozen_leader_gives_way_and_ends_when_it_wakes(kube: Kube, tmp_path: Path) -> None:
    """Two operators at once: one acts; frozen, it is replaced within the Lease's duration; woken, it stops by itself."""
    first, second = (operator(tmp_path / f"{name}.log", kube.namespace, identity=name) for name in ("first", "second"))
    leading(first)
    second.start()
    eventually(lambda: second.said("standing by"), "the second stands by", seconds=60)
    try:
        before = [f"before{number}" for number in range(5)]
        kube.apply(*(flow_run(name, template=container("sleep", "3")) for name in before))
        kube.reaches("before0", "RUNNING")
        first.signal(signal.SIGSTOP)
        kube.apply(flow_run("after", template=container("true")))
        run = kube.ended("after", seconds=40)
        assert names(run) == ORDINARY
        first.signal(signal.SIGCONT)
        assert first.process.wait(timeout=20) == 1
        assert "could not be renewed" in first.text()
        for name in before:
            assert names(kube.ended(name)) == ORDINARY
        assert len(kube.items("pods")) == len(before) + 1
    finally:
        second.stop()
        if first.process.poll() is None:
            first.kill()


@pytest.mark.usefixtures("operator_away")
def test_an_operator_that_is_stopped_hands_over_at_once(kube: Kube, tmp_path: Path) -> None:
    """SIGTERM releases the Lease; the standby need not wait for it to run out."""
    first, second = (operator(tmp_path / f"{name}.log", kube.namespace, identity=name) for name in ("first", "second"))
    leading(first)
    second.start()
    eventually(lambda: second.said("standing by"), "the second stands by", seconds=60)
    try:
        assert first.stop() == 0
        stopped = time.monotonic()
        eventually(lambda: "leading as second" in second.text(), "the second leads", seconds=10)
        assert time.monotonic() - stopped < 10
    finally:
        second.stop()


@pytest.mark.usefixtures("operator_away")
def test_a_schedule_fires_exactly_once_across_restarts(kube: Kube, tmp_path: Path) -> None:
    """Every nominal time has one run, also those that passed while the operator was restarting."""
    killed = operator(tmp_path / "operator.log", kube.namespace)
    leading(killed)
    deployment = flow_deployment("ticking", **container("true"), schedules=[{"name": "often", "interval": "3s"}])
    kube.apply(deployment)
    kube.wait("fd/ticking", "jsonpath={.status.nextScheduleTime}")
    for _ in range(5):
        time.sleep(2.2)
        killed.kill()
        leading(killed)
    kube.patch("fd", "ticking", {"spec": {"suspend": True}})
    kube.wait("fd/ticking", "jsonpath={.status.observedGeneration}=2")
    runs = kube.items("fr")
    times = sorted(run["spec"]["scheduledTime"] for run in runs)
    assert len(times) >= 3
    assert len(set(times)) == len(times)
    seconds = [datetime.fromisoformat(moment).timestamp() for moment in times]
    assert {second % 3 for second in seconds} == {0.0}
    said = [line for line in killed.text().splitlines() if "created flow run" in line]
    assert len(said) <= len(times)  # nothing was created twice; what was created just before a kill went unsaid
    for run in runs:
        assert names(kube.ended(run["metadata"]["name"]))[-1] == "Completed"
    assert "nextScheduleTime" not in kube.get("fd", "ticking")["status"]
    killed.stop()


def test_nothing_is_lost_while_the_api_is_away(kube: Kube, api: Api, installed: str) -> None:
    """Runs go on without it; when it is back within their time, all their task runs and logs arrive."""
    kube.apply(*(flow_run(f"r{number}", template=python_flow(TICKS), parameters={"ticks": 60}) for number in range(3)))
    for number in range(3):
        kube.reaches(f"r{number}", "RUNNING")
    scale = ("--namespace", installed, "scale", "deployment/mintaka-api")
    kubectl(*scale, "--replicas=0")
    kubectl("--namespace", installed, "wait", "--for=delete", "pod", "-l", "app.kubernetes.io/component=api", "--timeout=60s")
    try:
        kube.apply(flow_run("without", template=container("true")))
        assert names(kube.ended("without")) == ORDINARY
    finally:
        kubectl(*scale, "--replicas=1")
        kubectl("--namespace", installed, "rollout", "status", "deployment/mintaka-api", "--timeout=60s")
    ended = [kube.ended(f"r{number}") for number in range(3)]
    api.connect()
    for run in [*ended, kube.get("fr", "without")]:
        assert names(run) == ORDINARY
        api.agrees_with(run)
    for run in ended:
        uid = run["metadata"]["uid"]
        conditions = {condition["type"]: condition["status"] for condition in run["status"]["conditions"]}
        assert conditions["HistoryComplete"] == "True"
        tasks = api.items(f"/flow-runs/{uid}/task-runs")
        assert sorted(task["n"] for task in tasks) == list(range(60))
        assert {task["state"] for task in tasks} == {"COMPLETED"}
        messages = [line["message"] for line in api.items(f"/flow-runs/{uid}/logs")]
        assert [message for message in messages if message.startswith("tick ")] == [f"tick {i}" for i in range(60)]
