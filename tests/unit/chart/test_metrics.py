"""Alerts and dashboard: their queries are PromQL, and name metrics and labels that operator and API really have."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import promql_parser
import pytest
from prometheus_client import REGISTRY

from mintaka_api.metrics import Metrics
from mintaka_operator import metrics as operator_metrics

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.unit.chart.conftest import Release, Render

ROOT = Path(__file__).parents[3]
#: What Prometheus itself or the Prometheus operator adds to each sample.
ADDED = {"namespace", "pod", "le"}
ON = {"metrics": {"prometheusRule": {"enabled": True}, "dashboard": {"enabled": True}}}


def _exposed() -> dict[str, set[str]]:
    """The samples that operator and API expose, by name: the labels of each."""
    collectors = [found for found in vars(operator_metrics).values() if hasattr(found, "_labelnames")]
    collectors += [found for found in vars(Metrics()).values() if hasattr(found, "_labelnames")]
    exposed = {sample.name: set(sample.labels) for family in REGISTRY.collect() for sample in family.samples}
    for collector in collectors:
        [family] = collector.describe()
        suffixes = {"counter": ("_total",), "gauge": ("",), "histogram": ("_bucket", "_sum", "_count")}[family.type]
        exposed |= {f"{family.name}{suffix}": set(collector._labelnames) for suffix in suffixes}
    return exposed


def _queries(release: Release) -> dict[str, str]:
    """Every query of alerts and dashboard, by where it is."""
    [rule] = release.of("PrometheusRule")
    queries = {alert["alert"]: alert["expr"] for group in rule["spec"]["groups"] for alert in group["rules"]}
    for panel in _dashboard(release)["panels"]:
        for target in panel.get("targets", ()):
            queries[f"{panel['title']} {target['refId']}"] = target["expr"].replace("$__rate_interval", "5m").replace("$namespace", "x")
    return queries


def _dashboard(release: Release) -> dict[str, Any]:
    return json.loads(release.one("ConfigMap", "mintaka-dashboard")["data"]["mintaka.json"])


def _nodes(expression: Any) -> Iterator[Any]:
    """An expression and all that it is made of."""
    yield expression
    for name in ("lhs", "rhs", "expr", "vector_selector", "param"):
        inner = getattr(expression, name, None)
        if type(inner).__module__.startswith("promql_parser"):
            yield from _nodes(inner)
    args = getattr(expression, "args", None)
    for argument in args if isinstance(args, list) else ():
        yield from _nodes(argument)


def _wrong(query: str, exposed: dict[str, set[str]]) -> list[str]:
    """What a query names that does not exist."""
    nodes = list(_nodes(promql_parser.parse(query)))
    selectors = [node for node in nodes if isinstance(node, promql_parser.VectorSelector)]
    wrong = [f"metric {selector.name}" for selector in selectors if selector.name not in exposed]
    labels = set().union(*(exposed.get(selector.name, set()) for selector in selectors)) | ADDED
    for selector in selectors:
        known = exposed.get(selector.name, set()) | ADDED
        wrong += [f"label {matcher.name} of {selector.name}" for matcher in selector.matchers.matchers if matcher.name not in known]
    for node in nodes:
        if isinstance(node, promql_parser.AggregateExpr) and node.modifier:
            wrong += [f"label {label} to group by" for label in node.modifier.labels if label not in labels]
    return wrong


def test_every_query_asks_for_what_exists(render: Render) -> None:
    """A metric that is renamed takes its alert and its panel along."""
    exposed = _exposed()
    queries = _queries(render(ON))
    assert len(queries) > 20
    assert {where: wrong for where, query in queries.items() if (wrong := _wrong(query, exposed))} == {}


@pytest.mark.parametrize(
    ("query", "complaint"),
    [
        ("sum(rate(mintaka_operator_nonsense_total[5m]))", "metric mintaka_operator_nonsense_total"),
        ('mintaka_operator_leading{colour="red"}', "label colour of mintaka_operator_leading"),
        ("sum by (colour) (mintaka_operator_flow_runs)", "label colour to group by"),
    ],
    ids=["metric", "label", "grouping"],
)
def test_the_check_notices_what_does_not_exist(query: str, complaint: str) -> None:
    """Else it would say nothing."""
    assert _wrong(query, _exposed()) == [complaint]


def test_alerts_say_what_to_do(render: Render) -> None:
    """Each has a severity, a summary and a description, and docs/operations.md lists it."""
    [rule] = render(ON).of("PrometheusRule")
    page = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    for alert in rule["spec"]["groups"][0]["rules"]:
        assert alert["labels"]["severity"] in {"critical", "warning"}
        assert alert["annotations"]["summary"]
        assert alert["annotations"]["description"]
        assert f"`{alert['alert']}`" in page


def test_alerts_can_be_left_out_and_labelled(render: Render) -> None:
    """By name; and those of the API are not there without it."""
    values = {"enabled": True, "disabled": ["MintakaRunsCrash"], "labels": {"release": "prometheus"}, "alertLabels": {"team": "data"}}
    [rule] = render({"api": {"enabled": False}, "metrics": {"prometheusRule": values}}).of("PrometheusRule")
    alerts = rule["spec"]["groups"][0]["rules"]
    names = {alert["alert"] for alert in alerts}
    assert "MintakaOperatorNotLeading" in names
    assert not names & {"MintakaRunsCrash", "MintakaMirrorBehind", "MintakaApiErrors"}
    assert rule["metadata"]["labels"]["release"] == "prometheus"
    assert {alert["labels"]["team"] for alert in alerts} == {"data"}


def test_the_dashboard_is_found_by_grafanas_sidecar(render: Render) -> None:
    """By its label; every panel has a place of its own, a title and says what it shows."""
    release = render(ON)
    assert release.one("ConfigMap", "mintaka-dashboard")["metadata"]["labels"]["grafana_dashboard"] == "1"
    panels = _dashboard(release)["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    assert len({(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in panels}) == len(panels)
    assert all(panel["title"] and (panel["type"] == "row" or panel["description"]) for panel in panels)


def test_metrics_are_off_by_default(render: Render) -> None:
    """Their kinds exist only beside the Prometheus operator."""
    release = render()
    assert release.of("PrometheusRule") == release.of("ServiceMonitor") == []
    assert [found["metadata"]["name"] for found in release.of("ConfigMap")] == ["mintaka-flow-pods"]
