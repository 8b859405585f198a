"""Manifests of FlowDeployments: checked against the resource models, printed for people."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import yaml
from pydantic import ValidationError

from mintaka_core.errors import InvalidResource
from mintaka_core.names import API_VERSION
from mintaka_core.resources import FlowDeployment

if TYPE_CHECKING:
    from datetime import datetime


def checked_manifest(metadata: dict[str, Any], spec: dict[str, Any], *, now: datetime) -> dict[str, Any]:
    """The manifest without what is None, once the models take it and each schedule has a next time.

    Raises:
        InvalidResource: a field makes no sense; the message names it.
        InvalidSchedule: a schedule cannot be parsed or never fires.
    """
    manifest = {"apiVersion": API_VERSION, "kind": "FlowDeployment", "metadata": _without_none(metadata), "spec": _without_none(spec)}
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


def _without_none(values: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in values.items() if value is not None}


class _Dumper(yaml.SafeDumper):
    """Writes texts of several lines as blocks, and lists indented under their key."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:  # noqa: ARG002 - PyYAML's signature
        super().increase_indent(flow, indentless=False)


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Dumper.add_representer(str, _text)


def as_yaml(manifest: dict[str, Any]) -> str:
    """The manifest as YAML."""
    return yaml.dump(manifest, Dumper=_Dumper, sort_keys=False, width=120, allow_unicode=True)


def as_json(manifest: dict[str, Any]) -> str:
    """The manifest as JSON."""
    return json.dumps(manifest, indent=2, ensure_ascii=False) + "\n"
