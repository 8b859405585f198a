"""Least privilege: the roles are exactly this list."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.unit.chart.conftest import Render

ROOT = Path(__file__).parents[3]

MINTAKA = "mintaka.dev"

OPERATOR = {
    (MINTAKA, "flowdeployments"): {"get", "list", "watch"},
    (MINTAKA, "flowdeployments/status"): {"update"},
    (MINTAKA, "flowruns"): {"get", "list", "watch", "create", "patch", "delete"},
    (MINTAKA, "flowruns/status"): {"update"},
    (MINTAKA, "orchestrationrules"): {"get", "list", "watch"},
    (MINTAKA, "orchestrationrules/status"): {"update"},
    (MINTAKA, "flowdeployments/finalizers"): {"update"},
    (MINTAKA, "flowruns/finalizers"): {"update"},
    ("", "pods"): {"get", "list", "watch", "create", "patch", "delete"},
    ("", "pods/log"): {"get"},
    ("", "events"): {"list", "create"},
    ("", "configmaps"): {"get"},
    ("apps", "controllerrevisions"): {"get", "list", "create", "delete"},
    ("", "resourcequotas"): {"list", "watch"},
    ("", "limitranges"): {"list", "watch"},
}
OPERATOR_CLUSTER_WIDE = {
    **OPERATOR,
    ("", "nodes"): {"get", "list", "watch"},
    (MINTAKA, "clusterorchestrationrules"): {"get", "list", "watch"},
    (MINTAKA, "clusterorchestrationrules/status"): {"update"},
}
OPERATOR_AT_HOME = {("coordination.k8s.io", "leases"): {"create", "get", "update"}, ("", "configmaps"): {"create"}}
API = {
    (MINTAKA, "flowdeployments"): {"get", "list", "watch"},
    (MINTAKA, "flowruns"): {"get", "list", "watch", "create", "patch", "delete"},
    (MINTAKA, "flowdeployments/finalizers"): {"update"},
    (MINTAKA, "flowruns/finalizers"): {"update"},
    ("apps", "controllerrevisions"): {"list", "watch"},
}
API_AT_HOME = {("", "configmaps"): {"get", "list", "watch", "delete"}, ("", "namespaces"): {"get"}}
VIEW = {
    (MINTAKA, resource): {"get", "list", "watch"}
    for kind in ("flowdeployments", "flowruns", "orchestrationrules")
    for resource in (kind, f"{kind}/status")
}
_WRITE = {"create", "update", "patch", "delete", "deletecollection"}
EDIT = {(MINTAKA, resource): _WRITE for resource in ("flowdeployments", "flowruns", "orchestrationrules")}


def _granted(role: dict[str, Any]) -> dict[tuple[str, str], set[str]]:
    granted: dict[tuple[str, str], set[str]] = {}
    for rule in role["rules"]:
        for group in rule["apiGroups"]:
            for resource in rule["resources"]:
                granted.setdefault((group, resource), set()).update(rule["verbs"])
    return granted


def test_cluster_wide_roles_are_exactly_the_list(render: Render) -> None:
    """Without watchNamespaces: four ClusterRoles, of which two are bound and two are aggregated."""
    release = render()
    roles = {role["metadata"]["name"]: _granted(role) for role in release.of("ClusterRole")}
    assert roles == {
        "mintaka-system:mintaka-operator": OPERATOR_CLUSTER_WIDE,
        "mintaka-system:mintaka-api": API,
        "mintaka-view": VIEW,
        "mintaka-edit": EDIT,
    }
    assert {binding["roleRef"]["name"]: binding["subjects"] for binding in release.of("ClusterRoleBinding")} == {
        f"mintaka-system:mintaka-{component}": [{"kind": "ServiceAccount", "name": f"mintaka-{component}", "namespace": "mintaka-system"}]
        for component in ("operator", "api")
    }


def test_watched_namespaces_have_roles_of_their_own(render: Render) -> None:
    """With watchNamespaces nothing cluster-wide is granted, and each namespace grants the same list."""
    release = render({"watchNamespaces": ["team-a", "team-b"], "rbac": {"aggregateRoles": False}})
    assert release.of("ClusterRole") == release.of("ClusterRoleBinding") == []
    for namespace in ("team-a", "team-b"):
        for component, expected in (("operator", OPERATOR), ("api", API)):
            name = f"mintaka-{component}"
            assert _granted(release.one("Role", name, namespace)) == expected
            binding = release.one("RoleBinding", name, namespace)
            assert binding["roleRef"] == {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name}
            assert binding["subjects"] == [{"kind": "ServiceAccount", "name": name, "namespace": "mintaka-system"}]


@pytest.mark.parametrize("watched", [[], ["team-a", "mintaka-system"]], ids=["cluster-wide", "namespaced"])
def test_tombstones_and_the_lease_are_granted_in_the_releases_namespace_only(watched: list[str], render: Render) -> None:
    """No other right on ConfigMaps than reading those that are sources is left anywhere."""
    release = render({"watchNamespaces": watched})
    for component, expected in (("operator", OPERATOR_AT_HOME), ("api", API_AT_HOME)):
        name = f"mintaka-{component}-release"
        role, binding = release.one("Role", name), release.one("RoleBinding", name)
        assert _granted(role) == expected
        assert {role["metadata"]["namespace"], binding["metadata"]["namespace"]} == {"mintaka-system"}
        assert binding["subjects"] == [{"kind": "ServiceAccount", "name": f"mintaka-{component}", "namespace": "mintaka-system"}]


def test_a_namespace_whose_roles_are_managed_elsewhere_gets_none(render: Render) -> None:
    """One that does not exist yet, for instance: it is served all the same."""
    release = render({"watchNamespaces": ["team-a", "later"], "rbac": {"skipNamespaces": ["later"]}})
    assert {role["metadata"]["namespace"] for role in (*release.of("Role"), *release.of("RoleBinding"))} == {"team-a", "mintaka-system"}
    assert release.environment("operator")["MINTAKA_NAMESPACES"] == release.environment("api")["MINTAKA_NAMESPACES"] == "team-a,later"


def test_the_lease_is_granted_by_name(render: Render) -> None:
    """Other leases of the namespace are not the operator's business; only creating cannot be granted by name."""
    rules = render({"operator": {"leaseName": "leader"}}).one("Role", "mintaka-operator-release")["rules"]
    assert [rule for rule in rules if rule["resources"] == ["leases"]] == [
        {"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": ["create"]},
        {"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "resourceNames": ["leader"], "verbs": ["get", "update"]},
    ]


def test_the_api_has_a_lease_with_postgresql(render: Render) -> None:
    """By which one of its replicas mirrors; SQLite has only one. It is granted by name, and each replica has a name of its own."""
    values = {"api": {"database": {"url": "postgresql://db/mintaka"}, "replicas": 3}}
    release = render(values)
    rules = release.one("Role", "mintaka-api-release")["rules"]
    assert [rule for rule in rules if rule["resources"] == ["leases"]] == [
        {"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": ["create"]},
        {"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "resourceNames": ["mintaka-api"], "verbs": ["get", "update"]},
    ]
    assert release.environment("api")["MINTAKA_LEASE_NAME"] == "mintaka-api"
    container = release.one("Deployment", "mintaka-api")["spec"]["template"]["spec"]["containers"][0]
    names = [variable["valueFrom"] for variable in container["env"] if variable["name"] == "MINTAKA_POD_NAME"]
    assert names == [{"fieldRef": {"fieldPath": "metadata.name"}}]
    assert render().environment("api")["MINTAKA_LEASE_NAME"] == ""


def test_the_key_of_the_cluster_is_given_or_read(render: Render) -> None:
    """Without `clusterName` it is the uid of the release's namespace, which the API may read: that one alone."""
    (rule,) = (rule for rule in render().one("Role", "mintaka-api-release")["rules"] if rule["resources"] == ["namespaces"])
    assert (rule["resourceNames"], rule["verbs"]) == (["mintaka-system"], ["get"])
    named = render({"clusterName": "1e3"})
    assert not [rule for rule in named.one("Role", "mintaka-api-release")["rules"] if rule["resources"] == ["namespaces"]]
    assert (render().environment("api")["MINTAKA_CLUSTER_NAME"], named.environment("api")["MINTAKA_CLUSTER_NAME"]) == ("", "1e3")


def test_nothing_is_granted_by_wildcard(render: Render) -> None:
    """No role says `*`, and none reads Secrets."""
    for role in (*render().of("ClusterRole"), *render().of("Role")):
        for rule in role["rules"]:
            assert "*" not in (*rule["apiGroups"], *rule["resources"], *rule["verbs"])
            assert "secrets" not in rule["resources"]


def test_user_roles_join_those_of_kubernetes(render: Render) -> None:
    """Users who may view a namespace may view its runs; those who may edit it may run flows; no one may write the status."""
    release = render()
    prefix = "rbac.authorization.k8s.io/aggregate-to-"
    labels = {
        name: {label.removeprefix(prefix) for label in release.one("ClusterRole", name)["metadata"]["labels"] if label.startswith(prefix)}
        for name in ("mintaka-view", "mintaka-edit")
    }
    assert labels == {"mintaka-view": {"view", "edit", "admin"}, "mintaka-edit": {"edit", "admin"}}


def test_the_helm_test_may_do_its_own_thing_only(render: Render) -> None:
    """Its role lives as long as the test, in one namespace."""
    role = render({"watchNamespaces": ["team-a"]}).one("Role", "mintaka-test")
    assert role["metadata"]["namespace"] == "team-a"
    assert role["metadata"]["annotations"]["helm.sh/hook"] == "test"
    assert _granted(role) == {(MINTAKA, "flowruns"): {"create", "get", "delete"}}


def test_the_hook_of_uninstall_may_stop_the_releases_own_deployments(render: Render) -> None:
    """And read what is left; all else the operator's ServiceAccount may do already. It lives as long as the hook."""
    release = render({"watchNamespaces": ["team-a", "gone"]})
    role, binding = release.one("Role", "mintaka-uninstall"), release.one("RoleBinding", "mintaka-uninstall")
    assert role["metadata"]["namespace"] == binding["metadata"]["namespace"] == "mintaka-system"
    assert role["metadata"]["annotations"]["helm.sh/hook"] == binding["metadata"]["annotations"]["helm.sh/hook"] == "pre-delete"
    assert role["rules"] == [
        {"apiGroups": ["apps"], "resources": ["deployments"], "verbs": ["list"]},
        {
            "apiGroups": ["apps"],
            "resources": ["deployments/scale"],
            "resourceNames": ["mintaka-operator", "mintaka-api"],
            "verbs": ["patch"],
        },
        {"apiGroups": [""], "resources": ["pods", "configmaps", "persistentvolumeclaims"], "verbs": ["list"]},
    ]
    assert binding["subjects"] == [{"kind": "ServiceAccount", "name": "mintaka-operator", "namespace": "mintaka-system"}]


def test_without_rbac_nothing_is_granted(render: Render) -> None:
    """A site that manages roles elsewhere gets none from here."""
    release = render({"rbac": {"create": False, "aggregateRoles": False}})
    assert release.of("ClusterRole") == []
    assert [role["metadata"]["name"] for role in release.of("Role")] == ["mintaka-test"]


def test_the_operations_page_lists_the_operators_rights() -> None:
    """What the roles grant is written where an administrator looks."""
    page = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    for (_, resource), verbs in (OPERATOR_CLUSTER_WIDE | OPERATOR_AT_HOME).items():
        assert f"`{resource}`" in page, f"{resource} ({', '.join(sorted(verbs))}) is not in docs/operations.md"
