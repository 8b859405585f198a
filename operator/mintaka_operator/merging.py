"""Strategic merge of a partial PodTemplateSpec over ours, as `kubectl patch --type=strategic` would do it.

Lists with a merge key (Kubernetes API: `patchMergeKey` of PodSpec and Container) are merged element by element; all
others are replaced. `null` deletes a field, `$patch: delete` an element, `$patch: replace` a whole map or list.
"""

from __future__ import annotations

from typing import Any

_MERGE_KEYS = {
    "containers": "name",
    "initContainers": "name",
    "ephemeralContainers": "name",
    "volumes": "name",
    "imagePullSecrets": "name",
    "hostAliases": "ip",
    "topologySpreadConstraints": "topologyKey",
    "resourceClaims": "name",
    "schedulingGates": "name",
    "env": "name",
    "volumeMounts": "mountPath",
    "volumeDevices": "devicePath",
    "ports": "containerPort",
}


def strategic_merge(base: dict[str, Any], patch: dict[str, Any]) -> dict[str, Any]:
    """`base` with `patch` over it; neither is changed."""
    if patch.get("$patch") == "replace":
        return {key: value for key, value in patch.items() if key != "$patch"}
    merged = dict(base)
    for key, value in patch.items():
        if value is None:
            merged.pop(key, None)
        elif isinstance(value, dict):
            below = merged.get(key)
            merged[key] = strategic_merge(below if isinstance(below, dict) else {}, value)
        elif isinstance(value, list) and key in _MERGE_KEYS:
            merged[key] = _merge_list(merged.get(key) or [], value, _MERGE_KEYS[key])
        else:
            merged[key] = value
    return merged


def _merge_list(base: list[Any], patch: list[Any], key: str) -> list[Any]:
    if any(element.get("$patch") == "replace" for element in patch):
        return [element for element in patch if element.get("$patch") != "replace"]
    merged = {element.get(key): element for element in base}
    for element in patch:
        name = element.get(key)
        if element.get("$patch") == "delete":
            merged.pop(name, None)
        else:
            merged[name] = strategic_merge(merged.get(name, {}), element)
    return list(merged.values())
