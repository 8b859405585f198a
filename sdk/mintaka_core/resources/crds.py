"""The CustomResourceDefinitions, generated from the models: `python -m mintaka_core.resources.crds FOLDER ...`.

A pydantic JSON Schema is not a Kubernetes structural schema: references are inlined, `anyOf [X, null]` becomes an optional
X, titles and nulls are dropped (Kubernetes, "Extend the API with CRDs", structural schemas). A construct without a
structural form raises instead of being dropped.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from mintaka_core.names import API_VERSION, CLUSTER_RULE, GROUP, NAMESPACED_RULE, VERSION
from mintaka_core.resources.deployments import FlowDeploymentSpec, FlowDeploymentStatus
from mintaka_core.resources.model import ATOMIC, cel
from mintaka_core.resources.orchestration_rules import OrchestrationRuleSpec, OrchestrationRuleStatus
from mintaka_core.resources.runs import FlowRunSpec, FlowRunStatus

if TYPE_CHECKING:
    from pydantic import BaseModel

_KEPT = {
    "type", "description", "enum", "pattern", "format", "default", "required", "items", "properties", "additionalProperties",
    "minimum", "maximum", "minLength", "maxLength", "minItems", "maxItems", "minProperties", "maxProperties",
}  # fmt: skip
_DROPPED = {"title", "$defs"}

#: FlowRun names leave room for the pod's suffix, and deployments' for the time in their runs' names.
_NAME_RULE = cel("size(self.metadata.name) <= 200", "metadata.name takes at most 200 characters: pods are named after it")
#: With its kind, the name of a rule is part of each decision.
_RULE_NAME_RULE = cel("size(self.metadata.name) <= 63", "metadata.name takes at most 63 characters")

_RESUME_RULE = cel(
    "!has(self.spec.resumeFrom) || self.spec.resumeFrom != self.metadata.name",
    "a run cannot resume from itself: raise spec.reruns to run it again",
)


def structural(model: type[BaseModel]) -> dict[str, Any]:
    """The structural schema of `model`, with its docstring as description."""
    schema = model.model_json_schema(by_alias=True)
    return _structural(schema, schema.get("$defs", {}))


def _structural(schema: dict[str, Any], definitions: dict[str, Any]) -> dict[str, Any]:
    schema = _resolved(schema, definitions)
    result: dict[str, Any] = {}
    for key, value in schema.items():
        if key in _DROPPED or (key == "default" and value is None):
            continue
        if key == "properties":
            result[key] = {name: _structural(part, definitions) for name, part in value.items()}
        elif key == "items" or (key == "additionalProperties" and isinstance(value, dict)):
            result[key] = _structural(value, definitions)
        elif key == "additionalProperties":
            continue
        elif key == "default":
            result[key] = _without_nulls(value)
        elif key in _KEPT or key.startswith("x-kubernetes-"):
            result[key] = " ".join(value.split()) if key == "description" else value
        else:
            message = f"{key!r} has no structural form: {schema}"
            raise ValueError(message)
    return result


def _resolved(schema: dict[str, Any], definitions: dict[str, Any]) -> dict[str, Any]:
    """`schema` with its reference and its optional anyOf inlined; keywords beside them take precedence."""
    beside = {key: value for key, value in schema.items() if key not in ("$ref", "anyOf", "allOf")}
    if reference := schema.get("$ref"):
        return {**_resolved(definitions[reference.rsplit("/", 1)[1]], definitions), **beside}
    if options := schema.get("anyOf"):
        kept = [option for option in options if option != {"type": "null"}]
        if len(kept) != 1:
            message = f"a union has no structural form: {schema}"
            raise ValueError(message)
        return {**_resolved(kept[0], definitions), **beside}
    return schema


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nulls(part) for key, part in value.items() if part is not None}
    return value


def _column(name: str, path: str, description: str, *, column_type: str = "string", priority: int = 0) -> dict[str, Any]:
    return {"name": name, "type": column_type, "jsonPath": path, "description": description, "priority": priority}


def _crd(
    kind: str,
    short_name: str,
    description: str,
    spec: type[BaseModel],
    status: type[BaseModel],
    columns: list[dict[str, Any]],
    selectable: list[str],
    rules: list[dict[str, str]],
    scope: str = "Namespaced",
) -> dict[str, Any]:
    plural = kind.lower() + "s"
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{GROUP}", "labels": {"app.kubernetes.io/name": "mintaka", "app.kubernetes.io/part-of": "mintaka"}},
        "spec": {
            "group": GROUP,
            "scope": scope,
            "names": {
                "kind": kind,
                "listKind": kind + "List",
                "plural": plural,
                "singular": kind.lower(),
                "shortNames": [short_name],
                "categories": ["mintaka"],
            },
            "versions": [
                {
                    "name": VERSION,
                    "served": True,
                    "storage": True,
                    "subresources": {"status": {}},
                    "additionalPrinterColumns": columns,
                    "selectableFields": [{"jsonPath": path} for path in selectable],
                    "schema": {
                        "openAPIV3Schema": {
                            "type": "object",
                            "description": description,
                            "required": ["spec"],
                            "x-kubernetes-validations": rules,
                            "properties": {
                                "apiVersion": {"type": "string", "description": f"Always {API_VERSION}."},
                                "kind": {"type": "string", "description": f"Always {kind}."},
                                "metadata": {"type": "object"},
                                "spec": structural(spec),
                                "status": structural(status) | ATOMIC,  # its only writer is the operator
                            },
                        }
                    },
                }
            ],
        },
    }


def crds() -> dict[str, dict[str, Any]]:
    """Every CRD, by file name."""
    age = _column("Age", ".metadata.creationTimestamp", "When it was created", column_type="date")
    return {
        "flowdeployments.yaml": _crd(
            "FlowDeployment",
            "fd",
            "A flow that is ready to be run: by hand, by creating a FlowRun that names it, or on its schedules.",
            FlowDeploymentSpec,
            FlowDeploymentStatus,
            [
                _column("Ready", '.status.conditions[?(@.type=="Ready")].status', "Whether runs can be created and started"),
                _column("Suspended", ".spec.suspend", "Whether its schedules are held back", column_type="boolean"),
                _column("Active", ".status.activeRuns", "Runs that are not finished", column_type="integer"),
                _column("Last", ".status.lastScheduleTime", "The last scheduled run", column_type="date"),
                _column("Next", ".status.nextScheduleTime", "The next scheduled run (UTC)"),
                _column("Entrypoint", ".spec.entrypoint", "The flow", priority=1),
                _column("Reason", '.status.conditions[?(@.type=="Ready")].reason', "Why it is ready or not", priority=1),
                age,
            ],
            [".spec.suspend"],
            [_NAME_RULE],
        ),
        "flowruns.yaml": _crd(
            "FlowRun",
            "fr",
            "One run of a flow. Create it to run it, set spec.cancel to stop it; deleting it stops it too, and the database keeps its history.",
            FlowRunSpec,
            FlowRunStatus,
            [
                _column("Deployment", ".spec.deployment", "The FlowDeployment it runs"),
                _column("State", ".status.state.type", "State type"),
                _column("Attempt", ".status.attempt", "Which attempt it is in", column_type="integer"),
                _column("Reason", ".status.problem", "What is wrong or holds it"),
                _column("Age", ".metadata.creationTimestamp", "When it was created", column_type="date"),
                _column("Name", ".status.state.name", "State name", priority=1),
                _column("Pod", ".status.podName", "The current attempt's pod", priority=1),
                _column(
                    "Message",
                    '.status.conditions[?(@.type=="Finished")].message',
                    "Why it is there, what happens next, and what would change it",
                    priority=1,
                ),
            ],
            [".status.state.type", ".spec.deployment"],
            [_NAME_RULE, _RESUME_RULE],
        ),
        "orchestrationrules.yaml": _rule_crd(NAMESPACED_RULE, "orule", "A rule about the flow runs of its namespace.", "Namespaced"),
        "clusterorchestrationrules.yaml": _rule_crd(CLUSTER_RULE, "corule", "A rule about the flow runs of all namespaces.", "Cluster"),
    }


def _rule_crd(kind: str, short_name: str, description: str, scope: str) -> dict[str, Any]:
    return _crd(
        kind,
        short_name,
        description,
        OrchestrationRuleSpec,
        OrchestrationRuleStatus,
        [
            _column("Accepted", '.status.conditions[?(@.type=="Accepted")].status', "Whether it is applied"),
            _column("Evaluating", '.status.conditions[?(@.type=="Evaluating")].status', "Whether its condition could be evaluated last"),
            _column("Verdicts", ".status.verdicts", "How often it had a verdict", column_type="integer"),
            _column("Holding", ".status.holding", "How many runs it holds back", column_type="integer"),
            _column("When", ".spec.when", "Its condition", priority=1),
            _column("Message", ".spec.message", "Why, for people", priority=1),
            _column("Age", ".metadata.creationTimestamp", "When it was created", column_type="date"),
        ],
        [],
        [_RULE_NAME_RULE],
        scope,
    )


def main(folders: list[str]) -> None:
    """Write every CRD into each of `folders`."""
    for folder in folders:
        for name, crd in crds().items():
            text = "# Generated by `make crds` from sdk/mintaka_core/resources; do not edit.\n" + yaml.safe_dump(
                crd, sort_keys=False, width=160, allow_unicode=True
            )
            Path(folder, name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
