"""Strategic merge of a partial PodTemplateSpec over ours, like `kubectl patch --type=strategic`.

Lists with a merge key (Kubernetes API: `patchMergeKey` of PodSpec and Container) are merged element by element; all others
are replaced. `null` deletes a field, `$patch: delete` an element, `$patch: replace` replaces a whole map or list. Two
differences: kubectl puts new elements before the existing ones, this merge after them, so that variables of a template may
refer to ours and `kubectl logs` shows the flow; and of several elements with the same key, kubectl merges all with the
first one of the other list, this merge the first with the first, the second with the second, as a port may be there once
for each protocol. Thus each value is merged once, and the merge takes linear time: templates have thousands of elements.
Invalid values are passed on: the API server's message is the best. Source: apimachinery, strategicpatch.
"""

from __future__ import annotations

from collections import Counter, deque
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

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
    if not base:
        # Nothing to merge with.
        return [strategic_merge({}, element) for element in wanted]
    deleted = {_identifier(element.get(key)) for element in patch if element.get(_DIRECTIVE) == "delete"} - {None}
    merged = [element for element in base if _key_of(element, key) not in deleted]
    ours = {identity: place for place, identity in enumerate(_identities(merged, key))}
    places = [ours.setdefault(identity, len(ours)) for identity in _identities(wanted, key)]
    merged += [{}] * (len(ours) - len(merged))
    for place, element in zip(places, wanted, strict=True):
        merged[place] = strategic_merge(merged[place], element)
    return [merged[place] for place in _ordered(len(merged), places)]


def _key_of(element: Any, key: str) -> Any:
    """The value that identifies an element; None if it has none."""
    return _identifier(element.get(key)) if isinstance(element, dict) else None


def _identifier(value: Any) -> str | int | None:
    return value if isinstance(value, str | int) else None


def _identities(elements: list[Any], key: str) -> Iterator[tuple[Any, int]]:
    """The key of each element, and the number of elements before it with the same key."""
    seen: Counter[Any] = Counter()
    for element in elements:
        value = _key_of(element, key)
        yield value, seen[value]
        seen[value] += 1


def _ordered(count: int, theirs: list[int]) -> Iterator[int]:
    """The places of all elements: the patch's in its order, ours in ours; ours go first, except for those that the patch puts
    before them.
    """
    named = set(theirs)
    ours = deque(place for place in range(count) if place not in named)
    for place in theirs:
        while ours and ours[0] < place:
            yield ours.popleft()
        yield place
    yield from ours
