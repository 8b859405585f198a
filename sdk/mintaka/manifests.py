"""Manifests of FlowDeployments: checked against the resource models and the limits, printed for people."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from mintaka_core.errors import InvalidResource
from mintaka_core.limits import check_resource, refuse
from mintaka_core.names import API_VERSION, LABEL_DEPLOYMENT, label_value
from mintaka_core.resources import FlowDeployment, FlowTemplate
from mintaka_core.secret_parameters import SecretParameters
from mintaka_core.time_zones import advice

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import datetime

#: The longest prefix of a run's name that the server completes.
_PREFIX_LENGTH = 190


def checked_manifest(metadata: dict[str, Any], spec: dict[str, Any], *, now: datetime) -> dict[str, Any]:
    """The manifest without what is None, once the models take it and each schedule has a next time.

    Raises:
        TooLarge: it passes a limit of resources.
        InvalidResource: a field makes no sense; the message names it.
        InvalidSchedule: a schedule cannot be parsed or never fires.
    """
    manifest = {"apiVersion": API_VERSION, "kind": "FlowDeployment", "metadata": _without_none(metadata), "spec": _without_none(spec)}
    refuse(check_resource(manifest))
    try:
        deployment = FlowDeployment.model_validate(manifest)
    except ValidationError as error:
        told = "; ".join(
            f"{'.'.join(str(part) for part in problem['loc'])}: {problem['msg']}" for problem in error.errors(include_url=False)
        )
        message = f"this makes no FlowDeployment: {told}"
        raise InvalidResource(message) from error
    for schedule in deployment.spec.schedules:
        schedule.next_time(now)
    return manifest


def warnings_of(manifest: Mapping[str, Any]) -> Iterator[str]:
    """What the author of a FlowDeployment or FlowRun should know, a sentence each: secrets that stand in it, zones that are easily mistaken."""
    for secrets, parameters in parameters_in(manifest):
        for name in parameters:
            if secrets.conceals(parameters, [name]):
                yield (
                    f"parameter {name!r} is secret, and its value stands in the manifest: everyone sees it who may read the resource or its pods. "
                    f"Leave it out and take it from a Kubernetes Secret (--secret-parameter {name}=SECRET/KEY, or spec.secretParameters)"
                )
    spec = manifest.get("spec")
    for zone in dict.fromkeys(str(schedule.get("timeZone", "")) for schedule in _schedules(spec)):
        if said := advice(zone):
            yield said


def parameters_in(manifest: Mapping[str, Any]) -> list[tuple[SecretParameters, dict[str, Any]]]:
    """All parameters in a FlowDeployment or FlowRun, with what is secret of them by the schema that it holds."""
    spec = manifest.get("spec")
    if not isinstance(spec, dict):
        return []
    inline = spec.get("template")
    template: dict[str, Any] = inline if isinstance(inline, dict) else spec
    secrets = SecretParameters(template.get("parameterSchema"))
    holders = [template, *([spec] if template is not spec else []), *_schedules(spec)]
    return [(secrets, parameters) for holder in holders if isinstance(parameters := holder.get("parameters"), dict)]


def run_of_deployment(namespace: str, deployment: str, parameters: dict[str, Any], name: str, tags: Sequence[str]) -> dict[str, Any]:
    """A FlowRun of a FlowDeployment; if `name` is "", the server generates one."""
    metadata = {"namespace": namespace, "labels": {LABEL_DEPLOYMENT: label_value(deployment)}}
    return _run(deployment, name, metadata, {"deployment": deployment, "parameters": parameters or None, "tags": list(tags) or None})


def run_of_template(deployment: dict[str, Any], parameters: dict[str, Any], name: str, tags: Sequence[str]) -> dict[str, Any]:
    """A FlowRun with the template of a FlowDeployment, without the FlowDeployment."""
    metadata, spec = deployment["metadata"], deployment["spec"]
    fields = {field.alias or name for name, field in FlowTemplate.model_fields.items()}
    template = {field: value for field, value in spec.items() if field in fields}
    tagged = sorted({*spec.get("tags", ()), *tags})
    place = {"namespace": metadata["namespace"]} if metadata.get("namespace") else {}
    return _run(metadata["name"], name, place, {"template": template, "parameters": parameters or None, "tags": tagged or None})


def _run(prefix: str, name: str, metadata: dict[str, Any], spec: dict[str, Any]) -> dict[str, Any]:
    named = {"name": name} if name else {"generateName": f"{prefix[:_PREFIX_LENGTH]}-"}
    return {"apiVersion": API_VERSION, "kind": "FlowRun", "metadata": {**metadata, **named}, "spec": _without_none(spec)}


def _schedules(spec: Any) -> list[dict[str, Any]]:
    schedules = spec.get("schedules") if isinstance(spec, dict) else None
    return [schedule for schedule in schedules if isinstance(schedule, dict)] if isinstance(schedules, list) else []


def _without_none(values: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in values.items() if value is not None}


def object_name(text: str) -> str:
    """`text` as a name of a Kubernetes object; `flow` if none of its characters are allowed."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:200].rstrip("-") or "flow"


def deployment_object_name(flow: str, name: str) -> str:
    """The FlowDeployment that the deployment `name` of a flow is: `FLOW-NAME`, or `NAME` if that begins with the flow's name.

    In Prefect each flow has its own `prod`; objects of a namespace need names of their own.
    """
    of_flow, own = object_name(flow), object_name(name)
    return own if own == of_flow or own.startswith(f"{of_flow}-") else object_name(f"{of_flow}-{own}")


def as_json(manifest: dict[str, Any]) -> str:
    """The manifest as JSON."""
    return json.dumps(manifest, indent=2, ensure_ascii=False) + "\n"
