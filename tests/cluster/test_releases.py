"""An installation from beginning to end: upgraded from an older chart, used, uninstalled, its namespaces deleted.

tests/soak/test_upgrade.py does the same with the older release's own images and runs in flight.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from helm import CHART, helm, project_at
from kube import Api, eventually, flow_run, forwarded, kubectl, python_flow

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from kube import Kube

OLDER = "8b744f4"
RELEASE = "twin"
#: As OpenShift assigns them, from the range of a namespace.
USER = 1000770000
FLOW = """
import time
from mintaka import flow

@flow
def main(seconds: float = 0):
    time.sleep(seconds)
"""


@pytest.fixture(scope="module")
def alone(installed: str, api: Api) -> Iterator[None]:
    """The shared release is scaled to 0, because two must not serve one namespace; afterwards its API is connected to again."""
    deployments = ("deployment/mintaka-operator", "deployment/mintaka-api")
    kubectl("--namespace", installed, "scale", "--replicas=0", *deployments)
    yield
    kubectl("--namespace", installed, "scale", "--replicas=1", *deployments)
    for deployment in deployments:
        kubectl("--namespace", installed, "rollout", "status", deployment, "--timeout=120s", seconds=130)
    api.connect()


def _finalizers(kube: Kube, kind: str) -> list[list[str]]:
    return [item["metadata"].get("finalizers", []) for item in kube.items(kind)]


def _values(**values: Any) -> list[str]:
    return ["--set-json", ",".join(f"{name.replace('__', '.')}={json.dumps(value)}" for name, value in values.items())]


@pytest.mark.usefixtures("alone")
def test_a_release_is_upgraded_and_uninstalled_and_its_namespaces_deleted(kube: Kube, another_kube: Kube, tmp_path: Path) -> None:
    """Values kept by `--reuse-values`, a run in flight when the release is uninstalled, and a namespace of the list that is missing."""
    home, served = another_kube, kube
    older = project_at(OLDER, tmp_path) / "charts" / "mintaka"
    values = _values(
        watchNamespaces=[served.namespace],
        crds__install=False,
        rbac__aggregateRoles=False,
        operator__replicas=0,
        operator__relistSeconds=7,
        api__enabled=False,
        api__database__sqlite__persistence__enabled=False,
    )
    helm("install", RELEASE, str(older), "--namespace", home.namespace, *values)

    # The older operator's code is not here; the older chart's values are. The namespace `later` does not exist.
    watched = {"watchNamespaces": [served.namespace, "later"], "rbac__skipNamespaces": ["later"]}
    started = _values(operator__replicas=1, api__enabled=True, **watched)
    helm("upgrade", RELEASE, str(CHART), "--namespace", home.namespace, "--reuse-values", "--wait", "--timeout", "2m", *started)
    operator = home.get("deployment", f"{RELEASE}-mintaka-operator")["spec"]["template"]["spec"]["containers"][0]
    assert {"name": "MINTAKA_RELIST_SECONDS", "value": "7"} in operator["env"]

    served.apply(flow_run("done", template=python_flow(FLOW)), flow_run("busy", template=python_flow(FLOW), parameters={"seconds": 600}))
    served.ended("done")
    served.reaches("busy", "RUNNING")
    assert all(_finalizers(served, "flowruns"))

    said = helm("uninstall", RELEASE, "--namespace", home.namespace)
    assert f"stopped {RELEASE}-mintaka-operator, {RELEASE}-mintaka-api" in said
    assert "left: 2 flow runs" in said
    assert "cannot look into namespace later" in said
    assert not any(_finalizers(served, "flowruns"))
    assert not any(_finalizers(served, "pods"))
    for kind in ("deployments", "jobs", "roles", "rolebindings", "serviceaccounts"):
        assert [item["metadata"]["name"] for item in home.items(kind) if item["metadata"]["name"].startswith(RELEASE)] == []
    assert served.get("fr", "busy")["status"]["state"]["type"] == "RUNNING"

    for each in (served, home):
        kubectl("delete", "namespace", each.namespace, "--timeout=90s", seconds=100)


@pytest.fixture(scope="module")
def namespaced(alone: None, shared_kube: Kube) -> Iterator[Kube]:  # noqa: ARG001 - nothing else acts
    """A namespace with a release that serves it alone, and one that does not exist, under users and groups as OpenShift assigns them."""
    user = {"runAsUser": USER, "runAsGroup": 0}
    values = _values(
        watchNamespaces=[shared_kube.namespace, "later"],
        rbac__skipNamespaces=["later"],
        crds__install=False,
        rbac__aggregateRoles=False,
        operator__relistSeconds=5,
        operator__podSecurityContext=user,
        api__podSecurityContext={**user, "fsGroup": USER},
        api__database__sqlite__persistence__enabled=False,
        flows__podTemplate={"spec": {"securityContext": user}},
    )
    helm("install", RELEASE, str(CHART), "--namespace", shared_kube.namespace, "--wait", "--timeout", "2m", *values)
    yield shared_kube
    helm("uninstall", RELEASE, "--namespace", shared_kube.namespace)


def test_a_release_runs_under_any_user_with_group_0(namespaced: Kube) -> None:
    """Operator, API with its database, flows: nothing of the images belongs to a certain user."""
    code = "import os\nfrom mintaka import flow\n\n@flow\ndef main():\n    return [os.getuid(), os.getgid()]\n"
    namespaced.apply(flow_run("user", template=python_flow(code)))
    run = namespaced.ended("user")
    assert run["status"]["state"]["type"] == "COMPLETED", run["status"]
    assert namespaced.get("pod", run["status"]["podName"])["spec"]["securityContext"]["runAsUser"] == USER
    api = Api(namespaced.namespace, f"service/{RELEASE}-mintaka-api")
    assert api.mirrored(run)["state"]["type"] == "COMPLETED"
    api.close()


def test_no_request_of_a_namespaced_release_is_forbidden(namespaced: Kube) -> None:
    """Nothing cluster-wide is asked, and nothing in a namespace that is missing; what exists is served. The soak watches for ten minutes."""
    namespaced.apply(flow_run("one", template=python_flow(FLOW)))
    assert namespaced.ended("one")["status"]["state"]["type"] == "COMPLETED"
    with forwarded(namespaced.namespace, f"deployment/{RELEASE}-mintaka-operator", 8080) as url:
        eventually(lambda: _requests(url, resource="pods", code="200") > 8, "relists of the operator", 60)
        assert _requests(url, code="403") == 0
    for component in ("operator", "api"):
        log = namespaced("logs", f"deployment/{RELEASE}-mintaka-{component}").lower()
        assert "is forbidden" not in log


def _requests(url: str, **labels: str) -> float:
    """How many requests with these labels the operator has counted."""
    families = text_string_to_metric_families(httpx.get(f"{url}/metrics").text)
    samples = [sample for family in families for sample in family.samples if sample.name == "mintaka_operator_api_requests_total"]
    return sum(sample.value for sample in samples if labels.items() <= sample.labels.items())
