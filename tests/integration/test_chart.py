"""A real kube-apiserver accepts what the chart renders: no unknown field, no wrong type, nothing against "restricted"."""

from __future__ import annotations

import json
import subprocess
import uuid
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from helm import CHART, helm_path

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

#: Kinds whose definitions come with other operators.
FOREIGN = ("monitoring.coreos.com/", "gateway.networking.k8s.io/")
VALUES = sorted((CHART / "ci").glob("*.yaml"))


@pytest.fixture(scope="module")
def home(kubeconfig: str) -> Iterator[str]:
    """The release's namespace, which warns of pods that are not restricted."""
    name = f"chart-{uuid.uuid4().hex[:8]}"
    label = ("pod-security.kubernetes.io/warn=restricted",)
    for command in (("create", "namespace", name), ("label", "namespace", name, *label)):
        subprocess.run(["kubectl", "--kubeconfig", kubeconfig, *command], check=True, capture_output=True)
    yield name
    subprocess.run(["kubectl", "--kubeconfig", kubeconfig, "delete", "namespace", "--wait=false", name], check=True, capture_output=True)


def _rendered(values: Path, home: str) -> list[dict[str, Any]]:
    command = [helm_path(), "template", "mintaka", CHART, "--namespace", home, "--kube-version", "1.34.0", "--values", values]
    if "watchNamespaces" in yaml.safe_load(values.read_text(encoding="utf-8")):
        command += ["--set", f"watchNamespaces={{{home}}}"]  # those named there do not exist
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    documents = yaml.load_all(done.stdout, Loader=yaml.CSafeLoader)
    return [document for document in documents if document and not document["apiVersion"].startswith(FOREIGN)]


@pytest.mark.parametrize("values", VALUES, ids=lambda path: path.stem)
def test_the_api_server_accepts_it(values: Path, kubeconfig: str, home: str) -> None:
    """Each set of values in ci/, in a dry run with strict validation; it warns of nothing."""
    command = [
        "kubectl",
        "--kubeconfig",
        kubeconfig,
        "apply",
        "--server-side",
        "--force-conflicts",
        "--dry-run=server",
        "--validate=strict",
    ]
    items = {"apiVersion": "v1", "kind": "List", "items": _rendered(values, home)}
    done = subprocess.run([*command, "-f", "-"], input=json.dumps(items), check=False, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
