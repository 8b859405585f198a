"""An operator of one namespace, as a process, beside a real kube-apiserver, and kubectl in that namespace."""

from __future__ import annotations

import json
import subprocess
import uuid
from typing import TYPE_CHECKING, Any

from processes import Process, free_port

if TYPE_CHECKING:
    from pathlib import Path


class NamespacedOperator:
    """An operator without an API; its namespace `name` begins with `prefix`."""

    def __init__(self, prefix: str, kubeconfig: str, log: Path) -> None:
        self._kubectl = ["kubectl", "--kubeconfig", kubeconfig]
        self.name = f"{prefix}-{uuid.uuid4().hex[:8]}"
        self.process = Process(
            "mintaka_operator",
            log,
            KUBECONFIG=kubeconfig,
            MINTAKA_NAMESPACES=self.name,
            MINTAKA_FLOW_IMAGE="flow:1",
            MINTAKA_MIRROR="disabled",
            MINTAKA_LEASE_NAMESPACE=self.name,
            MINTAKA_HTTP_PORT=str(free_port()),
        )

    def start(self) -> None:
        """Create the namespace, and start the operator."""
        self.kubectl("create", "namespace", self.name)
        self.process.start()

    def kubectl(self, *arguments: str, given: Any = None) -> str:
        """The output of kubectl."""
        command = [*self._kubectl, "--namespace", self.name, *arguments]
        text = None if given is None else json.dumps(given)
        done = subprocess.run(command, input=text, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def status(self, kind: str, name: str) -> dict[str, Any]:
        """The status of an object; {} if it has none yet."""
        return dict(json.loads(self.kubectl("get", kind, name, "--output", "json")).get("status") or {})
