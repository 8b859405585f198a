"""The command line against real runs: `kubectl mintaka` finds the API by itself, through the kube-apiserver."""

from __future__ import annotations

import json
import sys
import threading
from typing import TYPE_CHECKING

import pytest
import yaml

from kube import eventually, flow_deployment, flow_run, kubectl, python_flow
from terminal import Terminal

if TYPE_CHECKING:
    from pathlib import Path

    from kube import Api, Kube

_PLUGIN = [sys.executable, "-c", "import sys; sys.argv[0] = 'kubectl-mintaka'; from mintaka.cli import main; main()"]

FLOW = """from mintaka import flow, get_run_logger, task


@task
def load(n):
    get_run_logger().warning("loading %d", n)
    if n > 2:
        raise ValueError(f"{n} is too much")
    return n


@flow
def main(most: int = 3):
    return sum(load(n) for n in range(most))
"""

SLEEPS = """import time
from mintaka import flow, task


@task
def nap():
    time.sleep(300)


@flow
def main():
    nap.submit().wait()
"""


@pytest.fixture
def terminal(tmp_path: Path) -> Terminal:
    """`kubectl mintaka`, in a folder of the test's own."""
    return Terminal(tmp_path, _PLUGIN, MINTAKA_HOME=str(tmp_path / "home"))


def test_runs_are_listed_shown_logged_explained_and_compared(kube: Kube, api: Api, terminal: Terminal) -> None:
    """All that the API knows, and nothing on standard error."""
    here = ("--namespace", kube.namespace)
    kube.apply(flow_run("good", template=python_flow(FLOW)), flow_run("bad", template=python_flow(FLOW), parameters={"most": 4}))
    for name in ("good", "bad"):
        api.mirrored(kube.ended(name))
    listed = terminal("get", *here)
    assert (listed.code, listed.err) == (0, "")
    assert {line.split()[0]: line.split()[1] for line in listed.out.splitlines()[1:]} == {"good": "Completed", "bad": "Failed"}
    assert "4/4 1 failed" in listed.out
    good = json.loads(terminal("get", "good", *here, "--json").out)
    assert [task["state"] for task in good["task_runs"]] == ["COMPLETED"] * 3
    assert [run["name"] for run in json.loads(terminal("get", *here, "--state", "failed", "--json").out)] == ["bad"]
    assert terminal("logs", "good", *here).out.count("loading") == 3
    assert terminal("logs", "bad", "load-3", *here).out.count("loading 3") == 1
    assert "3 is too much" in terminal("explain", "bad", *here).out
    assert terminal("watch", "bad", *here).code == 1
    compared = terminal("diff", "good", "bad", *here, "--json")
    assert compared.code == 1
    assert ("task", "load #4") in {(each["kind"], each["what"]) for each in json.loads(compared.out)["differences"]}


def test_a_run_is_followed_suspended_resumed_and_cancelled(kube: Kube, terminal: Terminal) -> None:
    """Watched by another process all the while, whose exit code says that it was cancelled."""
    here = ("--namespace", kube.namespace)
    kube.apply(flow_run("long", template=python_flow(SLEEPS, podTemplate={"spec": {"terminationGracePeriodSeconds": 2}})))
    kube.reaches("long", "RUNNING")
    codes: list[int] = []
    watching = threading.Thread(target=lambda: codes.append(terminal("watch", "long", *here, "--json").code))
    watching.start()
    eventually(lambda: json.loads(terminal("get", "long", *here, "--json").out)["task_runs"], "its task run")
    assert terminal("suspend", "long", *here).out == "long: asked to suspend\n"
    kube.wait("fr/long", "condition=Suspended")
    assert terminal("resume", "long", *here).code == 0
    kube.wait("fr/long", "jsonpath={.status.attempt}=2")
    kube.reaches("long", "RUNNING")
    assert terminal("cancel", "long", *here).out == "long: asked to cancel\n"
    assert kube.ended("long")["status"]["state"]["type"] == "CANCELLED"
    watching.join(30)
    assert codes == [3]
    assert "already ended Cancelled" in terminal("cancel", "long", *here).err


