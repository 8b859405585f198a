"""The container of a podTemplate that runs the flow; pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mintaka_core import names
from mintaka_core.json_values import items, mapping

if TYPE_CHECKING:
    from mintaka_core.json_values import Json
    from mintaka_core.resources import FlowTemplate


def flow_container_name(template: FlowTemplate) -> str | None:
    """The name of the flow's container; None if it is ambiguous.

    It is `flow`, or the author's name of the only container of a flow without an entrypoint.
    """
    containers = items(mapping(mapping(template.pod_template).get("spec")).get("containers"))
    there = [container.get("name") for container in containers]
    if template.entrypoint or not there or names.FLOW_CONTAINER in there:
        return names.FLOW_CONTAINER
    only = there[0]
    return only if len(there) == 1 and isinstance(only, str) and only else None


def flow_container(template: FlowTemplate) -> Json:
    """The flow's container in podTemplate; empty if podTemplate does not have it, or if it is ambiguous."""
    name = flow_container_name(template)
    containers = items(mapping(mapping(template.pod_template).get("spec")).get("containers"))
    return next((container for container in containers if name is not None and container.get("name") == name), {})
