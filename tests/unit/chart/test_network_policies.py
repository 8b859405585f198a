"""NetworkPolicies: a pod may reach every address that it is configured with; unused ports are closed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest

if TYPE_CHECKING:
    from tests.unit.chart.conftest import Release, Render

CALLERS = [{"namespaceSelector": {"matchLabels": {"team": "data"}}}]


def _egress(release: Release, name: str) -> set[int]:
    """The ports that the pods of a policy may reach by TCP."""
    rules = release.one("NetworkPolicy", f"mintaka-{name}")["spec"]["egress"]
    return {port["port"] for rule in rules for port in rule["ports"] if port.get("protocol", "TCP") == "TCP"}


def _ports_of_addresses(release: Release, component: str) -> set[int]:
    """The ports of all URLs in the environment of a component, and of the pods behind the API's Service."""
    addresses = [urlsplit(value) for value in release.environment(component).values() if isinstance(value, str) and "://" in value]
    ports = {address.port for address in addresses if address.hostname}
    if any(address.hostname == "mintaka-api.mintaka-system.svc" for address in addresses):
        ports |= {port["containerPort"] for port in release.container("api")["ports"]}
    return {port for port in ports if port}


@pytest.mark.parametrize("port", [4200, 80], ids=["the default port", "another port of the Service"])
@pytest.mark.parametrize("callers", [[], CALLERS], ids=["open to all", "open to some"])
def test_each_address_that_the_operator_is_given_may_be_reached(port: int, callers: list[Any], render: Render) -> None:
    """It sends logs of containers to the API, so that both sides must allow it."""
    release = render({"networkPolicy": {"enabled": True, "apiFrom": callers}, "api": {"service": {"port": port}}})
    addresses = _ports_of_addresses(release, "operator")
    assert addresses == {4200, port}
    assert addresses <= _egress(release, "operator")
    [rule] = release.one("NetworkPolicy", "mintaka-api")["spec"]["ingress"]
    selectors = [peer["podSelector"]["matchLabels"] for peer in rule.get("from", []) if "podSelector" in peer]
    labels = release.pod("operator")["metadata"]["labels"].items()
    assert "from" not in rule or any(selector.items() <= labels for selector in selectors)


def test_callers_of_the_api_are_as_the_values_say(render: Render) -> None:
    """The operator and `helm test` besides, whose pods the API's policy selects by their labels."""
    release = render({"networkPolicy": {"enabled": True, "apiFrom": CALLERS}})
    [rule] = release.one("NetworkPolicy", "mintaka-api")["spec"]["ingress"]
    assert rule["ports"] == [{"port": "http"}]
    assert rule["from"][:1] == CALLERS
    pods = [release.pod("operator"), release.one("Pod", "mintaka-test")]
    for peer, pod in zip(rule["from"][1:], pods, strict=True):
        assert peer["podSelector"]["matchLabels"].items() <= pod["metadata"]["labels"].items()


def test_what_is_not_used_is_closed(render: Render) -> None:
    """Names and the Kubernetes API for all; the database for the API; the API for the operator and `helm test`."""
    release = render({"networkPolicy": {"enabled": True}, "api": {"database": {"existingSecret": {"name": "database"}}}})
    common = {53, 5353, 443, 6443}
    assert {name: _egress(release, name) - common for name in ("operator", "api", "test", "uninstall")} == {
        "operator": {4200},
        "api": {5432},
        "test": {4200},
        "uninstall": set(),
    }
    assert all(common <= _egress(release, name) for name in ("operator", "api", "test", "uninstall"))
    for name in ("test", "uninstall"):
        assert "ingress" not in release.one("NetworkPolicy", f"mintaka-{name}")["spec"]


def test_without_the_api_no_one_may_reach_it(render: Render) -> None:
    """Its port is closed."""
    release = render({"networkPolicy": {"enabled": True}, "api": {"enabled": False}})
    assert _egress(release, "operator") == _egress(release, "test") == {53, 5353, 443, 6443}


URLS = {
    "the port of the URL": ("postgresql://mintaka@database:6432/mintaka", {6432}),
    "the ports of several hosts": ("postgresql://a:6432,b:6433,[fd00::1]:6434/mintaka?application_name=x:1", {6432, 6433, 6434}),
    "the value, if the URL has none": ("postgresql://mintaka@[fd00::1]/mintaka", {7777}),
    "the value, if the URL has no host": ("postgresql:///mintaka", {7777}),
}


@pytest.mark.parametrize("what", URLS)
def test_the_database_may_be_reached_at(what: str, render: Render) -> None:
    """The port that the API connects to."""
    url, ports = URLS[what]
    release = render({"networkPolicy": {"enabled": True, "databasePort": 7777}, "api": {"database": {"url": url}}})
    assert _egress(release, "api") == {53, 5353, 443, 6443} | ports


def test_ports_are_as_the_cluster_has_them(render: Render) -> None:
    """The API server of minikube, and a DNS of its own."""
    release = render({"networkPolicy": {"enabled": True, "kubernetesPorts": [8443], "dnsPorts": [1053]}})
    assert _egress(release, "operator") == {8443, 1053, 4200}
