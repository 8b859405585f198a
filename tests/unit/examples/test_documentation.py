"""The pages say what the code does: links, manifests, rules and states."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from mintaka_api.app import create_app
from mintaka_api.openapi import document
from mintaka_api.settings import Settings
from mintaka_core.names import API_VERSION
from mintaka_core.policies import FLOW_RUN_POLICY, TASK_RUN_POLICY
from mintaka_core.resources import FlowDeployment, FlowRun, OrchestrationRule
from mintaka_core.rule_tables import with_tables
from mintaka_core.states import StateType

ROOT = Path(__file__).parents[3]
PAGES = ["README.md", "CHANGELOG.md", "CONTRIBUTING.md", *(f"docs/{path.name}" for path in sorted((ROOT / "docs").glob("*.md")))]


def _read(page: str) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page: str) -> None:
    """Every relative link has a file at its end."""
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", _read(page)):
        if "://" not in target:
            assert ((ROOT / page).parent / target).exists(), f"{page} links to {target}"


@pytest.mark.parametrize("page", PAGES)
def test_manifests_in_the_documentation_are_right(page: str) -> None:
    """What people copy from a page is understood, and no field of it is unknown."""
    for block in re.findall(r"```yaml\n(.*?)```", _read(page), flags=re.DOTALL):
        for manifest in yaml.safe_load_all(block):
            if manifest.get("apiVersion") != API_VERSION:
                continue
            model = {"FlowDeployment": FlowDeployment, "FlowRun": FlowRun, "OrchestrationRule": OrchestrationRule}[manifest["kind"]]
            understood = model.model_validate({**manifest, "metadata": {"name": "example", **manifest["metadata"]}}).to_wire()
            assert set(manifest["spec"]) <= set(understood["spec"]), f"{page}: unknown fields"


def test_the_page_of_concepts_lists_every_rule_of_both_policies_in_order_with_its_sentence() -> None:
    """The policies are the specification; the page has their tables (`make rule-tables`)."""
    page = _read("docs/concepts.md")
    rows = re.findall(r"^\| `(\w+)` \| (.+) \|$", page, flags=re.MULTILINE)
    assert rows == [(rule.name, rule.sentence) for policy in (FLOW_RUN_POLICY, TASK_RUN_POLICY) for rule in policy]
    assert with_tables(page) == page


def test_the_page_of_concepts_lists_every_state() -> None:
    """Each state type has its row."""
    assert set(re.findall(r"^\| ([A-Z]+) \|", _read("docs/concepts.md"), flags=re.MULTILINE)) == set(StateType)


def test_the_page_of_the_api_lists_every_route() -> None:
    """What the app serves is what the page says, no more and no less."""
    described = document(create_app(Settings(mirror=False)))["paths"]
    routes = {f"{method.upper()} {path}" for path, methods in described.items() for method in methods}
    routes |= {"GET /healthz", "GET /readyz", "GET /metrics", "GET /openapi.json"}
    assert set(re.findall(r"^\| `((?:GET|POST|PUT|DELETE) [^`]+)` \|", _read("docs/api.md"), flags=re.MULTILINE)) == routes


PYTHON = [
    pytest.param(block, id=f"{page} {number}")
    for page in PAGES
    for number, block in enumerate(re.findall(r"```python\n(.*?)```", _read(page), flags=re.DOTALL), start=1)
]


@pytest.mark.parametrize("block", PYTHON)
def test_python_in_the_documentation_runs(block: str, tmp_path: Path) -> None:
    """Each block is a script of its own that ends well, and needs no server."""
    script = tmp_path / "block.py"
    script.write_text(block, encoding="utf-8")
    surroundings = os.environ | {"MINTAKA_HISTORY": "on", "MINTAKA_HOME": str(tmp_path / "home")}
    command = [sys.executable, "-W", "error", script]
    done = subprocess.run(command, check=False, capture_output=True, text=True, cwd=tmp_path, env=surroundings)
    assert done.returncode == 0, done.stderr
