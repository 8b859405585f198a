"""What `mintaka deploy` prints, and what a real kube-apiserver makes of it through kubectl."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from pathlib import Path

FLOW = """
from mintaka import flow


@flow
def main(n: str = "no", y: str = "on", Y: bool = True, off: int = 1, null: str = "~", e: str = "1e3", text: str = "a: b"):
    return n
"""
#: Texts that YAML 1.1, which kubectl reads, can take for something else.
TEXTS = ["n", "y", "yes", "No", "on", "OFF", "true", "null", "~", "1e3", "0x1F", "0o17", "1_000", "12:30:00", "2026-01-01", ".5", "-", "", " x", "a: b", "#x", "*x", "&x", "!x", "漢", "a\nb\n"]  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the flow."""
    (tmp_path / "a_flow.py").write_text(FLOW, encoding="utf-8")
    return tmp_path


def _mintaka(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from mintaka.cli import main; main()", *arguments]
    return subprocess.run(command, cwd=folder, env={**os.environ, **environment}, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize("values", [{"n": text} for text in TEXTS], ids=TEXTS)
def test_parameters_reach_the_cluster_as_they_were_given(folder: Path, kubeconfig: str, values: dict[str, Any]) -> None:
    """Names and texts that look like booleans, numbers and times among them."""
    options = [f"-p{name}={json.dumps(value)}" for name, value in values.items()]
    printed = _mintaka(folder, "deploy", "a_flow.py:main", "--inline", *options)
    assert printed.returncode == 0, printed.stderr
    command = ["kubectl", "--kubeconfig", kubeconfig, "apply", "--dry-run=server", "--output", "json", "-f", "-"]
    done = subprocess.run(command, input=printed.stdout, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    spec = json.loads(done.stdout)["spec"]
    assert spec["parameters"] == values
    assert set(spec["parameterSchema"]["properties"]) == {"n", "y", "Y", "off", "null", "e", "text"}
    assert spec["parameterSchema"]["properties"]["y"]["default"] == "on"


def test_what_passes_a_limit_never_reaches_the_cluster(folder: Path, kubeconfig: str) -> None:
    """`mintaka apply` refuses it with a sentence; the API server would have taken it."""
    deep = "[" * 260 + "]" * 260
    document = {
        "apiVersion": "mintaka.dev/v1alpha1", "kind": "FlowRun", "metadata": {"name": "deep"},
        "spec": {"deployment": "d", "parameters": {"a": "DEEP"}},
    }  # fmt: skip
    (folder / "deep.json").write_text(json.dumps(document).replace('"DEEP"', deep), encoding="utf-8")
    command = ["kubectl", "--kubeconfig", kubeconfig, "create", "--dry-run=server", "-f", "deep.json"]
    assert subprocess.run(command, cwd=folder, capture_output=True, timeout=60, check=False).returncode == 0
    done = _mintaka(folder, "apply", "deep.json", "--cluster", KUBECONFIG=kubeconfig)
    assert (done.returncode, done.stdout) == (2, "")
    assert "deep.json is nested more than 100 levels deep" in done.stderr
    look = ["kubectl", "--kubeconfig", kubeconfig, "get", "flowruns", "--output", "name"]
    assert "flowrun.mintaka.dev/deep" not in subprocess.run(look, capture_output=True, text=True, timeout=60, check=True).stdout
