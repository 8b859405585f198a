"""A kubelet of one namespace that runs the pods of flows as processes of this machine, for tests with a control plane alone."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from mintaka_core.names import ANNOTATION_SOURCE, FLOW_CONTAINER

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_LOOK_SECONDS = 0.2


class HostKubelet:
    """Runs `python -m mintaka.runner` for each pod and writes its status. `kubectl` is called with arguments and what it is given."""

    def __init__(self, kubectl: Callable[..., str], folder: Path) -> None:
        self._kubectl = kubectl
        self.folder = folder
        self._seen: set[str] = set()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.faults: list[BaseException] = []

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End; pods that run are finished first."""
        self._stopping.set()
        self._thread.join(60)

    def outputs(self) -> str:
        """What all flows printed."""
        return "\n".join(path.read_text(encoding="utf-8") for path in sorted(self.folder.glob("*/output")))

    def _run(self) -> None:
        try:
            while not self._stopping.wait(_LOOK_SECONDS):
                for pod in json.loads(self._kubectl("get", "pods", "--output", "json"))["items"]:
                    if pod["metadata"]["uid"] not in self._seen:
                        self._seen.add(pod["metadata"]["uid"])
                        self._run_pod(pod)
        except BaseException as error:  # noqa: BLE001 - the test looks at it
            self.faults.append(error)

    def _run_pod(self, pod: dict[str, Any]) -> None:
        started = _now()
        self._write(pod, "Running", {"running": {"startedAt": started}}, started)
        place = self.folder / pod["metadata"]["name"]
        place.mkdir(parents=True)
        container = next(each for each in pod["spec"]["containers"] if each["name"] == FLOW_CONTAINER)
        variables = {entry["name"]: self._value(entry) for entry in container.get("env", [])}
        if source := pod["metadata"].get("annotations", {}).get(ANNOTATION_SOURCE):
            (place / variables["MINTAKA_ENTRYPOINT"].rpartition(":")[0]).write_text(source, encoding="utf-8")
        ours = {
            "MINTAKA_SOURCE_DIR": str(place),
            "MINTAKA_ATTEMPT_DIR": str(place),
            "MINTAKA_TERMINATION_MESSAGE_PATH": str(place / "message"),
        }
        environment = {**os.environ, **variables, **ours, "MINTAKA_HISTORY_GRACE_SECONDS": "10"}
        command = [sys.executable, "-m", "mintaka.runner"]
        with (place / "output").open("wb") as output:
            ended = subprocess.run(command, env=environment, cwd=place, stdout=output, stderr=subprocess.STDOUT, timeout=60, check=False)
        message = (place / "message").read_text(encoding="utf-8") if (place / "message").exists() else ""
        terminated = {
            "exitCode": ended.returncode,
            "reason": "Error" if ended.returncode else "Completed",
            "message": message,
            "startedAt": started,
            "finishedAt": _now(),
        }
        self._write(pod, "Failed" if ended.returncode else "Succeeded", {"terminated": terminated}, started)

    def _value(self, entry: dict[str, Any]) -> str:
        """The value of a variable, as the kubelet expands it or reads it from a Secret."""
        if "valueFrom" in entry:
            reference = entry["valueFrom"]["secretKeyRef"]
            secret = json.loads(self._kubectl("get", "secret", reference["name"], "--output", "json"))
            return subprocess.run(
                ["base64", "-d"], input=secret["data"][reference["key"]], capture_output=True, text=True, check=True
            ).stdout
        return re.sub(r"\$\$", "$", str(entry.get("value", "")))

    def _write(self, pod: dict[str, Any], phase: str, state: dict[str, Any], started: str) -> None:
        container = {
            "name": FLOW_CONTAINER,
            "state": state,
            "ready": "running" in state,
            "restartCount": 0,
            "image": "none",
            "imageID": "none",
            "started": True,
        }
        status = {"phase": phase, "startTime": started, "containerStatuses": [container]}
        patch = json.dumps({"status": status})
        self._kubectl("patch", "pod", pod["metadata"]["name"], "--subresource", "status", "--type", "merge", "--patch", patch)


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
