"""Values from which only manifests could come that the API server refuses, that do not work, or that grant too much."""

from __future__ import annotations

import json
import re
from functools import reduce
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from helm import CHART

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable

    from tests.unit.chart.conftest import Refusal

    type Values = dict[str, Any]

COMPONENTS = ("operator", "api")
ALERTS = [alert["alert"] for alert in yaml.safe_load((CHART / "files" / "alerts.yaml").read_text(encoding="utf-8"))]
POSTGRESQL = {"url": "postgresql://mintaka@database/mintaka"}
#: Labels that pods are selected by, that every object has, or by which Kubernetes adds a role's rights to those of users.
RESERVED = (
    "app.kubernetes.io/name",
    "app.kubernetes.io/instance",
    "app.kubernetes.io/component",
    "app.kubernetes.io/version",
    "app.kubernetes.io/part-of",
    "app.kubernetes.io/managed-by",
    "helm.sh/chart",
    "pod-template-hash",
    "rbac.authorization.k8s.io/aggregate-to-admin",
)
#: The values that set labels.
LABELS = ("commonLabels", "operator.podLabels", "api.podLabels", "metrics.serviceMonitor.labels", "metrics.dashboard.labels")


def _nested(path: str, value: Any) -> Values:
    for name in reversed(path.split(".")):
        value = {name: value}
    return value


@pytest.mark.parametrize("path", LABELS)
def test_labels_of_the_chart_cannot_be_given(path: str, refusal: Refusal) -> None:
    """Two equal keys in a map, or selectors that find nothing, or the operator's rights for every user."""
    message = refusal(_nested(path, dict.fromkeys(RESERVED, "other")))
    assert [label for label in RESERVED if f"/{path.replace('.', '/')}/{label.replace('/', '~1')}'" not in message] == []


@pytest.mark.parametrize("path", ["commonAnnotations", "api.service.annotations", "operator.serviceAccount.annotations"])
def test_hooks_cannot_be_made_of_other_objects(path: str, refusal: Refusal) -> None:
    """Helm would delete them after the hook, or never install them."""
    assert "helm.sh~1hook" in refusal(_nested(path, {"helm.sh/hook": "pre-install"}))


