"""What a user sees of rules: the operator as a process, a real kube-apiserver, kubectl."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from kube import API_VERSION, eventually
from namespaced_operator import NamespacedOperator

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.timeout(120)


class Operator(NamespacedOperator):
    """An operator of one namespace, without an API."""

    def apply(self, kind: str, name: str, spec: dict[str, Any]) -> None:
        """Apply an object of ours."""
        self.kubectl("apply", "-f", "-", given={"apiVersion": API_VERSION, "kind": kind, "metadata": {"name": name}, "spec": spec})

    def condition(self, name: str, kind: str) -> dict[str, Any]:
        """A condition of a rule; {} if it has none yet."""
        conditions = self.status("orchestrationrule", name).get("conditions") or ()
        return next((each for each in conditions if each["type"] == kind), {})


@pytest.fixture(scope="module")
def operator(kubeconfig: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Operator]:
    """It runs."""
    made = Operator("rules", kubeconfig, tmp_path_factory.mktemp("operator") / "log")
    made.start()
    yield made
    made.process.stop()


def test_no_run_starts_in_a_freeze_window_until_the_rule_is_deleted(operator: Operator) -> None:
    """It has no pod meanwhile. An operator of some namespaces applies no rules of the cluster."""
    abort = {"when": f"run_namespace == '{operator.name}'", "then": {"abort": {}}, "message": "of the cluster"}
    operator.apply("ClusterOrchestrationRule", operator.name, abort)
    freeze = {
        "to": ["PENDING"],
        "when": "now.getFullYear('Europe/Berlin') > 2000",
        "then": {"wait": {"seconds": 3600}},
        "message": "frozen",
    }
    operator.apply("OrchestrationRule", "freeze", freeze)
    eventually(lambda: operator.condition("freeze", "Accepted").get("status") == "True", "the rule is not accepted")
    operator.apply("FlowRun", "held", {"template": {"entrypoint": "a:b"}})
    waits = eventually(
        lambda: [each for each in operator.status("flowrun", "held").get("transitions", ()) if each["verdict"] == "Wait"], "no wait"
    )
    assert (waits[0]["rule"], waits[0]["message"]) == ("orchestrationrule/freeze", "frozen")
    assert json.loads(operator.kubectl("get", "pods", "--output", "json"))["items"] == []
    eventually(lambda: operator.status("orchestrationrule", "freeze").get("holding") == 1, "the rule does not count the run", 45)
    operator.kubectl("delete", "orchestrationrule", "freeze")
    eventually(lambda: operator.status("flowrun", "held")["state"]["type"] == "PENDING", "the run does not start")
    operator.kubectl("delete", "clusterorchestrationrule", operator.name)


def test_an_invalid_rule_reports_the_position_of_the_error(operator: Operator) -> None:
    """Line and column of the error."""
    operator.apply("OrchestrationRule", "broken", {"when": "attempt > 1 &&\n  atempt < 3", "then": {"abort": {}}})
    invalid = eventually(lambda: operator.condition("broken", "Invalid"), "the condition Invalid is missing")
    assert (invalid["status"], invalid["reason"]) == ("True", "InvalidExpression")
    assert "line 2, column 3: undeclared reference to 'atempt'" in invalid["message"]
    operator.kubectl("delete", "orchestrationrule", "broken")


def test_the_api_server_refuses_what_is_not_there_yet(operator: Operator) -> None:
    """A rule about task runs."""
    with pytest.raises(AssertionError, match="rules about task runs are not supported yet"):
        operator.apply("OrchestrationRule", "tasks", {"target": "TaskRun", "then": {"abort": {}}})
