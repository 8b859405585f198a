"""Pod Security Standard "restricted" for everything the chart starts, on root file systems that cannot be written."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.unit.chart.conftest import Release, Render

ROOT = Path(__file__).parents[3]
CHART = ROOT / "charts" / "mintaka"
PODS = ("operator", "api", "test", "uninstall")


def _pod(release: Release, name: str) -> dict[str, Any]:
    if name == "test":
        return release.one("Pod", "mintaka-test")["spec"]
    if name == "uninstall":
        return release.one("Job", "mintaka-uninstall")["spec"]["template"]["spec"]
    return release.pod(name)["spec"]


@pytest.mark.parametrize("name", PODS)
def test_pods_are_restricted(name: str, render: Render) -> None:
    """Each control of the standard. The user is the image's, whose number the kubelet can check."""
    pod = _pod(render(), name)
    context = pod["securityContext"]
    assert context["runAsNonRoot"] is True
    assert context["seccompProfile"] == {"type": "RuntimeDefault"}
    assert not {"hostNetwork", "hostPID", "hostIPC"} & set(pod)
    for container in pod["containers"]:
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
    kinds = {next(key for key in volume if key != "name") for volume in pod["volumes"]}
    assert kinds <= {"emptyDir", "persistentVolumeClaim", "configMap"}


def test_the_image_runs_as_a_number() -> None:
    """`runAsNonRoot` without `runAsUser` needs one; the group of the volume is the same."""
    users = [line for line in (ROOT / "Dockerfile").read_text(encoding="utf-8").splitlines() if line.startswith("USER ")]
    assert users == ["USER 10001:10001"]


@pytest.mark.parametrize("name", PODS)
def test_pods_run_under_whatever_user_a_cluster_assigns(name: str, render: Render) -> None:
    """OpenShift's SCC restricted-v2 refuses a user, group or fsGroup that the pod asks for: ci/openshift-values.yaml asks for none."""
    context = _pod(render(CHART / "ci" / "openshift-values.yaml"), name)["securityContext"]
    assert context == {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}


@pytest.mark.parametrize("name", PODS)
def test_security_contexts_can_be_set(name: str, render: Render) -> None:
    """Further fields go to those there are; hooks run as the operator does."""
    own = {"podSecurityContext": {"runAsUser": 4711}, "securityContext": {"seLinuxOptions": {"level": "s0"}}}
    pod = _pod(render({"operator": own, "api": own}), name)
    assert (pod["securityContext"]["runAsUser"], pod["securityContext"]["runAsNonRoot"]) == (4711, True)
    assert pod["containers"][0]["securityContext"]["seLinuxOptions"] == {"level": "s0"}
    assert pod["containers"][0]["securityContext"]["readOnlyRootFilesystem"] is True


@pytest.mark.parametrize("name", PODS)
def test_security_contexts_can_be_left_out(name: str, render: Render) -> None:
    """Null: an admission policy sets them."""
    none = {"podSecurityContext": None, "securityContext": None}
    pod = _pod(render({"operator": none, "api": none}), name)
    assert "securityContext" not in pod
    assert "securityContext" not in pod["containers"][0]


@pytest.mark.parametrize("name", PODS)
def test_what_must_be_written_has_a_place(name: str, render: Render) -> None:
    """The temporary folder is an emptyDir of bounded size."""
    pod = _pod(render(), name)
    assert {"name": "tmp", "mountPath": "/tmp"} in pod["containers"][0]["volumeMounts"]  # noqa: S108 - a mount path
    tmp = next(volume for volume in pod["volumes"] if volume["name"] == "tmp")
    assert tmp["emptyDir"]["sizeLimit"]


@pytest.mark.parametrize("name", PODS)
def test_every_container_has_requests_and_a_memory_limit(name: str, render: Render) -> None:
    """One that leaks is stopped before its neighbours are."""
    resources = _pod(render(), name)["containers"][0]["resources"]
    assert {"cpu", "memory"} <= set(resources["requests"])
    assert "memory" in resources["limits"]


@pytest.mark.parametrize("name", ["operator", "api"])
def test_probes_ask_what_they_should(name: str, render: Render) -> None:
    """Alive is not ready: an API whose database is away must not be restarted."""
    container = render().container(name)
    assert container["livenessProbe"]["httpGet"]["path"] == "/healthz"
    assert container["startupProbe"]["httpGet"]["path"] == "/healthz"
    assert container["readinessProbe"]["httpGet"]["path"] == "/readyz"


def test_budgets_need_a_second_pod(render: Render) -> None:
    """A budget over a single pod would only block the draining of its node."""
    on = {"podDisruptionBudget": {"enabled": True}}
    assert render({"operator": on, "api": on}).of("PodDisruptionBudget") == []
    release = render({"operator": {**on, "replicas": 2}, "api": on})
    assert [budget["metadata"]["name"] for budget in release.of("PodDisruptionBudget")] == ["mintaka-operator"]
