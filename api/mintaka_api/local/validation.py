"""Validates what is stored: our resources by their schemas and rules, ConfigMaps and ControllerRevisions by the little that we need of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import mintaka_validation
from mintaka_validation import FieldError, InvalidDocument
from mintaka_validation.metadata import check_metadata_update, check_new_metadata

if TYPE_CHECKING:
    from mintaka_controller.ports import Document

_OURS = frozenset({"FlowDeployment", "FlowRun"})
#: The API server's limit of a ConfigMap.
_CONFIG_MAP_BYTES = 1024 * 1024


class DocumentValidation:
    """The validation of the document store."""

    def validate_new(self, kind: str, document: Document) -> Document:
        """A new document with its defaults. Raises InvalidDocument."""
        if kind in _OURS:
            return mintaka_validation.validate_new(kind, document)
        return _accepted(kind, document, check_new_metadata(document["metadata"]))

    def validate_update(self, kind: str, old: Document, new: Document) -> Document:
        """A document that replaces `old`, with its defaults. Raises InvalidDocument."""
        if kind in _OURS:
            return mintaka_validation.validate_update(kind, old, new)
        return _accepted(kind, new, check_metadata_update(new["metadata"], old["metadata"]))


def _accepted(kind: str, document: Document, errors: list[FieldError]) -> Document:
    if kind == "ConfigMap":
        errors = [*errors, *_check_data(document)]
    if errors:
        raise InvalidDocument(kind, str(document["metadata"].get("name", "")), errors)
    return document


def _check_data(document: Document) -> list[FieldError]:
    size, errors = 0, []
    for field in ("data", "binaryData"):
        content: Any = document.get(field)
        if content is None:
            continue
        if not isinstance(content, dict) or not all(isinstance(value, str) for value in content.values()):
            errors.append(FieldError(field, "must be an object of texts", "FieldValueTypeInvalid"))
            continue
        size += sum(len(name) + len(value.encode(errors="surrogatepass")) for name, value in content.items())
    if size > _CONFIG_MAP_BYTES:
        errors.append(FieldError("data", f"Too long: may not be more than {_CONFIG_MAP_BYTES} bytes", "FieldValueTooLong"))
    return errors
