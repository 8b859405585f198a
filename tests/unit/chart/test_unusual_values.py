"""Values that are unusual and work: names that YAML reads as numbers, long names, labels that are given twice."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.unit.chart.conftest import Render

COMPONENTS = ("operator", "api")
POSTGRESQL = {"url": "postgresql://mintaka@database/mintaka"}


def _strings(part: Any, names: set[str]) -> list[Any]:
    """The values of all keys of `names` in a manifest that are not strings."""
    match part:
        case dict():
            wrong = [value for key, value in part.items() if key in names and not isinstance(value, str | dict | list)]
            return wrong + [value for inner in part.values() for value in _strings(inner, names)]
        case list():
            return [value for inner in part for value in _strings(inner, names)]
    return []


def test_names_that_yaml_reads_as_numbers_stay_names(render: Render) -> None:
    """Kubernetes allows digits only in names of namespaces, ServiceAccounts, Secrets, Leases and claims."""
    release = render(
        {
            "crds": {"install": False},
            "fullnameOverride": "true",
            "nameOverride": "7",
            "namespaceOverride": "123",
            "watchNamespaces": ["456"],
            "image": {"repository": "1", "tag": "2"},
            "imagePullSecrets": [{"name": "7"}],
            "operator": {"serviceAccount": {"name": "1e3"}, "leaseName": "10", "priorityClassName": "8"},
            "api": {
                "database": {"sqlite": {"persistence": {"storageClassName": "1", "size": "5"}}},
                "ingress": {"enabled": True, "className": "9", "hosts": ["1"]},
            },
            "commonLabels": {"a": "1"},
            "metrics": {"prometheusRule": {"enabled": True}},
            "networkPolicy": {"enabled": True},
        }
    )  # fmt: skip
    names = {"name", "namespace", "serviceAccountName", "priorityClassName", "image", "storage", "storageClassName", "ingressClassName"}
    names |= {"value", "host", "claimName", "app.kubernetes.io/name", "app.kubernetes.io/instance", "a"}
    assert [(found["kind"], wrong) for found in release.objects if (wrong := _strings(found, names))] == []
    pod = release.one("Deployment", "true-operator")["spec"]["template"]["spec"]
    assert (pod["serviceAccountName"], pod["containers"][0]["image"]) == ("1e3", "1:2")


def test_every_name_is_short_enough_for_the_longest_name_of_a_release(render: Render) -> None:
    """Helm's limit is 53 characters, a Service's 63; with a dot in it besides."""
    for found in render({"metrics": {"dashboard": {"enabled": True}}}, release="my.release-" + "x" * 42).objects:
        name = found["metadata"]["name"]
        assert len(name.rpartition(":")[2]) <= 63
        if found["kind"] != "CustomResourceDefinition":
            assert "." not in name


@pytest.mark.parametrize("component", COMPONENTS)
def test_labels_may_be_given_twice(component: str, render: Render) -> None:
    """A component's own go over those of every object."""
    release = render({"commonLabels": {"team": "data", "tier": "low"}, component: {"podLabels": {"tier": "high"}}})
    labels = release.pod(component)["metadata"]["labels"]
    assert (labels["team"], labels["tier"]) == ("data", "high")


def test_annotations_of_pods_may_replace_the_default_container(render: Render) -> None:
    """Not the checksum, without which a changed template of pods would not reach the operator."""
    name, checksum = "kubectl.kubernetes.io/default-container", "checksum/pod-template"
    annotations = render({"operator": {"podAnnotations": {name: "proxy", checksum: "x"}}}).pod("operator")["metadata"]["annotations"]
    assert annotations == {name: "proxy", checksum: render().pod("operator")["metadata"]["annotations"][checksum]}


def test_labels_of_alerts_may_replace_the_severity(render: Render) -> None:
    """Once for all alerts."""
    rule = {"enabled": True, "alertLabels": {"severity": "page", "team": "data"}}
    [group] = render({"metrics": {"prometheusRule": rule}}).one("PrometheusRule", "mintaka")["spec"]["groups"]
    assert {tuple(sorted(alert["labels"].items())) for alert in group["rules"]} == {(("severity", "page"), ("team", "data"))}


def test_an_image_with_a_digest_needs_no_tag(render: Render) -> None:
    """The digest replaces it."""
    digest = "sha256:" + "0" * 64
    release = render({"image": {"tag": "", "digest": digest, "repository": "registry.example:5000/a/b"}})
    assert release.container("operator")["image"] == f"registry.example:5000/a/b@{digest}"


@pytest.mark.parametrize("component", COMPONENTS)
def test_a_probe_may_use_another_handler(component: str, render: Render) -> None:
    """With null for the chart's own."""
    probe = {"httpGet": None, "tcpSocket": {"port": "http"}}
    assert "httpGet" not in render({component: {"livenessProbe": probe}}).container(component)["livenessProbe"]


def test_large_numbers_stay_numbers(render: Render) -> None:
    """Users as OpenShift assigns them, and retentions of a year."""
    release = render(
        {"operator": {"podSecurityContext": {"runAsUser": 1000680000}}, "flows": {"podRetention": {"failedSeconds": 31536000}}}
    )
    assert release.pod("operator")["spec"]["securityContext"]["runAsUser"] == 1000680000
    assert release.environment("operator")["MINTAKA_FAILED_POD_RETENTION_SECONDS"] == "31536000"


def test_the_autoscaler_measures_the_container_of_the_api_only(render: Render) -> None:
    """A sidecar without requests would make it blind."""
    values = {"database": POSTGRESQL, "autoscaling": {"enabled": True}, "extraContainers": [{"name": "proxy", "image": "proxy:1"}]}
    [metric] = render({"api": values}).one("HorizontalPodAutoscaler", "mintaka-api")["spec"]["metrics"]
    assert metric["containerResource"]["container"] == "api"


def test_the_helm_test_runs_in_a_namespace_that_exists(render: Render) -> None:
    """Those of rbac.skipNamespaces may not."""
    release = render({"watchNamespaces": ["later", "team-a"], "rbac": {"skipNamespaces": ["later"]}})
    assert release.one("Role", "mintaka-test")["metadata"]["namespace"] == "team-a"


@pytest.mark.parametrize("hook", ["test", "uninstall"])
def test_hooks_run_under_the_constraints_of_the_operator(hook: str, render: Render) -> None:
    """Nodes, tolerations, pull secrets, security contexts, DNS, and the PriorityClass that a quota may ask for."""
    operator = {
        "nodeSelector": {"pool": "system"},
        "tolerations": [{"key": "system"}],
        "affinity": {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": []}},
        "priorityClassName": "high",
        "dnsPolicy": "None",
        "dnsConfig": {"nameservers": ["10.0.0.10"], "searches": ["svc.cluster.local"]},
        "hostAliases": [{"ip": "10.0.0.1", "hostnames": ["registry"]}],
        "podSecurityContext": {"runAsUser": 7},
    }
    release = render({"operator": operator, "imagePullSecrets": [{"name": "registry"}]})
    pod = (
        release.one("Pod", "mintaka-test")["spec"]
        if hook == "test"
        else release.one("Job", "mintaka-uninstall")["spec"]["template"]["spec"]
    )
    same = {*operator} - {"podSecurityContext"} | {"securityContext", "imagePullSecrets"}
    assert {name: pod[name] for name in same} == {name: release.pod("operator")["spec"][name] for name in same}
