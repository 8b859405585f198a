"""FlowRun → Pod manifest; pure.

Three layers: what a flow needs by default, what its author wrote into `podTemplate` (merged strategically), and what the
operator must be able to rely on (names, labels, owner, restartPolicy), which goes on last. A template that makes no sense
is passed on as it is, so that the API server refuses the pod and its words end up in the run.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mintaka_core import names
from mintaka_operator.strategic_merge import strategic_merge

if TYPE_CHECKING:
    from mintaka_core.resources import FlowRun, FlowTemplate

_SOURCE_DIR = "/mintaka/source"


@dataclass(frozen=True, slots=True)
class PodDefaults:
    """What the operator adds to every pod. `api_url` "" means that no API keeps the history.

    `hold`: each pod bears a finalizer, so that it stays until its end is recorded and the finalizer taken off.
    """

    image: str
    api_url: str = ""
    hold: bool = False


def build_pod(run: FlowRun, template: FlowTemplate, attempt: int, defaults: PodDefaults, resumed_from: str = "") -> dict[str, Any]:
    """The manifest of the pod of one attempt; `resumed_from` is the uid of the run whose finished tasks it takes ("": its own)."""
    # Another attempt of a run that suspended itself begins only because it was resumed.
    over = [*run.status.resumed, *filter(None, (run.status.suspension,))]
    continued = {"MINTAKA_RESUME_FROM": resumed_from, "MINTAKA_RESUMED": json.dumps(over) if over else ""}
    merged = strategic_merge(_default_pod(run, template, attempt, defaults, continued), template.pod_template or {})
    metadata, spec = _part(merged, "metadata"), _part(merged, "spec")
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "annotations": _part(metadata, "annotations"),
            "labels": _with(_part(metadata, "labels"), **_labels(run, template, attempt)),
            "name": names.pod_name(run.metadata.name, attempt),
            "namespace": run.metadata.namespace,
            "ownerReferences": [owner_reference(run)],
            **({"finalizers": [names.POD_FINALIZER]} if defaults.hold else {}),
        },
        # A restarted container would be an attempt nobody counted.
        "spec": _with(_with_credentials(spec, template), restartPolicy="Never"),
    }


def _part(of: Any, key: str) -> Any:
    """A field of a map; {} where there is none, and what is no map as it is."""
    return ({} if of.get(key) is None else of[key]) if isinstance(of, dict) else of


def _with(these: Any, **those: Any) -> Any:
    return {**these, **those} if isinstance(these, dict) else these


def _literal(text: str) -> str:
    """`text` as the value of a variable: Kubernetes replaces `$(NAME)` and reads `$$` as `$`."""
    return text.replace("$", "$$")


def owner_reference(run: FlowRun) -> dict[str, Any]:
    """The pod belongs to its run: it goes when the run goes."""
    return {
        "apiVersion": names.API_VERSION,
        "kind": "FlowRun",
        "name": run.metadata.name,
        "uid": run.metadata.uid,
        "controller": True,
        "blockOwnerDeletion": True,
    }


def _with_credentials(spec: Any, template: FlowTemplate) -> Any:
    """The Secret of the result storage before all that podTemplate takes variables from, which a merge would put in its place."""
    containers = _part(spec, "containers")
    if not (template.result_storage and template.result_storage.secret_ref and isinstance(containers, list)):
        return spec
    credentials = {"secretRef": {"name": template.result_storage.secret_ref.name}}

    def lent(container: Any) -> Any:
        own = _part(container, "envFrom") or []
        if not isinstance(own, list) or _part(container, "name") != names.FLOW_CONTAINER:
            return container
        return _with(container, envFrom=[credentials, *own])

    return _with(spec, containers=[lent(container) for container in containers])


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


def _default_pod(run: FlowRun, template: FlowTemplate, attempt: int, defaults: PodDefaults, continued: dict[str, str]) -> dict[str, Any]:
    container: dict[str, Any] = {
        "name": names.FLOW_CONTAINER,
        "image": template.image or defaults.image,
        "env": _environment({**_known(run, template, attempt, defaults), **continued}),
        "terminationMessagePolicy": "FallbackToLogsOnError",
    }
    volumes: list[dict[str, Any]] = []
    if template.entrypoint:
        container["command"] = ["python", "-m", "mintaka.runner"]
    if template.source and template.source.config_map:
        container["volumeMounts"] = [{"name": "mintaka-source", "mountPath": _SOURCE_DIR, "readOnly": True}]
        volumes = [{"name": "mintaka-source", "configMap": {"name": template.source.config_map.name}}]
    if template.entrypoint and not _brings_its_image(template):
        # Our own image is known to need no more; what another image needs, only its author knows.
        container["securityContext"] = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
    spec: dict[str, Any] = {
        "containers": [container],
        "enableServiceLinks": False,  # hundreds of services would make as many variables
        "automountServiceAccountToken": False,  # a flow talks to the API, not to the API server
    }
    if "securityContext" in container:
        spec["securityContext"] = {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
    return {"spec": {**spec, "volumes": volumes} if volumes else spec}


def _brings_its_image(template: FlowTemplate) -> bool:
    pod = (template.pod_template or {}).get("spec") or {}
    containers = pod.get("containers") if isinstance(pod, dict) else None
    named = [part for part in containers or [] if isinstance(part, dict) and part.get("name") == names.FLOW_CONTAINER]
    return bool(template.image or any(part.get("image") for part in named))


def _environment(variables: dict[str, str]) -> list[dict[str, Any]]:
    return [{"name": name, "value": _literal(value)} for name, value in variables.items() if value]


def _known(run: FlowRun, template: FlowTemplate, attempt: int, defaults: PodDefaults) -> dict[str, str]:
    known = {
        "MINTAKA_FLOW_RUN": run.metadata.name,
        "MINTAKA_FLOW_RUN_UID": run.metadata.uid,
        "MINTAKA_NAMESPACE": run.metadata.namespace,
        "MINTAKA_DEPLOYMENT": run.spec.deployment or "",
        "MINTAKA_ATTEMPT": str(attempt),
        "MINTAKA_PARAMETERS": json.dumps(template.merged_parameters(run.spec.parameters), separators=(",", ":")),
        "MINTAKA_TAGS": json.dumps(sorted({*template.tags, *run.spec.tags})),
        "MINTAKA_API_URL": defaults.api_url,
        "MINTAKA_ENTRYPOINT": template.entrypoint or "",
        "MINTAKA_TIMEOUT_SECONDS": str(template.timeout_seconds or ""),
        "MINTAKA_GRACE_SECONDS": str(_grace_seconds(template)),
        "MINTAKA_TERMINATION_MESSAGE_PATH": _message_path(template),
    }
    if template.source and template.source.inline:
        known["MINTAKA_SOURCE_INLINE"] = template.source.inline
    if template.source and template.source.config_map:
        known["MINTAKA_SOURCE_DIR"] = _SOURCE_DIR
    if template.result_storage:
        known |= {"MINTAKA_RESULT_STORAGE": template.result_storage.url, "MINTAKA_RESULTS_PERSIST_BY_DEFAULT": "true"}
    return known


def _grace_seconds(template: FlowTemplate) -> int:
    """Time between SIGTERM and SIGKILL: the pod template's, or Kubernetes' default of 30 s."""
    grace = _part(_part(template.pod_template, "spec"), "terminationGracePeriodSeconds")
    return grace if isinstance(grace, int) else 30


def _message_path(template: FlowTemplate) -> str:
    """Where the pod template wants the termination message, so that the flow writes what the kubelet reads; "" for nowhere else."""
    containers = _part(_part(template.pod_template, "spec"), "containers")
    for container in containers if isinstance(containers, list) else []:
        path = _part(container, "terminationMessagePath")
        if _part(container, "name") == names.FLOW_CONTAINER and isinstance(path, str):
            return path
    return ""
