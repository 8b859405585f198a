"""`mintaka uninstall` against a real kube-apiserver: what it stops, what it takes off, what it leaves, and what it says."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import uuid
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from kube import eventually
from mintaka import cli
from mintaka_core.names import LABEL_TOMBSTONE, MIRROR_FINALIZER, POD_FINALIZER

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

#: A finalizer of another controller, which is its own business.
FOREIGN = "example.com/billing"

#: Puts the finalizer on every run of a namespace that has none, as fast as it can.
OTHER_OPERATOR = """
import asyncio, sys
from mintaka_kubernetes import Client

async def main(kubeconfig, namespace, finalizer):
    path = f"/apis/mintaka.dev/v1alpha1/namespaces/{namespace}/flowruns"
    async with Client(kubeconfig=kubeconfig) as client:
        while True:
            for run in (await client.request("GET", path))["items"]:
                if not run["metadata"].get("finalizers"):
                    body = {"metadata": {"finalizers": [finalizer]}}
                    await client.request("PATCH", f"{path}/{run['metadata']['name']}", body=body, content_type="application/merge-patch+json")

asyncio.run(main(*sys.argv[1:]))
"""

type Uninstall = Callable[..., tuple[int, str]]


class There:
    """The API server as an administrator's kubectl reaches it."""

    def __init__(self, kubeconfig: str) -> None:
        self.kubeconfig = kubeconfig

    def kubectl(self, *arguments: str, stdin: str = "") -> str:
        command = ["kubectl", "--kubeconfig", self.kubeconfig, *arguments]
        return subprocess.run(command, input=stdin, capture_output=True, text=True, check=True, timeout=60).stdout

    def create(self, *objects: dict[str, Any]) -> None:
        self.kubectl("create", "--validate=false", "-f", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": objects}))

    def namespace(self) -> str:
        name = f"uninstall-{uuid.uuid4().hex[:8]}"
        self.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
        return name

    def finalizers(self, kind: str, namespace: str) -> dict[str, list[str]]:
        items = json.loads(self.kubectl("get", kind, "--namespace", namespace, "--output", "json"))["items"]
        return {item["metadata"]["name"]: item["metadata"].get("finalizers", []) for item in items}


@pytest.fixture
def there(kubeconfig: str) -> There:
    """The API server."""
    return There(kubeconfig)


@pytest.fixture
def home(there: There) -> Iterator[str]:
    """The namespace of a release, with the Deployments of two."""
    name = there.namespace()
    there.create(_deployment(name, "operator"), _deployment(name, "api"), _deployment(name, "operator", "other"))
    yield name
    there.kubectl("delete", "deployments,pods", "--all", "--namespace", name, "--grace-period=0", "--force")


@pytest.fixture
def uninstall(there: There, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Uninstall:
    """`mintaka uninstall ARGUMENTS…`: the exit code, and all that it said."""

    def call(*arguments: str, kubeconfig: str = there.kubeconfig) -> tuple[int, str]:
        monkeypatch.setenv("KUBECONFIG", kubeconfig)
        monkeypatch.setattr(sys, "argv", ["mintaka", "uninstall", "--yes", *arguments])
        code = 0
        try:
            cli.main()
        except SystemExit as ended:
            code = int(ended.code or 0)
        said = capsys.readouterr()
        return code, said.out + said.err

    return call


def _labels(component: str, release: str = "mintaka") -> dict[str, str]:
    prefix = "app.kubernetes.io"
    return {f"{prefix}/part-of": "mintaka", f"{prefix}/instance": release, f"{prefix}/component": component}


def _deployment(namespace: str, component: str, release: str = "mintaka", served: str = "") -> dict[str, Any]:
    labels = _labels(component, release)
    environment = [{"name": "MINTAKA_NAMESPACES", "value": served}]
    pod = {"terminationGracePeriodSeconds": 1, "containers": [{"name": component, "image": "mintaka", "env": environment}]}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": f"{release}-{component}", "namespace": namespace, "labels": labels},
        "spec": {"replicas": 2, "selector": {"matchLabels": labels}, "template": {"metadata": {"labels": labels}, "spec": pod}},
    }


def _run(namespace: str, name: str, *finalizers: str, parameters: Any = None) -> dict[str, Any]:
    return {
        "apiVersion": "mintaka.dev/v1alpha1",
        "kind": "FlowRun",
        "metadata": {"name": name, "namespace": namespace, "finalizers": [*finalizers]},
        "spec": {"deployment": "d", **({"parameters": parameters} if parameters else {})},
    }


def _pod(namespace: str, name: str, *finalizers: str, labels: dict[str, str] | None = None) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name,
            "namespace": namespace,
            "finalizers": [*finalizers],
            "labels": labels or {"mintaka.dev/flow-run": "run"},
        },
        "spec": {"containers": [{"name": "flow", "image": "flow"}]},
    }


