"""The file of pod defaults: a partial PodTemplateSpec under the podTemplate of every deployment.

Read once, when the operator starts. Only errors that would have no visible effect are checked here (unknown fields at the
top, metadata that a pod cannot have); the API server checks the rest with the first pod.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml

_METADATA = {"labels", "annotations"}


def read_pod_template(path: str) -> dict[str, Any]:
    """The pod defaults in the JSON or YAML file at `path`; none if `path` is "".

    Raises:
        ValueError: it cannot be read or is not a PodTemplateSpec; the message names file and field.
    """
    if not path:
        return {}
    try:
        document = _parsed(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        message = f"MINTAKA_POD_TEMPLATE_FILE cannot be read: {error}"
        raise ValueError(message) from error
    except (ValueError, yaml.YAMLError) as error:
        message = f"MINTAKA_POD_TEMPLATE_FILE {path} is neither JSON nor YAML: {error}"
        raise ValueError(message) from error
    fault = _fault(document)
    if fault:
        message = f"MINTAKA_POD_TEMPLATE_FILE {path} is no partial PodTemplateSpec: {fault}"
        raise ValueError(message)
    return document or {}


def _parsed(text: str) -> Any:
    """Parse as JSON if possible, else as YAML, whose `yes` and `no` are booleans."""
    try:
        return json.loads(text)
    except ValueError:
        return yaml.safe_load(text)


def _fault(document: Any) -> str:
    """What is wrong with the document, naming the field; "" if nothing is."""
    if document is None:
        return ""
    if not isinstance(document, dict):
        return "it should be an object with metadata and spec"
    for field in document:
        if field not in {"metadata", "spec"}:
            return f"{field} is neither metadata nor spec"
    metadata, spec = document.get("metadata") or {}, document.get("spec") or {}
    for field, value in {"metadata": metadata, "spec": spec}.items():
        if not isinstance(value, dict):
            return f"{field} should be an object"
    return _fault_of_metadata(metadata) or _fault_of_containers(spec)


def _fault_of_metadata(metadata: dict[str, Any]) -> str:
    for field, entries in metadata.items():
        if field not in _METADATA:
            return f"metadata.{field} cannot be set for every pod, only labels and annotations can"
        if not isinstance(entries, dict | None):
            return f"metadata.{field} should be an object"
        for name, value in (entries or {}).items():
            if not (isinstance(name, str) and isinstance(value, str)):
                return f"metadata.{field}.{name} should be text, not {value!r}: put quotes around it"
    return ""


def _fault_of_containers(spec: dict[str, Any]) -> str:
    for field in ("containers", "initContainers", "volumes", "tolerations", "imagePullSecrets"):
        entries = spec.get(field)
        if entries is None:
            continue
        if not isinstance(entries, list):
            return f"spec.{field} should be a list"
        for index, entry in enumerate(entries):
            if not isinstance(entry, dict):
                return f"spec.{field}[{index}] should be an object"
            if field != "tolerations" and not isinstance(entry.get("name"), str) and "$patch" not in entry:
                return f"spec.{field}[{index}] has no name; the container of the flow is named flow"
    return ""
