"""What one run overrides in its deployment, applied to the template; pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mintaka_core.flow_containers import flow_container_name
from mintaka_core.json_values import items, mapping
from mintaka_core.names import FLOW_CONTAINER
from mintaka_core.strategic_merge import strategic_merge

if TYPE_CHECKING:
    from mintaka_core.resources import FlowTemplate
    from mintaka_core.resources.runs import RunOverrides


def with_overrides(template: FlowTemplate, overrides: RunOverrides | None) -> FlowTemplate:
    """The template with the overrides of a run, in which the flow's container is called `flow` whatever its name is."""
    if overrides is None:
        return template
    pod = template.pod_template
    if overrides.pod_template:
        pod = strategic_merge(pod or {}, _renamed(overrides.pod_template, flow_container_name(template) or FLOW_CONTAINER))
    return template.model_copy(update={"image": overrides.image or template.image, "pod_template": pod})


def _renamed(pod: dict[str, Any], container: str) -> dict[str, Any]:
    spec = mapping(pod.get("spec"))
    if container == FLOW_CONTAINER or not isinstance(spec.get("containers"), list):
        return pod
    named = [{**one, "name": container} if one.get("name") == FLOW_CONTAINER else one for one in items(spec["containers"])]
    return {**pod, "spec": {**spec, "containers": named}}
