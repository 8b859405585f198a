"""Overrides of one run, merged into the template of its deployment."""

from __future__ import annotations

from typing import Any

import pytest

from mintaka_core.resources import FlowTemplate
from mintaka_core.resources.runs import RunOverrides
from mintaka_core.run_overrides import with_overrides

_VARIABLE = {"name": "MODE", "value": "trial"}


def template(**fields: Any) -> FlowTemplate:
    """A flow with a template for its pod."""
    containers = [{"name": "flow", "env": [{"name": "MODE", "value": "usual"}, {"name": "OTHER", "value": "1"}]}, {"name": "proxy"}]
    return FlowTemplate(entrypoint="a:b", image="flows:1", pod_template={"spec": {"containers": containers}}, **fields)


def test_nothing_changes_without_overrides() -> None:
    assert with_overrides(template(), None) == template()


def test_the_image_is_that_of_the_run() -> None:
    assert with_overrides(template(), RunOverrides(image="flows:2")) == template().model_copy(update={"image": "flows:2"})


@pytest.mark.parametrize(
    ("given", "name"),
    [(template(), "flow"), (FlowTemplate(pod_template={"spec": {"containers": [{"name": "main", "image": "busybox"}]}}), "main")],
    ids=["a flow", "a plain container of another name"],
)
def test_its_pod_template_is_merged_over_that_of_the_deployment(given: FlowTemplate, name: str) -> None:
    """Its container `flow` is merged into the container of the flow."""
    overrides = RunOverrides(pod_template={"spec": {"containers": [{"name": "flow", "env": [_VARIABLE]}], "priorityClassName": "low"}})
    spec = (with_overrides(given, overrides).pod_template or {})["spec"]
    before = (given.pod_template or {})["spec"]["containers"]
    assert spec["priorityClassName"] == "low"
    assert [each["name"] for each in spec["containers"]] == [each["name"] for each in before]
    assert next(each for each in spec["containers"] if each["name"] == name)["env"][0] == _VARIABLE
    assert overrides.pod_template == {"spec": {"containers": [{"name": "flow", "env": [_VARIABLE]}], "priorityClassName": "low"}}
