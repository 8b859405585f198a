"""Defaults for the pods of all flows: one JSON file in the operator's pod."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from helm import CHART
from mintaka_operator.pod_template_file import read_pod_template

if TYPE_CHECKING:
    from pathlib import Path

    from tests.unit.chart.conftest import Release, Render


def _template(release: Release) -> dict[str, Any]:
    return json.loads(release.one("ConfigMap", "mintaka-flow-pods")["data"]["pod-template.json"])


def test_the_operator_finds_it_where_its_environment_says(render: Render) -> None:
    """Mounted read-only, from the ConfigMap of the release."""
    release = render()
    assert release.environment("operator")["MINTAKA_POD_TEMPLATE_FILE"] == "/etc/mintaka/pod-template.json"
    assert {"name": "pod-template", "mountPath": "/etc/mintaka", "readOnly": True} in release.container("operator")["volumeMounts"]
    assert {"name": "pod-template", "configMap": {"name": "mintaka-flow-pods"}} in release.pod("operator")["spec"]["volumes"]


def test_without_values_it_says_nothing(render: Render) -> None:
    """The operator's own defaults stay as they are."""
    assert _template(render()) == {"metadata": {}, "spec": {"containers": [{"name": "flow"}]}}


def test_a_private_image_needs_no_change_of_any_deployment(render: Render) -> None:
    """Its name and the Secret it is pulled with are two values."""
    release = render(
        {"flowImage": {"repository": "registry.example/flows", "tag": "7"}, "flows": {"imagePullSecrets": [{"name": "registry"}]}}
    )
    assert release.environment("operator")["MINTAKA_FLOW_IMAGE"] == "registry.example/flows:7"
    assert _template(release)["spec"]["imagePullSecrets"] == [{"name": "registry"}]


def test_each_value_has_its_place(render: Render) -> None:
    """What is the container's, what is the pod's, what is metadata."""
    flows = {
        "resources": {"requests": {"cpu": "100m"}, "limits": {"memory": "1Gi"}},
        "imagePullPolicy": "Always",
        "imagePullSecrets": [{"name": "registry"}],
        "serviceAccountName": "flows",
        "labels": {"team": "data"},
        "annotations": {"example.com/scrape": "true"},
        "nodeSelector": {"pool": "flows"},
        "tolerations": [{"key": "flows", "operator": "Exists", "tolerationSeconds": 3000000}],
        "affinity": {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": []}},
        "env": [{"name": "TZ", "value": "UTC"}],
        "envFrom": [{"configMapRef": {"name": "proxies"}}],
    }
    assert _template(render({"flows": flows})) == {
        "metadata": {"labels": flows["labels"], "annotations": flows["annotations"]},
        "spec": {
            "imagePullSecrets": flows["imagePullSecrets"],
            "serviceAccountName": "flows",
            "nodeSelector": flows["nodeSelector"],
            "tolerations": flows["tolerations"],
            "affinity": flows["affinity"],
            "containers": [
                {
                    "name": "flow",
                    "resources": flows["resources"],
                    "imagePullPolicy": "Always",
                    "env": flows["env"],
                    "envFrom": flows["envFrom"],
                }
            ],
        },
    }


def test_the_free_template_goes_over_the_values(render: Render) -> None:
    """Field by field; the container named `flow` is the flow, others come after it, in their order."""
    template = _template(
        render(
            {
                "flows": {
                    "labels": {"team": "data", "tier": "low"},
                    "resources": {"requests": {"cpu": "100m", "memory": "64Mi"}},
                    "tolerations": [{"key": "old"}],
                    "podTemplate": {
                        "metadata": {"labels": {"tier": "high"}},
                        "spec": {
                            "hostNetwork": False,
                            "tolerations": [{"key": "new"}],
                            "volumes": [{"name": "data", "emptyDir": {}}],
                            "containers": [
                                {"name": "agent", "image": "agent:1"},
                                {
                                    "name": "flow",
                                    "resources": {"requests": {"cpu": "1"}},
                                    "volumeMounts": [{"name": "data", "mountPath": "/data"}],
                                },
                            ],
                        },
                    },
                }
            }
        )
    )
    assert template == {
        "metadata": {"labels": {"team": "data", "tier": "high"}},
        "spec": {
            "hostNetwork": False,
            "tolerations": [{"key": "new"}],
            "volumes": [{"name": "data", "emptyDir": {}}],
            "containers": [
                {
                    "name": "flow",
                    "resources": {"requests": {"cpu": "1", "memory": "64Mi"}},
                    "volumeMounts": [{"name": "data", "mountPath": "/data"}],
                },
                {"name": "agent", "image": "agent:1"},
            ],
        },
    }


def test_the_operator_accepts_it(render: Render, tmp_path: Path) -> None:
    """Empty, and with every value set."""
    for values in ({}, CHART / "ci" / "everything-values.yaml"):
        release = render(values)
        file = tmp_path / "pod-template.json"
        file.write_text(release.one("ConfigMap", "mintaka-flow-pods")["data"]["pod-template.json"], encoding="utf-8")
        assert read_pod_template(str(file)) == _template(release)


def test_a_change_rolls_the_operator_and_nothing_else_does(render: Render) -> None:
    """It reads the file when it starts."""

    def checksum(values: dict[str, Any]) -> str:
        return render(values).pod("operator")["metadata"]["annotations"]["checksum/pod-template"]

    assert checksum({}) == checksum({"operator": {"replicas": 3}}) != checksum({"flows": {"labels": {"team": "data"}}})
