"""The release as users have it: operator and API in pods, from the chart with its defaults, the mirror on.

Their processes run on this machine's own node, so their CPU time and memory are read from /proc.
"""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any, Self

import aiohttp

from shared.processes import cpu_seconds, memory_mib

_NAMESPACE = "mintaka-system"


class InstalledRelease:
    """Operator and API of the release; use as an async context manager, like the operator's own process."""

    def __init__(self) -> None:
        self._operator = _pod("operator")
        self._api = _pod("api")

    async def __aenter__(self) -> Self:
        self.check()
        return self

    async def __aexit__(self, *_: object) -> None:
        """It stays."""

    async def metrics(self) -> str:
        """What the operator says of itself."""
        async with aiohttp.ClientSession() as session, session.get(f"http://{self._operator['status']['podIP']}:8080/metrics") as answer:
            return await answer.text()

    def check(self) -> None:
        """Raises RuntimeError if one of them has ended."""
        if not (Path(f"/proc/{self.pid}").exists() and Path(f"/proc/{self.api_pid}").exists()):
            message = "operator or API of the release has ended meanwhile"
            raise RuntimeError(message)

    @property
    def pid(self) -> int:
        """The operator's process on this machine."""
        return _process_of(self._operator, "mintaka_operator")

    @property
    def api_pid(self) -> int:
        """The API's process on this machine."""
        return _process_of(self._api, "mintaka_api")

    @property
    def cpu(self) -> float:
        """CPU time of the operator so far, in seconds."""
        return cpu_seconds(self.pid)

    @property
    def memory(self) -> tuple[float, float]:
        """Resident memory of the operator in MiB: now, at its highest."""
        return memory_mib(self.pid)

    @property
    def api_cpu(self) -> float:
        """CPU time of the API so far, in seconds."""
        return cpu_seconds(self.api_pid)

    @property
    def api_memory(self) -> tuple[float, float]:
        """Resident memory of the API in MiB: now, at its highest."""
        return memory_mib(self.api_pid)


def _pod(component: str) -> dict[str, Any]:
    selector = f"app.kubernetes.io/component={component}"
    command = ["kubectl", "--namespace", _NAMESPACE, "get", "pods", "--selector", selector, "--output", "json"]
    pods = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)["items"]
    ready = [pod for pod in pods if not pod["metadata"].get("deletionTimestamp") and pod["status"].get("podIP")]
    if len(ready) != 1:
        message = f"the release in {_NAMESPACE} has {len(ready)} {component} pods, this benchmark needs one: tools/install"
        raise RuntimeError(message)
    return dict(ready[0])


def _process_of(pod: dict[str, Any], module: str) -> int:
    """The process of a pod's container: the one of that command line in the pod's cgroup."""
    uid = pod["metadata"]["uid"]
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        try:
            words = (folder / "cmdline").read_bytes().split(b"\0")
            if module.encode() in words and uid in (folder / "cgroup").read_text(encoding="ascii").replace("_", "-"):
                return int(folder.name)
        except OSError:
            continue
    message = f"no process of {module} in pod {pod['metadata']['name']} on this machine ({os.uname().nodename})"
    raise RuntimeError(message)
