"""The types of metadata, as Go's decoder reads them into ObjectMeta: unknown fields, and values of a wrong type, in its words."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

_GO_NAMES: Final = ((bool, "bool"), (str, "string"), (int | float, "number"), (dict, "object"), (list, "array"))

_TEXT, _TEXTS, _INTEGER, _TRUTH, _TIME = "string", "map[string]string", "int64", "bool", "time"
_FIELDS: Final = {
    "name": _TEXT,
    "generateName": _TEXT,
    "namespace": _TEXT,
    "selfLink": _TEXT,
    "uid": "types.UID",
    "resourceVersion": _TEXT,
    "generation": _INTEGER,
    "creationTimestamp": _TIME,
    "deletionTimestamp": _TIME,
    "deletionGracePeriodSeconds": _INTEGER,
    "labels": _TEXTS,
    "annotations": _TEXTS,
    "ownerReferences": "[]v1.OwnerReference",
    "finalizers": "[]string",
    "managedFields": "[]v1.ManagedFieldsEntry",
}
_OF_OWNERS: Final = {
    "apiVersion": _TEXT,
    "kind": _TEXT,
    "name": _TEXT,
    "uid": "types.UID",
    "controller": _TRUTH,
    "blockOwnerDeletion": _TRUTH,
}


@dataclass(slots=True)
class Malformed:
    """What is wrong: the first value of a wrong type (empty: none), and the paths of unknown fields."""

    fault: str = ""
    unknown: list[str] = field(default_factory=list)

    def wrong(self, value: Any, place: str, kind: str) -> None:
        """Record a value of a wrong type; only the first counts."""
        found = go_name(value)
        if found == "number" and kind == _INTEGER:
            found = f"number {value}"
        self.fault = self.fault or f"json: cannot unmarshal {found} into Go {place} of type {kind}"


def faults_of_types(metadata: Any) -> Malformed:
    """What is wrong with the types of metadata; null is allowed everywhere."""
    faults = Malformed()
    if metadata is None:
        return faults
    if not isinstance(metadata, dict):
        faults.wrong(metadata, "value", "v1.ObjectMeta")
        return faults
    for name in sorted(metadata):
        kind = _FIELDS.get(name)
        if kind is None:
            faults.unknown.append(f"metadata.{name}")
        elif metadata[name] is not None:
            _check(faults, metadata[name], name, kind)
    return faults


def go_name(value: Any) -> str:
    """The JSON type of a value, as Go's decoder calls it."""
    return next(name for kind, name in _GO_NAMES if isinstance(value, kind))


def _check(faults: Malformed, value: Any, name: str, kind: str) -> None:
    place = f"struct field ObjectMeta.{name}"
    if kind == _TIME:
        place, kind = "value", _TEXT  # a time has a decoder of its own
    if kind == _TEXTS and isinstance(value, dict):
        for member in value.values():
            if member is not None and not isinstance(member, str):
                faults.wrong(member, place, _TEXT)
    elif kind.startswith("[]") and isinstance(value, list):
        for index, member in enumerate(value):
            _check_member(faults, member, index, name)
    elif not _fits(value, kind):
        faults.wrong(value, place, kind)


def _check_member(faults: Malformed, member: Any, index: int, name: str) -> None:
    if name == "managedFields":
        return  # only the API server writes and reads them
    if name == "finalizers":
        if not isinstance(member, str):
            faults.wrong(member, "struct field ObjectMeta.finalizers", _TEXT)
    elif not isinstance(member, dict):
        faults.wrong(member, f"struct field ObjectMeta.{name}", "v1.OwnerReference")
    else:
        for inner in sorted(member):
            kind = _OF_OWNERS.get(inner)
            if kind is None:
                faults.unknown.append(f"metadata.{name}[{index}].{inner}")
            elif member[inner] is not None and not _fits(member[inner], kind):
                faults.wrong(member[inner], f"struct field OwnerReference.{name}.{inner}", kind)


def _fits(value: Any, kind: str) -> bool:
    """Whether a value is of a scalar type."""
    if kind == _TRUTH or isinstance(value, bool):
        return kind == _TRUTH and isinstance(value, bool)
    if kind == _INTEGER:
        return isinstance(value, int)
    return isinstance(value, str) and kind in {_TEXT, "types.UID"}
