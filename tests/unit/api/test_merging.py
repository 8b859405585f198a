"""Manifests are merged into documents as `kubectl apply` merges them."""

from __future__ import annotations

from typing import Any

import pytest

from mintaka_api.local.merging import applied, last_applied, merge_patched, with_last_applied
from mintaka_core.limits import KUBECTL_COPY


def manifest(spec: dict[str, Any], **metadata: Any) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "m", **metadata}, "spec": spec}


def applied_over(first: dict[str, Any], by_others: dict[str, Any], second: dict[str, Any]) -> dict[str, Any]:
    """The spec after `first` was applied, others merged a patch, and `second` was applied."""
    stored = merge_patched(with_last_applied(manifest(first)), {"spec": by_others})
    result = applied(stored, with_last_applied(manifest(second)))
    return dict(result["spec"])


#: The spec applied first, a merge patch by others, the spec applied then, and the result.
MERGES: list[tuple[str, dict[str, Any], dict[str, Any], dict[str, Any], dict[str, Any]]] = [
    ("what is left out is removed", {"a": 1, "b": 2}, {}, {"a": 1}, {"a": 1}),
    ("what others added stays", {"a": 1}, {"b": 2}, {"a": 1}, {"a": 1, "b": 2}),
    ("what others changed is reverted", {"a": 1}, {"a": 2}, {"a": 1}, {"a": 1}),
    ("nested members are merged too", {"a": {"b": 1, "c": 2}}, {"a": {"d": 3}}, {"a": {"b": 1}}, {"a": {"b": 1, "d": 3}}),
    ("lists are replaced", {"a": [1, 2]}, {}, {"a": [2]}, {"a": [2]}),
    ("an object replaces a value of another type", {"a": 1}, {}, {"a": {"b": 1, "c": None}}, {"a": {"b": 1}}),
    ("null removes", {}, {"a": 1}, {"a": None}, {}),
    ("a null that is there already stays", {"a": None}, {}, {"a": None}, {"a": None}),
    ("what others removed and the manifest leaves out stays away", {"a": 1}, {"a": None}, {}, {}),
]


@pytest.mark.parametrize(("first", "by_others", "second", "result"), [case[1:] for case in MERGES], ids=[case[0] for case in MERGES])
def test_applying(first: dict[str, Any], by_others: dict[str, Any], second: dict[str, Any], result: dict[str, Any]) -> None:
    """Three versions decide: the manifest, the one applied before, and what is stored."""
    assert applied_over(first, by_others, second) == result


def test_the_manifest_is_stored_without_what_is_the_servers() -> None:
    """A manifest from `kubectl get -o yaml` can be applied again; the copy does not contain itself."""
    exported = manifest({"a": 1}, uid="u", resourceVersion="7", generation=3, creationTimestamp="t", labels={"x": "y"}) | {
        "status": {"s": 1}
    }
    once = with_last_applied(exported)
    assert with_last_applied(once) == once
    assert last_applied(once) == manifest({"a": 1}, annotations={}, labels={"x": "y"})
    assert "status" not in once
    assert once["metadata"]["annotations"][KUBECTL_COPY].endswith("}\n")


@pytest.mark.parametrize("copy", ["no JSON", "[1]", 7, None])
def test_a_copy_that_cannot_be_read_counts_as_none(copy: Any) -> None:
    """Another tool may have written the copy, so no field is removed."""
    stored = manifest({"a": 1}, annotations={KUBECTL_COPY: copy})
    assert applied(stored, with_last_applied(manifest({"b": 2})))["spec"] == {"a": 1, "b": 2}


def test_a_merge_patch_leaves_its_arguments_as_they_are() -> None:
    """Documents are shared with subscribers."""
    value, patch = {"a": {"b": 1}}, {"a": {"b": None, "c": [1]}, "d": {"e": None}}
    assert merge_patched(value, patch) == {"a": {"c": [1]}, "d": {}}
    assert value == {"a": {"b": 1}}
    assert patch == {"a": {"b": None, "c": [1]}, "d": {"e": None}}
