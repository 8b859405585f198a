"""FlowRun → Pod manifest; pure.

Four layers, each merged strategically over the previous one: what a flow needs by default, what the installation adds to
every flow (pod_template_file.py), what its author wrote into `podTemplate`, and what the operator depends on (names,
labels, owner, restartPolicy). An invalid template is passed on unchanged, so that the API server refuses the pod and its
message appears in the run; only errors that the API server cannot know are refused here (`template_fault`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from mintaka_core import names
from mintaka_core.attempt_environment import Places, attempt_variables, secret_variables
from mintaka_core.flow_containers import flow_container_name
from mintaka_core.json_values import items, mapping
from mintaka_core.states import FAILED
from mintaka_core.strategic_merge import strategic_merge
from mintaka_core.workloads import NO_REVISION, CreateError
from mintaka_operator.flow_container import (
    ATTEMPT_DIR,
    SOURCE_DIR,
    default_container,
    default_volumes,
    environment,
    source_annotation,
    source_file,
)

if TYPE_CHECKING:
    from mintaka_core.resources import FlowRun, FlowTemplate
    from mintaka_core.workloads import RevisionCode

#: Kubernetes' limits: all annotations of an object, keys included; one name in a file system.
_ANNOTATIONS_BYTES, _NAME_BYTES = 256 * 1024, 255


@dataclass(frozen=True, slots=True)
class PodDefaults:
    """What the operator adds to every pod. `api_url` "" means that there is no API that stores the history.

    `template` is the partial PodTemplateSpec of the installation; its container `flow` is the flow's, whatever that is
    called.
    """

    image: str
    api_url: str = ""
    template: Mapping[str, Any] = field(default_factory=dict)


def template_fault(template: FlowTemplate, defaults: PodDefaults, code: RevisionCode = NO_REVISION) -> CreateError | None:
    """Why no pod can be created from the template, if the API server would not report it; None if one can."""
    in_annotations = code.files is not None or (template.source and template.source.inline)
    fault = _fault_of_container(template) or (_fault_of_source(template, defaults, code) if in_annotations else "")
    return CreateError("InvalidTemplate", fault, FAILED) if fault else None


def _fault_of_container(template: FlowTemplate) -> str:
    if flow_container_name(template) is not None:
        return ""
    there = ", ".join(repr(container.get("name")) for container in _containers(template.pod_template))
    return f"podTemplate.spec.containers are {there}, and nothing says which of them is the flow: call it 'flow'"


def _fault_of_source(template: FlowTemplate, defaults: PodDefaults, code: RevisionCode) -> str:
    path = PurePosixPath(source_file(template))
    if code.files is None and (path.is_absolute() or ".." in path.parts or any(len(part.encode()) > _NAME_BYTES for part in path.parts)):
        return f"the entrypoint of source.inline begins with the name that the file gets, and {str(path)!r} is none: write flow.py:main"
    annotations = _annotations(_part(_written(template, defaults.template), "metadata"), template, code)
    size = sum(len(f"{key}{value}".encode()) for key, value in annotations.items()) if isinstance(annotations, dict) else 0
    if size > _ANNOTATIONS_BYTES:
        what = "source.inline" if code.files is None else "the source as it was when the run was created"
        return (
            f"{what} and the annotations of the pod take {size} bytes of UTF-8 together, at most {_ANNOTATIONS_BYTES} are allowed: "
            "put the code into " + ("a ConfigMap (source.configMap) or an image" if code.files is None else "an image")
        )
    return ""


def build_pod(
    run: FlowRun,
    template: FlowTemplate,
    attempt: int,
    defaults: PodDefaults,
    resumed_from: str = "",
    code: RevisionCode = NO_REVISION,
) -> dict[str, Any]:
    """The pod manifest of one attempt; `resumed_from` is the uid of the run whose finished tasks it reuses ("": its own)."""
    container = flow_container_name(template) or names.FLOW_CONTAINER
    site = _named(defaults.template, container)
    written = _written(template, site)
    places = Places(SOURCE_DIR, ATTEMPT_DIR, _grace_seconds(written), _message_path(written, container), defaults.api_url)
    env = environment(attempt_variables(run, template, attempt, resumed_from, places), secret_variables(run, template))
    base = _default_pod(template, container, defaults.image, env, code, restricted=_runs_our_image(template, written, container))
    merged = strategic_merge(strategic_merge(base, site), template.pod_template or {})
    metadata, spec = _part(merged, "metadata"), _part(merged, "spec")
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "annotations": _annotations(metadata, template, code),
            "labels": _with(_part(metadata, "labels"), _labels(run, template, attempt)),
            "name": names.pod_name(run.metadata.name, attempt),
            "namespace": run.metadata.namespace,
            "ownerReferences": [owner_reference(run)],
            # The pod stays until its end is recorded, even if it is deleted.
            "finalizers": [names.POD_FINALIZER],
        },
        # A restarted container would be an attempt that is not counted.
        "spec": _with(_started_once(_with_credentials(spec, template, container), container), {"restartPolicy": "Never"}),
    }


def owner_reference(run: FlowRun) -> dict[str, Any]:
    """The owner reference to the run: the pod is deleted with its run."""
    return {
        "apiVersion": names.API_VERSION,
        "kind": "FlowRun",
        "name": run.metadata.name,
        "uid": run.metadata.uid,
        "controller": True,
        "blockOwnerDeletion": True,
    }


# -- the layers -------------------------------------------------------------------------------------------------------


def _default_pod(
    template: FlowTemplate, container: str, image: str, env: list[dict[str, Any]], code: RevisionCode, *, restricted: bool
) -> dict[str, Any]:
    spec: dict[str, Any] = {
        "containers": [default_container(container, template, image, env, restricted=restricted)],
        "enableServiceLinks": False,  # hundreds of services would result in as many variables
        "automountServiceAccountToken": False,  # a flow talks to the API, not to the API server
    }
    if restricted:
        spec["securityContext"] = {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
    volumes = default_volumes(template, code.files)
    return {"spec": {**spec, "volumes": volumes} if volumes else spec}


def _named(site: Mapping[str, Any], container: str) -> dict[str, Any]:
    """The installation's defaults, with the flow's container renamed to this flow's name for it."""
    spec = mapping(site.get("spec"))
    if container == names.FLOW_CONTAINER or not spec.get("containers"):
        return dict(site)
    containers = [{**one, "name": container} if one.get("name") == names.FLOW_CONTAINER else one for one in items(spec["containers"])]
    return {**site, "spec": {**spec, "containers": containers}}


