"""The manifests people copy are right: the API server's schema and the models take them."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from mintaka_core.resources import FlowDeployment, FlowRun

ROOT = Path(__file__).parents[3]
EXAMPLES = ROOT / "examples"
MODELS = {"FlowDeployment": FlowDeployment, "FlowRun": FlowRun}
MANIFESTS = sorted(path for path in EXAMPLES.rglob("*.yaml") if "apiVersion: mintaka.dev/" in path.read_text(encoding="utf-8"))


def _documents(path: Path) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all(path.read_text(encoding="utf-8")))


def _strict_schema(kind: str) -> dict[str, Any]:
    """The CRD's schema as `kubectl apply` sees it: unknown fields are refused."""
    text = (ROOT / "crds" / f"{kind.lower()}s.yaml").read_text(encoding="utf-8")
    schema = yaml.safe_load(text)["spec"]["versions"][0]["schema"]["openAPIV3Schema"]

    def closed(part: Any) -> Any:
        if isinstance(part, list):
            return [closed(inner) for inner in part]
        if not isinstance(part, dict):
            return part
        part = {name: closed(inner) for name, inner in part.items()}
        if "properties" in part and "additionalProperties" not in part and "x-kubernetes-preserve-unknown-fields" not in part:
            part["additionalProperties"] = False
        return part

    return {**closed(schema), "required": ["apiVersion", "kind", "metadata", "spec"]}


def _source(path: Path, document: dict[str, Any]) -> tuple[str, str] | None:
    """Text of the flow's source and name of the flow in it; None for a plain container or a run of a deployment."""
    template = document["spec"].get("template", document["spec"])
    if "entrypoint" not in template:
        return None
    file, function = template["entrypoint"].split(":")
    source = template["source"]
    return source.get("inline") or (path.parent / file).read_text(encoding="utf-8"), function


@pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: str(path.relative_to(EXAMPLES)))
def test_the_schema_and_the_model_take_it(path: Path) -> None:
    """No misspelt field, no wrong type."""
    for document in _documents(path):
        jsonschema.validate(document, _strict_schema(document["kind"]))
        metadata = {"name": "example", **document["metadata"]}
        MODELS[document["kind"]].model_validate({**document, "metadata": metadata})


@pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: str(path.relative_to(EXAMPLES)))
def test_its_flow_exists_and_takes_its_parameters(path: Path) -> None:
    """The entrypoint names a function of the source, whose arguments are those of the manifest."""
    for document in _documents(path):
        found = _source(path, document)
        if found is None:
            continue
        text, name = found
        function = next(node for node in ast.parse(text).body if isinstance(node, ast.FunctionDef) and node.name == name)
        template = document["spec"].get("template", document["spec"])
        given = {
            *template.get("parameters", {}),
            *(key for schedule in template.get("schedules", []) for key in schedule.get("parameters", {})),
        }
        assert given <= {argument.arg for argument in function.args.args}


def test_a_run_names_a_deployment_that_is_there() -> None:
    """run.yaml and deployment.yaml of the ETL belong together, and its parameters obey the deployment's schema."""
    deployment = FlowDeployment.model_validate(_documents(EXAMPLES / "etl" / "deployment.yaml")[0])
    run = _documents(EXAMPLES / "etl" / "run.yaml")[0]["spec"]
    assert run["deployment"] == deployment.metadata.name
    assert deployment.spec.parameter_schema
    jsonschema.validate(deployment.spec.merged_parameters(run["parameters"]), deployment.spec.parameter_schema)


def test_the_configmap_that_kustomize_makes_is_the_one_that_is_mounted() -> None:
    """kustomization.yaml, deployment.yaml and flow.py agree on names."""
    kustomization = yaml.safe_load((EXAMPLES / "etl" / "kustomization.yaml").read_text(encoding="utf-8"))
    deployment = _documents(EXAMPLES / "etl" / "deployment.yaml")[0]
    (generator,) = kustomization["configMapGenerator"]
    assert generator["name"] == deployment["spec"]["source"]["configMap"]["name"]
    assert generator["files"] == [deployment["spec"]["entrypoint"].split(":")[0]]
