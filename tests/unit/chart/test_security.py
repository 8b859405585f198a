"""Pod Security Standard "restricted" for everything the chart starts, and a root file system nobody writes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.unit.chart.conftest import Release, Render

PODS = ("operator", "api", "test")


def _pod(release: Release, name: str) -> dict[str, Any]:
    if name == "test":
        return release.one("Pod", "mintaka-test")["spec"]
    return release.one("Deployment", f"mintaka-{name}")["spec"]["template"]["spec"]


@pytest.mark.parametrize("name", PODS)
def test_pods_are_restricted(name: str, render: Render) -> None:
    """Each control of the standard, and a numeric user so that the kubelet can check it."""
    pod = _pod(render(), name)
    context = pod["securityContext"]
    assert context["runAsNonRoot"] is True
    assert context["runAsUser"] > 0
    assert context["seccompProfile"] == {"type": "RuntimeDefault"}
    assert not {"hostNetwork", "hostPID", "hostIPC"} & set(pod)
    for container in pod["containers"]:
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
    assert {next(key for key in volume if key != "name") for volume in pod["volumes"]} <= {"emptyDir", "persistentVolumeClaim"}


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


def test_network_policies_close_what_is_not_used(render: Render) -> None:
    """Names and the Kubernetes API for both; the database for the API; callers as the values say."""
    callers = [{"namespaceSelector": {"matchLabels": {"team": "data"}}}]
    release = render(
        {
            "networkPolicy": {"enabled": True, "apiFrom": callers, "databasePort": 6432},
            "api": {"database": {"url": "postgresql://mintaka@database:6432/mintaka"}},
        }
    )
    api = release.one("NetworkPolicy", "mintaka-api")["spec"]
    assert api["ingress"] == [{"ports": [{"port": "http"}], "from": callers}]
    assert {port["port"] for rule in api["egress"] for port in rule["ports"]} == {53, 443, 6443, 6432}
    operator = release.one("NetworkPolicy", "mintaka-operator")["spec"]
    assert {port["port"] for rule in operator["egress"] for port in rule["ports"]} == {53, 443, 6443}


def test_budgets_need_a_second_pod(render: Render) -> None:
    """A budget over a single pod would only block the draining of its node."""
    on = {"podDisruptionBudget": {"enabled": True}}
    assert render({"operator": on, "api": on}).of("PodDisruptionBudget") == []
    release = render({"operator": {**on, "replicas": 2}, "api": on})
    assert [budget["metadata"]["name"] for budget in release.of("PodDisruptionBudget")] == ["mintaka-operator"]
