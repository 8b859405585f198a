"""Changes of documents as `kubectl patch` and `kubectl apply` make them. Pure.

A merge patch (RFC 7396) replaces members, null removes them. Applying a manifest merges it into the document, and removes what
only the previous manifest contained; the last manifest is stored in an annotation.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from mintaka_core.limits import KUBECTL_COPY

if TYPE_CHECKING:
    from mintaka_controller.ports import Document

#: What an object's own metadata has and a manifest may repeat, from `kubectl get -o yaml`: none of it is merged.
_SERVER_OWNED = (
    "uid",
    "resourceVersion",
    "generation",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "managedFields",
)


def merge_patched(value: Any, patch: Any) -> Any:
    """`value` with a merge patch applied; neither is changed."""
    if not isinstance(patch, dict):
        return patch
    merged = dict(value) if isinstance(value, dict) else {}
    for name, part in patch.items():
        if part is None:
            merged.pop(name, None)
        else:
            merged[name] = merge_patched(merged.get(name), part)
    return merged


def with_last_applied(manifest: Document) -> Document:
    """The manifest to store: with a copy of itself as `kubectl apply` writes it, and without what belongs to the server."""
    metadata = {name: value for name, value in (manifest.get("metadata") or {}).items() if name not in _SERVER_OWNED}
    annotations = {name: text for name, text in (metadata.get("annotations") or {}).items() if name != KUBECTL_COPY}
    bare = {**manifest, "metadata": {**metadata, "annotations": annotations}}
    bare.pop("status", None)
    copy = json.dumps(bare, sort_keys=True, separators=(",", ":"), ensure_ascii=False) + "\n"
    return {**bare, "metadata": {**metadata, "annotations": {**annotations, KUBECTL_COPY: copy}}}


def applied(current: Document, manifest: Document) -> Document:
    """`current` with `manifest` (from `with_last_applied`) applied to it; neither is changed."""
    merged: Document = _applied(current, last_applied(current), manifest)
    return merged


def last_applied(document: Document) -> Document:
    """The manifest that was applied last; {} if there is none, or it cannot be read."""
    text = ((document.get("metadata") or {}).get("annotations") or {}).get(KUBECTL_COPY)
    try:
        found = json.loads(text) if isinstance(text, str) else {}
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _applied(current: Any, original: Any, manifest: Any) -> Any:
    if not isinstance(manifest, dict) or not isinstance(current, dict):
        return _without_nulls(manifest)
    before = original if isinstance(original, dict) else {}
    merged = {name: value for name, value in current.items() if name in manifest or name not in before}
    for name, value in manifest.items():
        if value is not None:
            merged[name] = _applied(merged.get(name), before.get(name), value)
        elif merged.get(name, "") is not None:  # an existing null stays as it is
            merged.pop(name, None)
    return merged


def _without_nulls(value: Any) -> Any:
    """`value` as a merge patch would add it."""
    if not isinstance(value, dict):
        return value
    return {name: _without_nulls(part) for name, part in value.items() if part is not None}
