"""What the doctor concludes from what a cluster answers."""

from __future__ import annotations

import copy
import json
from typing import TYPE_CHECKING, Any

import pytest

from mintaka import __version__
from mintaka.cli import checking_cluster
from mintaka.cli.findings import Finding, checked
from mintaka.histories import FlowRunNotFound, HistoryError
from mintaka_core.resources.crds import crds

if TYPE_CHECKING:
    from collections.abc import Callable

CRDS = {definition["metadata"]["name"]: definition for definition in crds().values()}


def operator(*, ready: int = 1, version: str = __version__) -> dict[str, Any]:
    labels = {"app.kubernetes.io/component": "operator", "app.kubernetes.io/version": version}
    return {
        "metadata": {"namespace": "mintaka-system", "name": "mintaka-operator", "labels": labels},
        "spec": {"replicas": 1},
        "status": {"readyReplicas": ready} if ready else {},
    }


class Cluster:
    """Answers kubectl."""

    def __init__(self) -> None:
        self.crds = copy.deepcopy(CRDS)
        self.deployments = [operator()]
        self.denied: set[tuple[str, str]] = set()
        self.resources = "flowruns.mintaka.dev\nflowdeployments.mintaka.dev\n"
        self.failures: dict[str, HistoryError] = {}

    def __call__(self, *arguments: str, given: str | None = None, seconds: float = 0) -> str:
        assert seconds >= 0
        words = " ".join(arguments)
        for beginning, error in self.failures.items():
            if words.startswith(beginning):
                raise error
        if arguments[0] == "config":
            return "team" if "view" in arguments else "kind-mine\n"
        if arguments[0] == "version":
            return json.dumps({"serverVersion": {"gitVersion": "v1.34.0"}})
        if arguments[0] == "api-resources":
            return self.resources
        if arguments[0] == "create":
            reviews = json.loads(given or "")["items"]
            return "\n".join(json.dumps({**review, "status": {"allowed": self._allows(review)}}, indent=1) for review in reviews)
        return json.dumps(self.crds[arguments[2]] if arguments[1] == "customresourcedefinitions" else {"items": self.deployments})

    def _allows(self, review: dict[str, Any]) -> bool:
        attributes = review["spec"]["resourceAttributes"]
        assert attributes["namespace"] == "team"
        return (attributes["verb"], attributes["resource"]) not in self.denied


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Cluster:
    """A cluster in which all is well, but for the API, which is asked in another way."""
    there = Cluster()
    monkeypatch.setattr(checking_cluster, "kubectl", there)
    monkeypatch.setattr(checking_cluster, "which", lambda _: "/usr/bin/kubectl")
    monkeypatch.setenv("KUBECONFIG", "/somewhere")
    monkeypatch.setattr(checking_cluster, "_api", lambda: [Finding("cluster api", well=True, told="answers")])
    return there


def found(*, needed: bool = True) -> dict[str, Finding]:
    return {finding.what: finding for finding in checked(checking_cluster.checks(needed=needed))}


def test_a_cluster_in_which_all_is_well(cluster: Cluster) -> None:
    assert cluster.crds
    assert {what: finding.well for what, finding in found().items()} == dict.fromkeys(
        ("cluster", "crds", "operator", "cluster api", "rights"), True
    )
    assert "v1.34.0" in found()["cluster"].told


def spec_of(cluster: Cluster) -> Any:
    return cluster.crds["flowruns.mintaka.dev"]["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]


def older(cluster: Cluster) -> None:
    del spec_of(cluster)["properties"]["resumeFrom"]


def unready(cluster: Cluster) -> None:
    cluster.deployments = [operator(ready=0)]


def absent(cluster: Cluster) -> None:
    cluster.deployments = []


def other_version(cluster: Cluster) -> None:
    cluster.deployments = [operator(version="0.0.1")]


def may_not_cancel(cluster: Cluster) -> None:
    cluster.denied = {("patch", "flowruns")}


def lacks_definitions(cluster: Cluster) -> None:
    cluster.failures["get customresourcedefinitions"] = FlowRunNotFound('"flowruns.mintaka.dev" not found')


ILL: dict[str, tuple[Callable[[Cluster], None], str, str, str]] = {
    "definitions of an older version": (older, "crds", "FlowRun.spec.resumeFrom not known there", "kubectl apply --server-side"),
    "an operator that is not ready": (
        unready,
        "operator",
        "0 of 1 ready",
        "kubectl logs --namespace mintaka-system deployment/mintaka-operator",
    ),
    "no operator": (absent, "operator", "no Deployment has its labels", "helm install"),
    "an operator of another version": (other_version, "operator", "is 0.0.1, this is", "one version"),
    "a right that is missing": (may_not_cancel, "rights", "you may not patch flowruns (cancel, suspend, resume)", "mintaka-edit"),
    "definitions that are not there": (lacks_definitions, "crds", "not found", "helm install"),
}


@pytest.mark.parametrize(("change", "what", "told", "todo"), ILL.values(), ids=ILL)
def test_what_is_ill_is_told_with_what_to_do(cluster: Cluster, change: Any, what: str, told: str, todo: str) -> None:
    change(cluster)
    finding = found()[what]
    assert finding.well is False
    assert told in finding.told
    assert todo in finding.todo
    assert all(other.well for name, other in found().items() if name != what)


def test_what_one_may_not_look_at_is_not_ill(cluster: Cluster) -> None:
    cluster.failures["get customresourcedefinitions"] = HistoryError("Error from server (Forbidden): you cannot get crds")
    finding = found()["crds"]
    assert finding.well is None
    assert "you may not look" in finding.told


@pytest.mark.parametrize("needed", [True, False])
def test_a_cluster_that_is_away_or_without_mintaka_is_ill_only_where_it_is_needed(cluster: Cluster, needed: bool) -> None:
    cluster.resources = ""
    finding = found(needed=needed)["cluster"]
    assert finding.well is (False if needed else None)
    assert "has no resources of mintaka.dev" in finding.told
    cluster.failures["version"] = HistoryError("connection refused")
    finding = found(needed=needed)["cluster"]
    assert finding.well is (False if needed else None)
    assert "connection refused" in finding.told


def test_an_answer_of_another_shape_is_a_finding_and_no_traceback(cluster: Cluster) -> None:
    cluster.deployments = [{"metadata": {}}]
    finding = found()["operator"] if "operator" in found() else found()["cluster"]
    assert finding.well is False
    assert "cannot be read" in finding.told