BY_SCHEMA: dict[str, tuple[str, Any]] = {
    "a label without a name": ("commonLabels", {"": "x"}),
    "a label with a space": ("commonLabels", {"a b": "x"}),
    "a label's value that is too long": ("api.podLabels", {"a": "x" * 64}),
    "a label's value with a slash": ("commonLabels", {"a": "x/y"}),
    "a label's value that is a number": ("commonLabels", {"a": 7}),
    "an annotation without a name": ("commonAnnotations", {"": "x"}),
    "keeping every object": ("commonAnnotations", {"helm.sh/resource-policy": "keep"}),
    "a name in capitals": ("fullnameOverride", "Foo_Bar"),
    "a name that begins with a digit": ("fullnameOverride", "1abc"),
    "a name that is too long for the operator's Service": ("fullnameOverride", "x" * 47),
    "a chart's name with an underscore": ("nameOverride", "foo_bar"),
    "a namespace in capitals": ("namespaceOverride", "Home"),
    "a tag with a colon": ("image.tag", "a:b"),
    "a tag with a space": ("image.tag", "1 "),
    "a tag that is a number": ("image.tag", 7),
    "a repository with a tag": ("image.repository", "registry.example/mintaka:1"),
    "a repository with a scheme": ("image.repository", "https://registry.example/mintaka"),
    "an image without a name": ("flowImage.repository", ""),
    "a pull Secret without a name": ("imagePullSecrets", [{"name": ""}]),
    "an address of letters": ("listenHost", "cafe"),
    "a loopback address": ("listenHost", "127.0.0.1"),
    "a loopback address of IPv6": ("listenHost", "::1"),
    "a node label with a space": ("operator.nodeSelector", {"a": "b c"}),
    "a ServiceAccount in capitals": ("operator.serviceAccount.name", "Operator"),
    "a Lease with two dots": ("operator.leaseName", "a..b"),
    "a PriorityClass in capitals": ("api.priorityClassName", "High"),
    "a variable without a name": ("operator.extraEnv", [{"name": ""}]),
    "a variable with an equals sign": ("operator.extraEnv", [{"name": "A=B"}]),
    "a variable with two values": ("api.extraEnv", [{"name": "A", "value": "1", "valueFrom": {"fieldRef": {"fieldPath": "x"}}}]),
    "a variable that is a number": ("api.extraEnv", [{"name": "A", "value": 1}]),
    "a variable of each run": ("flows.env", [{"name": "MINTAKA_FLOW_RUN_UID", "value": "x"}]),
    "a label of each run": ("flows.labels", {"mintaka.dev/attempt": "1"}),
    "a label of each run in the template": ("flows.podTemplate", {"metadata": {"labels": {"app.kubernetes.io/managed-by": "x"}}}),
    "a container in capitals": ("api.extraContainers", [{"name": "Proxy"}]),
    "a mount at a relative path": ("api.extraVolumeMounts", [{"name": "x", "mountPath": "certificates"}]),
    "a mount with a colon": ("api.extraVolumeMounts", [{"name": "x", "mountPath": "/a:b"}]),
    "an amount with a space": ("operator.resources", {"limits": {"memory": "1 Gi"}}),
    "an amount below zero": ("operator.resources", {"limits": {"cpu": -1}}),
    "a volume of no size": ("api.database.sqlite.persistence.size", "0Gi"),
    "a volume of an unknown unit": ("api.database.sqlite.persistence.size", "5ki"),
    "an access mode twice": ("api.database.sqlite.persistence.accessModes", ["ReadWriteOnce", "ReadWriteOnce"]),
    "a claim in capitals": ("api.database.sqlite.persistence.existingClaim", "Data"),
    "a Secret's key with a slash": ("api.database.existingSecret.key", "a/b"),
    "a pooler in another mode": ("api.database.pooler", "session"),
    "a password's key with a slash": ("api.database.passwordSecret.key", "a/b"),
    "a URL with a line break": ("api.database.url", "postgresql://database/mintaka\n"),
    "a surge that is a number as text": ("operator.strategy", {"rollingUpdate": {"maxSurge": "1"}}),
    "a surge below zero": ("operator.strategy", {"rollingUpdate": {"maxSurge": -1}}),
    "more than all unavailable": ("operator.strategy", {"rollingUpdate": {"maxUnavailable": "101%"}}),
    "a host with a scheme": ("api.ingress.hosts", ["https://mintaka.example"]),
    "a host with a port": ("api.ingress.hosts", ["mintaka.example:443"]),
    "a host that is an address": ("api.ingress.hosts", ["10.0.0.1"]),
    "a host of a route in capitals": ("api.httpRoute.hostnames", ["Mintaka.example"]),
    "a path that leads up": ("api.ingress.path", "/a/../b"),
    "a path with two slashes": ("api.httpRoute.path", "//"),
    "a certificate with an unknown field": ("api.ingress.tls", [{"secret": "x"}]),
    "an IngressClass in capitals": ("api.ingress.className", "Nginx"),
    "a peer that is empty": ("networkPolicy.apiFrom", [{}]),
    "a peer that is a selector": ("networkPolicy.apiFrom", [{"matchLabels": {"a": "b"}}]),
    "a peer that is both pods and addresses": ("networkPolicy.metricsFrom", [{"podSelector": {}, "ipBlock": {"cidr": "10.0.0.0/8"}}]),
    "no port of Kubernetes": ("networkPolicy.kubernetesPorts", []),
    "a port twice": ("networkPolicy.kubernetesPorts", [443, 443]),
    "no port of DNS": ("networkPolicy.dnsPorts", []),
    "a port that is text": ("networkPolicy.databasePort", "5432"),
    "an interval of nothing": ("metrics.serviceMonitor.interval", "0s"),
    "an alert's label that Prometheus does not know": ("metrics.prometheusRule.alertLabels", {"a-b": "x"}),
}  # fmt: skip


