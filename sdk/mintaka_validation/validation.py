"""Whether a document of one of our kinds is valid: the checks of the Kubernetes API server, in its order and words.

A document is read (`intake`), then its metadata, its values (`values`), its keyed lists and its rules are checked; rules only if
the types are right. The limits of size and depth of `mintaka_core.limits` come first: everything after them may be recursive.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from mintaka_core.limits import check_resource, check_value
from mintaka_core.names import API_VERSION, CLUSTER_RULE
from mintaka_validation.errors import BLOCKING, FieldError, InvalidDocument, MalformedDocument, invalid, rules_not_checked
from mintaka_validation.intake import copy, take, with_whole_numbers
from mintaka_validation.keyed_lists import check_keyed_lists
from mintaka_validation.metadata import check_metadata_update, check_new_metadata
from mintaka_validation.metadata_types import faults_of_types, tidied
from mintaka_validation.ratcheting import Before
from mintaka_validation.rules import check_rules
from mintaka_validation.schema import schema_of, status_schema_of
from mintaka_validation.values import check_values

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mintaka_core.limits import Excess
    from mintaka_validation.schema import Node

type Document = dict[str, Any]

#: Limits of ours whose parts also have limits in the schema, which are reported instead.
_OF_PARTS: Final = frozenset({"SourceTooLarge", "ParametersTooLarge"})

#: The maximum number of errors that are shown.
_SHOWN: Final = 500


def validate_new(kind: str, document: Mapping[str, Any]) -> Document:
    """A new document as it is to be stored: a copy with its defaults and without status.

    Name and namespace must be set already; uid, generation, version and times are the caller's.

    Raises:
        InvalidDocument: it is not valid, with all errors. MalformedDocument: it cannot be read as its kind.
    """
    new, excess = _read(kind, document)
    errors = _check_type(kind, new)
    if not errors:
        errors = _check(kind, new, check_new_metadata(new["metadata"], namespaced=kind != CLUSTER_RULE), Before.nothing())
    return _accepted(kind, new, errors, excess)


def validate_update(kind: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> Document:
    """The document that replaces `old`, a stored one: `new` with its defaults and with the status of `old`.

    Values that did not change are not reported. uid and times are those of `old`; `resourceVersion` must be set.

    Raises:
        InvalidDocument: it is not valid, with all errors. MalformedDocument: it cannot be read as its kind.
    """
    (document, excess), before = _read(kind, new), _stored(kind, old)
    _restore(document, before)
    errors = _check_type(kind, document)
    if not errors:
        errors = _check(kind, document, check_metadata_update(document["metadata"], before.get("metadata") or {}), Before(before))
    accepted = _accepted(kind, document, errors, excess)
    return accepted | {"status": copy(old["status"])} if "status" in old else accepted


def validate_status(kind: str, old: Mapping[str, Any], status: Any) -> Document:
    """`old`, a stored document, with another status, which is completed with its defaults.

    Raises:
        InvalidDocument: the status is not valid. MalformedDocument: it has unknown fields.
    """
    name, node = _name_of(old), status_schema_of(kind)
    _refuse_unreadable(kind, name, {"status": status})
    new, unknown = take(node, {"status": status})
    _refuse_unknown(kind, name, unknown)
    before = take(node, {"status": old["status"]} if "status" in old else {})[0]
    accepted = _accepted(kind, new, _check_with(node, new, [], Before(before)), None, name=name)
    return {**copy(dict(old)), **accepted}


def _read(kind: str, document: Mapping[str, Any]) -> tuple[Document, Excess | None]:
    """A copy of a document with its defaults, which has only fields of its kind and metadata of the right types; without status.

    Also returns a part that is too large, if there is one, to be reported if nothing else is wrong.
    """
    name, authored = _name_of(document), {field: value for field, value in document.items() if field != "status"}
    _refuse_unreadable(kind, name, {field: value for field, value in authored.items() if field != "spec"})
    excess = check_resource(authored)
    if excess is not None and excess.reason not in _OF_PARTS:
        raise InvalidDocument(kind, name, [_of_excess(excess)])
    taken, unknown = take(schema_of(kind), authored)
    malformed = faults_of_types(taken.get("metadata"))
    if malformed.fault:
        raise MalformedDocument(kind, name, [FieldError("metadata", malformed.fault, "Malformed")])
    _refuse_unknown(kind, name, [*malformed.unknown, *unknown])
    taken["metadata"] = tidied(taken.get("metadata") or {})
    return taken, excess


def _refuse_unreadable(kind: str, name: str, fields: Mapping[str, Any]) -> None:
    """Refuse fields that are not JSON, or nested too deeply to be walked."""
    for field, value in fields.items():
        if (excess := check_value(field, value)) is not None:
            raise InvalidDocument(kind, name, [_of_excess(excess)])


def _refuse_unknown(kind: str, name: str, paths: list[str]) -> None:
    if paths:
        errors = [FieldError(path, f'unknown field "{path}"', "UnknownField") for path in paths]
        raise MalformedDocument(kind, name, _some(errors))


def _of_excess(excess: Excess) -> FieldError:
    """A limit of ours, which the API server does not have. Its message begins with the place."""
    return FieldError(excess.message.split(" ", 1)[0], excess.message, "TooLarge")


def _stored(kind: str, document: Mapping[str, Any]) -> Document:
    """A stored document as it is read: with the defaults of today's schema, without the fields that it does not have, without status."""
    return take(schema_of(kind), {field: value for field, value in document.items() if field != "status"})[0]


