"""The command line against a real kube-apiserver: FlowRuns through kubectl, the API through the kube-apiserver's proxy."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from api_testing import flow_run, report, status, task
from kube import eventually
from processes import Process
from terminal import Terminal

if TYPE_CHECKING:
    from collections.abc import Iterator

_LABELS = {"app.kubernetes.io/part-of": "mintaka", "app.kubernetes.io/component": "api"}
_PLUGIN = [sys.executable, "-c", "import sys; sys.argv[0] = 'kubectl-mintaka'; from mintaka.cli import main; main()"]


class Cluster:
    """A namespace of the test's own; kubectl's context is in it."""

    def __init__(self, kubeconfig: str, name: str) -> None:
        self.kubeconfig, self.name = kubeconfig, name

    def kubectl(self, *arguments: str, given: Any = None) -> str:
        """What kubectl prints."""
        command = ["kubectl", "--kubeconfig", self.kubeconfig, "--namespace", self.name, *arguments]
        done = subprocess.run(command, input=json.dumps(given), capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def run(self, name: str, *states: str, **spec: Any) -> dict[str, Any]:
        """A FlowRun that went through `states`."""
        document = flow_run(name, self.name, spec={"template": {"entrypoint": "etl:main"}, **spec})
        document["metadata"].pop("finalizers")
        self.create(document)
        self.kubectl(
            "patch", "flowrun", name, "--subresource", "status", "--type", "merge", "--patch", json.dumps({"status": status(states)})
        )
        return self.get(name)

    def get(self, name: str) -> dict[str, Any]:
        """A FlowRun."""
        return dict(json.loads(self.kubectl("get", "flowrun", name, "--output", "json")))

    def expose(self, address: str, ports: list[dict[str, Any]]) -> None:
        """Lead the Service mintaka-api to `address`: kube-apiservers proxy to addresses of pods alone, so there is one that has it."""
        container = {"name": "api", "image": "none"}
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "mintaka-api"}, "spec": {"containers": [container]}}
        self.create({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default"}})
        self.create(pod)
        running = {"status": {"phase": "Running", "podIP": address, "podIPs": [{"ip": address}]}}
        self.kubectl("patch", "pod", "mintaka-api", "--subresource", "status", "--type", "merge", "--patch", json.dumps(running))
        target = {"kind": "Pod", "name": "mintaka-api", "namespace": self.name}
        subset = {"addresses": [{"ip": address, "targetRef": target}], "ports": ports}
        self.create({"apiVersion": "v1", "kind": "Endpoints", "metadata": {"name": "mintaka-api"}, "subsets": [subset]})

    def create(self, document: dict[str, Any]) -> None:
        """Create an object."""
        self.kubectl("create", "--filename", "-", given=document)


@pytest.fixture(scope="module")
def cluster(kubeconfig: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A namespace, and a kubeconfig of its own with a context in it."""
    own = tmp_path_factory.mktemp("kube") / "config"
    own.write_text(Path(kubeconfig).read_text(encoding="utf-8"), encoding="utf-8")
    name = f"cli-{os.getpid()}"
    there = Cluster(str(own), name)
    there.kubectl("create", "namespace", name)
    there.kubectl("config", "set-context", "--current", f"--namespace={name}")
    yield there
    there.kubectl("delete", "namespace", name, "--wait=false")


@pytest.fixture
def terminal(cluster: Cluster, tmp_path: Path) -> Terminal:
    """`kubectl mintaka` in that namespace."""
    return Terminal(
        tmp_path, _PLUGIN, KUBECONFIG=cluster.kubeconfig, MINTAKA_HOME=str(tmp_path / "home"), MINTAKA_API_NAMESPACE=cluster.name
    )


