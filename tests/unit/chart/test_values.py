"""Values: documented, checked by the schema, and each chart value file in ci/ renders."""

from __future__ import annotations

import dataclasses
import importlib.util
import json
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from mintaka_api import settings as api_settings
from mintaka_operator import settings as operator_settings

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import ModuleType

    from tests.unit.chart.conftest import Refusal, Render

ROOT = Path(__file__).parents[3]
CHART = ROOT / "charts" / "mintaka"


@pytest.fixture(scope="module")
def documenting() -> ModuleType:
    """The script that makes the page of values."""
    spec = importlib.util.spec_from_file_location("document_values", ROOT / "charts" / "document_values.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


#: Values that are described and set as a whole: fields of Kubernetes.
WHOLE = {"resources", "podSecurityContext", "securityContext", "startupProbe", "livenessProbe", "readinessProbe", "labels"}
#: Values of one form in the schema, which has names for it.
FORMS = {"strategy", "podTemplate", "environment"}


def _leaves(values: Any, path: str = "") -> Iterator[str]:
    if isinstance(values, dict) and values and path.rsplit(".", 1)[-1] not in WHOLE:
        for name, part in values.items():
            yield from _leaves(part, f"{path}.{name}" if path else name)
    else:
        yield path


def _default_values() -> dict[str, Any]:
    return yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8"))


def test_every_value_is_described(documenting: ModuleType) -> None:
    """A value without a description is a value that no one dares to change."""
    described = documenting.described((CHART / "values.yaml").read_text(encoding="utf-8"))
    assert sorted(described) == sorted(_leaves(_default_values()))


def test_the_page_of_values_is_up_to_date(documenting: ModuleType) -> None:
    """docs/helm-values.md is what `python charts/document_values.py` writes."""
    assert (ROOT / "docs" / "helm-values.md").read_text(encoding="utf-8") == documenting.page()


def test_the_defaults_of_the_templates_are_those_of_the_values(documenting: ModuleType) -> None:
    """files/values.json is what the same command writes."""
    assert (CHART / "files" / "values.json").read_text(encoding="utf-8") == documenting.data()


def test_schema_and_values_name_the_same_things() -> None:
    """Each default has its place in the schema, and the schema admits nothing that has no default."""
    schema = json.loads((CHART / "values.schema.json").read_text(encoding="utf-8"))

    def properties(part: dict[str, Any], path: str = "") -> Iterator[str]:
        form = part.get("$ref", "").rsplit("/", 1)[-1]
        part = schema["definitions"][form] if form else part
        if "properties" in part and form not in FORMS and path.rsplit(".", 1)[-1] not in WHOLE:
            assert part["additionalProperties"] is False, f"{path} admits anything"
            for name, inner in part["properties"].items():
                yield from properties(inner, f"{path}.{name}" if path else name)
        else:
            yield path

    assert sorted(set(properties(schema)) - {"global"}) == sorted(_leaves(_default_values()))


@pytest.mark.parametrize("name", sorted(path.name for path in (CHART / "ci").glob("*.yaml")))
def test_a_set_of_values_renders(name: str, render: Render) -> None:
    """Every object has a name, and the labels a release is found by."""
    for found in render(CHART / "ci" / name).objects:
        assert found["metadata"]["labels"]["app.kubernetes.io/instance"] == "mintaka"
        assert len(found["metadata"]["name"]) <= 63


def test_the_chart_passes_helm_lint(helm: str) -> None:
    """Lint finds nothing to warn of."""
    command = [helm, "lint", "--strict", CHART, "--kube-version", "1.34.0"]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "a value that does not exist": ({"oprator": {"replicas": 2}}, "oprator"),
    "a nested value that does not exist": ({"api": {"database": {"uri": "postgresql://host/db"}}}, "uri"),
    "a number as text": ({"operator": {"replicas": "2"}}, "replicas"),
    "a log level in small letters": ({"operator": {"logLevel": "debug"}}, "logLevel"),
    "a namespace that is none": ({"watchNamespaces": ["Team A"]}, "watchNamespaces"),
    "a database that is none": ({"api": {"database": {"url": "mysql://host/db"}}}, "url"),
    "a digest that is none": ({"image": {"digest": "latest"}}, "digest"),
    "a port that is none": ({"api": {"service": {"port": 0}}}, "port"),
    "an environment entry without a name": ({"api": {"extraEnv": [{"value": "x"}]}}, "extraEnv"),
    "SQLite with two APIs": ({"api": {"replicas": 2}}, "SQLite is one file for one process"),
    "SQLite with an autoscaler": ({"api": {"autoscaling": {"enabled": True}}}, "autoscaling needs PostgreSQL"),
    "SQLite that is rolled": ({"api": {"strategy": {"type": "RollingUpdate"}}}, "type must be Recreate"),
    "an autoscaler whose most is less than its least": (
        {"api": {"database": {"url": "postgresql://host/db"}, "autoscaling": {"enabled": True, "minReplicas": 9}}},
        "maxReplicas is less than minReplicas",
    ),
    "an autoscaler without a target": (
        {"api": {"database": {"url": "postgresql://host/db"}, "autoscaling": {"enabled": True, "targetCPUUtilizationPercentage": 0}}},
        "give a target",
    ),
    "an Ingress without a host": ({"api": {"ingress": {"enabled": True}}}, "give at least one host"),
    "an HTTPRoute without a Gateway": ({"api": {"httpRoute": {"enabled": True}}}, "give at least one Gateway"),
    "an address that is none": ({"listenHost": "everywhere"}, "listenHost"),
    "a family that is none": ({"api": {"service": {"ipFamilies": ["IPv5"]}}}, "ipFamilies"),
    "a namespace in the pods of flows": ({"flows": {"podTemplate": {"metadata": {"namespace": "x"}}}}, "namespace"),
    "a container of flows without a name": ({"flows": {"podTemplate": {"spec": {"containers": [{"image": "x"}]}}}}, "name"),
    "a pod retention that is none": ({"flows": {"podRetention": {"failedSeconds": -1}}}, "failedSeconds"),
    "a key of the cluster with its prefix": ({"concurrency": {"clusterKeys": {"cluster/gpu": ["team-a"]}}}, "cluster/gpu"),
    "a volume without a name": ({"operator": {"extraVolumes": [{"emptyDir": {}}]}}, "extraVolumes"),
    "a mount without a path": ({"operator": {"extraVolumeMounts": [{"name": "x"}]}}, "extraVolumeMounts"),
    "two places for the database's URL": (
        {"api": {"database": {"url": "postgresql://host/db", "existingSecret": {"name": "database"}}}},
        "not both",
    ),
}


