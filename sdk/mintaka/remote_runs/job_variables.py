"""`job_variables` of Prefect as overrides of a run: an image, and a partial PodTemplateSpec."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from mintaka.exceptions import InvalidSettingError

if TYPE_CHECKING:
    from collections.abc import Callable

#: The container that runs the flow.
_CONTAINER = "flow"


def _env(value: Any) -> list[dict[str, Any]]:
    """Variables by name, or as Kubernetes lists them; None takes one away."""
    if isinstance(value, Mapping):
        return [{"name": name, "$patch": "delete"} if text is None else {"name": name, "value": str(text)} for name, text in value.items()]
    if isinstance(value, Sequence) and not isinstance(value, str) and all(isinstance(one, Mapping) and "name" in one for one in value):
        return [dict(one) for one in value]
    message = f"job_variables: env is a dict of texts by name, or a list of {{'name': …, 'value': …}}, not {value!r:.100}"
    raise InvalidSettingError(message)


def _texts(value: Any) -> dict[str, Any]:
    if isinstance(value, Mapping):
        return {str(name): None if text is None else str(text) for name, text in value.items()}
    message = f"job_variables: labels, annotations and node_selector are dicts of texts, not {value!r:.100}"
    raise InvalidSettingError(message)


def _as_given(value: Any) -> Any:
    return value


#: By variable: where it goes, and how it is written there. `container` is that of the flow.
_PLACES: dict[str, tuple[tuple[str, ...], Callable[[Any], Any]]] = {
    "env": (("container", "env"), _env),
    "resources": (("container", "resources"), _as_given),
    "cpu_request": (("container", "resources", "requests", "cpu"), str),
    "cpu_limit": (("container", "resources", "limits", "cpu"), str),
    "memory_request": (("container", "resources", "requests", "memory"), str),
    "memory_limit": (("container", "resources", "limits", "memory"), str),
    "image_pull_policy": (("container", "imagePullPolicy"), str),
    "working_dir": (("container", "workingDir"), str),
    "labels": (("metadata", "labels"), _texts),
    "annotations": (("metadata", "annotations"), _texts),
    "service_account_name": (("spec", "serviceAccountName"), str),
    "node_selector": (("spec", "nodeSelector"), _texts),
    "tolerations": (("spec", "tolerations"), _as_given),
    "affinity": (("spec", "affinity"), _as_given),
    "priority_class_name": (("spec", "priorityClassName"), str),
}
#: What Prefect's users may have there, and where it is with us.
_ELSEWHERE = {
    "namespace": "a run is in the namespace of its deployment: call 'namespace/deployment'",
    "command": "what runs is the entrypoint of the deployment",
    "name": "pods are named after their run: give flow_run_name",
    "finished_job_ttl": "set podRetention in the deployment",
    "pod_watch_timeout_seconds": "set pendingTimeoutSeconds in the deployment",
    "job_watch_timeout_seconds": "set timeoutSeconds in the deployment",
    "stream_output": "the output of a pod is in its run's log",
    "cluster_config": "a run is in the cluster of its API",
}


def overrides_of(job_variables: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """The overrides of a run, as the API takes them; None if there are none. Keys may have dots: `env.MODE`, `resources.limits`.

    Raises:
        InvalidSettingError: one of them has no meaning here.
    """
    if not job_variables:
        return None
    image, pod, container = None, dict[str, Any](), dict[str, Any]()
    for name, value in _nested(job_variables).items():
        if name == "image":
            image = str(value)
        elif name in _PLACES:
            path, written = _PLACES[name]
            _put(container if path[0] == "container" else pod.setdefault(path[0], {}), path[1:], written(value))
        else:
            why = (
                _ELSEWHERE.get(name) or f"there are image, {', '.join(_PLACES)}; for everything else there is podTemplate in the deployment"
            )
            message = f"job_variables: {name} cannot be set for one run: {why}"
            raise InvalidSettingError(message)
    if container:
        pod.setdefault("spec", {})["containers"] = [{"name": _CONTAINER, **container}]
    return {key: value for key, value in (("image", image), ("pod_template", pod or None)) if value is not None}


def _nested(variables: Mapping[str, Any]) -> dict[str, Any]:
    """The variables with what follows a dot inside of what is before it."""
    nested: dict[str, Any] = {}
    for key, value in variables.items():
        first, *rest = str(key).split(".", 1 if str(key).startswith(("env.", "labels.", "annotations.")) else -1)
        for part in reversed(rest):
            value = {part: value}  # noqa: PLW2901 - from the inside out
        before = nested.get(first)
        nested[first] = _merged(before, value) if isinstance(before, Mapping) and isinstance(value, Mapping) else value
    return nested


def _merged(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    both = {
        name: _merged(one[name], other[name])
        for name in one.keys() & other.keys()
        if isinstance(one[name], Mapping) and isinstance(other[name], Mapping)
    }
    return {**one, **other, **both}


def _put(into: dict[str, Any], path: Sequence[str], value: Any) -> None:
    for part in path[:-1]:
        into = into.setdefault(part, {})
    before = into.get(path[-1])
    into[path[-1]] = _merged(before, value) if isinstance(before, dict) and isinstance(value, Mapping) else value