def test_a_log_is_followed_through_all_attempts_to_the_end(kube: Kube, terminal: Terminal) -> None:
    """The first attempt crashes; its lines, then those of the second."""
    code = """import os
from mintaka import flow, get_run_logger

@flow
def main():
    get_run_logger().warning("this is attempt %s", os.environ["MINTAKA_ATTEMPT"])
    if os.environ["MINTAKA_ATTEMPT"] == "1":
        raise SystemExit(9)
"""
    retries = {"onCrash": {"limit": 1, "backoff": {"delaySeconds": 5}}}
    kube.apply(flow_run("twice", template=python_flow(code, retries=retries)))
    kube.wait("fr/twice", "jsonpath={.status.attempt}=1")
    followed = terminal("logs", "twice", "--namespace", kube.namespace, "--follow")
    assert followed.code == 0
    assert [line.rpartition(" ")[2] for line in followed.out.splitlines() if "this is attempt" in line] == ["1", "2"]


def test_a_flow_is_applied_and_the_doctor_is_content(kube: Kube, terminal: Terminal) -> None:
    """What `mintaka apply` makes is what `mintaka deploy` prints; every look of the doctor at the cluster is well."""
    (terminal.folder / "etl.py").write_text(FLOW)
    applied = terminal("apply", "etl.py:main", "--namespace", kube.namespace, "--name", "etl", "--cron", "0 6 * * *")
    assert applied.code == 0, applied.err
    kube.apply(flow_deployment("other", **python_flow(FLOW)), flow_run("of-it", deployment="etl"))
    assert kube.ended("of-it")["status"]["state"]["type"] == "COMPLETED"
    printed = json.loads(terminal("deploy", "etl.py:main", "--inline", "--name", "etl", "--cron", "0 6 * * *", "--json").out)
    assert kube.get("fd", "etl")["spec"].items() >= {key: printed["spec"][key] for key in ("entrypoint", "source")}.items()
    found = {each["what"]: each for each in json.loads(terminal("doctor", "--json").out)}
    assert {what: found[what]["well"] for what in ("cluster", "crds", "operator", "cluster api", "rights")} == dict.fromkeys(
        ("cluster", "crds", "operator", "cluster api", "rights"), True
    ), found


_FORWARDING = """
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {{name: forwarding, namespace: {system}}}
rules:
- {{apiGroups: [""], resources: [services], verbs: [get]}}
- {{apiGroups: [""], resources: [pods], verbs: [list]}}
- {{apiGroups: [""], resources: [pods/portforward], verbs: [get, create]}}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {{name: forwarding, namespace: {system}}}
roleRef: {{apiGroup: rbac.authorization.k8s.io, kind: Role, name: forwarding}}
subjects: [{{kind: ServiceAccount, name: default, namespace: {namespace}}}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {{name: viewing, namespace: {namespace}}}
roleRef: {{apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: view}}
subjects: [{{kind: ServiceAccount, name: default, namespace: {namespace}}}]
"""


def test_a_user_who_may_only_forward_ports_reads_the_history_through_one(
    kube: Kube, api: Api, installed: str, terminal: Terminal, tmp_path: Path
) -> None:
    """The kube-apiserver's proxy is not theirs: the official client forwards a port of the API's pod."""
    kube.apply(flow_run("good", template=python_flow(FLOW)))
    api.mirrored(kube.ended("good"))
    try:
        kubectl("apply", "--filename", "-", stdin=_FORWARDING.format(system=installed, namespace=kube.namespace))
        config = yaml.safe_load(kubectl("config", "view", "--raw", "--minify", "--flatten"))
        config["users"][0]["user"] = {"token": kube("create", "token", "default").strip()}
        (tmp_path / "config").write_text(yaml.safe_dump(config), encoding="utf-8")
        good = terminal("get", "good", "--namespace", kube.namespace, "--json", KUBECONFIG=str(tmp_path / "config"))
        assert (good.code, good.err) == (0, "")
        assert [task["state"] for task in json.loads(good.out)["task_runs"]] == ["COMPLETED"] * 3
    finally:
        kubectl("delete", "role,rolebinding", "forwarding", "--namespace", installed)