def test_the_schema_refuses_what_no_object_can_have(refusal: Refusal) -> None:
    """And names the value. Helm reports all faults at once, so that one rendering tries a value of each path."""
    rounds: list[dict[str, str]] = []  # what is tried, by its path
    for what, (path, _) in BY_SCHEMA.items():
        free = next((tried for tried in rounds if path not in tried), None)
        if free is None:
            rounds.append(free := {})
        free[path] = what
    admitted: list[str] = []
    for tried in rounds:
        values: Values = {}
        for path, what in tried.items():
            *parents, name = path.split(".")
            reduce(lambda part, parent: part.setdefault(parent, {}), parents, values)[name] = BY_SCHEMA[what][1]
        message = refusal(values)
        admitted += [what for path, what in tried.items() if not re.search(f"at '/{path.replace('.', '/')}['/]", message)]
    assert admitted == []


BY_TEMPLATES: dict[str, tuple[Values, str]] = {
    "an image without tag and digest": ({"image": {"tag": ""}}, "localhost/mintaka has neither a tag nor a digest"),
    "an image of flows without tag and digest": ({"flowImage": {"tag": ""}}, "localhost/mintaka-flow has neither a tag nor a digest"),
    "the ServiceAccount of all pods": ({"operator": {"serviceAccount": {"create": False}}}, "operator.serviceAccount: give a name"),
    "the ServiceAccount of all pods for the API": ({"api": {"serviceAccount": {"create": False}}}, "api.serviceAccount: give a name"),
    "one ServiceAccount that is created twice": (
        {"api": {"serviceAccount": {"name": "one"}}, "operator": {"serviceAccount": {"name": "one"}}},
        "api.serviceAccount: the operator's has the same name",
    ),
    "a namespace without roles that is not served": ({"rbac": {"skipNamespaces": ["later"]}}, "later is not in watchNamespaces"),
    "a password in the URL": ({"api": {"database": {"url": "postgresql://u:secret@host/db"}}}, "belongs in a Secret"),
    "a password with a slash": ({"api": {"database": {"url": "postgresql://u:a/b@host/db"}}}, "belongs in a Secret"),
    "a password with all that separates": ({"api": {"database": {"url": "postgresql://u:%@:/#?&+@host/db"}}}, "belongs in a Secret"),
    "a pooler before SQLite": ({"api": {"database": {"pooler": "transaction"}}}, "give its URL too"),
    "a password for SQLite": ({"api": {"database": {"passwordSecret": {"name": "login"}}}}, "give its URL too"),
    "a password in the URL's query": ({"api": {"database": {"url": "postgresql://host/db?password=secret"}}}, "belongs in a Secret"),
    "a claim that is not used": (
        {"api": {"database": {"sqlite": {"persistence": {"enabled": False, "existingClaim": "data"}}}}},
        "existingClaim is not used",
    ),
    "an access mode beside the one that excludes others": (
        {"api": {"database": {"sqlite": {"persistence": {"accessModes": ["ReadWriteOncePod", "ReadWriteOnce"]}}}}},
        "ReadWriteOncePod excludes all others",
    ),
    "two families of a single stack": (
        {"api": {"service": {"ipFamilyPolicy": "SingleStack", "ipFamilies": ["IPv4", "IPv6"]}}},
        "two ipFamilies need",
    ),
    "the DNS of the node": ({"operator": {"dnsPolicy": "Default"}}, "could not resolve the API's Service"),
    "an autoscaler without requests": (
        {"api": {"database": POSTGRESQL, "autoscaling": {"enabled": True}, "resources": None}},
        "needs api.resources.requests.cpu",
    ),
    "an alert that does not exist": (
        {"metrics": {"prometheusRule": {"enabled": True, "disabled": ["MintakaTypo"]}}},
        'there is no alert "MintakaTypo"',
    ),
    "no alert at all": ({"metrics": {"prometheusRule": {"enabled": True, "disabled": ALERTS}}}, "all alerts are disabled"),
    "two sidecars of flows of one name": (
        {"flows": {"podTemplate": {"spec": {"containers": [{"name": "agent"}], "initContainers": [{"name": "agent"}]}}}},
        'flows.podTemplate: there are two containers named "agent"',
    ),
    "a variable of flows twice": ({"flows": {"env": [{"name": "TZ"}, {"name": "TZ"}]}}, "flows.env: TZ is set twice"),
}