def _restore(document: Document, old: Document) -> None:
    """Set in the metadata what an update cannot change (apiserver, `registry/rest/update.go`)."""
    metadata, before = document["metadata"], old.get("metadata") or {}
    if before.get("uid"):
        metadata.setdefault("uid", before["uid"])
    for name in ("generation", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds"):
        if before.get(name) is not None:
            metadata[name] = before[name]
    if not metadata.get("managedFields") and before.get("managedFields"):
        metadata["managedFields"] = before["managedFields"]


def _check_type(kind: str, document: Document) -> list[FieldError]:
    wanted = {"kind": kind, "apiVersion": API_VERSION}
    return [invalid(name, document.get(name, ""), f"must be {value}") for name, value in wanted.items() if document.get(name) != value]


def _check(kind: str, document: Document, errors: list[FieldError], before: Before) -> list[FieldError]:
    """`errors`, those of values and keyed lists, and those of the rules if the types allow to evaluate them."""
    return _check_with(schema_of(kind), document, errors, before)


def _check_with(node: Node, document: Document, errors: list[FieldError], before: Before) -> list[FieldError]:
    errors = errors + check_values(node, document, "", before)
    if not before.is_matched or not check_keyed_lists(node, before.value):
        errors += check_keyed_lists(node, document)
    if any(error.reason in BLOCKING for error in errors):
        return [*errors, rules_not_checked()]
    return errors + check_rules(node, document, "", before)


def _accepted(kind: str, document: Document, errors: list[FieldError], excess: Excess | None, *, name: str = "") -> Document:
    if not errors and excess is not None:
        errors = [_of_excess(excess)]
    if errors:
        raise InvalidDocument(document.get("kind", kind), name or _name_of(document), _some(errors))
    return dict(with_whole_numbers(document))


def _some(errors: list[FieldError]) -> list[FieldError]:
    """The first errors, and the number of the others."""
    if len(errors) <= _SHOWN:
        return errors
    rest = FieldError("", f"and {len(errors) - _SHOWN} further errors", "TooLarge")
    return [*errors[:_SHOWN], rest]


def _name_of(document: Mapping[str, Any]) -> str:
    metadata = document.get("metadata")
    name = metadata.get("name") if isinstance(metadata, dict) else None
    return name if isinstance(name, str) else ""
