"""Flows in images of earlier SDKs, under this operator and API."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from kube import flow_run, python_flow
from mintaka_core.wire_versions import OLDEST_WIRE_VERSION, WIRE_VERSION
from old_sdks import COMMITS, build_flow_image, has_commit

if TYPE_CHECKING:
    from kube import Api, Kube

FLOW = """
from mintaka import flow, get_run_logger, task

@task(retries=1)
def double(number):
    get_run_logger().info("doubling %d", number)
    return 2 * number

@flow
def main():
    numbers = double.map([1, 2, 3])
    assert [number.result() for number in numbers] == [2, 4, 6]
"""


def test_every_version_that_is_served_is_tried() -> None:
    """A release that serves another version has to say by which commit it can be tried."""
    assert set(COMMITS) >= set(range(OLDEST_WIRE_VERSION, WIRE_VERSION + 1))


@pytest.mark.timeout(1200)
@pytest.mark.parametrize("version", range(OLDEST_WIRE_VERSION, WIRE_VERSION + 1))
def test_a_flow_of_an_old_sdk_runs_with_its_whole_history(version: int, kube: Kube, api: Api) -> None:
    """COMPLETED, with its task runs and log lines, and its history marked as complete."""
    commit = COMMITS[version]
    if not has_commit(commit):
        pytest.skip(f"this clone does not have commit {commit}, whose SDK speaks wire version {version}: fetch the whole history")
    image = f"localhost/mintaka-flow:wire-{version}"
    build_flow_image(commit, image)
    kube.apply(flow_run("old", template=python_flow(FLOW, image=image)))
    run = kube.ended("old")
    assert run["status"]["state"]["type"] == "COMPLETED", run["status"]["state"]
    conditions = {condition["type"]: condition["status"] for condition in run["status"]["conditions"]}
    assert conditions["HistoryComplete"] == "True"
    uid = run["metadata"]["uid"]
    api.mirrored(run)
    assert [row["state"] for row in api.items(f"/flow-runs/{uid}/task-runs")] == ["COMPLETED"] * 3
    lines = {line["message"] for line in api.items(f"/flow-runs/{uid}/logs")}
    assert {"doubling 1", "doubling 2", "doubling 3"} <= lines