@pytest.mark.parametrize("what", BY_TEMPLATES)
def test_values_that_do_not_go_together_are_refused(what: str, refusal: Refusal) -> None:
    """With a sentence that begins with the value."""
    values, sentence = BY_TEMPLATES[what]
    assert sentence in refusal(values)


OF_PODS: dict[str, tuple[Values, str]] = {
    "a container of the chart's name": ({"extraContainers": [{"name": "{component}"}]}, 'two containers named "{component}"'),
    "an initial container of the chart's name": ({"initContainers": [{"name": "{component}"}]}, 'two containers named "{component}"'),
    "two containers of one name": ({"initContainers": [{"name": "a"}], "extraContainers": [{"name": "a"}]}, 'two containers named "a"'),
    "a variable of the chart": ({"extraEnv": [{"name": "MINTAKA_NAMESPACES", "value": "x"}]}, "MINTAKA_NAMESPACES is set twice"),
    "a variable twice": ({"extraEnv": [{"name": "A"}, {"name": "A"}]}, "A is set twice"),
    "a volume of the chart's name": ({"extraVolumes": [{"name": "tmp", "emptyDir": {}}]}, 'two volumes named "tmp"'),
    "a mount over one of the chart's": ({"extraVolumeMounts": [{"name": "tmp", "mountPath": "/tmp/"}]}, "two volumes are mounted at /tmp"),  # noqa: S108
    "a mount of no volume": ({"extraVolumeMounts": [{"name": "gone", "mountPath": "/gone"}]}, 'there is no volume named "gone"'),
    "a sidecar's mount of no volume": (
        {"extraContainers": [{"name": "a", "volumeMounts": [{"name": "gone", "mountPath": "/gone"}]}]},
        'there is no volume named "gone", which the container "a" mounts',
    ),
    "a probe in two ways": ({"livenessProbe": {"exec": {"command": ["true"]}}}, "livenessProbe: give one of"),
    "a probe in no way": ({"readinessProbe": {"httpGet": None}}, "readinessProbe: give one of"),
    "no name servers": ({"dnsPolicy": "None"}, "dnsPolicy: None needs {component}.dnsConfig.nameservers"),
    "a rolling update without rolling": ({"strategy": {"type": "Recreate", "rollingUpdate": {"maxSurge": 1}}}, "needs the type RollingUpdate"),
    "an update that cannot begin": ({"strategy": {"rollingUpdate": {"maxSurge": 0, "maxUnavailable": "0%"}}}, "are both 0"),
}  # fmt: skip


@pytest.mark.parametrize("component", COMPONENTS)
@pytest.mark.parametrize("what", OF_PODS)
def test_pods_that_could_not_start_are_refused(what: str, component: str, refusal: Refusal) -> None:
    """The same of operator and API."""
    values, sentence = json.loads(json.dumps(OF_PODS[what]).replace("{component}", component))
    message = refusal({component: values})
    assert f"{component}." in message
    assert sentence in message


def test_a_release_whose_name_no_service_can_have_asks_for_another(template: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    """`helm install 1abc`: a Service's name begins with a letter."""
    done = template({}, "1abc", CHART)
    assert done.returncode != 0
    assert 'objects cannot be named after the release "1abc"' in done.stderr