def _replicas(there: There, namespace: str) -> dict[str, int]:
    items = json.loads(there.kubectl("get", "deployments", "--namespace", namespace, "--output", "json"))["items"]
    return {item["metadata"]["name"]: item["spec"]["replicas"] for item in items}


def test_it_stops_the_release_and_takes_its_finalizers_off(there: There, home: str, uninstall: Uninstall) -> None:
    """Of runs and pods in the namespaces named, and nothing else: other releases, other finalizers and other pods stay as they are."""
    a, b, elsewhere = there.namespace(), there.namespace(), there.namespace()
    deep: Any = "deep"
    for _ in range(1500):
        deep = [deep]
    there.create(
        _run(a, "held", MIRROR_FINALIZER),
        _run(a, "held-twice", FOREIGN, MIRROR_FINALIZER),
        _run(a, "free"),
        _run(b, "undecodable", MIRROR_FINALIZER, parameters={"x": deep}),
        _run(elsewhere, "untouched", MIRROR_FINALIZER),
        _pod(a, "pod", POD_FINALIZER),
        _pod(b, "pod", FOREIGN, POD_FINALIZER),
        _pod(b, "relabelled", POD_FINALIZER, labels={"app": "other"}),
        _pod(b, "foreign", FOREIGN, labels={"app": "other"}),
    )
    code, said = uninstall("--namespace", home, "--runs-of", a, "--runs-of", b)
    assert code == 0, said
    assert _replicas(there, home) == {"mintaka-operator": 0, "mintaka-api": 0, "other-operator": 2}
    assert there.finalizers("flowruns", a) == {"held": [], "held-twice": [FOREIGN], "free": []}
    assert there.finalizers("flowruns", b) == {"undecodable": []}
    assert there.finalizers("flowruns", elsewhere) == {"untouched": [MIRROR_FINALIZER]}
    assert there.finalizers("pods", a) == {"pod": []}
    assert there.finalizers("pods", b) == {"pod": [FOREIGN], "relabelled": [], "foreign": [FOREIGN]}
    assert "stopped mintaka-operator, mintaka-api" in said
    assert "took finalizers off 3 flow runs and 3 pods" in said
    assert "left: 4 flow runs and 0 flow deployments" in said
    assert "left: 3 pods of flows" in said


def test_it_may_be_repeated(there: There, home: str, uninstall: Uninstall) -> None:
    """Also when the release is gone already: then it finds nothing to stop, and takes off what is there."""
    a = there.namespace()
    there.create(_run(a, "first", MIRROR_FINALIZER))
    assert uninstall("--namespace", home, "--runs-of", a)[0] == 0
    there.kubectl("delete", "deployments", "--all", "--namespace", home)
    there.create(_run(a, "second", MIRROR_FINALIZER))
    code, said = uninstall("--namespace", home, "--runs-of", a)
    assert code == 0, said
    assert there.finalizers("flowruns", a) == {"first": [], "second": []}
    assert "neither operator nor API was there to be stopped" in said


def test_the_operator_says_which_namespaces_the_release_serves(there: There, home: str, uninstall: Uninstall) -> None:
    """Runs of other namespaces, which another release may serve, keep their finalizers."""
    a, elsewhere = there.namespace(), there.namespace()
    there.create(
        _deployment(home, "operator", "mine", served=f"{a}"), _run(a, "run", MIRROR_FINALIZER), _run(elsewhere, "run", MIRROR_FINALIZER)
    )
    assert uninstall("--namespace", home, "--release", "mine")[0] == 0
    assert there.finalizers("flowruns", a) == {"run": []}
    assert there.finalizers("flowruns", elsewhere) == {"run": [MIRROR_FINALIZER]}


