"""The file of pod defaults: read as JSON or YAML; what is wrong with it is said with file and field before the operator starts."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from mintaka_operator.pod_template_file import read_pod_template
from mintaka_operator.settings import Settings

if TYPE_CHECKING:
    from pathlib import Path

TEMPLATE = {"metadata": {"labels": {"team": "a"}}, "spec": {"containers": [{"name": "flow", "resources": {"limits": {"cpu": "1"}}}]}}
YAML = """
metadata: {labels: {team: a}}
spec:
  containers:
  - name: flow
    resources: {limits: {cpu: "1"}}
"""


@pytest.mark.parametrize("text", [json.dumps(TEMPLATE), YAML], ids=["JSON", "YAML"])
def test_a_file_is_read(tmp_path: Path, text: str) -> None:
    """Both ways of writing it say the same, and the settings have it."""
    file = tmp_path / "pod"
    file.write_text(text, encoding="utf-8")
    assert read_pod_template(str(file)) == TEMPLATE
    assert Settings.from_environment({"MINTAKA_POD_TEMPLATE_FILE": str(file)}).pod_template == TEMPLATE


@pytest.mark.parametrize("text", ["", "{}", "null", '{"metadata": null, "spec": null}', '{"metadata": {"labels": null}}'])
def test_an_empty_one_changes_nothing(tmp_path: Path, text: str) -> None:
    """As the chart renders it where nothing is set."""
    (tmp_path / "pod").write_text(text, encoding="utf-8")
    assert all(not value or value == {"labels": None} for value in read_pod_template(str(tmp_path / "pod")).values())


def test_without_a_file_there_are_no_defaults() -> None:
    """The variable is not set."""
    assert Settings.from_environment({}).pod_template == {}


FAULTS: dict[str, tuple[Any, str]] = {
    "a list": ([], "it should be an object with metadata and spec"),
    "a spec at the top": ({"containers": []}, "containers is neither metadata nor spec"),
    "a list for a spec": ({"spec": [1]}, "spec should be an object"),
    "text for metadata": ({"metadata": "x"}, "metadata should be an object"),
    "a name for every pod": ({"metadata": {"name": "x"}}, "metadata.name cannot be set for every pod"),
    "a label that is a number": ({"metadata": {"labels": {"cost": 7}}}, "metadata.labels.cost should be text, not 7: put quotes around it"),
    "labels that are a list": ({"metadata": {"labels": ["a"]}}, "metadata.labels should be an object"),
    "one container": ({"spec": {"containers": {"name": "flow"}}}, "spec.containers should be a list"),
    "a container without a name": ({"spec": {"containers": [{"image": "x"}]}}, "spec.containers[0] has no name; the container of the flow is named flow"),
    "a container that is text": ({"spec": {"initContainers": [{"name": "a"}, "b"]}}, "spec.initContainers[1] should be an object"),
}  # fmt: skip


@pytest.mark.parametrize("sentence", FAULTS)
def test_what_is_no_pod_template_is_refused_with_file_and_field(tmp_path: Path, sentence: str) -> None:
    """So that nobody looks for a setting that was dropped in silence."""
    document, says = FAULTS[sentence]
    file = tmp_path / "pod.json"
    file.write_text(json.dumps(document), encoding="utf-8")
    with pytest.raises(ValueError, match="MINTAKA_POD_TEMPLATE_FILE") as caught:
        read_pod_template(str(file))
    assert str(file) in str(caught.value)
    assert says in str(caught.value)


@pytest.mark.parametrize("content", [None, b"{", b"\xff\xfe", b"a: [b"], ids=["missing", "half of JSON", "no text", "half of YAML"])
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, content: bytes | None) -> None:
    """With the variable that names it."""
    file = tmp_path / "pod.json"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(ValueError, match="MINTAKA_POD_TEMPLATE_FILE") as caught:
        Settings.from_environment({"MINTAKA_POD_TEMPLATE_FILE": str(file)})
    assert str(file) in str(caught.value)


def test_an_operator_whose_file_is_missing_does_not_start(tmp_path: Path) -> None:
    """One line on stderr, exit code 2."""
    environment = {**os.environ, "MINTAKA_POD_TEMPLATE_FILE": str(tmp_path / "nowhere.json")}
    done = subprocess.run([sys.executable, "-m", "mintaka_operator"], env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("mintaka_operator: MINTAKA_POD_TEMPLATE_FILE cannot be read: ")
    assert "nowhere.json" in done.stderr
