"""The container that runs the flow: its name, environment variables and mounted files."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mintaka_core import names

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mintaka_core.resources import FlowTemplate
    from mintaka_core.resources.template import SecretKeyReference

SOURCE_DIR = "/mintaka/source"
#: An emptyDir of the pod: its content outlives the containers, and shows a restarted container that it is not the first.
ATTEMPT_DIR = "/mintaka/attempt"


def default_container(name: str, template: FlowTemplate, image: str, env: list[dict[str, Any]], *, restricted: bool) -> dict[str, Any]:
    """The container before any template is merged over it. `restricted`: as Pod Security "restricted" requires."""
    container: dict[str, Any] = {
        "name": name,
        "image": template.image or image,
        "env": env,
        "terminationMessagePolicy": "FallbackToLogsOnError",
    }
    if template.entrypoint:
        container["command"] = ["python", "-m", "mintaka.runner"]
    mounts = [{"name": "mintaka-source", "mountPath": SOURCE_DIR, "readOnly": True}] if template.source else []
    mounts += [{"name": "mintaka-attempt", "mountPath": ATTEMPT_DIR}] if template.entrypoint else []
    if mounts:
        container["volumeMounts"] = mounts
    if restricted:
        container["securityContext"] = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
    return container


def environment(variables: Mapping[str, str], secrets: Mapping[str, SecretKeyReference]) -> list[dict[str, Any]]:
    """The container's variables: those with values, and those that the kubelet reads from Secrets."""
    return [
        *({"name": name, "value": _literal(value)} for name, value in variables.items()),
        *(
            {"name": name, "valueFrom": {"secretKeyRef": {"name": reference.name, "key": reference.key}}}
            for name, reference in secrets.items()
        ),
    ]


def default_volumes(template: FlowTemplate, files: Mapping[str, str] | None = None) -> list[dict[str, Any]]:
    """The volumes of the mounts of `default_container`; `files` replace those of a ConfigMap that has changed.

    They and inline source are stored in annotations, which can be larger than a variable (128 KiB) and need no object of
    their own.
    """
    volumes: list[dict[str, Any]] = []
    if template.source and template.source.config_map and files is not None:
        items = [_annotation_file(path, source_annotation(index)) for index, path in enumerate(files)]
        volumes.append({"name": "mintaka-source", "downwardAPI": {"items": items}})
    elif template.source and template.source.config_map:
        volumes.append({"name": "mintaka-source", "configMap": {"name": template.source.config_map.name}})
    elif template.source:
        items = [_annotation_file(source_file(template), names.ANNOTATION_SOURCE)]
        volumes.append({"name": "mintaka-source", "downwardAPI": {"items": items}})
    if template.entrypoint:
        volumes.append({"name": "mintaka-attempt", "emptyDir": {}})
    return volumes


def source_annotation(index: int) -> str:
    """The annotation with one of the files of a source that is given file by file."""
    return f"{names.ANNOTATION_SOURCE}-{index}"


def _annotation_file(path: str, annotation: str) -> dict[str, Any]:
    return {"path": path, "fieldRef": {"fieldPath": f"metadata.annotations['{annotation}']"}}


def source_file(template: FlowTemplate) -> str:
    """The file name that the entrypoint uses for inline source."""
    return (template.entrypoint or "").rpartition(":")[0]


def _literal(text: str) -> str:
    """`text` as the value of a variable: Kubernetes replaces `$(NAME)` and reads `$$` as `$`."""
    return text.replace("$", "$$")
