"""`mintaka plan` at a real API server: its dry run, its defaults, its refusals."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

import pytest

from kube import flow_deployment, flow_run, python_flow
from terminal import Terminal

if TYPE_CHECKING:
    from pathlib import Path

    from kube import Kube

_PLUGIN = [sys.executable, "-c", "import sys; sys.argv[0] = 'kubectl-mintaka'; from mintaka.cli import main; main()"]
SLEEPS = """import time
from mintaka import flow


@flow
def main():
    time.sleep(300)
"""
NIGHTLY = {"name": "nightly", "cron": "0 6 * * *", "timeZone": "Europe/Berlin"}


@pytest.fixture
def terminal(tmp_path: Path) -> Terminal:
    """`kubectl mintaka`, in a folder of the test's own."""
    return Terminal(tmp_path, _PLUGIN, MINTAKA_HOME=str(tmp_path / "home"))


def plan(terminal: Terminal, kube: Kube, *manifests: dict[str, Any]) -> tuple[int, dict[str, dict[str, Any]]]:
    """The exit code of a plan of these manifests, and its objects by name."""
    (terminal.folder / "plan.json").write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": list(manifests)}))
    said = terminal("plan", "plan.json", "--namespace", kube.namespace, "--json")
    assert said.out, said.err
    return said.code, {each["name"]: each for each in json.loads(said.out)["objects"]}


def test_a_folder_is_planned_against_what_is_live(kube: Kube, terminal: Terminal) -> None:
    """Created, unchanged, changed with a live run, moved, refused by schema and by the type of a field; then nothing is left to do."""
    etl = flow_deployment("etl", **python_flow(SLEEPS), schedules=[NIGHTLY])
    wrong = flow_deployment("wrong", **python_flow(SLEEPS), history={"limit": -1})
    assert plan(terminal, kube, etl)[0] == 2
    assert not kube.items("flowdeployments")
    kube.apply(etl)
    code, objects = plan(terminal, kube, etl)
    assert (code, objects["etl"]["action"]) == (0, "unchanged")
    kube.apply(flow_run("live", deployment="etl"))
    revision = kube.reaches("live", "RUNNING")["status"]["revision"]
    moved = flow_deployment("etl", **python_flow(SLEEPS), image="example.invalid/etl:2", schedules=[{**NIGHTLY, "cron": "0 7 * * *"}])
    code, objects = plan(terminal, kube, moved, wrong, flow_run("new", deployment="etl"))
    assert code == 1
    assert {name: each["action"] for name, each in objects.items()} == {"etl": "changed", "wrong": "refused", "new": "created"}
    assert "history.limit" in objects["wrong"]["message"]
    assert objects["etl"]["keep_version"] == [{"name": "live", "state": "RUNNING", "revision": revision}]
    (schedule,) = objects["etl"]["schedules"]
    assert (schedule["change"], len(schedule["before"]), len(schedule["after"])) == ("moves", 5, 5)
    assert {time[11:16] for time in schedule["before"]} == {"06:00"}
    assert {time[11:16] for time in schedule["after"]} == {"07:00"}
    assert kube.get("fd", "etl")["spec"]["schedules"][0]["cron"] == "0 6 * * *"
    kube.patch("fr", "live", {"spec": {"cancel": True}})


def test_kinds_of_others_and_a_namespace_that_does_not_exist_yet(kube: Kube, terminal: Terminal) -> None:
    """A Secret's values are not shown; an object of a namespace that the plan creates is not tried."""
    kube.apply({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "db"}, "stringData": {"password": "hush"}})
    changed = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "db"}, "stringData": {"password": "pst"}}
    code, objects = plan(terminal, kube, changed)
    assert (code, objects["db"]["action"], objects["db"]["notes"]) == (2, "changed", ["a secret value changes"])
    said = terminal("plan", "plan.json", "--namespace", kube.namespace)
    assert "pst" not in said.out + said.err
    assert "cHN0" not in said.out + said.err
    team = f"{kube.namespace}-next"
    inside = flow_deployment("inside", **python_flow(SLEEPS))
    inside["metadata"]["namespace"] = team
    (terminal.folder / "team.json").write_text(
        json.dumps(
            {"apiVersion": "v1", "kind": "List", "items": [{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": team}}, inside]}
        )
    )
    said = terminal("plan", "team.json", "--json")
    assert {each["name"]: each["action"] for each in json.loads(said.out)["objects"]} == {team: "created", "inside": "created"}
    assert said.code == 2


def test_the_explanation_is_in_the_condition_and_in_the_column(kube: Kube) -> None:
    """A run whose deployment does not exist: why, until when, and what to do."""
    kube.apply(flow_run("early", deployment="missing"))
    kube.wait("fr/early", "jsonpath={.status.problem}=DeploymentNotFound")
    conditions = {each["type"]: each for each in kube.get("fr", "early")["status"]["conditions"]}
    assert (conditions["Finished"]["status"], conditions["Finished"]["reason"]) == ("False", "DeploymentNotFound")
    assert conditions["Finished"]["message"].startswith("Its FlowDeployment does not exist: ")
    assert conditions["Finished"]["message"].endswith("then it ends FAILED. Apply the FlowDeployment.")
    assert "Its FlowDeployment does not exist" in kube("get", "fr", "early", "-o", "wide")