def test_nothing_is_taken_off_while_the_operator_runs(there: There, home: str, uninstall: Uninstall) -> None:
    """It would put the finalizers back. Exit code 2, and what to do."""
    a = there.namespace()
    there.create(_run(a, "run", MIRROR_FINALIZER), _pod(home, "operator-1", labels=_labels("operator")))
    code, said = uninstall("--namespace", home, "--runs-of", a, "--timeout", "2")
    assert code == 2
    assert "mintaka-operator is scaled to 0, but its pods have not stopped in time: repeat this, or give it longer" in said
    assert there.finalizers("flowruns", a) == {"run": [MIRROR_FINALIZER]}


def test_it_does_not_fight_another_operator(there: There, home: str, uninstall: Uninstall) -> None:
    """One that serves the same namespace puts finalizers back at once: each is taken off once, and that they are back is said."""
    a = there.namespace()
    there.create(*(_run(a, f"run-{number}") for number in range(60)))
    other = subprocess.Popen([sys.executable, "-c", OTHER_OPERATOR, there.kubeconfig, a, MIRROR_FINALIZER])
    try:
        eventually(lambda: all(there.finalizers("flowruns", a).values()), "finalizers of the other operator", 60)
        code, said = uninstall("--namespace", home, "--runs-of", a, "--timeout", "30")
    finally:
        other.kill()
        other.wait()
    assert code == 0, said
    assert "took finalizers off 60 flow runs" in said
    assert re.search(r"\d+ objects? have a finalizer again: another operator serves their namespaces", said)


def test_a_namespace_that_is_missing_is_named_and_passed_over(there: There, home: str, uninstall: Uninstall, tmp_path: Path) -> None:
    """With rights in the others only, as a namespaced installation has them, the API server answers 403 for it."""
    a = there.namespace()
    there.create(
        _run(a, "run", MIRROR_FINALIZER),
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "operator", "namespace": home}},
    )
    subject = f"--serviceaccount={home}:operator"
    at_home = "deployments.apps,deployments.apps/scale,pods,configmaps,persistentvolumeclaims"
    there.kubectl("create", "role", "home", "--namespace", home, "--verb=list", "--verb=patch", f"--resource={at_home}")
    there.kubectl("create", "rolebinding", "home", "--namespace", home, "--role=home", subject)
    verbs = ["--verb=get", "--verb=list", "--verb=patch"]
    there.kubectl("create", "role", "runs", "--namespace", a, *verbs, "--resource=flowruns.mintaka.dev,flowdeployments.mintaka.dev,pods")
    there.kubectl("create", "rolebinding", "runs", "--namespace", a, "--role=runs", subject)
    config = json.loads(there.kubectl("config", "view", "--raw", "--output", "json"))
    config["users"][0]["user"] = {"token": there.kubectl("create", "token", "operator", "--namespace", home).strip()}
    (tmp_path / "kubeconfig").write_text(json.dumps(config), encoding="utf-8")
    code, said = uninstall("--namespace", home, "--runs-of", "gone", "--runs-of", a, kubeconfig=str(tmp_path / "kubeconfig"))
    assert code == 0, said
    assert "cannot look into namespace gone: it does not exist, or access is denied" in said
    assert there.finalizers("flowruns", a) == {"run": []}


def test_it_says_what_stays_in_the_releases_namespace(there: There, home: str, uninstall: Uninstall) -> None:
    """The claim with the history, and tombstones; as data too."""
    claim = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": "mintaka-api", "namespace": home, "labels": _labels("api")},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
    }
    metadata = {"name": "tombstone", "namespace": home, "labels": {LABEL_TOMBSTONE: "true"}}
    there.create(claim, {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata})
    code, said = uninstall("--namespace", home, "--runs-of", home)
    assert code == 0, said
    assert f"left: PersistentVolumeClaim {home}/mintaka-api with the history" in said
    assert "left: 1 tombstone" in said
    code, said = uninstall("--namespace", home, "--runs-of", home, "--json")
    assert json.loads(said.splitlines()[0])["left"] == {
        "flow_runs": 0,
        "flow_deployments": 0,
        "live_pods": 0,
        "tombstones": 1,
        "claims": [f"{home}/mintaka-api"],
    }
