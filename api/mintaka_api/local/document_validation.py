"""Validation of documents as an API server of Kubernetes validates them: ours by the schemas and rules of our CRDs.

ConfigMaps and ControllerRevisions are Kubernetes' own kinds; of these, the fields that are used are checked: metadata, keys and texts.
"""

from __future__ import annotations

import base64
import binascii
import re
from typing import TYPE_CHECKING, Any

import mintaka_validation
from mintaka_api.local.kinds import kind_of
from mintaka_core.limits import check_value
from mintaka_validation import FieldError, InvalidDocument, MalformedDocument
from mintaka_validation.errors import forbidden, invalid, too_long, type_invalid
from mintaka_validation.go_text import quote
from mintaka_validation.metadata import check_metadata_update, check_new_metadata
from mintaka_validation.metadata_types import faults_of_types

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mintaka_controller.ports import Document

#: The maximum size of `data` and `binaryData` of a ConfigMap, without keys (Kubernetes, `MaxSecretSize`).
_CONFIG_MAP_LIMIT_BYTES = 1024 * 1024
_KEY = re.compile(r"[-._a-zA-Z0-9]{1,253}")
_KEY_RULE = (
    "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or 'KEY_NAME',  or 'key-name', regex "
    "used for validation is '[-._a-zA-Z0-9]+')"
)
#: The members of each kind that is not ours.
_MEMBERS = {
    "ConfigMap": frozenset({"apiVersion", "kind", "metadata", "data", "binaryData", "immutable"}),
    "ControllerRevision": frozenset({"apiVersion", "kind", "metadata", "data", "revision"}),
}


class InvalidCoreDocument(InvalidDocument):
    """A document of a kind of Kubernetes itself that is not valid."""

    def _text(self) -> str:
        return f"{self.kind} {quote(self.name)} is invalid: {self._all()}"


def require_readable(kind: str, manifest: Document) -> None:
    """Check what is read of a manifest before it is validated as a whole, and its depth, on which later code relies.

    Raises MalformedDocument, InvalidDocument.
    """
    metadata = manifest.get("metadata")
    if fault := faults_of_types({} if metadata is None else metadata).fault:
        raise MalformedDocument(kind, "", [FieldError("metadata", fault, "Malformed")])
    for place, value in _parts(kind, manifest):
        if (excess := check_value(place, value)) is not None:
            raise InvalidDocument(kind, str((metadata or {}).get("name") or ""), [FieldError(place, excess.message, "TooLarge")])


def _parts(kind: str, manifest: Document) -> Iterator[tuple[str, Any]]:
    """The parts of a manifest besides its metadata, each with its place; a revision contains a spec, two levels deeper."""
    for name, value in manifest.items():
        spec = value.get("spec") if kind == "ControllerRevision" and isinstance(value, dict) and set(value) == {"spec"} else None
        if isinstance(spec, dict):
            yield from ((f"{name}.spec.{field}", part) for field, part in spec.items())
        elif name != "metadata":
            yield name, value


def validate_new(kind: str, document: Document) -> Document:
    """A new document with its defaults. Raises InvalidDocument."""
    if kind_of(kind).custom:
        return mintaka_validation.validate_new(kind, document)
    return _accepted(kind, document, check_new_metadata(document["metadata"]))


def validate_update(kind: str, old: Document, new: Document) -> Document:
    """A document that replaces `old`, with its defaults. Raises InvalidDocument."""
    if kind_of(kind).custom:
        return mintaka_validation.validate_update(kind, old, new)
    errors = check_metadata_update(new["metadata"], old["metadata"])
    if kind == "ControllerRevision" and new.get("data") != old.get("data"):
        errors.append(invalid("data", "", "field is immutable"))
    if old.get("immutable"):
        errors += [
            forbidden(name, "field is immutable when `immutable` is set")
            for name in ("immutable", "data", "binaryData")
            if new.get(name) != old.get(name)
        ]
    return _accepted(kind, new, errors)


def _accepted(kind: str, document: Document, errors: list[FieldError]) -> Document:
    """The document, if it is of its kind and has no errors."""
    name = document["metadata"].get("name", "")
    malformed = faults_of_types(document["metadata"])
    unknown = [*malformed.unknown, *(sorted(set(document) - _MEMBERS[kind]))]
    if unknown:
        raise MalformedDocument(kind, name, [FieldError(path, f'unknown field "{path}"', "UnknownField") for path in unknown])
    wanted = {"kind": kind, "apiVersion": kind_of(kind).api_version}
    errors = [
        invalid(member, document.get(member), f"must be {value}") for member, value in wanted.items() if document.get(member) != value
    ] + errors
    errors += _faults_of_config_map(document) if kind == "ConfigMap" else _faults_of_revision(document)
    if errors:
        raise InvalidCoreDocument(kind, name, errors)
    return document


def _faults_of_config_map(document: Document) -> list[FieldError]:
    errors, size = [], 0
    for member in ("data", "binaryData"):
        found = document.get(member)
        if found is None:
            continue
        if not isinstance(found, dict):
            errors.append(type_invalid(member, found, f"{member} must be of type object"))
            continue
        for key, value in found.items():
            place = f"{member}[{key}]"
            if not _KEY.fullmatch(key):
                errors.append(invalid(place, key, _KEY_RULE))
            if not isinstance(value, str):
                errors.append(type_invalid(place, value, "must be of type string"))
                continue
            if member == "data":
                size += len(value.encode(errors="surrogatepass"))
            elif (length := _decoded_size(value)) is None:
                errors.append(invalid(place, value[:20], "illegal base64 data"))
            else:
                size += length
    return [*errors, too_long("", _CONFIG_MAP_LIMIT_BYTES)] if size > _CONFIG_MAP_LIMIT_BYTES else errors


def _decoded_size(text: str) -> int | None:
    """The number of bytes that Base64 stands for; None if it is not Base64."""
    try:
        return len(base64.b64decode(text, validate=True))
    except (binascii.Error, ValueError):
        return None


def _faults_of_revision(document: Document) -> list[FieldError]:
    number: Any = document.get("revision")
    if not isinstance(number, int) or isinstance(number, bool):
        return [type_invalid("revision", number, "must be of type integer")]
    return [] if number >= 0 else [invalid("revision", number, "must be greater than or equal to 0")]
