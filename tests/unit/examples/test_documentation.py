"""The pages say what the code does: links, manifests, rules and states."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from mintaka_core.names import API_VERSION
from mintaka_core.policies import FLOW_RUN_POLICY
from mintaka_core.resources import FlowDeployment, FlowRun
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
        for document in yaml.safe_load_all(block):
            if document.get("apiVersion") != API_VERSION:
                continue
            model = {"FlowDeployment": FlowDeployment, "FlowRun": FlowRun}[document["kind"]]
            understood = model.model_validate({**document, "metadata": {"name": "example", **document["metadata"]}}).to_wire()
            assert set(document["spec"]) <= set(understood["spec"]), f"{page}: unknown fields"


def test_the_page_of_concepts_lists_every_rule_in_order() -> None:
    """The policy is the specification; the page is its table."""
    assert re.findall(r"^\| `(\w+)` \|", _read("docs/concepts.md"), flags=re.MULTILINE) == [rule.__name__ for rule in FLOW_RUN_POLICY]


def test_the_page_of_concepts_lists_every_state() -> None:
    """Each state type has its row."""
    assert set(re.findall(r"^\| ([A-Z]+) \|", _read("docs/concepts.md"), flags=re.MULTILINE)) == set(StateType)
