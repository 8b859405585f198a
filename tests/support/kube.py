"""A namespace of the test cluster as the tests speak to it: through kubectl, as users do, waiting on watches with deadlines."""

from __future__ import annotations

import json
import subprocess
import time
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

import httpx

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

API_VERSION = "mintaka.dev/v1alpha1"


def kubectl(*arguments: str, stdin: str | None = None, seconds: float = 120) -> str:
    """What kubectl prints; its complaint as an AssertionError where it fails."""
    done = subprocess.run(["kubectl", *arguments], input=stdin, capture_output=True, text=True, timeout=seconds, check=False)
    assert done.returncode == 0, f"kubectl {' '.join(arguments)}: {done.stderr.strip()}"
    return done.stdout


def refusal(manifest: dict[str, Any]) -> str:
    """What the API server says against a manifest; an AssertionError where it takes it."""
    done = subprocess.run(
        ["kubectl", "create", "--dry-run=server", "-f", "-"],
        input=json.dumps(manifest),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode != 0, f"the API server took {manifest}"
    return done.stderr


class Kube:
    """One namespace."""

    def __init__(self, namespace: str) -> None:
        self.namespace = namespace

    def __call__(self, *arguments: str, stdin: str | None = None, seconds: float = 120) -> str:
        """`kubectl` in the namespace."""
        return kubectl("--namespace", self.namespace, *arguments, stdin=stdin, seconds=seconds)

    def apply(self, *manifests: dict[str, Any]) -> None:
        """Apply manifests, all in one call."""
        self("apply", "-f", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": list(manifests)}))

    def get(self, kind: str, name: str) -> dict[str, Any]:
        """One object."""
        return dict(json.loads(self("get", kind, name, "-o", "json")))

    def items(self, kind: str, *arguments: str) -> list[dict[str, Any]]:
        """All objects of a kind."""
        return list(json.loads(self("get", kind, "-o", "json", *arguments))["items"])

    def patch(self, kind: str, name: str, patch: dict[str, Any]) -> None:
        """Merge a patch into an object."""
        self("patch", kind, name, "--type=merge", "-p", json.dumps(patch))

    def wait(self, what: str, condition: str, seconds: float = 60) -> None:
        """`kubectl wait --for=…`; what it waits for and the pods are in the message if that fails."""
        try:
            self("wait", f"--for={condition}", what, f"--timeout={seconds:.0f}s", seconds=seconds + 10)
        except AssertionError as error:
            found = self("get", what, "-o", "yaml", "--ignore-not-found")
            raise AssertionError(f"{error}\n{found}\n{self('get', 'pods', '-o', 'wide')}") from None

    def reaches(self, run: str, state: str, seconds: float = 60) -> dict[str, Any]:
        """Wait until a run is in a state type; the run."""
        self.wait(f"fr/{run}", f"jsonpath={{.status.state.type}}={state}", seconds)
        return self.get("fr", run)

    def ended(self, run: str, seconds: float = 90) -> dict[str, Any]:
        """Wait until a run is over; the run."""
        self.wait(f"fr/{run}", "condition=Finished", seconds)
        return self.get("fr", run)


def flow_run(name: str, **spec: Any) -> dict[str, Any]:
    """A FlowRun manifest."""
    return {"apiVersion": API_VERSION, "kind": "FlowRun", "metadata": {"name": name}, "spec": spec}


def flow_deployment(name: str, **spec: Any) -> dict[str, Any]:
    """A FlowDeployment manifest."""
    return {"apiVersion": API_VERSION, "kind": "FlowDeployment", "metadata": {"name": name}, "spec": spec}


def python_flow(code: str, **fields: Any) -> dict[str, Any]:
    """A template that runs a flow written out: `code` is its file, `main` its function."""
    return {"entrypoint": "flow.py:main", "source": {"inline": code}, **fields}


def container(*command: str, grace: int = 5, **fields: Any) -> dict[str, Any]:
    """A template that runs a plain container of the flow image with `command`."""
    spec = {"terminationGracePeriodSeconds": grace, "containers": [{"name": "flow", "command": list(command)}]}
    return {"podTemplate": {"spec": spec}, **fields}


def names(run: dict[str, Any]) -> list[str]:
    """The names of the states a run went through."""
    return [transition["name"] for transition in entered(run)]


def entered(run: dict[str, Any]) -> list[dict[str, Any]]:
    """The decisions about a run by which it entered a state, without those that it waits and what was refused."""
    return [transition for transition in run["status"]["transitions"] if transition["verdict"] not in {"Wait", "Abort"}]


class Api:
    """The REST API of the installation under test."""

    def __init__(self, namespace: str, service: str) -> None:
        self._place = (namespace, service, 4200)
        self._way = ExitStack()
        self.connect()

    def connect(self) -> None:
        """Find the way to it, anew where its pod was replaced."""
        self.close()
        url = self._way.enter_context(forwarded(*self._place))
        self.client = self._way.enter_context(httpx.Client(base_url=url + "/api/v1", timeout=20))

    def close(self) -> None:
        """Give up the way to it."""
        self._way.close()

    def get(self, path: str, **query: Any) -> Any:
        """The JSON answer to a GET."""
        answer = self.client.get(path, params=query)
        assert answer.is_success, f"GET {path}: {answer.status_code} {answer.text}"
        return answer.json()

    def items(self, path: str, **query: Any) -> list[dict[str, Any]]:
        """All items of a collection, page by page."""
        found: list[dict[str, Any]] = []
        while True:
            page = self.get(path, limit=200, **query)
            found += page["items"]
            if not page["next"]:
                return found
            query["cursor"] = page["next"]

    def mirrored(self, run: dict[str, Any], seconds: float = 30) -> dict[str, Any]:
        """The run as the database has it, once it has as many decisions as the resource."""
        uid, sequence = run["metadata"]["uid"], run["status"]["sequence"]

        def caught_up() -> dict[str, Any] | None:
            answer = self.client.get(f"/flow-runs/{uid}")
            kept = answer.json() if answer.is_success else {}
            return kept if kept.get("sequence", 0) >= sequence else None

        return eventually(caught_up, f"flow run {uid} in the database with sequence {sequence}", seconds)

    def agrees_with(self, run: dict[str, Any]) -> None:
        """Assert that the database has the run's transitions exactly as the resource has them."""
        self.mirrored(run)
        kept = self.get(f"/flow-runs/{run['metadata']['uid']}/transitions")["items"]
        fields = ("sequence", "to", "name", "reason", "rule", "attempt")
        assert [tuple(row[field] for field in fields) for row in kept] == [
            tuple(row.get(field, "") for field in fields) for row in run["status"]["transitions"]
        ]


def eventually[T](probe: Callable[[], T | None], what: str, seconds: float = 30) -> T:
    """What `probe` returns once it is something; an AssertionError naming `what` when it is not in time."""
    deadline = time.monotonic() + seconds
    while True:
        found = probe()
        if found:
            return found
        assert time.monotonic() < deadline, f"not within {seconds:.0f} s: {what}"
        time.sleep(0.1)


@contextmanager
def forwarded(namespace: str, target: str, port: int) -> Iterator[str]:
    """A URL on this machine that leads to a port of a service or pod."""
    process = subprocess.Popen(
        ["kubectl", "--namespace", namespace, "port-forward", target, f":{port}"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert "->" in line, f"cannot forward to {target}"
        yield "http://127.0.0.1:" + line.split("->")[0].rsplit(":", 1)[1].strip()
    finally:
        process.terminate()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()