@pytest.mark.parametrize("what", WRONG)
def test_wrong_values_are_refused(what: str, refusal: Refusal) -> None:
    """Helm says which value is wrong."""
    values, words = WRONG[what]
    assert words in refusal(values)


def test_values_reach_the_environment(render: Render) -> None:
    """What the processes read is what the values say."""
    release = render({
        "watchNamespaces": ["team-a", "team-b"],
        "image": {"digest": "sha256:" + "0" * 64},
        "flowImage": {"repository": "registry.example/flows", "tag": "7"},
        "operator": {"relistSeconds": 15, "mirrorDeadlineSeconds": 120, "logLevel": "DEBUG", "extraEnv": [{"name": "MORE", "value": "yes"}]},
        "api": {
            "service": {"port": 80},
            "database": {"readConnections": 30},
            "retention": {"days": 30, "states": {"FAILED": {"days": 90}}, "deployments": [{"match": "etl/hourly-*", "days": 7}]},
        },
        "flows": {"podRetention": {"completedSeconds": 30}},
        "concurrency": {"clusterKeys": {"gpu": ["team-a"], "licence": ["*"]}},
        "listenHost": "10.0.0.1",
        "clusterName": "here",
    })  # fmt: skip
    assert release.container("operator")["image"] == "localhost/mintaka@sha256:" + "0" * 64
    assert release.environment("operator") == {
        "MINTAKA_NAMESPACES": "team-a,team-b",
        "MINTAKA_FLOW_IMAGE": "registry.example/flows:7",
        "MINTAKA_POD_TEMPLATE_FILE": "/etc/mintaka/pod-template.json",
        "MINTAKA_CLUSTER_KEYS": '{"gpu":["team-a"],"licence":["*"]}',
        "MINTAKA_POD_RETENTION_SECONDS": "30",
        "MINTAKA_FAILED_POD_RETENTION_SECONDS": "3600",
        "MINTAKA_MIRROR": "enabled",
        "MINTAKA_API_URL": "http://mintaka-api.mintaka-system.svc:80",
        "MINTAKA_MIRROR_DEADLINE_SECONDS": "120",
        "MINTAKA_RELIST_SECONDS": "15",
        "MINTAKA_WORKERS": "24",
        "MINTAKA_LEASE_NAME": "mintaka-operator",
        "MINTAKA_LEASE_NAMESPACE": {"fieldRef": {"fieldPath": "metadata.namespace"}},
        "MINTAKA_RELEASE_NAMESPACE": {"fieldRef": {"fieldPath": "metadata.namespace"}},
        "MINTAKA_POD_NAME": {"fieldRef": {"fieldPath": "metadata.name"}},
        "MINTAKA_LOG_LEVEL": "DEBUG",
        "MINTAKA_LOG_FORMAT": "json",
        "MINTAKA_LISTEN_HOST": "10.0.0.1",
        "MINTAKA_HTTP_PORT": "8080",
        "MORE": "yes",
    }
    assert release.environment("api") == {
        "MINTAKA_DATABASE_URL": "sqlite:////var/lib/mintaka/mintaka.db",
        "MINTAKA_NAMESPACES": "team-a,team-b",
        "MINTAKA_RELEASE_NAMESPACE": {"fieldRef": {"fieldPath": "metadata.namespace"}},
        "MINTAKA_POD_NAME": {"fieldRef": {"fieldPath": "metadata.name"}},
        "MINTAKA_CLUSTER_NAME": "here",
        "MINTAKA_LEASE_NAME": "",
        "MINTAKA_WRITE_CONNECTIONS": "4",
        "MINTAKA_READ_CONNECTIONS": "30",
        "MINTAKA_SILENCE_SECONDS": "60",
        "MINTAKA_RETENTION_DAYS": "30",
        "MINTAKA_RETENTION": '{"deployments":[{"days":7,"match":"etl/hourly-*"}],"states":{"FAILED":{"days":90}}}',
        "MINTAKA_LOG_LEVEL": "INFO",
        "MINTAKA_LISTEN_HOST": "10.0.0.1",
        "MINTAKA_LISTEN_PORT": "4200",
    }


