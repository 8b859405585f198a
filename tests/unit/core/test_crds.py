"""The CRDs: generated, committed, structural, described."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pytest
import yaml
from pydantic import BaseModel

from mintaka_core.resources.crds import crds, main, structural

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[3]
FOLDERS = [ROOT / "crds", ROOT / "charts" / "mintaka" / "files" / "crds"]
CRDS = crds()
#: kubectl apply keeps the whole manifest in an annotation, and annotations take 256 KiB in all.
LIMIT_BYTES = 256 * 1024


def schema_of(name: str) -> dict[str, Any]:
    """The schema of the only version."""
    (version,) = CRDS[name]["spec"]["versions"]
    return dict(version["schema"]["openAPIV3Schema"])


def nodes(schema: dict[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every schema in a schema, with its path; not into what is anything anyway."""
    yield path, schema
    for name, part in schema.get("properties", {}).items():
        yield from nodes(part, f"{path}.{name}")
    for key in ("items", "additionalProperties"):
        if isinstance(schema.get(key), dict):
            yield from nodes(schema[key], f"{path}[]")


NODES = [(name, path, node) for name in CRDS for path, node in nodes(schema_of(name))]


@pytest.mark.parametrize("folder", FOLDERS, ids=["crds", "chart"])
def test_the_committed_files_are_what_the_models_say(folder: Path, tmp_path: Path) -> None:
    """Run `make crds` when this fails: a model was changed, or a file by hand."""
    main([str(tmp_path)])
    generated = {path.name: path.read_text(encoding="utf-8") for path in tmp_path.iterdir()}
    committed = {path.name: path.read_text(encoding="utf-8") for path in folder.glob("*.yaml")}
    assert committed == generated


@pytest.mark.parametrize("name", CRDS)
def test_a_file_fits_into_an_annotation(name: str) -> None:
    """So that `kubectl apply -f crds/` works."""
    assert len(json.dumps(CRDS[name])) < LIMIT_BYTES


@pytest.mark.parametrize(("name", "path", "node"), [pytest.param(*entry, id=f"{entry[0]}{entry[1]}") for entry in NODES if entry[1]])
def test_every_field_is_described_and_typed(name: str, path: str, node: dict[str, Any]) -> None:
    """The docstrings are what `kubectl explain` shows; a field without one is not explained."""
    assert "type" in node
    if path != ".metadata" and not path.endswith("[]"):
        assert node.get("description"), f"{name}: {path} has no docstring"
        assert "\n" not in node["description"]
    assert not {"$ref", "$defs", "anyOf", "oneOf", "allOf", "not", "title", "const", "exclusiveMinimum", "nullable"} & node.keys()
    assert node.get("default", "") is not None
    if node["type"] == "array":
        assert "items" in node
    if node["type"] == "object" and path != ".metadata":
        assert {"properties", "additionalProperties", "x-kubernetes-preserve-unknown-fields"} & node.keys()


@pytest.mark.parametrize(
    ("name", "path", "node"), [pytest.param(*entry, id=f"{entry[0]}{entry[1]}") for entry in NODES if "pattern" in entry[2]]
)
def test_patterns_are_such_that_go_knows_them(name: str, path: str, node: dict[str, Any]) -> None:
    """RE2 has no look-around and no back-references; a pattern that it refuses makes the CRD invalid."""
    assert name
    assert path
    assert re.compile(node["pattern"])
    assert not re.search(r"\(\?[=!<]|\\[1-9]|\\Z", node["pattern"])


@pytest.mark.parametrize("name", CRDS)
def test_lists_and_texts_that_rules_look_into_are_bounded(name: str) -> None:
    """The API server estimates the cost of CEL from the bounds, and refuses a CRD that might cost too much."""
    for path, node in nodes(schema_of(name)["properties"]["spec"], "spec"):
        if node["type"] == "array":
            assert "maxItems" in node, path
        if node["type"] == "string" and "enum" not in node and "format" not in node:
            assert "maxLength" in node, path


@pytest.mark.parametrize("name", CRDS)
def test_every_rule_says_what_to_do(name: str) -> None:
    """A CEL rule comes with a sentence for whoever it refuses."""
    rules = [rule for _, node in nodes(schema_of(name)) for rule in node.get("x-kubernetes-validations", ())]
    assert rules
    for rule in rules:
        assert rule["rule"]
        assert len(rule["message"].split()) > 3


@pytest.mark.parametrize("name", CRDS)
def test_columns_and_selectable_fields_exist(name: str) -> None:
    """A column that points nowhere is an empty one."""
    (version,) = CRDS[name]["spec"]["versions"]
    paths = {path for path, _ in nodes(schema_of(name))}
    for column in version["additionalPrinterColumns"]:
        path = re.sub(r"\[\?.*?\]", "[]", column["jsonPath"])
        assert path.startswith(".metadata.") or path in paths, column
        assert column["description"]
    for field in version["selectableFields"]:
        assert field["jsonPath"] in paths


def test_users_and_the_operator_write_different_halves() -> None:
    """Both kinds have a status subresource and one version that is served and stored."""
    for crd in CRDS.values():
        (version,) = crd["spec"]["versions"]
        assert version["subresources"] == {"status": {}}
        assert version["served"]
        assert version["storage"]


def test_the_files_are_plain_yaml_with_a_word_of_warning() -> None:
    """They begin by saying that they are generated, and parse to what was generated."""
    for folder in FOLDERS:
        for name, crd in CRDS.items():
            text = (folder / name).read_text(encoding="utf-8")
            assert text.startswith("# Generated by `make crds`")
            assert yaml.safe_load(text) == crd


class Union(BaseModel):
    """Two types in one field."""

    field: int | str


class Exclusive(BaseModel):
    """A keyword that structural schemas lack."""

    field: Literal[1]


@pytest.mark.parametrize("model", [Union, Exclusive], ids=["a union", "a constant"])
def test_what_has_no_structural_form_is_refused(model: type[BaseModel]) -> None:
    """Left out silently, it would be a check that nobody makes."""
    with pytest.raises(ValueError, match="structural form"):
        structural(model)
