"""Secret parameters from end to end: operator, API, pods' processes and the command line, on a real kube-apiserver.

Each kind of run has a canary of its own as its secret. When all runs are over, whatever can be looked at is searched for them.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.request
import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from host_kubelet import HostKubelet
from kube import API_VERSION, eventually
from mintaka_core.secret_parameters import MASK
from processes import Process, free_port

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

CANARY = "c4nary"
FLOW = """
from typing import Annotated

from pydantic import AfterValidator, Field, SecretStr

from mintaka import flow, get_run_logger, runtime, task


def refuse(value):
    if value.startswith("refused"):
        raise ValueError(f"{value!r} is refused")
    return value


@task(task_run_name="use {token}")
def use(token):
    return len(token.get_secret_value())


@flow(log_prints=True, flow_run_name="{region} {token}")
def main(
    token: SecretStr,
    marked: Annotated[str, AfterValidator(refuse), Field(json_schema_extra={"writeOnly": True})] = "x",
    region: str = "north",
):
    print(f"{region} has {token} of {use(token)} characters")
    get_run_logger().info("parameters: %s", {**runtime.flow_run.parameters, "marked": "?"})
"""
SECRET: dict[str, Any] = {"type": "string", "format": "password"}
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"token": SECRET, "marked": {"type": "string", "writeOnly": True}, "region": {"type": "string"}},
    "required": ["token"],
}


@dataclass
class Kind:
    """One kind of run: `run` is the spec of a FlowRun (None: a schedule makes it), `state`, `reason` and `told` are what a user sees."""

    state: str
    reason: str
    told: str
    run: dict[str, Any] | None = field(default_factory=dict)
    deployment: dict[str, Any] | None = field(default_factory=dict)


def canary(name: str) -> str:
    """The secret of a kind."""
    return f"{CANARY}-{name.replace(' ', '-')}"


def _parameters(name: str, **others: Any) -> dict[str, Any]:
    return {"token": canary(name), "region": "south", **others}


def _template(**fields: Any) -> dict[str, Any]:
    return {"entrypoint": "flow.py:main", "source": {"inline": FLOW}, "parameterSchema": SCHEMA, **fields}


def _schema(**token: Any) -> dict[str, Any]:
    return {**SCHEMA, "properties": {**SCHEMA["properties"], "token": {"format": "password", **token}}}


KINDS: dict[str, Kind] = {
    "own": Kind("COMPLETED", "", "", {"parameters": _parameters("own")}),
    "default": Kind("COMPLETED", "", "", {}, {"parameters": _parameters("default")}),
    "scheduled": Kind(
        "COMPLETED", "", "", None, {"schedules": [{"name": "s", "interval": "24h", "parameters": _parameters("scheduled")}]}
    ),
    "inline": Kind("COMPLETED", "", "", {"template": _template(parameters=_parameters("inline"))}, None),
    "from-secret": Kind("COMPLETED", "", "", {}, {"secretParameters": {"token": {"name": "from-secret", "key": "token"}}}),
    "default-in-schema": Kind(
        "COMPLETED", "", "", {"parameters": {"token": canary("x")}}, {"parameterSchema": _schema(default=canary("default-in-schema"))}
    ),
    "wrong-by-schema": Kind(
        "FAILED", "InvalidParameters", "parameters/token: a value that is secret does not obey maxLength 3",
        {"parameters": _parameters("wrong-by-schema")}, {"parameterSchema": _schema(maxLength=3)},
    ),
    "wrong-as-a-whole": Kind(
        "FAILED", "InvalidParameters", "parameters: a value that is secret does not obey minProperties 9",
        {"parameters": _parameters("wrong-as-a-whole")}, {"parameterSchema": {**SCHEMA, "minProperties": 9}},
    ),
    "wrong-type-in-code": Kind(
        "FAILED", "InvalidParameters", "token: Input should be a valid string",
        {"parameters": {"token": [canary("wrong-type-in-code")]}}, {"parameterSchema": _schema()},
    ),
    "refused-by-code": Kind(
        "FAILED", "InvalidParameters", f"marked: Value error, '{MASK}' is refused",
        {"parameters": _parameters("refused-by-code", marked=f"refused {canary('refused-by-code')}")},
    ),
    "unknown-to-code": Kind(
        "FAILED", "InvalidParameters", "got an unexpected keyword argument 'other'",
        {"parameters": _parameters("unknown-to-code", other=1)},
    ),
    "too-large": Kind(
        "FAILED", "ParametersTooLarge", "at most 16384 are allowed", {"parameters": {"token": canary("too-large") * 2000}}
    ),
    "invalid-schema": Kind(
        "FAILED", "InvalidParameters", "spec.parameterSchema cannot be used: properties/token",
        {"parameters": _parameters("invalid-schema")}, {"parameterSchema": _schema(default=canary("invalid-schema"), maxLength="x")},
    ),
    "no-deployment": Kind("FAILED", "DeploymentNotFound", "there is no FlowDeployment", {"parameters": _parameters("no-deployment")}, None),
    "rejected-pod": Kind(
        "CRASHED", "PodRejected", "", {"parameters": _parameters("rejected-pod")},
        {"podTemplate": {"spec": {"containers": [{"name": "flow", "imagePullPolicy": "Sometimes"}]}}},
    ),
}  # fmt: skip


class Installation:
    """Operator, API and kubelet of a namespace; `places` are filled when all runs are over."""

    def __init__(self, kubeconfig: str, folder: Path) -> None:
        self.kubeconfig, self.folder = kubeconfig, folder
        self.name = f"secrets-{uuid.uuid4().hex[:8]}"
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        self.database = folder / "mintaka.db"
        self.operator = Process(
            "mintaka_operator", folder / "operator.log", KUBECONFIG=kubeconfig, MINTAKA_NAMESPACES=self.name, MINTAKA_FLOW_IMAGE="flow:1",
            MINTAKA_API_URL=self.url, MINTAKA_RELEASE_NAMESPACE=self.name, MINTAKA_LEASE_NAMESPACE=self.name, MINTAKA_LOG_LEVEL="DEBUG",
            MINTAKA_HTTP_PORT=str(free_port()),
        )  # fmt: skip
        self.api = Process(
            "mintaka_api", folder / "api.log", "--port", str(port), "--database-url", f"sqlite:///{self.database}",
            KUBECONFIG=kubeconfig, MINTAKA_NAMESPACES=self.name, MINTAKA_RELEASE_NAMESPACE=self.name, MINTAKA_LOG_LEVEL="DEBUG",
        )  # fmt: skip
        self.kubelet = HostKubelet(self.kubectl, folder / "pods")
        self.runs: dict[str, dict[str, Any]] = {}

    def kubectl(self, *arguments: str, given: Any = None) -> str:
        """What kubectl prints."""
        command = ["kubectl", "--kubeconfig", self.kubeconfig, "--namespace", self.name, *arguments]
        text = None if given is None else json.dumps(given)
        done = subprocess.run(command, input=text, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def items(self, kind: str) -> list[dict[str, Any]]:
        """All objects of a kind."""
        return list(json.loads(self.kubectl("get", kind, "--output", "json"))["items"])

    def begin(self) -> None:
        """Start everything and create what KINDS says, with `kubectl apply` as users do."""
        self.kubectl("create", "namespace", self.name)
        self.api.start()
        self.operator.start()
        self.kubelet.start()
        secret = {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": "from-secret"},
            "stringData": {"token": canary("from-secret") + "\n"},
        }
        manifests = [secret, *self._deployments(), *self._runs()]
        self.kubectl("apply", "-f", "-", given={"apiVersion": "v1", "kind": "List", "items": manifests})

    def finish(self) -> None:
        """Wait until all runs are over and mirrored."""

        def over() -> dict[str, dict[str, Any]] | None:
            assert self.kubelet.faults == []
            found = {(run["spec"].get("deployment") or run["metadata"]["name"]): run for run in self.items("flowruns")}
            ended = all((run.get("status") or {}).get("endTime") for run in found.values())
            return found if set(found) == set(KINDS) and ended else None

        self.runs = eventually(over, "all runs over", 120)
        for run in self.runs.values():
            uid, sequence = run["metadata"]["uid"], run["status"]["sequence"]
            eventually(lambda uid=uid, sequence=sequence: self.ask(f"flow-runs/{uid}")["sequence"] >= sequence, f"{uid} mirrored", 60)

    def end(self) -> None:
        """Stop everything."""
        self.kubelet.stop()
        for process in (self.operator, self.api):
            if process.process.poll() is None:
                process.kill()

    def ask(self, path: str) -> Any:
        """An answer of the API."""
        return json.loads(self.text(path))

    def text(self, path: str) -> str:
        """The same as text."""
        with urllib.request.urlopen(f"{self.url}/api/v1/{path}", timeout=20) as answer:  # noqa: S310 - our own URL
            return str(answer.read().decode())

    def mintaka(self, *arguments: str) -> str:
        """What `mintaka` prints, on both streams."""
        command = [sys.executable, "-c", "from mintaka.cli import main; main()", *arguments]
        environment = {**os.environ, "KUBECONFIG": self.kubeconfig, "MINTAKA_API_URL": self.url, "MINTAKA_HISTORY": "on"}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode in (0, 1), done.stderr
        return done.stdout + done.stderr

    def _deployments(self) -> list[dict[str, Any]]:
        specs = {name: _template(**kind.deployment) for name, kind in KINDS.items() if kind.deployment is not None}
        soon = (datetime.now(UTC) + timedelta(seconds=20)).strftime("%Y-%m-%dT%H:%M:%SZ")
        specs["scheduled"]["schedules"] = [{**schedule, "anchor": soon} for schedule in specs["scheduled"]["schedules"]]
        return [
            {"apiVersion": API_VERSION, "kind": "FlowDeployment", "metadata": {"name": name}, "spec": spec} for name, spec in specs.items()
        ]

    def _runs(self) -> list[dict[str, Any]]:
        return [
            {
                "apiVersion": API_VERSION,
                "kind": "FlowRun",
                "metadata": {"name": name},
                "spec": kind.run if "template" in kind.run else {"deployment": name, **kind.run},
            }
            for name, kind in KINDS.items()
            if kind.run is not None
        ]


@pytest.fixture(scope="module")
def installation(kubeconfig: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """All runs of KINDS, over."""
    made = Installation(kubeconfig, tmp_path_factory.mktemp("secrets"))
    try:
        made.begin()
        made.finish()
        yield made
    finally:
        made.end()


def _without_specs(items: list[dict[str, Any]]) -> str:
    """Resources without what their authors wrote."""
    kept = [{key: value for key, value in item.items() if key != "spec"} for item in items]
    for item in kept:
        item["metadata"].get("annotations", {}).pop("kubectl.kubernetes.io/last-applied-configuration", None)
    return json.dumps(kept)


def _uids(there: Installation) -> list[str]:
    return [run["metadata"]["uid"] for run in there.runs.values()]


#: kind of place, what is there, what it shows besides (so that it is known to have been looked at).
PLACES: dict[str, tuple[Callable[[Installation], str], str]] = {
    "status of runs": (lambda there: _without_specs(there.items("flowruns")), "does not obey maxLength 3"),
    "status of deployments": (lambda there: _without_specs(there.items("flowdeployments")), "nextTimes"),
    "Events": (lambda there: json.dumps(there.items("events")), "does not obey maxLength 3"),
    "status of pods, with termination messages": (lambda there: _without_specs(there.items("pods")), "is refused"),
    "ConfigMaps": (lambda there: json.dumps(there.items("configmaps")), "[]"),
    "log of the operator": (lambda there: there.operator.text(), "does not obey maxLength 3"),
    "log of the API": (lambda there: there.api.text(), "GET /api/v1/flow-runs"),
    "output of pods": (lambda there: there.kubelet.outputs(), f"south has {'*' * 10} of"),
    "API: runs": (lambda there: there.text("flow-runs?limit=200"), '"region":"south"'),
    "API: each run": (lambda there: "".join(there.text(f"flow-runs/{uid}") for uid in _uids(there)), '"region":"south"'),
    "API: deployments": (lambda there: there.text("flow-deployments?limit=200"), '"region":"south"'),
    "API: transitions": (lambda there: "".join(there.text(f"flow-runs/{uid}/transitions") for uid in _uids(there)), "maxLength 3"),
    "API: task runs": (lambda there: "".join(there.text(f"flow-runs/{uid}/task-runs") for uid in _uids(there)), f"use {'*' * 10}"),
    "API: logs": (lambda there: "".join(there.text(f"flow-runs/{uid}/logs") for uid in _uids(there)), "south has"),
    "database": (
        lambda there: "".join(path.read_bytes().decode("latin-1") for path in sorted(there.folder.glob("mintaka.db*"))),
        "does not obey maxLength 3",
    ),
    "mintaka get": (lambda there: there.mintaka("get", "-n", there.name, "--output", "wide", "--limit", "99"), "south"),
    "mintaka get, of the cluster": (
        lambda there: there.mintaka("get", "--cluster", "-n", there.name, "--output", "wide", "--limit", "99"), "south",
    ),
    "mintaka get --json": (lambda there: there.mintaka("get", "--cluster", "-n", there.name, "--json", "--limit", "99"), "south"),
    "mintaka get RUN": (
        lambda there: "".join(there.mintaka("get", "--cluster", "-n", there.name, run["metadata"]["name"]) for run in there.runs.values()),
        "south",
    ),
    "mintaka explain": (
        lambda there: "".join(there.mintaka("explain", "--cluster", "-n", there.name, name) for name in ("own", "wrong-by-schema", "refused-by-code")),
        "maxLength 3",
    ),
    "mintaka diff": (lambda there: there.mintaka("diff", "--cluster", "-n", there.name, "own", "refused-by-code"), "state"),
    "mintaka logs": (lambda there: there.mintaka("logs", "-n", there.name, "own"), "south has"),
}  # fmt: skip


@pytest.mark.parametrize("name", list(KINDS))
def test_a_user_sees_how_a_run_with_a_secret_ended(installation: Installation, name: str) -> None:
    """And what was wrong with it."""
    kind, state = KINDS[name], installation.runs[name]["status"]["state"]
    assert (state["type"], state["reason"]) == (kind.state, kind.reason)
    assert kind.told in state["message"]


@pytest.mark.parametrize(("look", "besides"), PLACES.values(), ids=list(PLACES))
def test_no_secret_parameter_can_be_seen(installation: Installation, look: Callable[[Installation], str], besides: str) -> None:
    """Where the resource itself and its pods are not looked at."""
    shown = look(installation)
    assert besides in shown
    assert [name for name in KINDS if canary(name) in shown] == []
    assert CANARY not in shown


def test_a_parameter_from_a_secret_is_in_no_resource_but_the_secret(installation: Installation) -> None:
    """Not in the run, its deployment or its pod; the flow had it."""
    for kind in ("flowruns", "flowdeployments", "pods"):
        assert canary("from-secret") not in json.dumps(installation.items(kind))
    (uid,) = [installation.runs["from-secret"]["metadata"]["uid"]]
    assert f"of {len(canary('from-secret'))} characters" in installation.text(f"flow-runs/{uid}/logs")
    assert installation.ask(f"flow-runs/{uid}")["parameters"] == {}