def _written(template: FlowTemplate, site: Mapping[str, Any]) -> dict[str, Any]:
    """The templates of installation and author, without our defaults."""
    return strategic_merge(strategic_merge({}, dict(site)), template.pod_template or {})


def _labels(run: FlowRun, template: FlowTemplate, attempt: int) -> dict[str, str]:
    labels = {
        names.LABEL_MANAGED_BY: names.MANAGED_BY,
        names.LABEL_FLOW_RUN: names.label_value(run.metadata.name),
        names.LABEL_ATTEMPT: str(attempt),
    }
    if run.spec.deployment:
        labels[names.LABEL_DEPLOYMENT] = names.label_value(run.spec.deployment)
    if template.entrypoint:
        labels[names.LABEL_REPORTS] = "true"
    return labels


def _annotations(metadata: Any, template: FlowTemplate, code: RevisionCode) -> Any:
    container = flow_container_name(template) or names.FLOW_CONTAINER
    ours: dict[str, str] = {}
    if container != names.FLOW_CONTAINER:
        ours[names.ANNOTATION_CONTAINER] = container
    if template.source and template.source.inline:
        ours[names.ANNOTATION_SOURCE] = template.source.inline
    if code.revision:
        ours[names.ANNOTATION_REVISION] = code.revision
    ours |= {source_annotation(index): content for index, content in enumerate((code.files or {}).values())}
    return _with(_part(metadata, "annotations"), ours)


def _with_credentials(spec: Any, template: FlowTemplate, container: str) -> Any:
    """Put the result storage's Secret before the podTemplate's other sources of variables, which a merge would replace it with."""
    if not (template.result_storage and template.result_storage.secret_ref):
        return spec
    credentials = {"secretRef": {"name": template.result_storage.secret_ref.name}}

    def lent(one: Any) -> Any:
        own = _part(one, "envFrom") or []
        if not isinstance(own, list) or _part(one, "name") != container:
            return one
        return _with(one, {"envFrom": [credentials, *own]})

    return _each_container(spec, lent)


def _started_once(spec: Any, container: str) -> Any:
    """Remove restart policies of containers (Kubernetes 1.34, ContainerRestartRules) that would start the flow a second time."""

    def restrained(one: Any) -> Any:
        if not isinstance(one, dict):
            return one
        kept = {
            key: value for key, value in one.items() if one.get("name") != container or key not in {"restartPolicy", "restartPolicyRules"}
        }
        if isinstance(rules := kept.get("restartPolicyRules"), list):
            kept["restartPolicyRules"] = [rule for rule in rules if _part(rule, "action") != "RestartAllContainers"]
        return kept

    return _each_container(_each_container(spec, restrained), restrained, "initContainers")


def _each_container(spec: Any, change: Any, kind: str = "containers") -> Any:
    containers = _part(spec, kind)
    return _with(spec, {kind: [change(one) for one in containers]}) if isinstance(containers, list) else spec


# -- what the flow has to know of its pod -----------------------------------------------------------------------------


def _containers(pod: Any) -> list[dict[str, Any]]:
    return items(_part(_part(pod, "spec"), "containers"))


def _runs_our_image(template: FlowTemplate, written: Any, container: str) -> bool:
    """Our own image is known to need no more than Pod Security "restricted" allows; for another image, only its author knows."""
    images = [template.image, *(one.get("image") for one in _containers(written) if one.get("name") == container)]
    return bool(template.entrypoint) and not any(images)


def _grace_seconds(written: Any) -> int:
    """Time between SIGTERM and SIGKILL in seconds: the template's, or Kubernetes' default of 30 s."""
    grace = _part(_part(written, "spec"), "terminationGracePeriodSeconds")
    return grace if isinstance(grace, int) else 30


def _message_path(written: Any, container: str) -> str:
    """The template's terminationMessagePath, so that the flow writes what the kubelet reads; "" for the default."""
    paths = [one.get("terminationMessagePath") for one in _containers(written) if one.get("name") == container]
    return next((path for path in paths if isinstance(path, str)), "")


def _part(of: Any, key: str) -> Any:
    """A field of a map; {} if it is missing; anything but a map is returned unchanged."""
    return ({} if of.get(key) is None else of[key]) if isinstance(of, dict) else of


def _with(these: Any, those: Mapping[str, Any]) -> Any:
    return {**these, **those} if isinstance(these, dict) else these
