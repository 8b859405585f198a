"""`run_deployment` in pods: a fan-out, a caller whose pod is lost in the middle of it, and one that is cancelled.

tests/soak/test_called_deployments.py does it with 200 runs.
"""

from __future__ import annotations

import pytest

from fan_out import called_by, check_history, deploy
from kube import Api, Kube, eventually, flow_run, kubectl


@pytest.mark.parametrize("deployment", ["fan-out", "gathered"], ids=["in tasks", "in a coroutine"])
def test_a_flow_runs_a_deployment_ten_times(kube: Kube, api: Api, deployment: str) -> None:
    """Each run has a pod of its own, and is below its caller."""
    deploy(kube)
    kube.apply(flow_run("caller", deployment=deployment, parameters={"count": 10}))
    run = kube.ended("caller", seconds=180)
    assert (run["status"]["state"]["type"], run["status"]["attempt"]) == ("COMPLETED", 1), run["status"]["state"]
    assert len({each["metadata"]["uid"] for each in called_by(kube, run)}) == 10
    check_history(api, run, 10)


def test_a_caller_whose_pod_is_lost_finds_the_runs_that_it_called(kube: Kube, api: Api) -> None:
    """Finished, running and pending runs are all found; no run is started twice."""
    deploy(kube)
    kube.apply(flow_run("caller", deployment="fan-out", parameters={"count": 6, "seconds": 5}))
    run = kube.reaches("caller", "RUNNING")
    eventually(lambda: len(called_by(kube, run)) >= 3, "some runs are called", seconds=60)
    kube("delete", "pod", "caller-1", "--force", "--grace-period=0")
    run = kube.ended("caller", seconds=180)
    assert (run["status"]["state"]["type"], run["status"]["attempt"]) == ("COMPLETED", 2), run["status"]["state"]
    assert len(called_by(kube, run)) == 6
    check_history(api, run, 6)


def test_what_a_cancelled_run_called_is_cancelled(kube: Kube) -> None:
    """Each called run is cancelled by its own spec, and its pods stop."""
    deploy(kube)
    kube.apply(flow_run("caller", deployment="fan-out", parameters={"count": 3, "seconds": 300}))
    run = kube.reaches("caller", "RUNNING")
    eventually(lambda: len(called_by(kube, run)) == 3, "all runs are called", seconds=60)
    kube.patch("fr", "caller", {"spec": {"cancel": True}})
    assert kube.ended("caller")["status"]["state"]["type"] == "CANCELLED"
    for called in called_by(kube, run):
        assert called["spec"]["cancel"], "the caller is CANCELLED once the spec of each called run has cancel"
        assert kube.ended(called["metadata"]["name"])["status"]["state"]["type"] == "CANCELLED"
    assert [pod for pod in kube.items("pods") if pod["status"]["phase"] in {"Pending", "Running"}] == []


def test_the_caller_of_a_run_stays(kube: Kube) -> None:
    """The API server rejects a change of the caller."""
    kube.apply(flow_run("called", template={"entrypoint": "a:b"}, suspend=True, calledBy={"uid": "x", "name": "caller"}))
    with pytest.raises(AssertionError, match="calledBy cannot be changed once the run exists"):
        kubectl("--namespace", kube.namespace, "patch", "fr", "called", "--type=merge", "--patch", '{"spec": {"calledBy": {"uid": "y"}}}')
