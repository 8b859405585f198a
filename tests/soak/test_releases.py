"""A release as a whole on a real cluster, for minutes rather than seconds. The small twin is tests/cluster/test_releases.py.

It replaces the installation of the tests by its own ones and brings it back at the end; nothing else may use the cluster meanwhile.
"""

from __future__ import annotations

import secrets
import subprocess
import time
from typing import TYPE_CHECKING, Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from helm import CHART, ROOT, helm, project_at
from kube import Api, Kube, eventually, flow_deployment, flow_run, kubectl, python_flow

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

OLDER = "8b744f4"
SYSTEM = "mintaka-system"
TEAMS = 2
RUNS = 10
STEPS = 60
NAMESPACED_SECONDS = 600

#: Takes a minute and says how often each of its steps ran, so that nothing can be done twice unnoticed.
FLOW = f"""
import time
from mintaka import flow, task

@task
def step(number):
    time.sleep(1)
    return number

@flow
def main(steps: int = {STEPS}):
    return sum(step(number) for number in range(steps))
"""


@pytest.fixture(scope="module")
def images() -> None:
    """The images of this tree."""
    subprocess.run([ROOT / "tools" / "images"], check=True, capture_output=True, timeout=1800)


@pytest.fixture(scope="module")
def older(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project as it was, its images loaded into the cluster."""
    folder = project_at(OLDER, tmp_path_factory.mktemp("older"))
    for name, target in (("mintaka", "server"), ("mintaka-flow", "flow")):
        tag = f"localhost/{name}:{OLDER}"
        command = [ROOT / "cluster" / "image", "build", folder / "Dockerfile", tag, "--target", target, folder]
        subprocess.run(command, check=True, capture_output=True, timeout=1800)
    return folder


@pytest.fixture
def bare() -> Iterator[None]:
    """A cluster without an installation, which comes back at the end."""
    _uninstall_if_installed("mintaka", SYSTEM)
    kubectl("--namespace", SYSTEM, "delete", "pvc", "--all", "--ignore-not-found", "--timeout=60s")
    yield
    _uninstall_if_installed("mintaka", SYSTEM)
    subprocess.run([ROOT / "tools" / "install"], check=True, capture_output=True, timeout=600)


@pytest.fixture
def teams(bare: None) -> Iterator[list[Kube]]:  # noqa: ARG001 - nothing acts in them before a test installs it
    """Namespaces of teams."""
    names = [f"soak-{secrets.token_hex(3)}" for _ in range(TEAMS)]
    for name in names:
        kubectl("create", "namespace", name)
    yield [Kube(name) for name in names]
    for name in names:
        kubectl("delete", "namespace", name, "--ignore-not-found", "--wait=false")


def _uninstall_if_installed(release: str, namespace: str) -> None:
    if release in helm("list", "--namespace", namespace, "--short").split():
        helm("uninstall", release, "--namespace", namespace, "--timeout", "5m")


def _start(team: Kube, prefix: str) -> list[str]:
    names = [f"{prefix}-{number}" for number in range(RUNS)]
    team.apply(*(flow_run(name, template=python_flow(FLOW)) for name in names))
    return names


def test_runs_in_flight_survive_an_upgrade_and_nothing_hangs_after_an_uninstall(
    teams: list[Kube],
    older: Path,
    images: None,  # noqa: ARG001 - they must be there
) -> None:
    """From the older chart and its images by `--reuse-values`: each run ends COMPLETED in its first attempt, with the history of every
    step, and schedules fire on. Uninstalled with runs in flight, and their namespaces deleted afterwards, everything goes.
    """
    tags = ["--set", f"image.tag={OLDER},flowImage.tag={OLDER},operator.relistSeconds=7"]
    options = ["--namespace", SYSTEM, "--create-namespace", "--take-ownership", "--wait", "--timeout", "5m"]
    helm("install", "mintaka", str(older / "charts" / "mintaka"), *options, *tags)
    for team in teams:
        team.apply(flow_deployment("often", schedules=[{"name": "often", "interval": "30s"}], **python_flow(FLOW, parameters={"steps": 1})))
    runs = [(team, name) for team in teams for name in _start(team, "before")]
    for team, name in runs:
        team.reaches(name, "RUNNING", 180)

    tags = ["--set", "image.tag=dev,flowImage.tag=dev"]
    helm("upgrade", "mintaka", str(CHART), "--namespace", SYSTEM, "--reuse-values", "--wait", "--timeout", "5m", *tags)
    operator = Kube(SYSTEM).get("deployment", "mintaka-operator")["spec"]["template"]["spec"]["containers"][0]
    assert {"name": "MINTAKA_RELIST_SECONDS", "value": "7"} in operator["env"]
    upgraded_time = time.time()
    api = Api(SYSTEM, "service/mintaka-api")
    for team, name in runs:
        run = team.ended(name, 300)
        assert (run["status"]["state"]["type"], run["status"]["attempt"]) == ("COMPLETED", 1), run["status"]
        assert api.mirrored(run)["state"]["type"] == "COMPLETED"
        assert len(api.items(f"/flow-runs/{run['metadata']['uid']}/task-runs")) == STEPS
    for team in teams:
        eventually(lambda team=team: _scheduled_since(team, upgraded_time), "a scheduled run after the upgrade", 90)  # type: ignore[misc]
    api.close()
    helm("test", "mintaka", "--namespace", SYSTEM, "--timeout", "5m")

    for team in teams:
        for name in _start(team, "after"):
            team.reaches(name, "RUNNING", 180)
    said = helm("uninstall", "mintaka", "--namespace", SYSTEM, "--timeout", "5m")
    assert "stopped mintaka-operator, mintaka-api" in said
    assert f"left: {TEAMS * RUNS} pods of flows" in said
    for team in teams:
        kubectl("delete", "namespace", team.namespace, "--timeout=120s", seconds=130)


def _scheduled_since(team: Kube, moment: float) -> list[dict[str, Any]]:
    since = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(moment))
    runs = team.items("flowruns", "--selector=mintaka.dev/deployment=often")
    return [
        run
        for run in runs
        if run["metadata"]["creationTimestamp"] > since and run.get("status", {}).get("state", {}).get("type") == "COMPLETED"
    ]


def test_a_namespaced_release_asks_for_nothing_it_may_not_have(
    teams: list[Kube],
    images: None,  # noqa: ARG001 - they must be there
) -> None:
    """Not one request is denied within ten minutes, with a namespace of its list missing, which is served once it exists."""
    home, served = teams
    later = f"{served.namespace}-later"
    before = _denied()
    namespaces = [f"watchNamespaces={{{served.namespace},{later}}}", f"rbac.skipNamespaces={{{later}}}", "crds.install=true"]
    values = ["--set", ",".join([*namespaces, "rbac.aggregateRoles=false", "api.database.sqlite.persistence.enabled=false"])]
    options = ["--namespace", home.namespace, "--take-ownership", "--wait", "--timeout", "5m"]
    helm("install", "mintaka", str(CHART), *options, *values)
    served.apply(flow_deployment("often", schedules=[{"name": "often", "interval": "30s"}], **python_flow(FLOW, parameters={"steps": 1})))
    deadline = time.monotonic() + NAMESPACED_SECONDS
    count = 0
    while time.monotonic() < deadline:
        served.apply(flow_run(f"run-{count}", template=python_flow(FLOW, parameters={"steps": 1})))
        assert served.ended(f"run-{count}")["status"]["state"]["type"] == "COMPLETED"
        count += 1
        assert _denied() == before

    kubectl("create", "namespace", later)
    helm("upgrade", "mintaka", str(CHART), "--namespace", home.namespace, "--reuse-values", "--set", "rbac.skipNamespaces=null", "--wait")
    new = Kube(later)
    new.apply(flow_run("first", template=python_flow(FLOW, parameters={"steps": 1})))
    assert new.ended("first", 120)["status"]["state"]["type"] == "COMPLETED"
    helm("uninstall", "mintaka", "--namespace", home.namespace)
    for name in (later, served.namespace):
        kubectl("delete", "namespace", name, "--timeout=90s", seconds=100)


def _denied() -> float:
    """How many requests the API server has refused for want of a right since it started, from all who ask."""
    families = text_string_to_metric_families(kubectl("get", "--raw", "/metrics"))
    samples = (sample for family in families for sample in family.samples if sample.name == "authorization_attempts_total")
    return sum(sample.value for sample in samples if sample.labels["result"] in {"denied", "no-opinion"})
