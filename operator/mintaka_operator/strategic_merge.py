"""Strategic merge of a partial PodTemplateSpec over ours, like `kubectl patch --type=strategic`.

Lists with a merge key (Kubernetes API: `patchMergeKey` of PodSpec and Container) are merged element by element; all others
are replaced. `null` deletes a field, `$patch: delete` an element, `$patch: replace` replaces a whole map or list. One
difference: kubectl puts new elements before the existing ones, this merge after them, so that variables of a template may
refer to ours and `kubectl logs` shows the flow. Invalid values are passed on: the API server's message is the best. Source:
apimachinery, strategicpatch.
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
_DIRECTIVE = "$patch"


def strategic_merge(base: dict[str, Any], patch: dict[str, Any]) -> dict[str, Any]:
    """`base` with `patch` merged over it; neither is modified."""
    match patch.get(_DIRECTIVE):
        case "replace":
            return {key: value for key, value in patch.items() if key != _DIRECTIVE}
        case "delete":
            return {}
    merged = dict(base)
    for key, value in patch.items():
        below = merged.get(key)
        if value is None:
            merged.pop(key, None)
        elif isinstance(value, dict):
            merged[key] = strategic_merge(below if isinstance(below, dict) else {}, value)
        elif key in _MERGE_KEYS and _mergeable(value, _MERGE_KEYS[key]):
            merged[key] = _merge_list(below if isinstance(below, list) else [], value, _MERGE_KEYS[key])
        else:
            merged[key] = value
    return merged


def _mergeable(patch: Any, key: str) -> bool:
    """True for a list of maps each of which identifies its element."""
    return isinstance(patch, list) and all(
        isinstance(element, dict) and (isinstance(element.get(key), str | int) or _DIRECTIVE in element) for element in patch
    )


def _merge_list(base: list[Any], patch: list[dict[str, Any]], key: str) -> list[Any]:
    wanted = [element for element in patch if _DIRECTIVE not in element]
    if any(element.get(_DIRECTIVE) == "replace" for element in patch):
        return wanted
    deleted = [element.get(key) for element in patch if element.get(_DIRECTIVE) == "delete"]
    kept = [element for element in base if element.get(key) not in deleted]
    if not base:
        # Nothing to merge with: a port may be there twice, once for each protocol.
        return [strategic_merge({}, element) for element in wanted]
    merged = list(kept)
    for element in wanted:
        at = next((index for index, known in enumerate(merged) if known.get(key) == element[key]), None)
        if at is None:
            merged.append(strategic_merge({}, element))
        else:
            merged[at] = strategic_merge(merged[at], element)
    return _ordered(merged, wanted, kept, key)


def _ordered(merged: list[Any], patch: list[dict[str, Any]], base: list[Any], key: str) -> list[Any]:
    """The patch's elements in the patch's order, ours in ours; ours go first, except for those that the patch puts before them."""
    order = [element.get(key) for element in base]
    wishes = list(dict.fromkeys(element[key] for element in patch))
    by_key = {element.get(key): element for element in merged}
    theirs = [by_key[wish] for wish in wishes]
    ours = [element for element in merged if element.get(key) not in wishes]
    result: list[Any] = []
    while theirs and ours:
        left, right = theirs[0].get(key), ours[0].get(key)
        first = left in order and right in order and order.index(left) < order.index(right)
        result.append((theirs if first else ours).pop(0))
    return result + theirs + ours
