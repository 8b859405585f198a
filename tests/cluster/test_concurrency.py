"""Deployments with a limit in a real cluster: which runs start, wait, are refused or replaced, and operators that are killed meanwhile."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest

from kube import Kube, names
from limited_runs import create, deploy, intervals, kill_operators, most_at_once

if TYPE_CHECKING:
    from pathlib import Path


def test_ten_runs_have_two_slots(kube: Kube) -> None:
    """Those that wait name a run that holds a slot; each completes in one attempt."""
    deploy(kube, 1, limit=2)
    runs = [f"r{number}" for number in range(10)]
    create(kube, *runs)
    for name in runs:
        run = kube.ended(name, seconds=180)
        assert (run["status"]["state"]["type"], run["status"]["attempt"]) == ("COMPLETED", 1), run["status"]["state"]
    held = intervals(kube)
    assert len(held) == 10
    assert most_at_once(held) == 2
    waited = [run for run in kube.items("fr") if "AwaitingConcurrencySlot" in names(run)]
    assert len(waited) == 8
    assert all("key 'limited' admits 2 runs at a time" in str(run["status"]["transitions"]) for run in waited)


def test_a_higher_priority_is_next(kube: Kube) -> None:
    deploy(kube, 3, limit=1)
    create(kube, "first")
    kube.reaches("first", "RUNNING")
    create(kube, "ordinary")
    kube.wait("fr/ordinary", "jsonpath={.status.state.reason}=AwaitingConcurrencySlot")
    create(kube, "urgent", priority=5)
    kube.ended("ordinary")
    held = intervals(kube)
    assert sorted(held, key=lambda name: held[name]) == ["first", "urgent", "ordinary"]


def test_a_new_run_is_refused(kube: Kube) -> None:
    deploy(kube, 60, limit=1, policy="CancelNew")
    create(kube, "first")
    kube.reaches("first", "RUNNING")
    create(kube, "second")
    state = kube.ended("second")["status"]["state"]
    assert (state["type"], state["reason"]) == ("CANCELLED", "ConcurrencyLimitReached")
    assert state["message"] == "key 'limited' admits 1 run at a time: flow run 'first' holds the slot; the policy is CancelNew"
    assert kube.get("fr", "first")["status"]["state"]["type"] == "RUNNING"


def test_a_new_run_replaces_the_old_one(kube: Kube) -> None:
    """It starts once the pod of the old one has stopped."""
    deploy(kube, 60, limit=1, policy="Replace")
    create(kube, "first")
    kube.reaches("first", "RUNNING")
    create(kube, "second")
    state = kube.ended("first")["status"]["state"]
    assert (state["type"], kube.get("fr", "first")["spec"]["cancel"]) == ("CANCELLED", True)
    kube.reaches("second", "RUNNING")
    assert [pod["metadata"]["name"] for pod in kube.items("pods") if pod["status"]["phase"] == "Running"] == ["second-1"]


@pytest.mark.usefixtures("operator_away")
@pytest.mark.timeout(400)
def test_operators_killed_at_random_keep_the_limit(kube: Kube, tmp_path: Path) -> None:
    """The small twin of tests/soak/test_concurrency.py."""
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    deploy(kube, 0.5, limit=3)
    create(kube, *(f"r{number}" for number in range(20)))
    assert kill_operators(kube, random.Random(seed), tmp_path / "operator.log", runs=20, seconds=300) > 1
    assert {run["status"]["state"]["type"] for run in kube.items("fr")} == {"COMPLETED"}
    assert len(kube.items("pods")) == 20
