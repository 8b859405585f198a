"""What operator and API have alike: further volumes, variables and containers, where their pods go, how they are replaced."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.unit.chart.conftest import Render

COMPONENTS = ("operator", "api")
POSTGRESQL = {"url": "postgresql://mintaka@database/mintaka"}


@pytest.mark.parametrize("component", COMPONENTS)
def test_every_field_that_clusters_ask_for_can_be_set(component: str, render: Render) -> None:
    """Each value is where Kubernetes expects it, beside what the chart itself needs there."""
    values: dict[str, Any] = {
        "extraEnv": [{"name": "A", "value": "1"}],
        "envFrom": [{"secretRef": {"name": "proxy"}}],
        "extraVolumes": [{"name": "ca", "configMap": {"name": "ca"}}],
        "extraVolumeMounts": [{"name": "ca", "mountPath": "/ca"}],
        "initContainers": [{"name": "wait", "image": "wait:1"}],
        "extraContainers": [{"name": "proxy", "image": "proxy:1"}],
        "lifecycle": {"preStop": {"sleep": {"seconds": 3}}},
        "dnsPolicy": "None",
        "dnsConfig": {"nameservers": ["10.0.0.10"]},
        "hostAliases": [{"ip": "10.0.0.1", "hostnames": ["database"]}],
        "priorityClassName": "high",
        "nodeSelector": {"pool": "system"},
        "tolerations": [{"key": "system"}],
        "affinity": {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": []}},
        "topologySpreadConstraints": [{"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule"}],
        "terminationGracePeriodSeconds": 77,
        "podLabels": {"a": "b"},
        "podAnnotations": {"c": "d"},
        "livenessProbe": {"periodSeconds": 99},
    }
    release = render({component: values})
    pod, container = release.pod(component), release.container(component)
    for name in ("dnsPolicy", "dnsConfig", "hostAliases", "priorityClassName", "nodeSelector", "tolerations", "affinity"):
        assert pod["spec"][name] == values[name]
    for name in ("topologySpreadConstraints", "terminationGracePeriodSeconds", "initContainers"):
        assert pod["spec"][name] == values[name]
    assert [each["name"] for each in pod["spec"]["containers"]] == [component, "proxy"]
    assert values["extraVolumes"][0] in pod["spec"]["volumes"]
    assert values["extraVolumeMounts"][0] in container["volumeMounts"]
    assert container["volumeMounts"][0] == {"name": "tmp", "mountPath": "/tmp"}  # noqa: S108 - a mount path
    assert (container["envFrom"], container["lifecycle"]) == (values["envFrom"], values["lifecycle"])
    assert container["env"][-1] == {"name": "A", "value": "1"}
    assert container["livenessProbe"] == {
        "httpGet": {"path": "/healthz", "port": "http"},
        "periodSeconds": 99,
        "timeoutSeconds": 5,
        "failureThreshold": 3,
    }
    assert pod["metadata"]["labels"]["a"] == "b"
    assert pod["metadata"]["annotations"]["c"] == "d"


@pytest.mark.parametrize("component", COMPONENTS)
def test_a_deployment_can_be_told_how_to_roll(component: str, render: Render) -> None:
    """Strategy and history; the API with PostgreSQL."""
    strategy = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": "25%"}}
    values = {"strategy": strategy, "revisionHistoryLimit": 2}
    release = render(
        {"api": {"database": POSTGRESQL}} | {component: {**({"database": POSTGRESQL} if component == "api" else {}), **values}}
    )
    spec = release.one("Deployment", f"mintaka-{component}")["spec"]
    assert (spec["strategy"], spec["revisionHistoryLimit"]) == (strategy, 2)


@pytest.mark.parametrize("component", COMPONENTS)
def test_several_replicas_are_spread_over_nodes(component: str, render: Render) -> None:
    """As far as there are nodes; a single one is not, nor those whose values say otherwise."""

    def constraints(**values: Any) -> Any:
        release = render(
            {"api": {"database": POSTGRESQL}} | {component: {"database": POSTGRESQL, **values} if component == "api" else values}
        )
        return release.pod(component)["spec"].get("topologySpreadConstraints")

    assert constraints() is None
    [constraint] = constraints(replicas=2)
    assert (constraint["topologyKey"], constraint["whenUnsatisfiable"]) == ("kubernetes.io/hostname", "ScheduleAnyway")
    assert constraint["labelSelector"]["matchLabels"]["app.kubernetes.io/component"] == component
    assert constraints(replicas=2, affinity={"podAntiAffinity": {}}) is None


def test_the_autoscaler_sets_the_number_of_apis(render: Render) -> None:
    """The Deployment says none, or each upgrade would set it back; the pods are spread and may be evicted one at a time."""
    values = {"database": POSTGRESQL, "autoscaling": {"enabled": True, "maxReplicas": 9}, "podDisruptionBudget": {"enabled": True}}
    release = render({"api": values})
    assert "replicas" not in release.one("Deployment", "mintaka-api")["spec"]
    scaler = release.one("HorizontalPodAutoscaler", "mintaka-api")["spec"]
    assert scaler["scaleTargetRef"] == {"apiVersion": "apps/v1", "kind": "Deployment", "name": "mintaka-api"}
    assert (scaler["minReplicas"], scaler["maxReplicas"]) == (2, 9)
    assert [metric["containerResource"]["name"] for metric in scaler["metrics"]] == ["cpu"]
    assert release.pod("api")["spec"]["topologySpreadConstraints"]
    assert release.one("PodDisruptionBudget", "mintaka-api")
    assert render().of("HorizontalPodAutoscaler") == []


def test_everything_is_in_the_namespace_that_overrides_the_releases(render: Render) -> None:
    """And flows find the API there."""
    release = render({"namespaceOverride": "elsewhere"})
    namespaces = {found["metadata"].get("namespace") for found in release.objects}
    assert namespaces == {"elsewhere", None}
    assert {subject["namespace"] for binding in release.of("ClusterRoleBinding") for subject in binding["subjects"]} == {"elsewhere"}
    assert release.environment("operator")["MINTAKA_API_URL"] == "http://mintaka-api.elsewhere.svc:4200"


def test_every_object_says_its_namespace(render: Render) -> None:
    """`helm template | kubectl apply` puts them where `helm install` does; what is cluster-wide has none."""
    for found in render().objects:
        cluster_wide = found["kind"] in {"ClusterRole", "ClusterRoleBinding", "CustomResourceDefinition"}
        assert found["metadata"].get("namespace") == (None if cluster_wide else "mintaka-system"), found["metadata"]["name"]


def test_common_labels_and_annotations_are_on_every_object(render: Render) -> None:
    """Beside those that an object has anyway."""
    release = render({"commonLabels": {"team": "data"}, "commonAnnotations": {"example.com/owner": "data"}})
    for found in release.objects:
        assert found["metadata"]["labels"]["team"] == "data"
        assert found["metadata"]["annotations"]["example.com/owner"] == "data"
    assert release.one("PersistentVolumeClaim", "mintaka-api")["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"
