"""Rules of users in a real cluster: a freeze window holds a run back, and the status of an invalid rule names the position of the error."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from kube import API_VERSION, container, eventually, flow_run

if TYPE_CHECKING:
    from kube import Api, Kube


def rule(name: str, **spec: Any) -> dict[str, Any]:
    """An OrchestrationRule."""
    return {"apiVersion": API_VERSION, "kind": "OrchestrationRule", "metadata": {"name": name}, "spec": spec}


def test_no_run_starts_in_a_freeze_window(kube: Kube, api: Api) -> None:
    """It waits without a pod, states the reason, and starts when the rule is deleted."""
    freeze = {"to": ["PENDING"], "when": "now.getFullYear('UTC') > 2000", "then": {"wait": {"seconds": 3600}}, "message": "frozen"}
    kube.apply(rule("freeze", **freeze))
    kube.wait("orchestrationrule/freeze", "condition=Accepted")
    kube.apply(flow_run("held", template=container("true")))
    records = eventually(lambda: [each for each in _transitions(kube, "held") if each["verdict"] == "Wait"], "the run is not held back")
    assert (records[0]["rule"], records[0]["message"]) == ("orchestrationrule/freeze", "frozen")
    assert kube.items("pods") == []
    kube("delete", "orchestrationrule", "freeze")
    run = kube.ended("held")
    assert run["status"]["state"]["type"] == "COMPLETED"
    api.agrees_with(run)


def test_an_invalid_rule_reports_the_position_of_the_error(kube: Kube) -> None:
    """Line and column, and it holds nothing back."""
    kube.apply(rule("broken", when="attempt > 1 &&\n  atempt < 3", then={"abort": {}}))
    kube.wait("orchestrationrule/broken", "condition=Invalid")
    conditions = {each["type"]: each for each in kube.get("orchestrationrule", "broken")["status"]["conditions"]}
    assert conditions["Invalid"]["reason"] == "InvalidExpression"
    assert "line 2, column 3: undeclared reference to 'atempt'" in conditions["Invalid"]["message"]
    assert conditions["Accepted"]["status"] == "False"
    kube.apply(flow_run("free", template=container("true")))
    assert kube.ended("free")["status"]["state"]["type"] == "COMPLETED"


def test_a_rule_about_task_runs_is_refused(kube: Kube) -> None:
    """By the API server, with the reason."""
    with pytest.raises(AssertionError, match="rules about task runs are not supported yet"):
        kube.apply(rule("tasks", target="TaskRun", then={"abort": {}}))


def _transitions(kube: Kube, run: str) -> list[dict[str, Any]]:
    return list((kube.get("fr", run).get("status") or {}).get("transitions") or [])
