"""Ways to the API from outside of the cluster; off by default, since it does not authenticate its callers."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.unit.chart.conftest import Render


def test_nothing_leads_to_the_api_by_default(render: Render) -> None:
    """A Service inside the cluster, and no more."""
    release = render()
    assert release.of("Ingress") == release.of("HTTPRoute") == []
    assert release.one("Service", "mintaka-api")["spec"]["type"] == "ClusterIP"


def test_an_ingress_names_its_hosts(render: Render) -> None:
    """Class, annotations (for instance of what authenticates), hosts, path, certificates."""
    annotations = {"nginx.ingress.kubernetes.io/auth-url": "https://auth.example"}
    tls = [{"hosts": ["a.example"], "secretName": "certificate"}]
    values = {"enabled": True, "className": "nginx", "annotations": annotations, "hosts": ["a.example", "b.example"], "tls": tls}
    ingress = render({"api": {"ingress": values}}).one("Ingress", "mintaka-api")
    assert ingress["metadata"]["annotations"] == annotations
    assert (ingress["spec"]["ingressClassName"], ingress["spec"]["tls"]) == ("nginx", tls)
    assert [rule["host"] for rule in ingress["spec"]["rules"]] == ["a.example", "b.example"]
    assert ingress["spec"]["rules"][0]["http"]["paths"] == [
        {"path": "/", "pathType": "Prefix", "backend": {"service": {"name": "mintaka-api", "port": {"name": "http"}}}}
    ]


def test_a_route_names_its_gateways(render: Render) -> None:
    """To the port of the Service, whatever it is."""
    parents = [{"name": "gateway", "namespace": "gateways"}]
    route = {"enabled": True, "parentRefs": parents, "hostnames": ["a.example"]}
    found = render({"api": {"httpRoute": route, "service": {"port": 80}}}).one("HTTPRoute", "mintaka-api")["spec"]
    assert (found["parentRefs"], found["hostnames"]) == (parents, ["a.example"])
    assert found["rules"] == [
        {"matches": [{"path": {"type": "PathPrefix", "value": "/"}}], "backendRefs": [{"name": "mintaka-api", "port": 80}]}
    ]


def test_the_service_may_have_both_families(render: Render) -> None:
    """As the cluster does it, unless told."""
    service = {"ipFamilyPolicy": "RequireDualStack", "ipFamilies": ["IPv6", "IPv4"]}
    spec = render({"api": {"service": service}}).one("Service", "mintaka-api")["spec"]
    assert {name: spec[name] for name in service} == service
    assert not {*service} & {*render().one("Service", "mintaka-api")["spec"]}