def test_operator_and_api_listen_on_both_address_families(render: Render) -> None:
    """An empty host: every IPv4 and every IPv6 address."""
    assert {render().environment(component)["MINTAKA_LISTEN_HOST"] for component in ("operator", "api")} == {""}


def test_the_defaults_of_the_chart_are_those_of_the_processes(render: Render) -> None:
    """What the values leave alone runs as without the chart; names, addresses and the log's form are the installation's own."""
    release = render()

    def differing(settings: Any, default: Any, own: set[str]) -> dict[str, Any]:
        names = {field.name for field in dataclasses.fields(settings)} - own
        return {name: getattr(settings, name) for name in names if getattr(settings, name) != getattr(default, name)}

    def environment(component: str) -> dict[str, str]:
        return {name: value for name, value in release.environment(component).items() if isinstance(value, str)}

    operator = operator_settings.Settings.from_environment({**environment("operator"), "MINTAKA_POD_TEMPLATE_FILE": ""})
    names = {"flow_image", "api_url", "identity", "log_format"}
    assert differing(operator, operator_settings.Settings(), names) == {}
    api = api_settings.from_environment(environment("api"))
    assert differing(api, api_settings.Settings(), {"host", "database_url"}) == {}


def test_without_the_api_nothing_of_it_is_left(render: Render) -> None:
    """The operator knows that no mirror will come, and flows are given no address."""
    release = render({"api": {"enabled": False}, "metrics": {"serviceMonitor": {"enabled": True}}, "networkPolicy": {"enabled": True}})
    environment = release.environment("operator")
    assert environment["MINTAKA_MIRROR"] == "disabled"
    assert "MINTAKA_API_URL" not in environment
    assert [found["metadata"]["name"] for found in release.objects if "api" in found["metadata"]["name"]] == []


def test_a_release_of_another_name_keeps_it(render: Render) -> None:
    """`helm install try charts/mintaka` makes try-mintaka-operator."""
    names = [found["metadata"]["name"] for found in render(release="try").of("Deployment")]
    assert sorted(names) == ["try-mintaka-api", "try-mintaka-operator"]
