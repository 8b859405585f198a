"""Revisions as a user of kubectl sees them: the operator as a process, a real kube-apiserver, pods that fail when the test requests it."""

from __future__ import annotations

import json
import subprocess
import uuid
from typing import TYPE_CHECKING, Any

import pytest

from kube import API_VERSION, eventually
from processes import Process, free_port

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.timeout(180)

#: What JSON libraries write in different ways.
ODD = {"ratio": 1.0, "small": 1e-7, "large": 9007199254740993, "text": "<a & b> é \u2028", "none": None, "list": [1, 2.50]}


class Operator:
    """An operator of one namespace, without an API."""

    def __init__(self, kubeconfig: str, log: Any) -> None:
        self._kubectl = ["kubectl", "--kubeconfig", kubeconfig]
        self._kubeconfig, self._log = kubeconfig, log
        self.name = f"revisions-{uuid.uuid4().hex[:8]}"

    def start(self) -> None:
        """Start a process."""
        self.process = Process(
            "mintaka_operator", self._log, KUBECONFIG=self._kubeconfig, MINTAKA_NAMESPACES=self.name, MINTAKA_FLOW_IMAGE="flow:1",
            MINTAKA_MIRROR="disabled", MINTAKA_LEASE_NAMESPACE=self.name, MINTAKA_HTTP_PORT=str(free_port()),
        )  # fmt: skip
        self.process.start()

    def kubectl(self, *arguments: str, given: Any = None) -> str:
        """What kubectl prints."""
        command = [*self._kubectl, "--namespace", self.name, *arguments]
        text = None if given is None else json.dumps(given)
        done = subprocess.run(command, input=text, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def apply(self, kind: str, name: str, **fields: Any) -> None:
        """Create or replace an object."""
        version = "v1" if kind == "ConfigMap" else API_VERSION
        self.kubectl("apply", "-f", "-", given={"apiVersion": version, "kind": kind, "metadata": {"name": name}, **fields})

    def get(self, kind: str, name: str) -> dict[str, Any]:
        """An object; empty if it does not exist."""
        return dict(json.loads(self.kubectl("get", kind, name, "--ignore-not-found", "--output", "json") or "{}"))

    def status(self, run: str) -> dict[str, Any]:
        """The status of a run."""
        return dict(self.get("flowrun", run).get("status") or {})

    def fail_pod(self, name: str, message: str) -> None:
        """The container of a pod ends with exit code 3."""
        ended = {
            "exitCode": 3,
            "reason": "Error",
            "message": message,
            "startedAt": "2026-01-01T00:00:00Z",
            "finishedAt": "2026-01-01T00:00:09Z",
        }
        container = {
            "name": "flow", "state": {"terminated": ended}, "ready": False, "restartCount": 0, "image": "flow:1", "imageID": "", "started": False,
        }  # fmt: skip
        status = {"phase": "Failed", "containerStatuses": [container]}
        self.kubectl("patch", "pod", name, "--subresource=status", "--type=merge", "--patch", json.dumps({"status": status}))


@pytest.fixture
def there(kubeconfig: str, tmp_path: Any) -> Iterator[Operator]:
    """It runs."""
    made = Operator(kubeconfig, tmp_path / "log")
    made.kubectl("create", "namespace", made.name)
    made.start()
    yield made
    made.process.stop()


def spec(image: str) -> dict[str, Any]:
    """A deployment's spec."""
    retries = {"onCrash": {"limit": 3, "backoff": {"delaySeconds": 0, "jitter": 0}}}
    source = {"configMap": {"name": "code"}}
    return {"entrypoint": "flow.py:main", "image": image, "source": source, "parameters": ODD, "retries": retries}


def test_a_second_attempt_runs_what_the_first_one_ran_and_kubectl_shows_which(there: Operator) -> None:
    """Deployment and ConfigMap were changed, and the operator restarted, so that it has only what is stored."""
    there.apply("ConfigMap", "code", data={"flow.py": "one <&> é\n"})
    there.apply("FlowDeployment", "etl", spec=spec("flow:1"))
    there.apply("FlowRun", "r", spec={"deployment": "etl"})
    revision = eventually(lambda: there.status("r").get("revision"), "a revision", 60)
    table = [line.split() for line in there.kubectl("get", "controllerrevisions", "--label-columns", "mintaka.dev/deployment").splitlines()]
    assert table[0] == ["NAME", "CONTROLLER", "REVISION", "AGE", "DEPLOYMENT"]
    ((name, controller, number, _, deployment),) = table[1:]
    assert (name, controller, number, deployment) == (revision, "flowdeployment.mintaka.dev/etl", "1", "etl")
    assert there.get("controllerrevision", name)["data"]["spec"]["source"]["configMap"]["files"] == {"flow.py": "one <&> é\n"}

    there.process.stop()
    there.apply("ConfigMap", "code", data={"flow.py": "two\n"})
    there.apply("FlowDeployment", "etl", spec=spec("flow:2"))
    there.fail_pod("r-1", "Traceback\nValueError: no such file\n")
    there.start()

    pod = eventually(lambda: there.get("pod", "r-2"), "a second attempt", 60)
    assert pod["spec"]["containers"][0]["image"] == "flow:1"
    assert pod["metadata"]["annotations"] == {"mintaka.dev/revision": revision, "mintaka.dev/source-0": "one <&> é\n"}
    attempts = eventually(
        lambda: [each for each in there.status("r").get("attempts", ()) if each["number"] == 2] and there.status("r"), "it", 60
    )
    first, second = attempts["attempts"]
    assert (first["podUid"], first["exitCode"], first["reason"]) == (there.get("pod", "r-1")["metadata"]["uid"], 3, "ExitedWithoutReport")
    assert first["logTail"] == "Traceback\nValueError: no such file"
    assert (first["revision"], second["revision"]) == (revision, revision)

    there.apply("FlowRun", "s", spec={"deployment": "etl"})
    eventually(lambda: there.status("s").get("revision"), "another revision", 60)
    names = "jsonpath={range .items[*]}{.revision} {.data.spec.image}{'\\n'}{end}"
    assert sorted(there.kubectl("get", "controllerrevisions", "-l", "mintaka.dev/deployment=etl", "-o", names).splitlines()) == [
        "1 flow:1",
        "2 flow:2",
    ]

    patch = there.kubectl("get", "controllerrevision", revision, "-o", "jsonpath={.data}")
    there.kubectl("patch", "flowdeployment", "etl", "--type=merge", "--patch", patch)
    there.apply("ConfigMap", "code", data={"flow.py": "one <&> é\n"})
    there.apply("FlowRun", "t", spec={"deployment": "etl"})
    assert eventually(lambda: there.status("t").get("revision"), "a revision", 60) == revision