@pytest.fixture(scope="module")
def served(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The API behind a Service of the cluster, mirroring the namespace; its URL."""
    folder = tmp_path_factory.mktemp("api")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as way:
        way.connect(("192.0.2.1", 9))  # sends nothing: which address is this machine's own?
        address = way.getsockname()[0]
    with socket.socket() as listener:
        listener.bind((address, 0))
        port = listener.getsockname()[1]
    api = Process(
        "mintaka_api",
        folder / "log",
        *("--host", address, "--port", str(port), "--database-url", f"sqlite:///{folder / 'api.db'}"),
        *("--kubeconfig", cluster.kubeconfig, "--namespace", cluster.name, "--cluster-name", cluster.name),
    )
    api.start()
    service = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "mintaka-api", "labels": _LABELS}}
    ports = [{"name": "http", "port": port}]
    cluster.create({**service, "spec": {"clusterIP": "None", "ports": ports}})
    cluster.expose(address, ports)
    url = f"http://{address}:{port}"
    eventually(lambda: _ready(url), "the API", seconds=60)
    yield url
    api.stop()
    cluster.kubectl("delete", "service", "mintaka-api")


def _ready(url: str) -> bool:
    try:
        with urllib.request.urlopen(url + "/readyz", timeout=5) as answer:  # noqa: S310 - our own URL
            return bool(answer.status == 200)
    except OSError:
        return False


def test_without_the_api_the_resources_answer_and_what_lacks_is_said(cluster: Cluster, terminal: Terminal) -> None:
    uid = cluster.run("alone", "SCHEDULED", "PENDING", "RUNNING", "COMPLETED")["metadata"]["uid"]
    listed = terminal("get", "-o", "wide")
    assert listed.code == 0
    assert uid in listed.out
    assert listed.err.count("without task runs: the API is not found in the cluster") == 1
    assert "alone Completed" in terminal("explain", "alone").out
    assert json.loads(terminal("get", uid, "--json").out)["name"] == "alone"
    assert terminal("watch", "alone").code == 0
    assert terminal("get", "nobody").code == 2
    assert 'flowruns.mintaka.dev "nobody" not found' in terminal("get", "nobody").err
    assert terminal("get", "alone", "--namespace", "elsewhere").code == 2
    assert terminal("get", "--namespace", "elsewhere").out == ""
    assert uid in terminal("get", "-A", "-o", "wide").out
    assert "goes with no --namespace" in terminal("get", "-A", "-n", "elsewhere").err


def test_intents_change_the_spec_of_a_run_that_goes_on(cluster: Cluster, terminal: Terminal) -> None:
    cluster.run("going", "SCHEDULED", "PENDING", "RUNNING")
    assert terminal("suspend", "going").out == "going: asked to suspend\n"
    assert cluster.get("going")["spec"]["suspend"] is True
    assert terminal("resume", "going").code == 0
    assert cluster.get("going")["spec"]["suspend"] is False
    assert json.loads(terminal("cancel", "going", "--json").out)["asked"] == "cancel"
    assert cluster.get("going")["spec"]["cancel"] is True
    cluster.run("gone", "SCHEDULED", "CANCELLED")
    assert f"flow run {cluster.name}/gone has already ended Cancelled" in terminal("cancel", "gone").err


def test_task_runs_and_logs_come_through_the_kube_apiserver(cluster: Cluster, terminal: Terminal, served: str) -> None:
    uid = cluster.run("worked", "SCHEDULED", "PENDING", "RUNNING", "FAILED")["metadata"]["uid"]
    said = report(1, [task(0), task(1, state="FAILED")], namespace=cluster.name, logs=[{"seq": 0, "time": 1, "message": "hello", "n": 1}])
    body = json.dumps({**said, "counts": {"COMPLETED": 1, "FAILED": 1}}).encode()
    eventually(lambda: _accepted(f"{served}/api/v1/flow-runs/{uid}/reports", body), "the run in the database")
    got = terminal("get", "worked", "--json")
    assert (got.code, got.err) == (0, "")
    assert [each["state"] for each in json.loads(got.out)["task_runs"]] == ["COMPLETED", "FAILED"]
    assert "2/2 1 failed" in terminal("get").out
    assert "hello" in terminal("logs", "worked").out
    assert "hello" in terminal("logs", "worked", "1", "--follow").out
    explained = json.loads(terminal("explain", "worked", "--json").out)
    assert [each["n"] for each in explained["task_runs"]] == [1]
    assert [each["to"] for each in explained["transitions"]] == ["SCHEDULED", "PENDING", "RUNNING", "FAILED"]
    assert terminal("watch", "worked").code == 1
    cluster.run("other", "SCHEDULED", "PENDING", "RUNNING", "COMPLETED")
    compared = json.loads(terminal("diff", "worked", "other", "--json").out)
    assert ("state", "flow run") in {(each["kind"], each["what"]) for each in compared["differences"]}

    cluster.kubectl("delete", "flowrun", "worked")
    assert json.loads(terminal("get", uid, "--json").out)["name"] == "worked", "it has left the cluster, and the API knows it"


def _accepted(url: str, body: bytes) -> bool:
    request = urllib.request.Request(url, body, {"Content-Type": "application/json"})  # noqa: S310 - our own URL
    try:
        with urllib.request.urlopen(request, timeout=5) as answer:  # noqa: S310 - our own URL
            return bool(answer.status == 200)
    except OSError:
        return False


def test_the_doctor_looks_at_a_cluster(terminal: Terminal, served: str) -> None:
    assert served
    looked = terminal("doctor", "--json")
    assert (looked.code, looked.err) == (1, ""), "there is no operator"
    found = {each["what"]: each for each in json.loads(looked.out)}
    wells = {what: found[what]["well"] for what in ("cluster", "crds", "operator", "cluster api", "rights")}
    assert wells == {"cluster": True, "crds": True, "operator": False, "cluster api": True, "rights": True}
    assert "helm install" in found["operator"]["todo"]


def test_a_cluster_that_is_away_is_one_line(terminal: Terminal, tmp_path: Path) -> None:
    broken = tmp_path / "config"
    cluster = {"name": "c", "cluster": {"server": "https://127.0.0.1:1"}}
    context = {"name": "c", "context": {"cluster": "c", "user": "u"}}
    broken.write_text(
        json.dumps({"clusters": [cluster], "contexts": [context], "current-context": "c", "users": [{"name": "u", "user": {"token": "t"}}]})
    )
    terminal.environment["KUBECONFIG"] = str(broken)
    for command in (("get",), ("get", "x"), ("cancel", "x"), ("logs", "x")):
        said = terminal(*command)
        assert (said.code, said.out) == (2, ""), command
        assert "127.0.0.1:1" in said.err
        assert said.err.splitlines()[-1].startswith(f"mintaka {command[0]}: ")
    assert terminal("doctor").code == 1
    terminal.environment["KUBECONFIG"] = str(tmp_path / "nothing")
    assert terminal("get").err == (
        "mintaka get: kubectl has no context, so there is no cluster to ask: kubectl config use-context NAME, or set KUBECONFIG\n"
    )


def test_a_shell_is_offered_the_runs_of_a_cluster(cluster: Cluster, terminal: Terminal) -> None:
    cluster.run("offered", "SCHEDULED")
    assert "offered" in terminal("__complete", "bash", "kubectl-mintaka explain of").out


def test_what_deploy_prints_and_apply_applies_is_taken_by_the_kube_apiserver(cluster: Cluster, terminal: Terminal) -> None:
    (terminal.folder / "etl.py").write_text("from mintaka import flow\n\n@flow\ndef main(n: int = 1):\n    return n\n")
    options = ("--name", "nightly", "--cron", "0 6 * * *", "--interval", "15m", "--time-zone", "Europe/Berlin", "-p", "n=2", "--tag", "x")
    options += ("--result-storage", "s3://results/nightly", "--result-storage-secret", "results-access")
    printed = terminal("deploy", "etl.py:main", "--inline", "--json", *options)
    cluster.kubectl("apply", "--dry-run=server", "--filename", "-", given=json.loads(printed.out))
    applied = terminal("apply", "etl.py:main", *options)
    assert (applied.code, applied.out) == (0, "flowdeployment.mintaka.dev/nightly created\n")
    kept = json.loads(cluster.kubectl("get", "flowdeployment", "nightly", "--output", "json"))["spec"]
    wanted = json.loads(printed.out)["spec"]
    assert {key: kept[key] for key in wanted if key != "schedules"} == {key: wanted[key] for key in wanted if key != "schedules"}
    assert [schedule.items() >= asked.items() for schedule, asked in zip(kept["schedules"], wanted["schedules"], strict=True)] == [
        True,
        True,
    ]
    assert json.loads(terminal("apply", "etl.py:main", *options, "--json").out)["metadata"]["name"] == "nightly"
    refused = terminal("apply", "etl.py:main", "--name", "Not A Name")
    assert refused.code == 2
    assert refused.err.count("\n") == 1
    assert "Not A Name" in refused.err


def test_the_rights_of_the_documentation_suffice_to_read_through_the_kube_apiserver(cluster: Cluster, served: str) -> None:
    assert served
    text = (Path(__file__).parents[3] / "docs" / "operations.md").read_text(encoding="utf-8")
    rules = next(block for block in text.split("```yaml\n") if block.startswith("rules:\n") and "services/proxy" in block).split("```")[0]
    role = {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"name": "readers"}, **yaml.safe_load(rules)}
    cluster.create(role)
    cluster.kubectl("create", "rolebinding", "readers", "--role=readers", "--user=ann")
    path = f"/api/v1/namespaces/{cluster.name}/services/mintaka-api:http/proxy/api/v1/flow-runs"
    assert "items" in json.loads(cluster.kubectl("get", "--raw", path, "--as=ann"))
    with pytest.raises(AssertionError, match="orbidden"):
        cluster.kubectl("get", "--raw", path, "--as=bob")
