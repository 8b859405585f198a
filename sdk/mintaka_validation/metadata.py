"""The metadata of a document, checked as apimachinery does it (`api/validation/objectmeta.go`), in its words."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from mintaka_validation.errors import FieldError, forbidden, invalid, required, too_long
from mintaka_validation.go_text import quote

if TYPE_CHECKING:
    from collections.abc import Mapping

_NAME: Final = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]"
_LABEL: Final = "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_SUBDOMAIN: Final = rf"{_LABEL}(\.{_LABEL})*"
_QUALIFIED_NAME_RULE: Final = (
    "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character "
    f"(e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '{_NAME}')"
)
_LABEL_VALUE_RULE: Final = (
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an "
    f"alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '({_NAME})?')"
)
_LABEL_RULE: Final = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an "
    f"alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '{_LABEL}')"
)
_SUBDOMAIN_RULE: Final = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an "
    f"alphanumeric character (e.g. 'example.com', regex used for validation is '{_SUBDOMAIN}')"
)
_LABEL_LIMIT, _SUBDOMAIN_LIMIT, _ANNOTATIONS_LIMIT_BYTES = 63, 253, 256 * 1024
_ORPHAN, _FOREGROUND = "orphan", "foregroundDeletion"
_IMMUTABLE: Final = ("name", "namespace", "uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds")


def check_new_metadata(metadata: Mapping[str, Any], *, namespaced: bool = True) -> list[FieldError]:
    """What is wrong with the metadata of a new document. Its name is already generated, its namespace filled in if it has one."""
    errors = []
    if prefix := metadata.get("generateName"):
        masked = f"{prefix[:-2]}a" if len(prefix) > 1 and prefix.endswith("-") else prefix
        errors += [invalid("metadata.generateName", prefix, fault) for fault in _faults_of_subdomain(masked)]
    if name := metadata.get("name"):
        errors += [invalid("metadata.name", name, fault) for fault in _faults_of_subdomain(name)]
    else:
        errors.append(required("metadata.name", "name or generateName is required"))
    if not namespaced:
        errors += [forbidden("metadata.namespace", "not allowed on this type")] if metadata.get("namespace") else []
    elif namespace := metadata.get("namespace"):
        errors += [invalid("metadata.namespace", namespace, fault) for fault in _faults_of_label(namespace)]
    else:
        errors.append(required("metadata.namespace"))
    if (generation := metadata.get("generation") or 0) < 0:
        errors.append(invalid("metadata.generation", generation, "must be greater than or equal to 0"))
    return errors + _check_common(metadata) + _check_finalizers(metadata.get("finalizers") or [])


def check_metadata_update(new: Mapping[str, Any], old: Mapping[str, Any]) -> list[FieldError]:
    """What is wrong with the metadata of a document that replaces `old`. What the API server fills in is already set."""
    errors = []
    extra = sorted(set(new.get("finalizers") or ()) - set(old.get("finalizers") or ()))
    if old.get("deletionTimestamp") and extra:
        found = f"[]string{{{', '.join(map(quote, extra))}}}"
        text = f"no new finalizers can be added if the object is being deleted, found new finalizers {found}"
        errors.append(forbidden("metadata.finalizers", text))
    if not new.get("resourceVersion"):
        errors.append(invalid("metadata.resourceVersion", "", "must be specified for an update"))
    errors += [
        invalid(f"metadata.{name}", new.get(name), "field is immutable")
        for name in _IMMUTABLE
        if (new.get(name) or None) != (old.get(name) or None)
    ]
    return errors + _check_common(new)


def _check_common(metadata: Mapping[str, Any]) -> list[FieldError]:
    errors = []
    for name, value in (metadata.get("labels") or {}).items():
        errors += [invalid("metadata.labels", name, fault) for fault in _faults_of_qualified_name(name)]
        errors += [invalid("metadata.labels", value, fault) for fault in _faults_of_label_value(value)]
    annotations = metadata.get("annotations") or {}
    for name in annotations:
        errors += [invalid("metadata.annotations", name, fault) for fault in _faults_of_qualified_name(name.lower())]
    if sum(len(name.encode()) + len(value.encode()) for name, value in annotations.items()) > _ANNOTATIONS_LIMIT_BYTES:
        errors.append(too_long("metadata.annotations", _ANNOTATIONS_LIMIT_BYTES))
    return errors + _check_owners(metadata.get("ownerReferences") or [])


def _check_owners(owners: list[dict[str, Any]]) -> list[FieldError]:
    errors, place = [], "metadata.ownerReferences"
    controller = ""
    for owner in owners:
        version = (owner.get("apiVersion") or "").rpartition("/")[2]
        if not version:
            errors.append(invalid(f"{place}.apiVersion", owner.get("apiVersion") or "", "version must not be empty"))
        errors += [invalid(f"{place}.{name}", "", "must not be empty") for name in ("kind", "name", "uid") if not owner.get(name)]
        if (owner.get("apiVersion"), owner.get("kind")) == ("v1", "Event"):
            errors.append(invalid(place, _reference(owner), "/v1, Kind=Event is disallowed from being an owner"))
        if owner.get("controller"):
            name = f"{owner.get('kind', '')}/{owner.get('name', '')}"
            if controller:
                text = f'Only one reference can have Controller set to true. Found "true" in references for {controller} and {name}'
                errors.append(invalid(place, [_reference(each) for each in owners], text))
            controller = controller or name
    return errors


def _reference(owner: dict[str, Any]) -> dict[str, Any]:
    """An owner reference as Go writes it."""
    texts = {name: owner.get(name) or "" for name in ("apiVersion", "kind", "name", "uid")}
    return texts | {name: owner[name] for name in ("controller", "blockOwnerDeletion") if owner.get(name) is not None}


def _check_finalizers(finalizers: list[str]) -> list[FieldError]:
    errors = [invalid("metadata.finalizers", name, fault) for name in finalizers for fault in _faults_of_qualified_name(name)]
    if _ORPHAN in finalizers and _FOREGROUND in finalizers:
        errors.append(invalid("metadata.finalizers", finalizers, f"finalizer {_ORPHAN} and {_FOREGROUND} cannot be both set"))
    return errors


def _faults_of_qualified_name(text: str) -> list[str]:
    prefix, slash, name = text.rpartition("/")
    if "/" in prefix:
        return [f"a qualified name {_QUALIFIED_NAME_RULE} with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')"]
    faults = []
    if slash:
        faults = [f"prefix part {fault}" for fault in _faults_of_subdomain(prefix)] if prefix else ["prefix part must be non-empty"]
    if not name:
        faults.append("name part must be non-empty")
    elif len(name.encode()) > _LABEL_LIMIT:
        faults.append(f"name part must be no more than {_LABEL_LIMIT} characters")
    if not re.fullmatch(_NAME, name):
        faults.append(f"name part {_QUALIFIED_NAME_RULE}")
    return faults


def _faults_of_label_value(text: str) -> list[str]:
    faults = [f"must be no more than {_LABEL_LIMIT} characters"] if len(text.encode()) > _LABEL_LIMIT else []
    return faults if not text or re.fullmatch(_NAME, text) else [*faults, _LABEL_VALUE_RULE]


def _faults_of_label(text: str) -> list[str]:
    faults = [f"must be no more than {_LABEL_LIMIT} characters"] if len(text.encode()) > _LABEL_LIMIT else []
    if re.fullmatch(_LABEL, text):
        return faults
    return [*faults, "must not contain dots" if re.fullmatch(_SUBDOMAIN, text) else _LABEL_RULE]


def _faults_of_subdomain(text: str) -> list[str]:
    faults = [f"must be no more than {_SUBDOMAIN_LIMIT} characters"] if len(text.encode()) > _SUBDOMAIN_LIMIT else []
    return faults if re.fullmatch(_SUBDOMAIN, text) else [*faults, _SUBDOMAIN_RULE]
